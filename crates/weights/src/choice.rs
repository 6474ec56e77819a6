//! Which of the weights in a file are wanted, and where an encoder stands in it.

use crate::family::{Family, families};
use crate::{Unrecognized, shown};

/// What is wanted from a file that has several things. The default takes what it can tell by the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The keys that lead to the dictionary with the weights, with dots between them: `state_dict`, `ema.model`.
    pub key: Option<String>,
    /// What stands before the encoder's names in there: `module.encoder_q.`. The last dot may be left out.
    pub prefix: Option<String>,
    /// Where there is a query and a momentum encoder: the one whose weights both get. `None` leaves each its own.
    pub side: Option<Side>,
    /// Patterns of names to leave out, with or without the prefix; `*` stands for any letters.
    pub leave_out: Vec<String>,
}

/// One of the two encoders of contrastive learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is trained: query, student, online network.
    Query,
    /// Its moving average: key, teacher, target network.
    Momentum,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Query => "query",
            Self::Momentum => "momentum",
        })
    }
}

/// Where an encoder stands in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The keys that lead to its dictionary, with dots between them; empty at the top.
    pub key: String,
    /// What stands before its names, up to the last dot.
    pub prefix: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&*shown(&self.key), &*shown(&self.prefix)) {
            ("", "") => f.write_str("the top of the file"),
            (key, "") => write!(f, "key `{key}`"),
            ("", prefix) => write!(f, "prefix `{prefix}`"),
            (key, prefix) => write!(f, "key `{key}`, prefix `{prefix}`"),
        }
    }
}

/// Parts of names that stand for the moving average.
const MOMENTUM: [&str; 20] = [
    "encoder_k",
    "encoder_momentum",
    "encoder_ema",
    "key_encoder",
    "momentum_encoder",
    "momentum_backbone",
    "backbone_momentum",
    "backbone_k",
    "teacher",
    "teacher_backbone",
    "teacher_model",
    "target",
    "target_encoder",
    "target_network",
    "target_backbone",
    "target_net",
    "model_ema",
    "ema_model",
    "state_dict_ema",
    "ema",
];

impl Place {
    /// Of which side the encoder is, by what it is called.
    pub(crate) fn side(&self) -> Side {
        let parts = self.key.split('.').chain(self.prefix.split('.'));
        if parts.into_iter().any(|part| MOMENTUM.contains(&part)) { Side::Momentum } else { Side::Query }
    }

    /// The last part of the prefix: `encoder_q` of `module.encoder_q.`.
    pub(crate) fn last(&self) -> &str {
        self.prefix.trim_end_matches('.').rsplit('.').next().unwrap_or("")
    }

    fn is_wanted(&self, choice: &Choice) -> bool {
        let inside = |key: &str| {
            self.key
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || key.is_empty())
        };
        choice.key.as_deref().is_none_or(|key| inside(key.trim_matches('.')))
            && choice
                .prefix
                .as_deref()
                .is_none_or(|prefix| prefix.trim_end_matches('.') == self.prefix.trim_end_matches('.'))
    }
}

/// An encoder in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) place: Place,
    pub(crate) family: Family,
}

/// The encoders to take.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) query: Candidate,
    /// The momentum encoder, if both are taken.
    pub(crate) momentum: Option<Candidate>,
    /// The one that is there too, and is not taken.
    pub(crate) other: Option<Candidate>,
}

/// The encoders to take from a file with these `names`, each with the keys of its dictionary.
pub(crate) fn choose(names: &[(&str, &str)], choice: &Choice) -> Result<Chosen, Unrecognized> {
    let all = families(names);
    if all.is_empty() {
        return Err(Unrecognized::of_names(names));
    }
    let found = |candidates: &[Candidate]| candidates.iter().map(|one| one.place.clone()).collect::<Vec<_>>();
    let wanted: Vec<Candidate> = all.iter().filter(|one| one.place.is_wanted(choice)).cloned().collect();
    let of_side = |side| wanted.iter().filter(|one| one.place.side() == side).cloned().collect::<Vec<_>>();
    let (queries, momenta) = (of_side(Side::Query), of_side(Side::Momentum));
    match (queries.as_slice(), momenta.as_slice(), choice.side) {
        ([], [], _) => Err(Unrecognized::NoPlace {
            key: choice.key.clone(),
            prefix: choice.prefix.clone(),
            found: found(&all),
        }),
        ([], _, Some(Side::Query)) | (_, [], Some(Side::Momentum)) => {
            let side = if queries.is_empty() { Side::Query } else { Side::Momentum };
            Err(Unrecognized::NoSide { side, found: found(&wanted) })
        }
        ([query], others, Some(Side::Query)) | ([query], others @ [], None) => {
            Ok(Chosen { query: query.clone(), momentum: None, other: others.first().cloned() })
        }
        (others, [momentum], Some(Side::Momentum)) | (others @ [], [momentum], None) => {
            Ok(Chosen { query: momentum.clone(), momentum: None, other: others.first().cloned() })
        }
        ([query], [momentum], None) if query.family == momentum.family => {
            Ok(Chosen { query: query.clone(), momentum: Some(momentum.clone()), other: None })
        }
        _ => Err(Unrecognized::Several { found: found(&wanted) }),
    }
}

/// Whether `name` is what `pattern` says, where `*` stands for any letters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars() {
        for (pattern, yes, no) in [
            ("mean", &["mean"][..], &["means", "a.mean", ""][..]),
            ("decoder*", &["decoder", "decoder.a"], &["a.decoder"]),
            ("*.bias", &["a.bias", ".bias"], &["bias", "a.bias.b"]),
            ("a*b*c", &["abc", "a.b.b.c", "abbc"], &["ab", "acb"]),
            ("*", &["", "a"], &[]),
            ("ab*ba", &["abba", "ab.ba"], &["aba"]),
        ] {
            assert!(yes.iter().all(|name| matches(pattern, name)), "{pattern}");
            assert!(!no.iter().any(|name| matches(pattern, name)), "{pattern}");
        }
    }

    fn chosen(names: &[(&str, &str)], choice: &Choice) -> Result<[Option<String>; 3], String> {
        let shown = |one: &Candidate| one.place.to_string();
        let text = |error: Unrecognized| error.to_string();
        let Chosen { query, momentum, other } = choose(names, choice).map_err(text)?;
        Ok([Some(shown(&query)), momentum.as_ref().map(shown), other.as_ref().map(shown)])
    }

    const ANCHOR: &str = "layer1.0.conv1.weight";

    #[test]
    fn where_two_encoders_are_the_choice_says_which() {
        let (student, teacher) = (format!("module.backbone.{ANCHOR}"), format!("backbone.{ANCHOR}"));
        let names = [("student", student.as_str()), ("teacher", teacher.as_str()), ("", "epoch")];
        let (query, momentum) =
            ("key `student`, prefix `module.backbone.`", "key `teacher`, prefix `backbone.`");
        let some = |text: &str| Some(text.to_owned());
        let of = |choice: Choice| chosen(&names, &choice).unwrap();
        assert_eq!(of(Choice::default()), [some(query), some(momentum), None]);
        let side = |side| Choice { side: Some(side), ..Choice::default() };
        assert_eq!(of(side(Side::Query)), [some(query), None, some(momentum)]);
        assert_eq!(of(side(Side::Momentum)), [some(momentum), None, some(query)]);
        let key = |key: &str| Choice { key: Some(key.into()), ..Choice::default() };
        assert_eq!(of(key("teacher")), [some(momentum), None, None]);
        let prefix = |prefix: &str| Choice { prefix: Some(prefix.into()), ..Choice::default() };
        assert_eq!(of(prefix("module.backbone")), [some(query), None, None]);
        assert_eq!(
            chosen(&names, &key("model")).unwrap_err(),
            "no encoder is under key `model`; there are two, under key `student`, prefix `module.backbone.` and \
             key `teacher`, prefix `backbone.`"
        );
        assert_eq!(
            chosen(&names[..1], &side(Side::Momentum)).unwrap_err(),
            "there is no momentum encoder, but one under key `student`, prefix `module.backbone.`"
        );
    }

    #[test]
    fn encoders_that_names_do_not_tell_apart_are_not_guessed() {
        let names = [("model", ANCHOR), ("best", ANCHOR)];
        let told = chosen(&names, &Choice::default()).unwrap_err();
        assert_eq!(told, "there are several encoders, under key `model` and key `best`");
        let key = Choice { key: Some("best".into()), ..Choice::default() };
        assert_eq!(chosen(&names, &key).unwrap()[0].as_deref(), Some("key `best`"));
        // A ResNet beside a ViT are no pair.
        let names = [("", ANCHOR), ("", "teacher.patch_embed.proj.weight")];
        assert!(chosen(&names, &Choice::default()).unwrap_err().starts_with("there are several encoders"));
    }
}

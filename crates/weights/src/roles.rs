//! What each tensor of a file is: a part of an encoder, of what it was trained with, or nothing that is taken.

use run_store::checkpoint::Stored;

use crate::choice::{Candidate, Choice, Chosen, Place, Side, matches};
use crate::convention::EncoderWeights;
use crate::family::{Family, may_be_weight};
use crate::{Convention, Tensors, Unrecognized};

/// What the layers after a backbone begin with.
const HEADS: [&str; 4] = ["fc.", "head.", "heads.", "stem.fc."];
/// What is known to be no part of an encoder where it has the encoder's prefix: decoders of masked images, heads of other
/// methods.
const BESIDE: [&str; 17] = [
    "decoder",
    "mask_token",
    "head_dist.",
    "classifier.",
    "online_classifier.",
    "projector.",
    "projection.",
    "projection_head.",
    "momentum_projector.",
    "prediction_head.",
    "predictor.",
    "prototypes.",
    "queue",
    "queue_ptr",
    "contrastive_head.",
    "dino_head.",
    "ibot_head.",
];

/// What a tensor of a file is.
pub(crate) enum Role {
    Backbone(Side, String),
    Head(Side, String),
    Predictor(String),
    Queue,
    Pointer,
    LeftOut,
    Unexpected,
}

/// Tells roles from names.
pub(crate) struct Sorter<'a> {
    pub(crate) choice: &'a Choice,
    pub(crate) chosen: &'a Chosen,
    pub(crate) convention: Convention,
}

impl Sorter<'_> {
    /// The role of each item in the dictionaries of the chosen encoders.
    pub(crate) fn roles(
        &self,
        names: &[(&str, &str)],
        is_inert: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<(usize, Role)>, Unrecognized> {
        let mut roles = Vec::new();
        let mut n_matches = vec![0; self.choice.leave_out.len()];
        for (item, (key, name)) in names.iter().enumerate() {
            match self.role(key, name, &mut n_matches) {
                // What is no tensor is wanted only in the place of a weight.
                Some(Role::Backbone(_, ours)) if is_inert(item) && !may_be_weight(&ours) => {}
                Some(Role::LeftOut | Role::Unexpected) if is_inert(item) => {}
                Some(role) => roles.push((item, role)),
                None => {}
            }
        }
        match n_matches.iter().position(|n| *n == 0) {
            Some(useless) => {
                Err(Unrecognized::LeavesNothing { pattern: self.choice.leave_out[useless].clone() })
            }
            None => Ok(roles),
        }
    }

    /// The role of `name` in the dictionary `key`; `None` if it has nothing to do with the encoders.
    fn role(&self, key: &str, name: &str, n_matches: &mut [usize]) -> Option<Role> {
        let Chosen { query, momentum, other } = self.chosen;
        let inside =
            |one: &Candidate| (one.place.key == key).then(|| name.strip_prefix(one.place.prefix.as_str()))?;
        // Where one of them has no prefix, the other's names seem to be inside.
        let mut encoders: Vec<(Option<Side>, &Candidate)> = vec![(Some(Side::Query), query)];
        encoders.extend(momentum.as_ref().map(|one| (Some(Side::Momentum), one)));
        encoders.extend(other.as_ref().map(|one| (None, one)));
        encoders.sort_by_key(|(_, one)| std::cmp::Reverse(one.place.prefix.len()));
        let own = encoders.iter().find_map(|(side, one)| Some((*side, *one, inside(one)?)));
        let part = own.map_or(name, |(_, _, part)| part);
        let mut is_left_out = false;
        if own.is_some() || query.place.key == key {
            for (pattern, n) in self.choice.leave_out.iter().zip(n_matches) {
                let hit = matches(pattern, name) || matches(pattern, part);
                *n += usize::from(hit);
                is_left_out |= hit;
            }
        }
        match own {
            None if query.place.key != key => None,
            Some((None, ..)) => None,
            _ if is_left_out => Some(Role::LeftOut),
            None => Some(self.beside(name)),
            Some((Some(side), one, part)) => Some(in_encoder(side, one.family, part)),
        }
    }

    /// The role of what stands beside the encoders.
    fn beside(&self, name: &str) -> Role {
        let Place { prefix, .. } = &self.chosen.query.place;
        let root = prefix.strip_suffix(&format!("{}.", self.chosen.query.place.last())).unwrap_or("");
        match name.strip_prefix(root) {
            _ if !self.convention.has_projection_heads() => Role::LeftOut,
            Some("queue") => Role::Queue,
            Some("queue_ptr") => Role::Pointer,
            Some(part) => match part.strip_prefix("predictor.") {
                Some(part) => Role::Predictor(part.to_owned()),
                None => Role::LeftOut,
            },
            None => Role::LeftOut,
        }
    }
}

/// The role of what an encoder calls `part`.
fn in_encoder(side: Side, family: Family, part: &str) -> Role {
    if let Some(part) = HEADS.iter().find_map(|prefix| part.strip_prefix(prefix)) {
        return Role::Head(side, part.to_owned());
    }
    if BESIDE.iter().any(|beside| part.starts_with(beside)) {
        return Role::LeftOut;
    }
    match (family.ours(part), family) {
        (Some(ours), _) => Role::Backbone(side, ours),
        // What follows the stages.
        (None, Family::Sequence(_)) => Role::LeftOut,
        (None, _) => Role::Unexpected,
    }
}

/// Values, sorted.
#[derive(Default)]
pub(crate) struct Sorted {
    /// Query and momentum.
    pub(crate) encoders: [EncoderWeights; 2],
    pub(crate) predictor: Tensors,
    pub(crate) queue: Tensors,
    pub(crate) left_out: Vec<String>,
}

impl Sorted {
    /// Puts a value where it belongs, which the file calls `name`; gives the name back if the place is taken.
    pub(crate) fn put(&mut self, role: Role, stored: Stored, name: String) -> Option<String> {
        let before = match role {
            Role::Backbone(side, ours) => self.encoders[side as usize].backbone.insert(ours, stored),
            Role::Head(side, part) => self.encoders[side as usize].head.insert(part, stored),
            Role::Predictor(part) => self.predictor.insert(part, stored),
            Role::Pointer if matches!(stored, Stored::U64(_)) => self.queue.insert("pointer".into(), stored),
            Role::Queue => match transposed(&stored) {
                Some(rows) => self.queue.insert("queue".into(), rows),
                None => {
                    self.left_out.push(name);
                    return None;
                }
            },
            Role::Pointer | Role::LeftOut | Role::Unexpected => {
                self.left_out.push(name);
                return None;
            }
        };
        before.map(|_| name)
    }
}

/// `(C, K)`, one key per column, to `(K, C)`; `None` unless it has two axes and is not empty.
fn transposed(stored: &Stored) -> Option<Stored> {
    match stored {
        Stored::F32 { shape, values } => {
            let &[c @ (1..), k] = shape.as_slice() else { return None };
            let values = (0..k).flat_map(|key| (0..c).map(move |i| values[i * k + key])).collect();
            Some(Stored::F32 { shape: vec![k, c], values })
        }
        Stored::U64(_) => None,
    }
}

//! Images that have moved since a run was started.

use std::fmt;
use std::str::FromStr;

use pipeline_text::{Checked, Node, NodeKind, PipelineText};

/// Where the paths of a dataset lead now: each that starts with one of the old places starts with the new one instead.
///
/// The text of the pipeline stays as it is, so that what a run writes does not depend on where its images lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved(Vec<Move>);

/// One place that has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The path, or the start of it, as the pipeline has it.
    pub old: String,
    /// Where that is now.
    pub new: String,
}

/// `OLD=NEW`.
impl FromStr for Move {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (old, new) = match text.split_once('=') {
            Some((old, new)) if !old.is_empty() && !new.is_empty() => (old, new),
            _ => return Err("write the old place and the new one: OLD=NEW".into()),
        };
        let trimmed = |path: &str| match path.trim_start_matches("./").trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        Ok(Self { old: trimmed(old), new: trimmed(new) })
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.old, self.new)
    }
}

impl Move {
    /// `path` with `from` in front replaced by `to`, if it starts with that.
    fn replaced(path: &str, from: &str, to: &str) -> Option<String> {
        let plain = |path: &'_ str| path.trim_start_matches("./").to_owned();
        let (path, from) = (plain(path), plain(from));
        let rest = path.strip_prefix(&from)?;
        let is_whole = rest.is_empty() || rest.starts_with('/') || from.ends_with('/');
        let rest = rest.trim_start_matches('/');
        let gap = if rest.is_empty() || to.ends_with('/') { "" } else { "/" };
        is_whole.then(|| format!("{to}{gap}{rest}"))
    }
}

impl FromIterator<Move> for Moved {
    fn from_iter<I: IntoIterator<Item = Move>>(moves: I) -> Self {
        Self(moves.into_iter().collect())
    }
}

impl Moved {
    /// Whether everything is where it was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order in which they happened.
    pub fn moves(&self) -> &[Move] {
        &self.0
    }

    /// Each place as a pair, old and new: what a run keeps.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.0.iter().map(|step| (step.old.clone(), step.new.clone())).collect()
    }

    /// These, and then `later` ones. A place that has moved twice is only where it was moved last, so that the same move may be
    /// told again.
    #[must_use]
    pub fn then(mut self, later: &Self) -> Self {
        self.0.retain(|known| later.0.iter().all(|step| step.old != known.old));
        self.0.extend(later.0.iter().filter(|step| step.old != step.new).cloned());
        self
    }

    /// Where `path` is now; `None` if it has not moved.
    pub fn now(&self, path: &str) -> Option<String> {
        let moved = |path: Option<String>, Move { old, new }: &Move| {
            let known = path.as_deref();
            known.and_then(|known| Move::replaced(known, old, new)).or(path)
        };
        let now = self.0.iter().fold(Some(path.to_owned()), moved)?;
        (now != path).then_some(now)
    }

    /// Where `path` was when the run was started: what [`now`](Self::now) has made of it is undone.
    pub fn before(&self, path: &str) -> String {
        self.0
            .iter()
            .rev()
            .fold(path.to_owned(), |path, Move { old, new }| Move::replaced(&path, new, old).unwrap_or(path))
    }

    /// The text of the value `node`, with all paths in it as they are now.
    pub(crate) fn text_of(&self, text: &str, node: &Node) -> String {
        let mut texts = Vec::new();
        collect(node, &mut texts);
        self.replaced(text, node, texts)
    }

    /// The text of the plugin's config `node`, with all paths in the plugins that are its fields as they are now.
    pub(crate) fn text_of_nested(&self, text: &str, node: &Node) -> String {
        let mut texts = Vec::new();
        collect_nested(node, &mut texts);
        self.replaced(text, node, texts)
    }

    fn replaced(&self, text: &str, node: &Node, texts: Vec<(std::ops::Range<usize>, &str)>) -> String {
        let mut changed = text[node.span.clone()].to_owned();
        // From the last on, so that the places of the others stay.
        for (place, path) in texts.into_iter().rev() {
            if let Some(now) = self.now(path) {
                let (start, end) = (place.start - node.span.start, place.end - node.span.start);
                changed.replace_range(start..end, &format!("{now:?}"));
            }
        }
        changed
    }

    /// Checks that the dataset of `text`, or one of a monitor, has a path for each move.
    ///
    /// # Errors
    /// The fault at the dataset, with the paths that it has.
    pub(crate) fn check(&self, text: &PipelineText) -> Checked<()> {
        let Some(node) = text.tree.find(&["data", "source"]) else { return Ok(()) };
        let config = node.plugin().map_or(node, |(_, config)| config);
        let mut texts = Vec::new();
        collect(config, &mut texts);
        if let Some(Node { kind: NodeKind::Items(monitors), .. }) = text.tree.find(&["monitor"]) {
            let configs = monitors.iter().filter_map(|monitor| monitor.plugin().map(|(_, config)| config));
            configs.for_each(|config| collect_nested(config, &mut texts));
        }
        let was: Vec<&str> = texts.into_iter().map(|(_, path)| path).collect();
        let mut paths: Vec<String> = was.iter().map(|path| (*path).to_owned()).collect();
        for step in &self.0 {
            let mut n_moved = 0;
            for path in &mut paths {
                if let Some(now) = Move::replaced(path, &step.old, &step.new) {
                    *path = now;
                    n_moved += 1;
                }
            }
            if n_moved == 0 {
                let shown = |(now, was): (&String, &&str)| match now == was {
                    true => format!("`{now}`"),
                    false => format!("`{now}`, which was `{was}` before it moved"),
                };
                let known: Vec<String> = paths.iter().zip(&was).map(shown).collect();
                let hint = match known.as_slice() {
                    [] => "it has no path that could have moved".to_owned(),
                    known => format!("it has {}", known.join(", ")),
                };
                let message = format!("no path of the dataset starts with `{}`", step.old);
                return Err(text.fault(node.span.clone(), message, Some(hint)));
            }
        }
        Ok(())
    }
}

/// The strings in those fields of `node` that are plugins, in the order of the text.
fn collect_nested<'a>(node: &'a Node, into: &mut Vec<(std::ops::Range<usize>, &'a str)>) {
    if let NodeKind::Fields { fields, .. } = &node.kind {
        let configs = fields.iter().filter_map(|field| field.value.plugin().map(|(_, config)| config));
        configs.for_each(|config| collect(config, into));
    }
}

/// The strings in `node`, in the order of the text, but for the names of plugins.
fn collect<'a>(node: &'a Node, into: &mut Vec<(std::ops::Range<usize>, &'a str)>) {
    if let Some((_, config)) = node.plugin() {
        return collect(config, into);
    }
    match &node.kind {
        NodeKind::Fields { fields, .. } => fields.iter().for_each(|field| collect(&field.value, into)),
        NodeKind::Items(items) => items.iter().for_each(|item| collect(item, into)),
        NodeKind::Text(text) => into.push((node.span.clone(), text)),
        NodeKind::Word => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(moves: &[&str]) -> Moved {
        moves.iter().map(|text| text.parse::<Move>().unwrap()).collect()
    }

    #[test]
    fn paths_move_by_whole_names_and_back() {
        let moves = moved(&["/scratch/job-1=/scratch/job-2/", "photos=/data/photos"]);
        for (old, new) in [
            ("/scratch/job-1", "/scratch/job-2"),
            ("/scratch/job-1/a.jpg", "/scratch/job-2/a.jpg"),
            ("photos/x", "/data/photos/x"),
        ] {
            assert_eq!(moves.now(old).as_deref(), Some(new));
            assert_eq!(moves.before(new), old);
        }
        assert_eq!(moves.now("/scratch/job-10/a.jpg"), None);
        assert_eq!(moved(&["/=/mnt"]).now("/a/b").as_deref(), Some("/mnt/a/b"));
        assert_eq!(moved(&["/mnt=/"]).now("/mnt/a").as_deref(), Some("/a"));
        assert_eq!(moved(&["./a=b"]).now("a/x").as_deref(), Some("b/x"));
        assert_eq!(moved(&["a=b"]).now("./a").as_deref(), Some("b"));
        let twice = moved(&["a=b", "b=c"]);
        assert_eq!((twice.now("a/x").as_deref(), twice.before("c/x").as_str()), (Some("c/x"), "a/x"));
    }

    #[test]
    fn a_place_may_move_again_and_be_told_again() {
        let known = moved(&["a=b"]);
        assert_eq!(known.clone().then(&known), known);
        assert_eq!(known.clone().then(&moved(&["a=c"])).now("a/x").as_deref(), Some("c/x"));
        assert_eq!(known.clone().then(&moved(&["b=c"])).now("a/x").as_deref(), Some("c/x"));
        assert_eq!(known.then(&moved(&["a=a"])).now("a/x"), None);
    }

    #[test]
    fn a_move_has_two_places() {
        for text in ["photos", "=b", "a=", ""] {
            assert!(text.parse::<Move>().unwrap_err().contains("OLD=NEW"), "{text}");
        }
    }

    #[test]
    fn only_paths_of_the_dataset_are_replaced() {
        let source = r#"("flat-folder", (root: ["a/x", r"a", "ab"], exclude: ["*.tmp"]))"#;
        let text = PipelineText::new("x", &format!("(data: (source: {source}))")).unwrap();
        let node = text.tree.find(&["data", "source"]).unwrap();
        let moves = moved(&["a=/new \"place\""]);
        moves.check(&text).unwrap();
        let now = moves.text_of(&text.text, node);
        let expected =
            r#"("flat-folder", (root: ["/new \"place\"/x", "/new \"place\"", "ab"], exclude: ["*.tmp"]))"#;
        assert_eq!(now, expected);
        let monitor = r#"[("knn", (view: "a", source: ("class-folders", (root: "a/y"))))]"#;
        let with_monitor =
            PipelineText::new("x", &format!("(data: (source: {source}), monitor: {monitor})")).unwrap();
        let node = with_monitor.tree.find(&["monitor", "0"]).unwrap().plugin().unwrap().1;
        let now = moves.text_of_nested(&with_monitor.text, node);
        assert_eq!(now, r#"(view: "a", source: ("class-folders", (root: "/new \"place\"/y")))"#);
        moved(&["a/y=b"]).check(&with_monitor).unwrap();
        let fault = moved(&["b=c"]).check(&text).unwrap_err();
        assert!(fault.message.contains("no path of the dataset starts with `b`"), "{}", fault.message);
        assert_eq!(fault.hint.as_deref(), Some("it has `a/x`, `a`, `ab`, `*.tmp`"));
    }
}

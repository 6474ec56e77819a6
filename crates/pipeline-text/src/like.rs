//! Views that are like others: `"key": Like("query")`.

use crate::document::{Node, NodeKind};
use crate::fault::Checked;
use crate::limits::MAX_WAY;
use crate::text::PipelineText;

impl PipelineText {
    /// Writes the steps of every view that is like another in its place.
    ///
    /// # Errors
    /// If there is no such other, or if views are like each other in a circle.
    pub fn write_out_views(&mut self) -> Checked<()> {
        let views = self.tree.find(&["views"]).map(Node::child_names).unwrap_or_default();
        views.iter().try_for_each(|view| self.write_out_view(view))
    }

    /// The same for one view.
    ///
    /// # Errors
    /// As [`write_out_views`](Self::write_out_views).
    pub fn write_out_view(&mut self, view: &str) -> Checked<()> {
        self.write_out(&mut vec![view.to_owned()])
    }

    /// Writes out the last view of `way`, in which each is like the next.
    fn write_out(&mut self, way: &mut Vec<String>) -> Checked<()> {
        let Some(view) = way.last() else { return Ok(()) };
        let Some(node) = self.tree.find(&["views", view]) else { return Ok(()) };
        let span = node.span.clone();
        let Some(other) = self.like(node)? else { return Ok(()) };
        let (name, name_span) = (other.0.to_owned(), other.1);
        if way.contains(&name) {
            let circle = [&way[..], &[name]].concat().join(" → ");
            return Err(self.fault(
                name_span,
                format!("the views go in a circle: {circle}"),
                Some("give one of them a list of its own".into()),
            ));
        }
        if self.tree.find(&["views", &name]).is_none() {
            let names = self.tree.find(&["views"]).map(Node::child_names).unwrap_or_default();
            return Err(self.fault(
                name_span,
                format!("no view is named `{name}`"),
                Some(plugin_api::suggest(&name, &names)),
            ));
        }
        if way.len() >= MAX_WAY {
            return Err(self.fault(
                name_span,
                format!("more than {MAX_WAY} views are each like the next"),
                Some("give one of them a list of its own".into()),
            ));
        }
        way.push(name.clone());
        self.write_out(way)?;
        way.pop();
        // Its place may have changed.
        let span = way
            .last()
            .and_then(|view| self.tree.find(&["views", view]))
            .map_or(span, |node| node.span.clone());
        let Some(other) = self.tree.find(&["views", &name]).cloned() else { return Ok(()) };
        let fragments = self.fragments(other.span.clone());
        self.replace(span, &fragments, other)
    }

    /// The name that `node` is like, if it is like another, and where it stands.
    fn like<'a>(&self, node: &'a Node) -> Checked<Option<(&'a str, std::ops::Range<usize>)>> {
        let rest = self.text[node.span.clone()].strip_prefix("Like").map(str::trim_start);
        match (rest, &node.kind) {
            (Some(rest), NodeKind::Items(items)) if rest.starts_with('(') => match &items[..] {
                [Node { kind: NodeKind::Text(name), span }] => Ok(Some((name, span.clone()))),
                _ => Err(self.not_like_one(node)),
            },
            (Some(rest), _) if rest.is_empty() || rest.starts_with('(') => Err(self.not_like_one(node)),
            _ => Ok(None),
        }
    }

    fn not_like_one(&self, node: &Node) -> Box<crate::Fault> {
        let hint = Some("for instance `\"key\": Like(\"query\")`".into());
        self.fault(node.span.clone(), "`Like` takes the name of a view", hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(views: &str) -> PipelineText {
        PipelineText::new("a.ron", &format!("(views: {{{views}}})")).unwrap()
    }

    fn written(mut text: PipelineText) -> String {
        text.write_out_views().unwrap();
        assert_eq!(format!("{:?}", text.tree), format!("{:?}", Node::parse(&text.text).unwrap()));
        text.text
    }

    #[test]
    fn a_view_like_another_has_its_steps_as_they_are_after_all_changes() {
        let two = || text(r#""a": Like("b"), "b": [("flip", (p: 0.5))]"#);
        assert_eq!(written(two()), r#"(views: {"a": [("flip", (p: 0.5))], "b": [("flip", (p: 0.5))]})"#);
        let mut changed = two();
        changed.set("views.b.flip.p=1").unwrap();
        assert_eq!(written(changed), r#"(views: {"a": [("flip", (p: 1))], "b": [("flip", (p: 1))]})"#);
    }

    #[test]
    fn a_view_that_is_changed_on_its_own_is_like_the_other_but_for_that() {
        let mut text = text(r#""a": Like("b"), "b": [("flip", (p: 0.5))]"#);
        text.set("views.a.flip.p=0.25").unwrap();
        assert_eq!(written(text), r#"(views: {"a": [("flip", (p: 0.25))], "b": [("flip", (p: 0.5))]})"#);
    }

    #[test]
    fn a_view_may_be_like_one_that_is_like_another() {
        let text = text(r#""c": Like("b"), "a": [], "b": Like("a")"#);
        assert_eq!(written(text), r#"(views: {"c": [], "a": [], "b": []})"#);
    }

    #[test]
    fn a_step_of_a_copy_is_found_where_it_is_written() {
        let mut text = text(r#""a": Like("b"), "b": [("flip", (p: 0.5))]"#);
        text.write_out_views().unwrap();
        let at = text.text.find("0.5").unwrap();
        let fault = text.fault(at..at + 3, "x", None);
        assert_eq!(fault.span.start, fault.text.find("0.5").unwrap());
    }

    #[test]
    fn what_a_view_cannot_be_like_is_told() {
        let chain: String = (0..5000).map(|i| format!("\"{i}\": Like(\"{}\"), ", i + 1)).collect();
        let steps = "(\"flip\", ()), ".repeat(5000);
        let copies: String = (0..1000).map(|i| format!("\"{i}\": Like(\"b\"), ")).collect();
        let large = format!("{copies}\"b\": [{steps}]");
        for (views, message) in [
            (r#""a": Like("a")"#, "circle: a → a"),
            (r#""a": Like("b"), "b": Like("a")"#, "circle: a → b → a"),
            (&chain, "more than 64 views"),
            (&large, "more than 1048576 bytes"),
            (r#""a": Like("c"), "b": []"#, "no view is named `c`"),
            (r#""a": Like(b), "b": []"#, "takes the name"),
            (r#""a": Like, "b": []"#, "takes the name"),
            (r#""a": Like("b", "c"), "b": []"#, "takes the name"),
        ] {
            let fault = text(views).write_out_views().unwrap_err();
            assert!(fault.message.contains(message), "{views}: {}", fault.message);
        }
    }
}

//! The text of a pipeline, with all changes in it, which still knows where each piece of it came from.

use std::ops::Range;

use crate::document::{Field, FieldStyle, Node, NodeKind, SyntaxError};
use crate::fault::Checked;
use crate::fault::Fault;
use crate::limits::MAX_BYTES;
use crate::scanner::Scanner;

/// A pipeline's text and tree. It starts as a file, and [changes](crate::change::Change) are put into it.
#[derive(Clone, Debug)]
pub struct PipelineText {
    /// The text, with all changes in it.
    pub text: String,
    /// Of `text` as it is.
    pub tree: Node,
    /// In order, without gaps.
    pieces: Vec<Piece>,
    /// Later ones change what earlier ones say.
    origins: Vec<Origin>,
}

/// Where pieces come from: a file, or an argument of the command line.
#[derive(Clone, Debug)]
struct Origin {
    name: String,
    text: String,
}

/// A piece of the text, up to the next.
#[derive(Clone, Debug)]
struct Piece {
    start: usize,
    origin: usize,
    /// Its place in the origin's text, which may be shorter: of `, ` that was put between, and of a name whose quotation marks
    /// were.
    from: Range<usize>,
}

/// What is put into the text.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// The text.
    pub text: String,
    /// Where it comes from, as [`PipelineText::add_origin`] gave it.
    pub origin: usize,
    /// Its place in the origin's text, in bytes.
    pub from: Range<usize>,
}

impl PipelineText {
    /// The text of the file `origin`, as it is.
    ///
    /// # Errors
    /// If it is not RON, has a name twice in one place, or more than [`MAX_BYTES`] bytes.
    pub fn new(origin: &str, text: &str) -> Checked<Self> {
        if text.len() > MAX_BYTES {
            return Err(Box::new(Fault {
                origin: origin.to_owned(),
                text: String::new(),
                span: 0..0,
                message: format!("the text has {} bytes, and a pipeline has at most {MAX_BYTES}", text.len()),
                hint: Some("is it a pipeline?".into()),
            }));
        }
        let tree = Node::parse(text).map_err(|error| {
            Box::new(Fault {
                origin: origin.to_owned(),
                text: text.to_owned(),
                span: error.span,
                message: error.message,
                hint: error.hint,
            })
        })?;
        let this = Self {
            text: text.to_owned(),
            tree,
            pieces: vec![Piece { start: 0, origin: 0, from: 0..text.len() }],
            origins: vec![Origin { name: origin.to_owned(), text: text.to_owned() }],
        };
        this.check_names_once(&this.tree)?;
        Ok(this)
    }

    /// Adds a place from which changes come; gives its number.
    pub fn add_origin(&mut self, name: &str, text: &str) -> usize {
        self.origins.push(Origin { name: name.to_owned(), text: text.to_owned() });
        self.origins.len() - 1
    }

    /// The text of an origin.
    pub fn origin_text(&self, origin: usize) -> &str {
        &self.origins[origin].text
    }

    /// A fault at `span` of an origin's text.
    pub fn fault_in(
        &self,
        origin: usize,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Box<Fault> {
        let Origin { name, text } = self.origins[origin].clone();
        Box::new(Fault { origin: name, text, span, message: message.into(), hint })
    }

    /// A fault at `span` of the present text, shown in the file or argument it came from.
    pub fn fault(&self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) -> Box<Fault> {
        let mut first = self.piece_at(span.start);
        // An error at the end of a value may point at what follows it.
        if first > 0
            && self.pieces[first].start == span.start
            && self.pieces[first - 1].origin > self.pieces[first].origin
        {
            first -= 1;
        }
        let Piece { origin, from, .. } = &self.pieces[first];
        let start = self.place_in(first, span.start);
        let last = self.piece_at(span.end);
        let end = match self.pieces[last].origin == *origin {
            true => self.place_in(last, span.end),
            false => from.end,
        };
        self.fault_in(*origin, start..end.max(start), message, hint)
    }

    /// The piece that byte `at` is in.
    fn piece_at(&self, at: usize) -> usize {
        self.pieces.partition_point(|piece| piece.start <= at).saturating_sub(1)
    }

    /// Where byte `at` stands in the origin of a piece.
    fn place_in(&self, piece: usize, at: usize) -> usize {
        let Piece { start, from, .. } = &self.pieces[piece];
        (from.start + at - start).min(from.end)
    }

    /// Puts `fragments` in the place of the value at `range`; `value` is what they are, with places of its own.
    ///
    /// # Errors
    /// If a name is twice in it, or if the text becomes too long.
    pub fn replace(&mut self, range: Range<usize>, fragments: &[Fragment], value: Node) -> Checked<()> {
        self.check_room(&range, fragments)?;
        let new = self.splice(range, fragments);
        let value = value.moved_to(new.start);
        self.check_names_once(&value)?;
        if let Some(node) = self.tree.at_mut(&new) {
            *node = value;
        }
        Ok(())
    }

    /// Adds the field `name` to the fields at `parent`. `fragments` are its name and its value.
    ///
    /// # Errors
    /// If a name is twice in its value, or if the text becomes too long.
    pub fn add_field(
        &mut self,
        parent: &Node,
        name: &str,
        [key, value]: [Fragment; 2],
        node: Node,
    ) -> Checked<()> {
        let NodeKind::Fields { fields, style } = &parent.kind else { return Ok(()) };
        let (style, is_only) = (*style, fields.is_empty());
        let open = parent.span.start + Scanner::behind_bracket(&self.text[parent.span.clone()]);
        let written = match style {
            // A name may have quotation marks and backslashes of its own.
            FieldStyle::Map => format!("{name:?}"),
            FieldStyle::Struct => name.to_owned(),
        };
        let name_span = open..open + written.len();
        self.check_room(&(open..open), std::slice::from_ref(&value))?;
        let key = Fragment { text: written + ": ", ..key };
        let comma = Fragment {
            text: if is_only { String::new() } else { ", ".into() },
            origin: value.origin,
            from: value.from.end..value.from.end,
        };
        let node = node.moved_to(open + key.text.len());
        let new = self.splice(open..open, &[key, value, comma]);
        let parent = parent.span.start..parent.span.end + new.len();
        self.check_names_once(&node)?;
        if let Some(Node { kind: NodeKind::Fields { fields, .. }, .. }) = self.tree.at_mut(&parent) {
            fields.insert(0, Field { name: name.to_owned(), name_span, value: node });
        }
        Ok(())
    }

    /// Puts what stands in front of the pipeline in another file in front of this one.
    pub fn replace_head(&mut self, head: Fragment) {
        self.splice(0..self.tree.span.start, &[head]);
    }

    /// Adds a view that no file has; what is wrong with it is shown at `like`.
    ///
    /// # Errors
    /// If the pipeline has no views.
    pub fn add_view(&mut self, name: &str, recipe: &str, like: Range<usize>) -> Checked<()> {
        let failed = |error: SyntaxError| self.fault(like.clone(), error.message, error.hint);
        let node = Node::parse(recipe).map_err(failed)?;
        let Some(views) = self.tree.find(&["views"]).cloned() else { return Ok(()) };
        let piece = self.piece_at(like.start);
        let from = self.place_in(piece, like.start)..self.place_in(piece, like.end);
        let origin = self.pieces[piece].origin;
        let fragment = |text: &str| Fragment { text: text.to_owned(), origin, from: from.clone() };
        self.add_field(&views, name, [fragment(""), fragment(recipe)], node)
    }

    /// Leaves out the field `name` of the pipeline, which stands at `range`.
    pub fn remove_field(&mut self, name: &str, range: Range<usize>) {
        if let NodeKind::Fields { fields, .. } = &mut self.tree.kind {
            fields.retain(|field| field.name != name);
        }
        self.splice(range, &[]);
    }

    /// What stands at `range`.
    pub fn fragments(&self, range: Range<usize>) -> Vec<Fragment> {
        let ends = self.pieces.iter().skip(1).map(|piece| piece.start).chain([self.text.len()]);
        let pieces = self.pieces.iter().zip(ends).enumerate();
        pieces
            .map(|(i, (piece, end))| (i, piece, piece.start.max(range.start)..end.min(range.end)))
            .filter(|(_, _, part)| !part.is_empty())
            .map(|(i, piece, part)| Fragment {
                text: self.text[part.clone()].to_owned(),
                origin: piece.origin,
                from: self.place_in(i, part.start)..self.place_in(i, part.end),
            })
            .collect()
    }

    /// Puts `fragments` in the place of `range`; gives where they are.
    fn splice(&mut self, range: Range<usize>, fragments: &[Fragment]) -> Range<usize> {
        let behind = self.fragments(range.end..self.text.len());
        self.text.truncate(range.start);
        self.pieces.retain(|piece| piece.start < range.start);
        let mut end = range.start;
        for (i, fragment) in fragments.iter().chain(&behind).enumerate() {
            let Fragment { text, origin, from } = fragment;
            if !text.is_empty() {
                let start = self.text.len();
                self.pieces.push(Piece { start, origin: *origin, from: from.clone() });
                self.text.push_str(text);
            }
            if i < fragments.len() {
                end = self.text.len();
            }
        }
        self.tree.make_room(&range, end - range.start);
        range.start..end
    }

    /// Checks that the text does not become too long.
    fn check_room(&self, range: &Range<usize>, fragments: &[Fragment]) -> Checked<()> {
        let n_new: usize = fragments.iter().map(|fragment| fragment.text.len()).sum();
        if self.text.len() + n_new <= MAX_BYTES {
            return Ok(());
        }
        let hint = Some("write out less of what is repeated".into());
        Err(self.fault(
            range.clone(),
            format!("with this, the pipeline has more than {MAX_BYTES} bytes"),
            hint,
        ))
    }

    fn check_names_once(&self, node: &Node) -> Checked<()> {
        match node.twice() {
            Some(field) => Err(self.fault(
                field.name_span.clone(),
                format!("`{}` is given twice", field.name),
                Some("keep one of them".into()),
            )),
            None => Ok(()),
        }
    }
}

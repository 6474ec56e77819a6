//! The RON text of a pipeline, with the origin of every part.
//!
//! serde forgets where a value was. [`PipelineText`] keeps a tree of the text that knows the bytes of every value, and of
//! every piece the file or argument that it came from, so that a [`Fault`] is drawn where the reader wrote it.
//! [`PipelineText::set`] and [`PipelineText::change`] edit text and tree; what a pipeline means is not known here, but for views
//! that are like another.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod argument;
mod change;
mod document;
mod escapes;
mod fault;
mod like;
mod limits;
mod scanner;
mod slips;
mod text;

pub use self::change::{Change, Source};
pub use self::document::{Field, FieldStyle, Node, NodeKind, SyntaxError};
pub use self::fault::{Checked, Color, Fault};
pub use self::limits::MAX_BYTES;
pub use self::text::{Fragment, PipelineText};

//! Compares objectives with golden files of losses: what another implementation computes for given embeddings, over several
//! steps, with the gradient of each.
//!
//! Start at [`compare`]. A file says in its metadata which loss it is of and with which settings; the objective is built from
//! the plugin of that name, which must be linked in, by a config as a pipeline file has it. A [`Trial`] evaluates an objective on
//! rows of a test.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod compare;
mod error;
mod file;
mod folder;
mod method;
mod trial;

pub use self::compare::{Compared, compare};
pub use self::error::ParityError;
pub use self::folder::assert_golden;
pub use self::trial::{Trial, context, noise};

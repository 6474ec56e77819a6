//! What readers of untrusted files are given by a fuzzer: a function for each, which panics where a reader breaks its promise.
//!
//! `targets/` makes a program of each with libFuzzer, in builds with the feature `libfuzzer`. `tests/corpus.rs` gives every function
//! the files of `corpus/` in `cargo test`: those that a fuzzer starts from, and those that it has found something with.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod images;
mod sources;
mod stored;
mod texts;

use plugins as _; // Links the plugins.

pub use self::images::{allow_decoders_to_give_up, image};
pub use self::sources::{cifar, list, pack, parquet, tar, zip};
pub use self::stored::{checkpoint, golden, weights};
pub use self::texts::pipeline;

/// What is given the bytes of a file.
pub type Target = fn(&[u8]);

/// All of them by their names, which are those of the folders of `corpus/`.
pub const TARGETS: [(&str, Target); 11] = [
    ("cifar", cifar),
    ("checkpoint", checkpoint),
    ("golden", golden),
    ("image", image),
    ("list", list),
    ("pack", pack),
    ("parquet", parquet),
    ("pipeline", pipeline),
    ("tar", tar),
    ("weights", weights),
    ("zip", zip),
];

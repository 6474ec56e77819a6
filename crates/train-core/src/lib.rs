//! The training engine and the training loop.
//!
//! Start at [`trainer::train`]; [`engine::Engine`] computes a single step. This crate refers to no plugin.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod engine;
pub mod features;
#[cfg(feature = "trainer")]
pub mod trainer;

//! Tests that every plugin of a kind must pass, for the tests of whoever writes one.
//!
//! ```ignore
//! #[test]
//! fn my_net_keeps_the_contract() {
//!     plugin_tests::check_backbone("my-net");
//! }
//! ```
//!
//! There is a function for each kind. It takes the plugin's name, builds it from its `example`, and panics with one message
//! that says what is wrong, as assertions do. The form that ends in `_with` takes the text of another config, and [`check`]
//! returns a [`Fault`] in place of a panic, and takes the [`Surroundings`] too: other images, another batch.
//!
//! What is checked: that a config with an unknown field, or with numbers that make no sense, is an error at its place and not a
//! panic; and then what the kind's trait promises.
//!
//! - A backbone, head, loss or objective: shapes, finite values, gradients by finite differences, a gradient for every
//!   trainable parameter, what is recorded, names of parameters, train and eval mode, the same bits for any number of threads
//!   and twice in a row, saving and loading, freezing, a batch in parts where it may come in parts.
//! - An augmentation: the size, channels and values that it declares, the same bits and the same number of draws, `center`.
//! - A dataset: labels, names and keys, the same bytes at each reading, images that are what they say. If what the config names
//!   is not there, only that opening it says so.
//! - An optimizer: its slots, no step without a gradient, steps that lead downhill, no state besides the slots.
//! - A schedule: finite factors of 0 or more, the same at the same place.
//! - A monitor: declared, finite metrics, views that it has asked for, the same result twice.
//!
//! The plugin must be linked in: it is in tests inside of its crate; elsewhere write `use my_crate as _;`.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod augmentation;
mod backbone;
mod calm;
mod config;
mod dataset;
mod differences;
mod entries;
mod extractor;
mod fault;
mod head;
mod loss;
mod metrics;
mod module;
mod monitor;
mod numbers;
mod objective;
mod optimizer;
mod past_keys;
mod ramps;
mod schedule;
mod subject;
mod surroundings;
mod threads;

pub use self::fault::Fault;
pub use self::surroundings::{Surroundings, ValueInto};

use plugin_api::{
    Augmentation, Backbone, ContrastiveLoss, Dataset, Head, Kind, Monitor, Objective, Optimizer, Schedule,
};

/// Checks the plugin `name` of `kind`, which is called as `moco plugins` calls it: `backbone`. Without a `config`, that is the
/// plugin's example.
///
/// # Errors
/// The first thing that is wrong.
///
/// ```
/// # use plugin_tests::Surroundings;
/// let fault = plugin_tests::check("backbone", "no-such-net", None, &Surroundings::default()).unwrap_err();
/// assert!(fault.to_string().contains("no backbone plugin is named `no-such-net`"));
/// ```
pub fn check(kind: &str, name: &str, config: Option<&str>, surroundings: &Surroundings) -> Result<(), Fault> {
    let result = match kind {
        <dyn Augmentation>::NAME => augmentation::check(name, config),
        <dyn Backbone>::NAME => backbone::check(name, config, surroundings),
        <dyn Dataset>::NAME => dataset::check(name, config),
        <dyn Head>::NAME => head::check(name, config, surroundings),
        <dyn ContrastiveLoss>::NAME => loss::check(name, config, surroundings),
        <dyn Monitor>::NAME => monitor::check(name, config),
        <dyn Objective>::NAME => objective::check(name, config, surroundings),
        <dyn Optimizer>::NAME => optimizer::check(name, config),
        <dyn Schedule>::NAME => schedule::check(name, config, surroundings),
        _ => Err(fault::wrong!("`{kind}` is no kind of plugin")),
    };
    result.map_err(|wrong| Fault::new(kind, name, config, wrong))
}

macro_rules! checks {
    ($($kind:ident $what:literal $check:ident $check_with:ident;)*) => {$(
        #[doc = concat!("Checks the ", $what, " plugin `name` with its example as the config.")]
        ///
        /// # Panics
        /// If something is wrong with it.
        #[track_caller]
        pub fn $check(name: &str) {
            assert_none(check(<dyn $kind>::NAME, name, None, &Surroundings::default()));
        }

        #[doc = concat!("Checks the ", $what, " plugin `name` with the text of a config.")]
        ///
        /// # Panics
        /// If something is wrong with it.
        #[track_caller]
        pub fn $check_with(name: &str, config: &str) {
            assert_none(check(<dyn $kind>::NAME, name, Some(config), &Surroundings::default()));
        }
    )*};
}

checks! {
    Augmentation "augmentation" check_augmentation check_augmentation_with;
    Backbone "backbone" check_backbone check_backbone_with;
    Dataset "dataset" check_dataset check_dataset_with;
    Head "head" check_head check_head_with;
    ContrastiveLoss "loss" check_loss check_loss_with;
    Monitor "monitor" check_monitor check_monitor_with;
    Objective "objective" check_objective check_objective_with;
    Optimizer "optimizer" check_optimizer check_optimizer_with;
    Schedule "schedule" check_schedule check_schedule_with;
}

#[track_caller]
fn assert_none(result: Result<(), Fault>) {
    if let Err(fault) = result {
        panic!("{fault}");
    }
}

//! Plugins that are wrong in one way each: every check finds what it is there for, and says so.

mod augmentation;
mod backbone;
mod dataset;
mod head;
mod loss;
mod monitor;
mod objective;
mod optimizer;
mod schedule;

use plugin_tests::{Surroundings, check};

/// Checks that the plugin is right where nothing is made wrong, and that the fault `fault` is found and told: the message has all
/// of `words`.
fn assert_found(kind: &str, name: &str, fault: &str, words: &[&str]) {
    let found = check(kind, name, Some(&format!("(fault: {fault})")), &Surroundings::default());
    let message = found.err().unwrap_or_else(|| panic!("{fault} of the {kind} is not found")).to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{fault} of the {kind}: {message}");
    assert!(
        message.contains(&format!("the {kind} `{name}` with the config `(fault: {fault})`: ")),
        "{message}"
    );
}

/// Checks that the plugin is right where nothing is made wrong.
fn assert_right(kind: &str, name: &str) {
    if let Err(fault) = check(kind, name, Some("(fault: Nothing)"), &Surroundings::default()) {
        panic!("{fault}");
    }
}

/// Registers a plugin called `faulty` whose config has one field, the fault, and a test of all faults with the words that its
/// message must have.
macro_rules! faulty {
    (dyn $kind:ident $name:literal, $build:expr; $($fault:ident: $words:expr;)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, plugin_api::serde::Deserialize, plugin_api::schemars::JsonSchema)]
        #[serde(crate = "plugin_api::serde")]
        #[schemars(crate = "plugin_api::schemars")]
        enum Fault {
            Nothing,
            $($fault,)*
        }

        #[derive(plugin_api::serde::Deserialize, plugin_api::schemars::JsonSchema)]
        #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
        #[schemars(crate = "plugin_api::schemars")]
        struct FaultyConfig {
            /// What is wrong.
            fault: Fault,
        }

        plugin_api::register! {
            dyn $kind {
                name: concat!("faulty-", $name),
                summary: "is wrong in one way",
                source: "",
                example: "(fault: Nothing)",
                build: |config: FaultyConfig, context| ($build)(config.fault, context),
            }
        }

        #[test]
        fn each_fault_is_found_and_told() {
            crate::assert_right($name, concat!("faulty-", $name));
            $(crate::assert_found($name, concat!("faulty-", $name), stringify!($fault), &$words);)*
        }
    };
}

pub(crate) use faulty;

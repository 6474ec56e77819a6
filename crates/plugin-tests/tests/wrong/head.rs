use std::sync::atomic::{AtomicU32, Ordering};

use dfdx::prelude::TryAdd as _;
use nn::{Builder, Init};
use plugin_api::{
    ConfigError, Entry, EntryMut, Head, MapShape, Module, ModuleContext, Part as _, Visitor, VisitorMut,
};
use tensor_ops::{BatchNorm, features_from_rows};
use tensor_ops::{
    Features, Mode, OpError, Parameter, ParameterKind, Recording, Rows as _, batch_norm_features, linear,
    select_rows,
};

use crate::faulty;

faulty! {
    dyn Head "head", FaultyHead::new;
    TwoOfOneName: ["the name `weight` stands for two things"];
    VisitedTwice: ["one parameter is visited twice, as `weight` and as `again`"];
    NotVisited: ["a parameter gets a gradient, and `visit` does not come to it"];
    NotVisitedToChange: ["`visit_mut` leaves out `bias`"];
    OtherOrderToChange: ["`visit_mut` comes to a parameter `bias`, where `visit` comes to a parameter `weight`"];
    NamesThatGrow: ["there is a new name `bias.1` after `forward`"];
    DrawnAndNotVisited: ["after it was saved and loaded"];
    LoadedElsewhere: ["`weight` is another one after it was loaded"];
    FreshRecording: ["it starts a recording of its own"];
    DropsTheRecording: ["no gradient reaches the input of `forward`"];
    NotRecorded: ["not recorded for an input that is"];
    DroppedRow: ["makes 7 rows of 8"];
    OtherWidth: ["makes rows of 4 values, and 5 are declared"];
    NotFinite: ["infinite or not a number"];
    NoGradient: ["no gradient reaches the trainable parameter `unused`"];
    HalfAGradient: ["the gradient of", "is wrong in `forward`"];
    MovesInEvaluation: ["`n_seen` changes in evaluation mode"];
    OtherInEvaluation: ["in evaluation mode the second time"];
    OtherWithoutRecording: ["other values where nothing is recorded"];
    LooksAcrossTheBatch: ["a batch in two parts has other embeddings"];
    ByThreads: ["other bits with 1 thread"];
    GlobalDraws: ["the second time, with the same seed"];
    IgnoresFreezing: ["gets a gradient where it is frozen"];
    MapThatIsNot: ["its `map` has 8 values, and `n_outputs` are 4: the map is at their end"];
    Panics: ["it panics in `forward` in training mode: no reason"];
    PanicsOnOtherWidth: ["it panics in `forward` with features of another width"];
}

const WIDTH: usize = 4;

/// A linear layer, and what goes wrong with it.
struct FaultyHead {
    fault: Fault,
    weight: Parameter,
    bias: Parameter,
    unused: Option<Parameter>,
    norm: Option<BatchNorm>,
    n_seen: u64,
    n_inputs: usize,
}

impl FaultyHead {
    fn new(fault: Fault, context: &ModuleContext) -> Result<Self, ConfigError> {
        let builder = Builder::of(context);
        let n_inputs = context.n_inputs;
        let weight =
            builder.parameter("weight", ParameterKind::Matrix, &[n_inputs, WIDTH], Init::torch(n_inputs))?;
        let drawn = fault == Fault::DrawnAndNotVisited;
        let bias = if drawn { Init::torch(n_inputs) } else { Init::ZEROS };
        let bias = builder.parameter("bias", ParameterKind::Vector, &[WIDTH], bias)?;
        let vector = || builder.parameter("unused", ParameterKind::Vector, &[1], Init::ZEROS);
        let unused = (fault == Fault::NoGradient).then(vector).transpose()?;
        let norm = (fault == Fault::LooksAcrossTheBatch).then(|| BatchNorm::without_affine(WIDTH));
        let mut head = Self { fault, weight, bias, unused, norm, n_seen: 0, n_inputs };
        if drawn {
            // So that no gradient tells of it.
            head.bias.set_trainable(false);
        }
        Ok(head)
    }
}

impl Module for FaultyHead {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        let fault = self.fault;
        visitor("weight", Entry::Parameter(&self.weight));
        match fault {
            Fault::TwoOfOneName => visitor("weight", Entry::Parameter(&self.bias)),
            Fault::NotVisited | Fault::DrawnAndNotVisited => {}
            Fault::NamesThatGrow if self.n_seen > 0 => {
                visitor(&format!("bias.{}", self.n_seen), Entry::Parameter(&self.bias));
            }
            _ => visitor("bias", Entry::Parameter(&self.bias)),
        }
        if fault == Fault::VisitedTwice {
            visitor("again", Entry::Parameter(&self.weight));
        }
        self.unused.visit_part("unused", visitor);
        if fault != Fault::OtherInEvaluation {
            self.n_seen.visit_part("n_seen", visitor);
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        let fault = self.fault;
        if fault == Fault::OtherOrderToChange {
            visitor("bias", EntryMut::Parameter(&mut self.bias));
            visitor("weight", EntryMut::Parameter(&mut self.weight));
            visitor("n_seen", EntryMut::Counter(&mut self.n_seen));
            return;
        }
        if fault == Fault::LoadedElsewhere {
            visitor("weight", EntryMut::Parameter(&mut self.weight.duplicate().unwrap()));
        } else {
            visitor("weight", EntryMut::Parameter(&mut self.weight));
        }
        match fault {
            Fault::TwoOfOneName => visitor("weight", EntryMut::Parameter(&mut self.bias)),
            Fault::NotVisited | Fault::DrawnAndNotVisited | Fault::NotVisitedToChange => {}
            Fault::NamesThatGrow if self.n_seen > 0 => {
                visitor(&format!("bias.{}", self.n_seen), EntryMut::Parameter(&mut self.bias));
            }
            _ => visitor("bias", EntryMut::Parameter(&mut self.bias)),
        }
        if fault == Fault::VisitedTwice {
            visitor("again", EntryMut::Parameter(&mut self.weight));
        }
        self.unused.visit_part_mut("unused", visitor);
        if fault != Fault::OtherInEvaluation && fault != Fault::NotVisitedToChange {
            self.n_seen.visit_part_mut("n_seen", visitor);
        }
    }
}

/// The same values, and nothing recorded.
fn detached(features: &Features) -> Features {
    let shape = (features.n(), features.d());
    features_from_rows(&tensor_ops::Device::default(), shape, features.rows(), Recording::Off).unwrap()
}

/// Each value changed, and nothing recorded.
fn changed(features: &Features, change: impl Fn(f32) -> f32) -> Features {
    let shape = (features.n(), features.d());
    let rows = features.rows().iter().map(|value| change(*value)).collect();
    features_from_rows(&tensor_ops::Device::default(), shape, rows, Recording::Off).unwrap()
}

impl Head for FaultyHead {
    fn n_outputs(&self) -> usize {
        if self.fault == Fault::OtherWidth { WIDTH + 1 } else { WIDTH }
    }

    fn map(&self) -> Option<MapShape> {
        (self.fault == Fault::MapThatIsNot).then_some(MapShape { rows: 2, columns: 1, channels: WIDTH })
    }

    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        static N_PASSES: AtomicU32 = AtomicU32::new(0);
        let fault = self.fault;
        let features = match fault {
            Fault::FreshRecording => features.split_recording().0.with_recording(Recording::start()),
            Fault::DropsTheRecording => {
                let (rows, recording) = features.split_recording();
                let fresh = if recording.is_on() { Recording::start() } else { Recording::Off };
                rows.with_recording(fresh)
            }
            _ => features,
        };
        assert!(fault != Fault::PanicsOnOtherWidth || features.d() == self.n_inputs, "no width of mine");
        assert!(fault != Fault::Panics, "no reason");
        let is_recorded = {
            let (rows, recording) = features.split_recording();
            let is_on = recording.is_on();
            (rows.with_recording(recording), is_on)
        };
        let (features, is_recorded) = is_recorded;
        if mode == Mode::Train || matches!(fault, Fault::MovesInEvaluation | Fault::OtherInEvaluation) {
            self.n_seen += 1;
        }
        let (mut weight, mut bias) = (self.weight.share(), self.bias.share());
        if fault == Fault::IgnoresFreezing {
            weight.set_trainable(true);
            bias.set_trainable(true);
        }
        let made = linear(features, &weight, Some(&bias))?;
        let add = |made: Features, other: Features| made.try_add(other).unwrap();
        Ok(match fault {
            Fault::NotRecorded => detached(&made),
            Fault::DroppedRow => {
                let order: Vec<usize> = (1..made.n()).collect();
                let (rows, recording) = made.split_recording();
                select_rows(&rows, &order)?.with_recording(recording)
            }
            Fault::NotFinite => changed(&made, |_| f32::NAN),
            Fault::HalfAGradient => {
                let same = detached(&made);
                add(made, same)
            }
            Fault::OtherInEvaluation if mode == Mode::Eval => {
                let n_seen = self.n_seen as f32;
                let more = changed(&made, |_| n_seen);
                add(made, more)
            }
            Fault::OtherWithoutRecording if !is_recorded => {
                let more = changed(&made, |_| 1.0);
                add(made, more)
            }
            Fault::ByThreads => {
                let n = rayon::current_num_threads() as f32;
                let more = changed(&made, |_| n);
                add(made, more)
            }
            // A drawing that knows of no seed.
            Fault::GlobalDraws if mode == Mode::Train => {
                let n = N_PASSES.fetch_add(1, Ordering::Relaxed) as f32;
                let more = changed(&made, |_| 1e-6 * n);
                add(made, more)
            }
            // A batch norm that normalizes by the batch in evaluation too.
            Fault::LooksAcrossTheBatch => {
                let norm = self.norm.as_mut().unwrap();
                let state = (norm.running_mean.to_vec(), norm.running_var.to_vec(), norm.n_batches);
                let made = batch_norm_features(made, norm, Mode::Train)?;
                norm.running_mean.set(&state.0)?;
                norm.running_var.set(&state.1)?;
                norm.n_batches = state.2;
                made
            }
            _ => made,
        })
    }
}

mod configs {
    use plugin_api::schemars::JsonSchema;
    use plugin_api::serde::Deserialize;
    use plugin_tests::{Surroundings, check};

    use super::*;

    /// A head without parameters.
    struct Same(usize);

    impl Module for Same {
        plugin_api::visit! { self; }
    }

    impl Head for Same {
        fn n_outputs(&self) -> usize {
            self.0
        }

        fn forward(&mut self, features: Features, _: Mode) -> Result<Features, OpError> {
            match features.d() {
                d if d == self.0 => Ok(features),
                d => Err(OpError::Shape {
                    op: "same",
                    what: "width",
                    expected: self.0.to_string(),
                    got: d.to_string(),
                }),
            }
        }
    }

    macro_rules! head {
        ($name:literal, $summary:literal, $example:literal, $config:ty, $check:expr) => {
            plugin_api::register! {
                dyn Head {
                    name: $name,
                    summary: $summary,
                    source: "",
                    example: $example,
                    build: |config: $config, context| {
                        let check: fn(&$config) -> Result<(), ConfigError> = $check;
                        check(&config).map(|()| Same(context.n_inputs))
                    },
                }
            }
        };
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "plugin_api::serde")]
    #[schemars(crate = "plugin_api::schemars")]
    struct AnyField {}

    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
    #[schemars(crate = "plugin_api::schemars")]
    struct Undocumented {
        #[allow(dead_code, reason = "only its documentation is looked at")]
        out: usize,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
    #[schemars(crate = "plugin_api::schemars")]
    struct Divided {
        /// By how many the width is divided.
        by: usize,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
    #[schemars(crate = "plugin_api::schemars")]
    struct Nothing {}

    head!("any-field", "takes any field", "()", AnyField, |_| Ok(()));
    head!("undocumented", "does not say what a field is", "(out: 3)", Undocumented, |_| Ok(()));
    head!("divided", "divides by 0", "(by: 2)", Divided, |config| {
        assert!(16 / config.by > 0);
        Ok(())
    });
    head!("example-refused", "has an example that it refuses", "()", Nothing, |_| {
        Err(ConfigError::unfit("never", "do not"))
    });
    head!("No_Kebab", "has another kind of name", "()", Nothing, |_| Ok(()));
    head!("no-summary", "", "()", Nothing, |_| Ok(()));
    head!("same", "gives what it gets", "()", Nothing, |_| Ok(()));

    #[test]
    fn what_is_wrong_with_a_config_is_found() {
        for (name, words) in [
            ("any-field", "it takes a config with an unknown field, `(no_such_field: 0)`"),
            ("undocumented", "the field `out` of its config has no documentation comment"),
            ("divided", "it panics when it is built from `(by: 0)`"),
            ("example-refused", "the config `()` is refused: never (do not)"),
            ("No_Kebab", "its name is not in kebab-case"),
            ("no-summary", "it has no summary"),
            ("not-there", "no head plugin is named `not-there`"),
        ] {
            let message = check("head", name, None, &Surroundings::default()).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        plugin_tests::check_head("same");
        plugin_tests::check_head_with("same", "()");
        let message = check("cat", "same", None, &Surroundings::default()).unwrap_err().to_string();
        assert!(message.contains("`cat` is no kind of plugin"), "{message}");
    }
}

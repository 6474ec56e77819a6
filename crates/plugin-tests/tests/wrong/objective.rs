use plugin_api::{
    ConfigError, Evaluated, Input, Module, Objective, ObjectiveContext, ObjectiveStep, PastKeys,
};
use tensor_ops::{
    Buffer, Features, OpError, Recording, Rows as _, Scalar, loss_with_gradient, scale_loss, sum_losses,
};

use crate::faulty;

faulty! {
    dyn Objective "objective", FaultyObjective::new;
    MetricTooMany: ["it gives 2 metrics, and declares 1"];
    MetricNotFinite: ["the metric `spread` is NaN"];
    MetricCalledLoss: ["it declares a metric called `loss`"];
    MetricTwice: ["it declares two metrics of the name `spread`"];
    OtherValue: ["`value` is", "and the loss that is trained is"];
    WrongGradient: ["the gradient of input 0", "is wrong in `evaluate`"];
    GradientOfOneAlone: ["the gradient of input 1", "is wrong in `evaluate`"];
    ChangesItsState: ["`evaluate` changes `center`"];
    KeepsHidden: ["after it was saved and loaded"];
    NeedsLabels: ["it panics in `evaluate` without labels, and `needs_labels` says that it needs none"];
    TakesAnyWidth: ["it was built for a value 0 of width 16, and takes one of width 17"];
    PanicsOnOtherWidth: ["it panics in `evaluate` with value 0 of another width than it was built for"];
    DividesByTheSpread: ["of rows that are all the same, the loss is NaN"];
    NotRecorded: ["not recorded for an input that is"];
    TakesNothing: ["it is evaluated on none of the usual values (never)"];
    FailsAtTheEnd: ["the end of a step fails"];
    KeepsWhatIsDiscarded: ["`end_step` changes `center` after `discard_step`"];
    ShowsKeysOfNone: ["it has `past_keys`, and is on 0 fixed values"];
    TakesAnyNumber: ["`set_number` takes the number `no_number_of_this_name`"];
}

/// The mean squared difference of two values, less a center that follows the first one.
struct FaultyObjective {
    fault: Fault,
    width: usize,
    center: Buffer,
    seen: Option<Vec<f32>>,
    hidden: f32,
}

impl FaultyObjective {
    fn new(fault: Fault, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let never = |why: &str| Err(ConfigError::unfit(why, "do not"));
        match context.inputs[..] {
            _ if fault == Fault::TakesNothing => never("never"),
            [ref a, ref b] if a.is_trained && a.width == b.width => {
                let (width, center) = (a.width, Buffer::zeros(&[a.width]));
                Ok(Self { fault, width, center, seen: None, hidden: 0.0 })
            }
            _ => never("it takes two values of one width, of which the first is trained"),
        }
    }
}

impl Module for FaultyObjective {
    plugin_api::visit! { self;
        "center" => self.center,
    }
}

impl Objective for FaultyObjective {
    fn evaluate(&mut self, inputs: Vec<Input>, step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let fault = self.fault;
        let shapes: Vec<(usize, usize)> = inputs.iter().map(Input::shape).collect();
        assert!(fault != Fault::PanicsOnOtherWidth || shapes[0].1 == self.width, "no width of mine");
        if shapes[0] != shapes[1] && fault != Fault::TakesAnyWidth {
            let (expected, got) = (format!("{:?}", shapes[0]), format!("{:?}", shapes[1]));
            return Err(OpError::Shape { op: "faulty", what: "shape of the second value", expected, got });
        }
        if fault == Fault::NeedsLabels {
            assert_eq!(step.labels.unwrap().len(), shapes[0].0);
        }
        let (a, b) = (rows(&inputs[0]), rows(&inputs[1]));
        let center = self.center.to_vec();
        let n = a.len() as f32;
        let differences: Vec<f32> =
            a.iter().zip(&b).enumerate().map(|(i, (a, b))| a - b - 0.01 * center[i % self.width]).collect();
        let mut value = differences.iter().map(|d| d * d).sum::<f32>() / n;
        let mut gradient: Vec<f32> = differences.iter().map(|d| 2.0 * d / n).collect();
        if fault == Fault::DividesByTheSpread {
            let mean = a.iter().sum::<f32>() / n;
            let spread = a.iter().map(|a| (a - mean).powi(2)).sum::<f32>();
            // Its gradient would be another, which is looked at before: 0 is added, or not a number.
            value += 0.0 * (1.0 / spread);
        }
        if fault == Fault::WrongGradient {
            gradient.iter_mut().for_each(|g| *g *= 2.0);
        }
        value += self.hidden;
        let negated: Vec<f32> = match fault {
            Fault::GradientOfOneAlone => gradient.iter().map(|g| 0.5 * g).collect(),
            _ => gradient.iter().map(|g| -g).collect(),
        };
        let mut losses: Vec<Scalar> = Vec::new();
        for (place, (input, gradient)) in inputs.into_iter().zip([gradient, negated]).enumerate() {
            let Input::Trained(mut features) = input else { continue };
            if fault == Fault::NotRecorded {
                features = features.split_recording().0.with_recording(Recording::Off);
            }
            let gradient = if gradient.len() == features.n() * features.d() {
                gradient
            } else {
                vec![0.0; features.n() * features.d()]
            };
            losses.push(loss_with_gradient(features, if place == 0 { value } else { 0.0 }, gradient)?);
        }
        let loss = scale_loss(sum_losses(losses)?, 1.0)?;
        match fault {
            Fault::ChangesItsState => self.center.update(|values| values[0] += 1.0)?,
            Fault::OtherValue => value += 1.0,
            _ => {}
        }
        self.seen = Some(a);
        let metrics = match fault {
            Fault::MetricTooMany => vec![0.5, 0.5],
            Fault::MetricNotFinite => vec![f32::NAN],
            Fault::MetricTwice => vec![0.5, 0.5],
            _ => vec![0.5],
        };
        Ok(Evaluated { loss, value, metrics })
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        if self.fault == Fault::FailsAtTheEnd {
            let (got, must) = ("1".into(), "it must be none");
            return Err(OpError::Value { op: "faulty", what: "step", got, must });
        }
        if self.fault == Fault::KeepsHidden {
            self.hidden += 1.0;
        }
        let (width, Some(seen)) = (self.width, self.seen.take()) else { return Ok(()) };
        self.center.update(|center| {
            for (i, value) in seen.iter().enumerate() {
                center[i % width] = 0.9 * center[i % width] + 0.1 * value;
            }
        })
    }

    fn discard_step(&mut self) {
        if self.fault != Fault::KeepsWhatIsDiscarded {
            self.seen = None;
        }
    }

    fn past_keys(&self) -> Option<PastKeys> {
        let rows = self.center.to_vec();
        (self.fault == Fault::ShowsKeysOfNone).then_some(PastKeys { width: self.width, rows })
    }

    fn metrics(&self) -> &'static [&'static str] {
        match self.fault {
            Fault::MetricCalledLoss => &["loss"],
            Fault::MetricTwice => &["spread", "spread"],
            _ => &["spread"],
        }
    }

    fn set_number(&mut self, name: &str, _: f64) -> Result<(), ConfigError> {
        if self.fault == Fault::TakesAnyNumber { Ok(()) } else { Err(ConfigError::stays_fixed(name, &[])) }
    }
}

fn rows(input: &Input) -> Vec<f32> {
    match input {
        Input::Trained(features) => Features::rows(features),
        Input::Fixed(matrix) => matrix.rows(),
    }
}

use dfdx::prelude::{AsArray as _, PutTape as _, SplitTape as _};
use plugin_api::{ConfigError, Contrast, ContrastiveLoss, Keys, LossContext, LossRange, Module, PastKeys};
use tensor_ops::{
    Buffer, Features, KeepLogits, Matrix, OpError, Recording, Rows as _, info_nce_in_batch, l2_normalize,
    scale_loss,
};

use crate::faulty;

faulty! {
    dyn ContrastiveLoss "loss", FaultyLoss::new;
    ChangesItsState: ["`loss` changes `keys`"];
    RemembersHidden: ["gives", "and then", "for the same input"];
    OtherValue: ["`value` is", "and the loss that is trained is"];
    KeysAsTheyAre: ["with keys that are three times as long: `loss` normalizes both"];
    NotSeparable: ["it says that it is separable, and the loss of a batch is"];
    NewestFirst: ["`past_keys` does not end with the newest keys"];
    RangeUpsideDown: ["`loss_range` says from 2 at best to 1 at worst"];
    TakesAnyWidth: ["it was built for a width of 16, and takes queries of shape (8, 17)"];
    TopOfAHundred: ["`top1` is 50, and no share of 1"];
    NotFinite: ["infinite or not a number"];
    DropsTheGradient: ["not recorded for an input that is"];
    HalfAGradient: ["the gradient of its input is wrong in `loss`"];
    TakesAnyNumber: ["`set_number` takes the number `no_number_of_this_name`"];
}

/// InfoNCE among the keys of the batch; it keeps the last keys, which it does not use.
struct FaultyLoss {
    fault: Fault,
    width: usize,
    keys: Buffer,
    n_seen: f32,
}

impl FaultyLoss {
    fn new(fault: Fault, context: &LossContext) -> Result<Self, ConfigError> {
        let keys = Buffer::zeros(&[2 * context.keys_per_step, context.n_inputs]);
        Ok(Self { fault, width: context.n_inputs, keys, n_seen: 0.0 })
    }
}

impl Module for FaultyLoss {
    plugin_api::visit! { self;
        "keys" => self.keys,
    }
}

impl ContrastiveLoss for FaultyLoss {
    fn loss(&mut self, queries: Features, keys: Keys<'_>, keep: KeepLogits) -> Result<Contrast, OpError> {
        let fault = self.fault;
        if queries.d() != self.width && fault != Fault::TakesAnyWidth {
            let (expected, got) = (self.width.to_string(), queries.d().to_string());
            return Err(OpError::Shape { op: "faulty", what: "width of a query", expected, got });
        }
        if (queries.n(), queries.d()) != (keys.own.n(), keys.own.d()) {
            let (expected, got) = (queries.n().to_string(), keys.own.n().to_string());
            return Err(OpError::Shape { op: "faulty", what: "number of keys", expected, got });
        }
        let queries = l2_normalize(queries)?;
        let all = match fault {
            Fault::KeysAsTheyAre => keys.all.clone(),
            _ => l2_normalize(keys.all.clone().put_tape(Recording::Off))?.split_tape().0,
        };
        let mut contrast = info_nce_in_batch(queries, &all, keys.first, 0.5, keep)?;
        match fault {
            Fault::ChangesItsState => self.keys.update(|values| values[0] += 1.0)?,
            Fault::RemembersHidden => {
                self.n_seen += 1.0;
                contrast.value += self.n_seen;
            }
            Fault::OtherValue => contrast.value += 1.0,
            Fault::TopOfAHundred => contrast.top1 = 50.0,
            Fault::NotFinite => contrast.value = f32::INFINITY,
            Fault::DropsTheGradient => contrast.loss = contrast.loss.split_tape().0.put_tape(Recording::Off),
            Fault::HalfAGradient => {
                // The number stays, and the gradient is that of half of it.
                let value = contrast.loss.array();
                let half = scale_loss(contrast.loss, 0.5)?;
                contrast = Contrast { loss: half, value, top1: contrast.top1, logits: contrast.logits };
            }
            _ => {}
        }
        Ok(contrast)
    }

    fn enqueue(&mut self, keys: &Matrix) -> Result<(), OpError> {
        if keys.d() != self.width {
            let (expected, got) = (self.width.to_string(), keys.d().to_string());
            return Err(OpError::Shape { op: "faulty", what: "width of a key", expected, got });
        }
        let (rows, is_first) = (keys.rows(), self.fault == Fault::NewestFirst);
        self.keys.update(|values| {
            let n = rows.len();
            if is_first {
                values.copy_within(..n, n);
                values[..n].copy_from_slice(&rows);
            } else {
                values.copy_within(n.., 0);
                let end = values.len() - n;
                values[end..].copy_from_slice(&rows);
            }
        })
    }

    fn past_keys(&self) -> Option<PastKeys> {
        Some(PastKeys { width: self.width, rows: self.keys.to_vec() })
    }

    fn is_separable(&self) -> bool {
        self.fault == Fault::NotSeparable
    }

    fn loss_range(&self, _: usize) -> LossRange {
        match self.fault {
            Fault::RangeUpsideDown => LossRange { chance: 1.0, floor: 2.0 },
            _ => LossRange { chance: 2.0, floor: 0.0 },
        }
    }

    fn set_number(&mut self, name: &str, _: f64) -> Result<(), ConfigError> {
        if self.fault == Fault::TakesAnyNumber { Ok(()) } else { Err(ConfigError::stays_fixed(name, &[])) }
    }
}

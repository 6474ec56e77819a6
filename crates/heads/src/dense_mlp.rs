//! The projection head at each position of a map.

use plugin_api::{ConfigError, Head, MapShape, Module, ModuleContext};
use tensor_ops::{Features, Mode, OpError, Rows as _, reshape_rows};

use crate::mlp::{Mlp, MlpConfig};

/// The head [`Mlp`] at each position of a map, as convolutions of 1x1 are: `(N, D + T C)` to `(N, T C′)` (DenseCL: Wang et al. 2021,
/// arXiv:2011.09157, §3.2). Batch norm takes its statistics over all positions.
///
/// It takes what a step with `gives: FeaturesAndMap` gives, and leaves the features out.
pub struct DenseMlp {
    mlp: Mlp,
    /// The width of features and map.
    n_inputs: usize,
    takes: MapShape,
    gives: MapShape,
}

impl DenseMlp {
    /// The head for `config`, with PyTorch's initialization.
    ///
    /// # Errors
    /// If no map comes in, or as [`Mlp::new`].
    pub fn new(config: MlpConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        let Some(takes) = context.map else {
            return Err(ConfigError::unfit(
                "`dense-mlp` takes a map, and features alone come in",
                "use `gives: FeaturesAndMap` on the step of the backbone, and this head in a step on that",
            ));
        };
        let gives = MapShape { channels: config.out, ..takes };
        let n_inputs = context.n_inputs;
        let context = ModuleContext { n_inputs: takes.channels, map: None, ..context.clone() };
        Ok(Self { mlp: Mlp::new(config, &context)?, n_inputs, takes, gives })
    }
}

impl Module for DenseMlp {
    plugin_api::visit! { self;
        "" => self.mlp,
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.mlp.batch_norm_splits()
    }
}

impl Head for DenseMlp {
    fn n_outputs(&self) -> usize {
        self.gives.n_values()
    }

    fn takes_map(&self) -> bool {
        true
    }

    fn map(&self) -> Option<MapShape> {
        Some(self.gives)
    }

    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        let (n, width) = (features.n(), features.d());
        if width != self.n_inputs {
            return Err(OpError::shape("dense-mlp", "width of features and map", self.n_inputs, width));
        }
        let positions = self.takes.positions(features)?; // (N, D + T C) → (N T, C)
        reshape_rows(self.mlp.forward(positions, mode)?, n) // → (N, T C′)
    }
}

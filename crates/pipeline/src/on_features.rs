//! Heads on features that have a map behind them.

use plugin_api::{Head, MapShape, Module, Visitor, VisitorMut};
use tensor_ops::{Features, Mode, OpError};

/// A head that takes no map, where one comes in: it gets the features alone.
pub(crate) struct OnFeatures {
    pub(crate) head: Box<dyn Head>,
    pub(crate) map: MapShape,
}

impl Module for OnFeatures {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.head.visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.head.visit_mut(visitor);
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.head.batch_norm_splits()
    }
}

impl Head for OnFeatures {
    fn n_outputs(&self) -> usize {
        self.head.n_outputs()
    }

    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        self.head.forward(self.map.without(features)?, mode)
    }
}

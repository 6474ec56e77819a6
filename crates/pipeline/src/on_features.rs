//! Heads on features that may have a map behind them.

use plugin_api::{Head, MapShape, Module, Visitor, VisitorMut};
use tensor_ops::{Features, Mode, OpError, Rows as _, slice_columns};

/// A head that takes no map, in a graph that has maps: it gets the features alone, whatever stands behind them.
pub(crate) struct OnFeatures {
    pub(crate) head: Box<dyn Head>,
    pub(crate) n_features: usize,
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

    fn map(&self) -> Option<MapShape> {
        self.head.map()
    }

    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        if features.d() <= self.n_features {
            return self.head.forward(features, mode);
        }
        self.head.forward(slice_columns(features, 0..self.n_features)?, mode)
    }
}

//! Heads: linear layers, batch norm and ReLU, as detected from their weights.

use run_store::checkpoint::Stored;

use crate::Tensors;

/// A head: one linear layer, or a PyTorch `nn.Sequential`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadLayers {
    /// Nothing.
    Identity,
    /// Named `weight` and `bias`.
    Linear(HeadLayer),
    /// Named by their positions: `0.weight`, `2.weight`.
    Sequence(Vec<HeadLayer>),
}

/// A layer of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadLayer {
    /// A linear layer.
    Linear {
        /// Input features.
        n_inputs: usize,
        /// Output features.
        n_outputs: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Batch norm.
    BatchNorm {
        /// Its channels.
        n: usize,
        /// Whether it has scale and shift.
        affine: bool,
    },
    /// A layer without weights.
    Relu,
}

impl HeadLayers {
    /// Detects the head that `tensors` belong to; `None` if it is unknown.
    pub fn detect(tensors: &Tensors) -> Option<Self> {
        if tensors.is_empty() {
            return Some(Self::Identity);
        }
        if tensors.contains_key("weight") {
            return layer(tensors, "").map(Self::Linear);
        }
        let place = |name: &String| name.split_once('.').and_then(|(place, _)| place.parse::<usize>().ok());
        let last = tensors.keys().map(place).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        /// No head has more layers.
        const MOST: usize = 256;
        if last >= MOST {
            return None;
        }
        (0..=last)
            .map(|place| layer(tensors, &format!("{place}.")))
            .collect::<Option<_>>()
            .map(Self::Sequence)
    }

    /// Output features; `None` if they equal the input features.
    pub fn n_outputs(&self) -> Option<usize> {
        let of = |layer: &HeadLayer| match layer {
            HeadLayer::Linear { n_outputs, .. } => Some(*n_outputs),
            HeadLayer::BatchNorm { .. } | HeadLayer::Relu => None,
        };
        match self {
            Self::Identity => None,
            Self::Linear(layer) => of(layer),
            Self::Sequence(layers) => layers.iter().rev().find_map(of),
        }
    }

    /// Whether it has batch norm, as in MoCo v3.
    pub fn has_batch_norm(&self) -> bool {
        match self {
            Self::Identity | Self::Linear(_) => false,
            Self::Sequence(layers) => layers.iter().any(|layer| matches!(layer, HeadLayer::BatchNorm { .. })),
        }
    }
}

fn layer(tensors: &Tensors, prefix: &str) -> Option<HeadLayer> {
    let shape = |name: &str| match tensors.get(&format!("{prefix}{name}")) {
        Some(Stored::F32 { shape, .. }) => Some(shape.as_slice()),
        _ => None,
    };
    match (shape("weight"), shape("running_mean")) {
        (weight, Some(&[n])) => Some(HeadLayer::BatchNorm { n, affine: weight.is_some() }),
        (Some(&[n_outputs, n_inputs]), None) => {
            Some(HeadLayer::Linear { n_inputs, n_outputs, bias: shape("bias").is_some() })
        }
        (None, None) => Some(HeadLayer::Relu),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::report::tests::tensors_of;

    fn detect(layout: &[(&str, &[usize])]) -> Option<HeadLayers> {
        let layout: Vec<_> =
            layout.iter().map(|(name, shape)| ((*name).to_owned(), Shape::Floats(shape.to_vec()))).collect();
        HeadLayers::detect(&tensors_of(&layout))
    }

    #[test]
    fn the_heads_of_all_three_papers_are_recognized() {
        assert_eq!(detect(&[]), Some(HeadLayers::Identity));
        let linear = |n_inputs, n_outputs, bias| HeadLayer::Linear { n_inputs, n_outputs, bias };
        let v1 = detect(&[("weight", &[8, 16]), ("bias", &[8])]);
        assert_eq!(v1, Some(HeadLayers::Linear(linear(16, 8, true))));
        let v2 =
            detect(&[("0.weight", &[16, 16]), ("0.bias", &[16]), ("2.weight", &[8, 16]), ("2.bias", &[8])]);
        let layers = vec![linear(16, 16, true), HeadLayer::Relu, linear(16, 8, true)];
        assert_eq!(v2, Some(HeadLayers::Sequence(layers)));
        let v3 = detect(&[
            ("0.weight", &[32, 16]),
            ("1.weight", &[32]),
            ("1.running_mean", &[32]),
            ("3.weight", &[8, 32]),
            ("4.running_mean", &[8]),
        ]);
        let norm = |n, affine| HeadLayer::BatchNorm { n, affine };
        let layers = vec![
            linear(16, 32, false),
            norm(32, true),
            HeadLayer::Relu,
            linear(32, 8, false),
            norm(8, false),
        ];
        assert_eq!(v3, Some(HeadLayers::Sequence(layers)));
        assert_eq!(detect(&[("weights.0", &[1])]), None);
        assert_eq!(detect(&[("weight", &[1])]), None);
    }
}

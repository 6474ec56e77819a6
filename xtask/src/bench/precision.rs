//! The precision of a benchmark.

/// Named as on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16 between the layers of the backbone; autocast in the peer.
    Bf16,
}

impl Precision {
    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The type of values between operations.
    pub(super) fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

impl From<Precision> for tensor_ops::Precision {
    fn from(precision: Precision) -> Self {
        pipeline::Precision::from(precision).into()
    }
}

impl From<Precision> for pipeline::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

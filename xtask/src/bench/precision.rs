//! In which precision is measured.

/// As the command line names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16 between the layers of the backbone; the peer's autocast.
    Bf16,
}

impl Precision {
    /// As the command line names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Of a value that is kept between operations.
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

//! Data types, and their conversion.

use run_store::checkpoint::Stored;

/// A supported type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    Floats(Floats),
    Counts(Counts),
}

/// Types of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floats {
    F32,
    F16,
    Bf16,
}

/// Types of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    I64,
    U64,
}

impl Dtype {
    /// Bytes per value.
    pub(crate) fn n_bytes(self) -> usize {
        match self {
            Self::Floats(Floats::F16 | Floats::Bf16) => 2,
            Self::Floats(Floats::F32) => 4,
            Self::Counts(_) => 8,
        }
    }
}

/// Converts `bytes`, little-endian and as many as `shape` says; `Err` with the reason if they cannot be converted.
pub(crate) fn decode(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Stored, &'static str> {
    match dtype {
        Dtype::Floats(floats) => {
            let values = match floats {
                Floats::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
                Floats::F16 => bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
                    .collect(),
                Floats::Bf16 => bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())
                    .collect(),
            };
            Ok(Stored::F32 { shape: shape.to_vec(), values })
        }
        Dtype::Counts(counts) => {
            let values: Option<Vec<u64>> = bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| match counts {
                    Counts::I64 => u64::try_from(i64::from_le_bytes(*bytes)).ok(),
                    Counts::U64 => Some(u64::from_le_bytes(*bytes)),
                })
                .collect();
            values.map(Stored::U64).ok_or("negative counts")
        }
    }
}

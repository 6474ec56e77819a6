//! How the values of a sum travel.

use half::bf16;

/// How the values of a sum travel between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// As they are.
    #[default]
    Single,
    /// Rounded to bfloat16, which halves what travels: what each process gives is rounded, added in single precision, and the
    /// sum is rounded.
    Bf16,
}

impl Wire {
    /// Bytes of a value.
    pub fn width(self) -> usize {
        match self {
            Self::Single => 4,
            Self::Bf16 => 2,
        }
    }

    /// Values as bytes.
    pub fn pack(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Single => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        }
    }

    /// Bytes as values.
    pub fn unpack(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Single => bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
            Self::Bf16 => {
                bytes.as_chunks().0.iter().map(|value| bf16::from_le_bytes(*value).to_f32()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_far_as_the_wire_carries_them() {
        let values = [0.0, -1.5, 1.0 / 3.0, f32::MAX, f32::INFINITY];
        assert_eq!(Wire::Single.unpack(&Wire::Single.pack(&values)), values);
        let half = Wire::Bf16.unpack(&Wire::Bf16.pack(&values));
        assert_eq!(half, [0.0, -1.5, 0.333_984_38, f32::INFINITY, f32::INFINITY]);
        assert!(Wire::Bf16.unpack(&Wire::Bf16.pack(&[f32::NAN]))[0].is_nan());
    }
}

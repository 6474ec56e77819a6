//! The compute device.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use rayon::ThreadPool;
use tensor_ops::{Device, OpError};

/// A device that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The driver or the GPU failed.
    #[error("the GPU cannot be used: {reason}")]
    Unusable {
        /// The driver's message.
        reason: String,
    },
    /// The process has chosen another device before.
    #[error("`{asked}` is asked for, but this process already uses `{chosen}`")]
    Chosen {
        /// The device.
        asked: DeviceChoice,
        /// The one that was chosen first.
        chosen: DeviceChoice,
    },
    /// This build cannot use the device.
    #[error("`{asked}` is not available: this build supports only the {has}")]
    NotBuilt {
        /// The device.
        asked: DeviceChoice,
        /// What the build supports.
        has: &'static str,
    },
}

impl DeviceError {
    /// What the reader can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unusable { .. } => {
                "check the driver with `nvidia-smi`, or build without the feature `cuda`"
            }
            Self::Chosen { .. } => "use one device per process",
            Self::NotBuilt { asked: DeviceChoice::Cpu, .. } => "build without the feature `cuda`",
            Self::NotBuilt { asked: DeviceChoice::Cuda(_), .. } => {
                "build with the feature `cuda`, see the chapter on CUDA in docs/"
            }
        }
    }
}

/// A device, named as on a command line: `cpu`, `cuda`, `cuda:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU.
    Cpu,
    /// A GPU, by its number from 0.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted =
            || format!("`{text}` is not a device; use `cpu`, `cuda`, or `cuda:` and a number from 0");
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => number.parse().map(Self::Cuda).map_err(|_| wanted()),
            _ => Err(wanted()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

static CHOSEN: OnceLock<DeviceChoice> = OnceLock::new();

/// Chooses what [`device`] gives, for the whole process.
///
/// # Errors
/// If another device was chosen before: values cannot move from one to the other.
pub fn choose_device(choice: DeviceChoice) -> Result<(), DeviceError> {
    let chosen = *CHOSEN.get_or_init(|| choice);
    if chosen == choice { Ok(()) } else { Err(DeviceError::Chosen { asked: choice, chosen }) }
}

/// Makes GPU `number` the default of this process, in a build with the feature `cuda`: for several processes on one machine.
/// Nothing changes if a device was chosen before, or without the feature.
pub fn prefer_gpu(number: usize) {
    if cfg!(feature = "cuda") {
        CHOSEN.get_or_init(|| DeviceChoice::Cuda(number));
    }
}

/// The device set by [`choose_device`]; by default the CPU, or GPU 0 in a build with the feature `cuda`.
///
/// # Errors
/// If this build does not support the device, or the GPU cannot be used.
pub fn device() -> Result<Device, DeviceError> {
    let is_cuda = cfg!(feature = "cuda");
    let ordinal = match (CHOSEN.get(), is_cuda) {
        (None, _) | (Some(DeviceChoice::Cpu), false) => 0,
        (Some(DeviceChoice::Cuda(ordinal)), true) => *ordinal,
        (Some(&asked), _) => {
            return Err(DeviceError::NotBuilt { asked, has: if is_cuda { "GPU" } else { "CPU" } });
        }
    };
    tensor_ops::open_device(ordinal).map_err(|error| DeviceError::Unusable {
        reason: match error {
            OpError::Device(reason) => reason,
            other => other.to_string(),
        },
    })
}

/// Computes with the threads of `pool`, if there is one.
#[cfg(not(feature = "cuda"))]
pub(crate) fn within<R: Send>(pool: Option<&ThreadPool>, compute: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(compute),
        None => compute(),
    }
}

/// Computes on the calling thread, because dfdx's CUDA tensors cannot move to another.
#[cfg(feature = "cuda")]
pub(crate) fn within<R>(_: Option<&ThreadPool>, compute: impl FnOnce() -> R) -> R {
    compute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_choice_of_another_device_is_an_error() {
        choose_device(DeviceChoice::Cpu).unwrap();
        choose_device(DeviceChoice::Cpu).unwrap();
        let error = choose_device(DeviceChoice::Cuda(1)).unwrap_err();
        assert_eq!(error.to_string(), "`cuda:1` is asked for, but this process already uses `cpu`");
    }

    #[test]
    fn devices_are_named_as_in_pytorch() {
        for (text, choice) in
            [("cpu", DeviceChoice::Cpu), ("cuda", DeviceChoice::Cuda(0)), ("cuda:3", DeviceChoice::Cuda(3))]
        {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }
}

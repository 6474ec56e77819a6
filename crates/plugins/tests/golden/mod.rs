//! Files of golden values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};

/// One file of golden values.
pub(crate) struct Golden {
    tensors: BTreeMap<String, Tensor>,
    settings: BTreeMap<String, String>,
    torch_f32_error: BTreeMap<String, f64>,
}

/// A tensor in PyTorch's order.
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

fn path(file: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../../../shared/golden").join(file).with_extension("safetensors")
}

/// Says that a test had nothing to compare with.
///
/// # Panics
/// Unless the environment says to skip what needs golden values.
#[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
pub(crate) fn say_skipped(file: &str) {
    let missing = format!("there is no {}", path(file).display());
    assert!(std::env::var_os("MOCO_SKIP_GOLDEN").is_some(), "{missing}; MOCO_SKIP_GOLDEN=1 skips this test");
    eprintln!("SKIPPED, nothing was compared: {missing}");
}

impl Golden {
    /// The values of `file`; `None` if there is no such file.
    pub(crate) fn open(file: &str) -> Option<Self> {
        let path = path(file);
        if !path.exists() {
            return None;
        }
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let settings: BTreeMap<String, String> = header.metadata().clone().unwrap().into_iter().collect();
        let torch_f32_error = serde_json::from_str(&settings["torch_f32_error"]).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => {
                    view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
                }
                Dtype::I64 => {
                    view.data().chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
                }
                other => panic!("{name}: {other:?}"),
            };
            (name.to_string(), Tensor { shape: view.shape().to_vec(), values })
        });
        Some(Self { tensors: tensors.collect(), settings, torch_f32_error })
    }

    /// A setting, for instance `width`.
    pub(crate) fn setting<T: std::str::FromStr>(&self, name: &str) -> T {
        let value = &self.settings[name];
        value.parse().unwrap_or_else(|_| panic!("setting `{name}` is {value}"))
    }

    /// The tensor of that name.
    pub(crate) fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the file has no `{name}`"))
    }

    /// The names that start with `prefix`, without it.
    pub(crate) fn names_under(&self, prefix: &str) -> Vec<&str> {
        self.tensors.keys().filter_map(|name| name.strip_prefix(prefix)).collect()
    }

    /// Asserts that `error` is small enough for `group`.
    #[track_caller]
    pub(crate) fn assert_right(&self, group: &str, error: f64) {
        let limit = (10.0 * self.torch_f32_error[group]).max(1e-4);
        assert!(error <= limit, "{group}: the error is {error:.2e}, the limit {limit:.2e}");
    }
}

/// `|a - b| / |scale|` over all pairs, where `scale` goes with each of them.
#[derive(Default)]
pub(crate) struct Distance {
    difference: f64,
    scale: f64,
}

impl Distance {
    /// Takes in values of ours and theirs; `scale` says what a difference is measured against.
    pub(crate) fn add(&mut self, ours: &[f32], theirs: &[f32], scale: impl Fn(usize) -> f64) {
        assert_eq!(ours.len(), theirs.len());
        for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
            self.difference += (f64::from(*a) - f64::from(*b)).powi(2);
            self.scale += scale(i).powi(2);
        }
    }

    /// The distance of everything taken in.
    pub(crate) fn relative(&self) -> f64 {
        (self.difference / self.scale).sqrt()
    }
}

/// `|ours - theirs| / |theirs|`.
pub(crate) fn relative_error(ours: &[f32], theirs: &[f32]) -> f64 {
    let mut distance = Distance::default();
    distance.add(ours, theirs, |i| f64::from(theirs[i]));
    distance.relative()
}

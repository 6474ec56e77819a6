//! What the person has said.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Backbone;

/// What is wished for; whatever is `None` is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// The variant of MoCo.
    pub method: Option<Method>,
    /// Height and width of the views, in pixels.
    pub size: Option<usize>,
    /// The encoder.
    pub backbone: Option<Backbone>,
    /// Passes over the images.
    pub epochs: Option<usize>,
    /// Images in a step.
    pub batch: Option<usize>,
    /// The seed of the run.
    pub seed: Option<u64>,
    /// What trains.
    pub processor: Processor,
    /// Whether that multiplies pairs of bfloat16, at twice the speed of single precision: AVX-512 BF16, or a GPU.
    pub has_bf16: bool,
    /// What fits into the time that was given, once that is measured.
    pub fitted: Option<Fitted>,
    /// The command that this recipe is for, to stand at the head of the file.
    pub command: Option<String>,
}

/// What fits into a time, by the speed that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// The time that was given.
    pub time: Duration,
    /// Passes over the images.
    pub epochs: usize,
    /// The part of the images that is trained on, where one pass over all is too long.
    pub part: Option<Part>,
}

/// A part of the images, as `split` draws it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// The share of all images.
    pub share: f64,
    /// The images that are drawn: shares are met on average only.
    pub n_images: usize,
}

/// What trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processor {
    /// The CPU.
    #[default]
    Cpu,
    /// A GPU.
    Gpu,
}

/// A variant of MoCo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// He et al. 2020, arXiv:1911.05722.
    V1,
    /// Chen et al. 2020, arXiv:2003.04297.
    V2,
    /// Chen et al. 2021, arXiv:2104.02057.
    V3,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V1, Self::V2, Self::V3];

    /// As papers call it, with the paper.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::V1 => "MoCo v1 (He et al. 2020, arXiv:1911.05722)",
            Self::V2 => "MoCo v2 (Chen et al. 2020, arXiv:2003.04297)",
            Self::V3 => "MoCo v3 (Chen et al. 2021, arXiv:2104.02057)",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        })
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|method| method.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no method; use `v1`, `v2` or `v3`"))
    }
}

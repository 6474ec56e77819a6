//! The modes in which PyTorch can run a step.

use std::fmt;

use clap::ValueEnum;

/// Which mode is fastest depends on the model and the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Eager, contiguous (NCHW) memory format.
    Plain,
    /// Eager, channels-last memory format.
    ChannelsLast,
    /// With `torch.compile`.
    Compile,
    /// With `torch.compile`, channels-last memory format.
    Both,
}

impl Mode {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Plain, Self::ChannelsLast, Self::Compile, Self::Both];

    /// The arguments of the script.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::ChannelsLast => &["--channels-last"],
            Self::Compile => &["--compile"],
            Self::Both => &["--channels-last", "--compile"],
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no mode is hidden").get_name())
    }
}

//! The ways in which PyTorch can run a step.

use std::fmt;

use clap::ValueEnum;

/// Which is the fastest depends on the model and the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Eager, images in the order channels, rows, columns.
    Plain,
    /// Eager, channels innermost.
    ChannelsLast,
    /// With `torch.compile`.
    Compile,
    /// With `torch.compile`, channels innermost.
    Both,
}

impl Mode {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Plain, Self::ChannelsLast, Self::Compile, Self::Both];

    /// What the script is told.
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

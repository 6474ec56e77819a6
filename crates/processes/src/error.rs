//! Why processes could not exchange something.

use std::time::Duration;

/// An exchange that failed. Nothing more can be exchanged after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessesError {
    /// Another process has ended, and what it said, if it could.
    #[error("process {rank} has ended{}", said(why.as_deref()))]
    Ended {
        /// The process.
        rank: usize,
        /// Its reason.
        why: Option<String>,
    },
    /// Others did not come.
    #[error("the other processes have not answered for {} s", after.as_secs_f64())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// Processes exchange different things.
    #[error("process {rank} exchanges {theirs} where process {own_rank} exchanges {own}")]
    OutOfStep {
        /// This process.
        own_rank: usize,
        /// What it exchanges.
        own: String,
        /// The other process.
        rank: usize,
        /// What that exchanges.
        theirs: String,
    },
    /// The library that carries the values failed.
    #[error("{library}: {message}")]
    Carrier {
        /// Its name.
        library: &'static str,
        /// What it says.
        message: String,
    },
}

impl ProcessesError {
    /// What the reader can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Ended { .. } => "read what that process printed; the run resumes from its last checkpoint",
            Self::TimedOut { .. } => {
                "see whether the machines still reach each other; the run resumes from its last checkpoint"
            }
            Self::OutOfStep { .. } => "start every process with the same program, pipeline and images",
            Self::Carrier { .. } => "the run resumes from its last checkpoint",
        }
    }
}

fn said(why: Option<&str>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

//! A disk that is too small for the checkpoints of a run.

use std::fmt;
use std::path::PathBuf;

use super::TrainError;

/// Checkpoints that find no room. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortOfSpace {
    /// Where they are written.
    pub folder: PathBuf,
    /// The size of one.
    pub checkpoint: u64,
    /// About what the run will write and keep at a time.
    pub needed: u64,
    /// What is free.
    pub free: u64,
}

impl ShortOfSpace {
    /// `self`, if it is worth a note; nothing, if there is room after all.
    ///
    /// # Errors
    /// [`TrainError::NoSpace`], if not even the next checkpoint has room.
    pub(super) fn judged(self) -> Result<Option<Self>, TrainError> {
        match self.free {
            free if free < self.checkpoint => Err(TrainError::NoSpace(self)),
            free if free < self.needed => Ok(Some(self)),
            _ => Ok(None),
        }
    }
}

impl fmt::Display for ShortOfSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, checkpoint, needed, free } = self;
        write!(
            f,
            "the checkpoints of this run will take about {} more, of {} each, and the disk of `{}` has {} free",
            megabytes(*needed),
            megabytes(*checkpoint),
            folder.display(),
            megabytes(*free)
        )
    }
}

fn megabytes(n_bytes: u64) -> String {
    let megabytes = n_bytes as f64 / 1e6;
    if megabytes < 1000.0 { format!("{megabytes:.1} MB") } else { format!("{:.1} GB", megabytes / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_units_of_disks() {
        let short = ShortOfSpace {
            folder: "runs/a".into(),
            checkpoint: 300_000_000,
            needed: 1_200_000_000,
            free: 40,
        };
        assert_eq!(
            short.to_string(),
            "the checkpoints of this run will take about 1.2 GB more, of 300.0 MB each, and the disk of `runs/a` has \
             0.0 MB free"
        );
    }

    #[test]
    fn a_run_that_could_not_save_again_is_refused_and_one_that_could_not_keep_all_is_told() {
        let with = |free| ShortOfSpace { folder: "a".into(), checkpoint: 10, needed: 30, free }.judged();
        assert!(matches!(with(9), Err(TrainError::NoSpace(_))));
        assert_eq!(with(29).unwrap().unwrap().free, 29);
        assert_eq!(with(30).unwrap(), None);
    }
}

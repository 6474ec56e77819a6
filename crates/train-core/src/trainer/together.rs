//! What the processes of a run agree on.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use plugin_api::{Images, Splits, UnreadableImage};
use processes::{Processes, ProcessesError};

use super::TrainError;
use super::own_data::OwnData;
use crate::engine::{Engine, EngineError};
use loader::UnreadableLog;

/// The processes of a run, and what each has told the others.
pub(super) struct Together {
    processes: Arc<dyn Processes>,
    /// The unreadable images that all processes know of.
    told: BTreeSet<(usize, String)>,
}

impl Together {
    pub(super) fn new(processes: Arc<dyn Processes>) -> Self {
        Self { processes, told: BTreeSet::new() }
    }

    /// How many there are.
    pub(super) fn n(&self) -> usize {
        self.processes.n()
    }

    /// Whether any process says so.
    pub(super) fn any(&self, own: bool) -> Result<bool, TrainError> {
        Ok(self.processes.any(own).map_err(EngineError::from)?)
    }

    /// Makes the unreadable images of each process those of all, and checks that they are not too many.
    pub(super) fn check_unreadable(&mut self, unreadable: &UnreadableLog) -> Result<(), TrainError> {
        tell_unreadable(&*self.processes, unreadable, &mut self.told).map_err(EngineError::from)?;
        Ok(unreadable.check()?)
    }

    /// Checks that all processes have started the same run.
    pub(super) fn check_start(
        &self,
        pipeline: &str,
        splits: &Splits,
        own: &OwnData,
    ) -> Result<(), TrainError> {
        if self.processes.n() == 1 {
            return Ok(());
        }
        let test_of = |splits: &Splits| splits.test.as_ref().map_or("none".into(), |test| images(&**test));
        for (what, own) in [
            ("versions of the program", env!("CARGO_PKG_VERSION").to_owned()),
            ("kernels", tensor_ops::kernel_family().to_owned()),
            ("pipelines", hash_of(pipeline)),
            ("training images", images(&*splits.train)),
            ("test images", test_of(splits)),
        ] {
            self.check_same(what, own)?;
        }
        // The pipelines are the same, so all have as many.
        for set in own.all() {
            let seen = format!("{}; {}", images(&*set.splits.train), test_of(&set.splits));
            self.check_same("images of a monitor", seen)?;
        }
        Ok(())
    }

    /// Checks that the networks of all processes have the same values.
    pub(super) fn check_networks(&self, engine: &mut Engine) -> Result<(), TrainError> {
        if self.processes.n() == 1 {
            return Ok(());
        }
        self.check_same("weights", format!("{:016x}", engine.hash_of_values()))
    }

    fn check_same(&self, what: &str, own: String) -> Result<(), TrainError> {
        let all = self.processes.gather_bytes(own.as_bytes()).map_err(EngineError::from)?;
        let mut texts = all.iter().map(|bytes| String::from_utf8_lossy(bytes));
        let first = texts.next().unwrap_or_default();
        match (1..).zip(texts).find(|(_, text)| *text != first) {
            None => Ok(()),
            Some((rank, other)) => Err(TrainError::Apart {
                what: what.into(),
                rank,
                first: first.into_owned(),
                other: other.into_owned(),
            }),
        }
    }
}

/// Makes the unreadable images of each process those of all. `told` has the indices and names of those that all know of, and
/// gets the new ones.
pub(super) fn tell_unreadable(
    processes: &dyn Processes,
    unreadable: &UnreadableLog,
    told: &mut BTreeSet<(usize, String)>,
) -> Result<(), ProcessesError> {
    if processes.n() == 1 {
        return Ok(());
    }
    let mut new: Vec<(usize, String, String)> = Vec::new();
    if unreadable.len() > told.len() {
        let images = unreadable.indexed().into_iter().map(|(index, image)| (index, image.name, image.reason));
        new = images.filter(|(index, name, _)| !told.contains(&(*index, name.clone()))).collect();
    }
    let own = serde_json::to_vec(&new).expect("texts are JSON");
    for bytes in processes.gather_bytes(&own)? {
        // Said by the same version of this program, which was checked at the start.
        let new: Vec<(usize, String, String)> =
            serde_json::from_slice(&bytes).expect("what a process says is JSON");
        for (index, name, reason) in new {
            told.insert((index, name.clone()));
            unreadable.record(index, UnreadableImage { name, reason });
        }
    }
    Ok(())
}

/// The number of images, and a hash of their names and labels.
fn images(images: &dyn Images) -> String {
    let mut hasher = DefaultHasher::new();
    (0..images.len()).for_each(|index| (images.name(index), images.label(index)).hash(&mut hasher));
    format!("{}, {:016x}", images.len(), hasher.finish())
}

fn hash_of(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use plugin_api::Monitor;
    use processes::ThreadGroup;

    use super::super::own_data::tests::on;
    use super::*;

    /// What each of two processes says at the start, whose monitor has so many images of its own.
    fn started(n_images: [usize; 2]) -> Vec<Result<(), String>> {
        std::thread::scope(|scope| {
            let start = |(process, n)| {
                scope.spawn(move || {
                    let monitors: [(String, Box<dyn Monitor>); 1] = [on(Some(n))];
                    let own = OwnData::open(&monitors).unwrap();
                    let (_, run) = on(Some(2));
                    let splits = run.dataset().unwrap().dataset().open().unwrap();
                    let together = Together::new(Arc::new(process));
                    together.check_start("a pipeline", &splits, &own).map_err(|error| error.to_string())
                })
            };
            let threads: Vec<_> = ThreadGroup::of(2).into_iter().zip(n_images).map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn processes_that_see_other_images_of_a_monitor_do_not_start() {
        assert_eq!(started([3, 3]), [Ok(()), Ok(())]);
        for outcome in started([3, 4]) {
            let message = outcome.unwrap_err();
            assert!(message.contains("images of a monitor"), "{message}");
        }
    }
}

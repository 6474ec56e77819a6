//! Where a pipeline is built.

use std::sync::Arc;

use plugin_api::processes::{Alone, Processes};
use tensor_ops::Device;

use crate::moved::Moved;

/// Where the modules of a pipeline live, and who trains them. A device alone stands for one process on it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Of this process.
    pub device: Device,
    /// All that train together. Modules that take statistics over the whole batch exchange them there.
    pub processes: Arc<dyn Processes>,
    /// Whether batches are whole, whatever the pipeline says: for who looks at a pipeline and does not train it.
    pub has_whole_batches: bool,
    /// Where images are now, of a pipeline that a run has kept.
    pub moved: Moved,
}

impl Site {
    /// Several processes that train together, of which this one has `device`.
    pub fn of_processes(device: &Device, processes: Arc<dyn Processes>) -> Self {
        Self { device: device.clone(), processes, has_whole_batches: false, moved: Moved::default() }
    }

    /// The same, with images that have moved.
    #[must_use]
    pub fn with_moved(self, moved: Moved) -> Self {
        Self { moved, ..self }
    }

    /// To look at a pipeline, also at one that takes several processes to train.
    pub fn to_look(device: &Device) -> Self {
        Self { has_whole_batches: true, ..Self::from(device) }
    }
}

impl From<&Device> for Site {
    fn from(device: &Device) -> Self {
        Self::of_processes(device, Arc::new(Alone))
    }
}

impl From<&Self> for Site {
    fn from(site: &Self) -> Self {
        site.clone()
    }
}

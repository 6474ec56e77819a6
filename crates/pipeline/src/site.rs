//! Where a pipeline is built.

use std::sync::Arc;

use plugin_api::processes::{Alone, Processes};
use tensor_ops::Device;

/// Where the modules of a pipeline live, and who trains them. A device alone stands for one process on it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Of this process.
    pub device: Device,
    /// All that train together. Modules that take statistics over the whole batch exchange them there.
    pub processes: Arc<dyn Processes>,
}

impl From<&Device> for Site {
    fn from(device: &Device) -> Self {
        Self { device: device.clone(), processes: Arc::new(Alone) }
    }
}

impl From<&Self> for Site {
    fn from(site: &Self) -> Self {
        site.clone()
    }
}

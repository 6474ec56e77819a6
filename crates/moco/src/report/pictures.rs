//! What of a page TensorBoard shows as well.

use image::RgbImage;
use run_store::RunFolder;
use run_store::metrics::{EventLog, MetricsLog};

use super::ReportError;
use crate::write_picture;

/// What a page shows of a run's images, as pictures.
#[derive(Default)]
pub(super) struct Pictures {
    /// Each image and what the encoder saw of it.
    pub(super) views: Option<RgbImage>,
    /// The features of many images on a plane.
    pub(super) map: Option<RgbImage>,
}

impl Pictures {
    /// Writes them to a new event file of `run`, at its last step.
    pub(super) fn write(&self, run: &RunFolder) -> Result<(), ReportError> {
        let lines = MetricsLog::read(&run.metrics())?;
        let step = lines.last().and_then(|line| line.get("step")?.as_u64()).unwrap_or(0);
        let path = run.events();
        // A step other than 0 would void what was written after it.
        let mut events = EventLog::create(&path, 0)?;
        for (tag, picture) in [("views", &self.views), ("map", &self.map)] {
            if let Some(picture) = picture {
                let mut png = Vec::new();
                write_picture(&mut png, picture)
                    .map_err(|source| ReportError::Write { path: path.clone(), source })?;
                events.picture(step, tag, &png, picture.dimensions())?;
            }
        }
        Ok(())
    }
}

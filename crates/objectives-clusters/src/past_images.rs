//! Embeddings of past images, with which a small batch is assigned.

use nn::{RowRing, unit_rows};
use plugin_api::{ConfigError, Module, ObjectiveContext};
use tensor_ops::{Device, Features, Matrix, OpError, Rows as _};

/// For each view that is assigned, the newest embeddings of it, of unit length. What arrives in a step is put aside, and taken in
/// at its end.
///
/// Its state is `queue.0.rows` and `queue.0.pointer`, and so on for the views, and `arrived`.
pub(crate) struct PastImages {
    rings: Vec<RowRing>,
    /// Embeddings that each ring has taken in, which has random rows before.
    arrived: u64,
    /// What the losses of a step have put aside, of all views.
    aside: Vec<Vec<Matrix>>,
}

impl PastImages {
    /// Room for `len` embeddings of `width` values, of each of so many views.
    ///
    /// # Errors
    /// If they do not fit in memory; the error names the field `queue`.
    pub(crate) fn new(
        n_views: usize,
        (len, width): (usize, usize),
        context: &ObjectiveContext,
    ) -> Result<Self, ConfigError> {
        let ring = |view: usize| {
            RowRing::random("rows", "image", (len, width), &mut context.rng(&format!("queue{view}")))
        };
        let rings: Result<_, ConfigError> = (0..n_views).map(ring).collect();
        let rings = rings.map_err(|_| {
            let must = format!("{width} values for each image and view must fit in memory");
            ConfigError::field("queue", len, must)
        })?;
        Ok(Self { rings, arrived: 0, aside: Vec::new() })
    }

    /// The embeddings of `view`, `(K, D)`, once there are as many as there is room for.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub(crate) fn of_view(&self, view: usize, device: &Device) -> Result<Option<Features>, OpError> {
        let ring = &self.rings[view];
        if self.arrived < ring.len() as u64 { Ok(None) } else { ring.rows(device).map(Some) }
    }

    /// Puts embeddings aside, one matrix for each view. They may have any length.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub(crate) fn put_aside(&mut self, of_views: &[Matrix]) -> Result<(), OpError> {
        self.aside.push(of_views.iter().map(unit_rows).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Forgets what was put aside.
    pub(crate) fn discard_step(&mut self) {
        self.aside.clear();
    }

    /// Takes in what was put aside; of more than there is room for, the last.
    ///
    /// # Errors
    /// If they have another width.
    pub(crate) fn end_step(&mut self) -> Result<(), OpError> {
        for of_views in std::mem::take(&mut self.aside) {
            // A count from a file may have any value.
            let n = of_views.first().map_or(0, |rows| rows.n() as u64);
            self.arrived = self.arrived.saturating_add(n);
            for (ring, rows) in self.rings.iter_mut().zip(&of_views) {
                ring.push(rows)?;
            }
        }
        Ok(())
    }
}

impl Module for PastImages {
    plugin_api::visit! { self;
        "queue" => self.rings,
        "arrived" => self.arrived,
    }
}

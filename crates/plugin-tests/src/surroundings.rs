//! What a plugin is told besides its config.

use plugin_api::MapShape;

/// The run that a plugin is checked in. For one that does not fit into the usual one:
///
/// ```no_run
/// use plugin_tests::{Surroundings, check};
///
/// let large = Surroundings { image_size: (96, 96), ..Surroundings::default() };
/// check("backbone", "my-net", None, &large).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// `(H, W)` of the images that a backbone gets, in pixels. 32 and 32 by default.
    pub image_size: (usize, usize),
    /// Channels of these images. 3 by default.
    pub channels: usize,
    /// Images in a batch, at least 4 and even. 8 by default.
    pub batch: usize,
    /// Width of what goes into a head, a loss or an objective. 16 by default.
    pub width: usize,
    /// The map at the end of what goes into a head, as the last of its `width` values. `None` by default.
    pub map: Option<MapShape>,
    /// Epochs in the run. 200 by default.
    pub epochs: usize,
    /// What an objective is evaluated on. Without it, several choices are tried, and all that it accepts are checked.
    pub values: Option<Vec<ValueInto>>,
    /// Whether gradients are compared with finite differences, as they are by default. Not so for what steps, and where another
    /// gradient than that of the value is meant: targets that are made of the input and pass none, a straight-through estimator.
    pub finite_differences: bool,
}

/// A value that goes into an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueInto {
    /// `D`, with the map.
    pub width: usize,
    /// The map behind the features.
    pub map: Option<MapShape>,
    /// Whether the loss trains what made it.
    pub is_trained: bool,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            image_size: (32, 32),
            channels: 3,
            batch: 8,
            width: 16,
            map: None,
            epochs: 200,
            values: None,
            finite_differences: true,
        }
    }
}

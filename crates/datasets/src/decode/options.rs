//! What a person says about how image files are read.

use plugin_api::{ConfigError, MAX_CHANNELS};

/// How the files of a dataset become images.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// The channels of a file to take, in this order; the first is 0. By default red, green and blue, and gray three
    /// times. A file that has fewer channels is unreadable.
    pub bands: Option<Vec<usize>>,
    /// The values of a file that become 0 and 255, for files of 16 bits, of other integers and of floats; what is
    /// below or above is clipped. By default 0 and 65535 for 16 bits, and 0 and 1 for floats. Files of 8 bits are
    /// taken as they are.
    pub range: Option<(f64, f64)>,
    /// Whether images are turned as their EXIF data says.
    pub orientation: Orientation,
}

/// What to do about the orientation in a file's EXIF data, which cameras write instead of turning the image.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
pub enum Orientation {
    /// Images stay as they are stored, as torchvision reads them.
    #[default]
    Ignore,
    /// Images are turned and mirrored to how they are shown.
    Exif,
}

impl ReadOptions {
    /// Fails if `bands` or `range` make no sense, naming the field as one of `read`.
    ///
    /// # Errors
    /// If there is no band or more than [`MAX_CHANNELS`] of them, or if the range is empty or not finite.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(bands) = &self.bands
            && !(1..=MAX_CHANNELS).contains(&bands.len())
        {
            let must = format!("it must have 1 to {MAX_CHANNELS} channels");
            return Err(ConfigError::field("read.bands", format!("{bands:?}"), must));
        }
        if let Some((low, high)) = self.range
            && !(low.is_finite() && high.is_finite() && low < high)
        {
            let must = "the first value must be below the second: `range: (0, 4095)`";
            return Err(ConfigError::field("read.range", format!("({low}, {high})"), must));
        }
        Ok(())
    }

    /// The options that are not the defaults, in RON, which gives them again to the bit; `None` if there are none.
    pub(crate) fn written(&self) -> Option<String> {
        let Self { bands, range, orientation } = self;
        let bands = bands.as_ref().map(|bands| format!("bands: {bands:?}"));
        let range = range.map(|(low, high)| format!("range: ({low:?}, {high:?})"));
        let orientation =
            (*orientation != Orientation::default()).then(|| format!("orientation: {orientation:?}"));
        let fields: Vec<String> = [bands, range, orientation].into_iter().flatten().collect();
        (!fields.is_empty()).then(|| format!("({})", fields.join(", ")))
    }

    /// The channels of every image that is read: as many as there are bands, or 3.
    pub fn channels(&self) -> usize {
        self.bands.as_ref().map_or(3, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(ReadOptions::default().written(), None);
        let bands = ReadOptions { bands: Some(vec![3, 0]), ..ReadOptions::default() };
        assert_eq!(bands.written().unwrap(), "(bands: [3, 0])");
        let all =
            ReadOptions { range: Some((-0.1, 1e300 / 3.0)), orientation: Orientation::Exif, ..bands.clone() };
        for options in [bands, all] {
            let again: ReadOptions = plugin_api::parse_ron(&options.written().unwrap()).unwrap();
            assert_eq!(again, options);
        }
    }
}

//! Where an encoder looks.

use std::ops::ControlFlow;
use std::sync::Arc;

use loader::{EvalLoader, UnreadableLog};
use plugin_api::{ByteImage, Images};
use train_core::engine::EngineError;
use train_core::features::feature_map;

use super::Encoder;
use crate::EmbedError;
use crate::device::within;

/// Where an encoder looks in one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Attended {
    /// The index of the image.
    pub image: usize,
    /// What the encoder saw of it, without the normalization.
    pub seen: ByteImage,
    /// What the maps say, in a few words.
    pub what: &'static str,
    /// `(H, W)` of a map: rows and columns of places, which are equal parts of what was seen.
    pub size: (usize, usize),
    /// Each map with its name, row by row; if there are several, their mean comes first.
    pub maps: Vec<(String, Vec<f32>)>,
}

impl Encoder {
    /// Where the encoder looks in `images`: the attention of a ViT's class token by head, or the similarity of each place of a
    /// ResNet's last feature map with the features. `each` gets the images that can be read, in order, and returns whether to
    /// continue.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encoder/tiny_run.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let root = tempfile::tempdir()?;
    /// # let run = write(root.path());
    /// use std::ops::ControlFlow;
    /// use std::sync::Arc;
    ///
    /// let mut encoder = moco::Encoder::load(&run)?; // for instance "runs/mocov2-001"
    /// let images = encoder.dataset()?.open()?.train; // or `moco::open_images`
    /// let unreadable = Arc::new(loader::UnreadableLog::new(images.len(), 0.0));
    /// let mut n_maps = 0;
    /// encoder.attend(&images, &unreadable, &mut |attended| {
    ///     n_maps += attended.maps.len();
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(n_maps, images.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`EmbedError::NothingToShow`] if the backbone has no such maps; if more images are unreadable than `unreadable` allows,
    /// or maps cannot be computed; or [`EmbedError::Stopped`].
    pub fn attend(
        &mut self,
        images: &Arc<dyn Images>,
        unreadable: &Arc<UnreadableLog>,
        each: &mut dyn FnMut(Attended) -> ControlFlow<()>,
    ) -> Result<(), EmbedError> {
        let mut loader = EvalLoader::start(self.plan(images, unreadable))?;
        let mut n_images = 0;
        while let Some(batch) = loader.next()? {
            let shape = [batch.size.0, batch.size.1, batch.channels];
            let encoder = &mut self.encoder;
            let maps = within(self.pool.as_ref(), || {
                let images =
                    feature_map(encoder.device(), shape, &batch.values).map_err(EngineError::from)?;
                encoder.attention(images)
            })?;
            let Some(maps) = maps else { return Err(EmbedError::NothingToShow) };
            let n_of_image: usize = shape.iter().product();
            for (place, (&image, values)) in
                batch.images.iter().zip(batch.values.chunks_exact(n_of_image)).enumerate()
            {
                let attended = Attended {
                    image,
                    seen: self.seen(shape, values),
                    what: maps.what,
                    size: maps.size,
                    maps: with_mean(&maps.names, &maps.of_image(place)),
                };
                n_images += 1;
                if each(attended).is_break() {
                    return Err(EmbedError::Stopped { n_images });
                }
            }
        }
        Ok(())
    }

    /// The bytes that the view has normalized; of a view that tells no normalization, values between the least and the largest.
    fn seen(&self, [height, width, channels]: [usize; 3], values: &[f32]) -> ByteImage {
        let normalization = self.view.transform.steps.iter().rev().find_map(|step| step.normalization());
        let values = match normalization {
            Some(normalization) => {
                let of_channel = normalization.mean.iter().zip(&normalization.std).cycle();
                let bytes = values.iter().zip(of_channel).map(|(v, (mean, std))| (v * std + mean) * 255.0);
                bytes.map(|value| value.round() as u8).collect()
            }
            None => scaled(values).into_iter().map(|share| (share * 255.0).round() as u8).collect(),
        };
        ByteImage { width, height, channels, values }
    }
}

/// Values as shares of the way from the least to the largest; 0 if they are all the same.
fn scaled(values: &[f32]) -> Vec<f32> {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let span = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
    values.iter().map(|value| if span > 0.0 { (value - least) / span } else { 0.0 }).collect()
}

fn with_mean(names: &[String], maps: &[&[f32]]) -> Vec<(String, Vec<f32>)> {
    let own = names.iter().cloned().zip(maps.iter().map(|map| map.to_vec()));
    let mut all = Vec::with_capacity(names.len() + 1);
    if let [first, _, ..] = maps {
        let mean = |place: usize| maps.iter().map(|map| map[place]).sum::<f32>() / maps.len() as f32;
        all.push(("mean".to_owned(), (0..first.len()).map(mean).collect()));
    }
    all.extend(own);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_maps_have_a_mean_and_one_is_its_own() {
        let names = ["head 1".to_owned(), "head 2".to_owned()];
        let maps: [&[f32]; 2] = [&[0.0, 1.0], &[1.0, 3.0]];
        let all = with_mean(&names, &maps);
        assert_eq!(all[0], ("mean".to_owned(), vec![0.5, 2.0]));
        assert_eq!(all[2], ("head 2".to_owned(), vec![1.0, 3.0]));
        assert_eq!(with_mean(&names[..1], &maps[..1]).len(), 1);
        assert_eq!(scaled(&[2.0, 4.0, 3.0]), [0.0, 1.0, 0.5]);
        assert_eq!(scaled(&[2.0, 2.0]), [0.0, 0.0]);
    }
}

//! Subsets of the labels, for semi-supervised evaluation (1 % and 10 % of ImageNet's labels).

use std::sync::Arc;

use plugin_api::{ByteImage, Images, Rng, UnreadableImage};

/// A share of the images of each class, at least one per class, in their original order.
///
/// Images are drawn per class from `seed`. A smaller share is a subset of a larger one. `None` if an image has no
/// label.
pub fn label_subset(images: &Arc<dyn Images>, share: f64, seed: u64) -> Option<Arc<dyn Images>> {
    let n_classes = images.class_names().len();
    if n_classes == 0 {
        return None;
    }
    let mut by_class = vec![Vec::new(); n_classes];
    for image in 0..images.len() {
        by_class[images.label(image)? as usize].push(image);
    }
    let mut chosen = Vec::new();
    for (class, members) in by_class.iter().enumerate() {
        let wanted = (share * members.len() as f64).round() as usize;
        let wanted = wanted.clamp(1.min(members.len()), members.len());
        let order = Rng::new(seed, "label subset", &[class as u64]).permutation(members.len());
        chosen.extend(order[..wanted].iter().map(|&place| members[place]));
    }
    chosen.sort_unstable();
    Some(Arc::new(Subset { images: Arc::clone(images), chosen }))
}

/// The images of `images` with the indices `chosen`, in their order.
pub fn chosen_images(images: &Arc<dyn Images>, chosen: Vec<usize>) -> Arc<dyn Images> {
    Arc::new(Subset { images: Arc::clone(images), chosen })
}

/// A subset of a dataset.
struct Subset {
    images: Arc<dyn Images>,
    /// The indices of its images, in order.
    chosen: Vec<usize>,
}

impl Images for Subset {
    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(self.chosen[index])
    }

    fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(self.chosen[index])
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        self.images.load(self.chosen[index])
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        self.images.encoded(self.chosen[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 images of class 0, 50 of class 1 and 3 of class 2, mixed.
    struct MadeUp(Vec<String>);

    impl Images for MadeUp {
        fn len(&self) -> usize {
            253
        }

        fn label(&self, index: usize) -> Option<u32> {
            Some(if index.is_multiple_of(100) { 2 } else { u32::from(index % 5 == 1 && index < 250) })
        }

        fn class_names(&self) -> &[String] {
            &self.0
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
            Ok(ByteImage::rgb(1, 1, vec![index as u8; 3]))
        }
    }

    fn names(share: f64, seed: u64) -> Vec<String> {
        let images: Arc<dyn Images> = Arc::new(MadeUp(["a", "b", "c"].map(str::to_owned).into()));
        let subset = label_subset(&images, share, seed).unwrap();
        (0..subset.len()).map(|image| subset.name(image)).collect()
    }

    #[test]
    fn each_class_has_its_share_and_at_least_one_image() {
        let images: Arc<dyn Images> = Arc::new(MadeUp(["a", "b", "c"].map(str::to_owned).into()));
        let subset = label_subset(&images, 0.1, 0).unwrap();
        let mut counts = [0; 3];
        (0..subset.len()).for_each(|image| counts[subset.label(image).unwrap() as usize] += 1);
        assert_eq!(counts, [20, 5, 1]);
        for image in 0..subset.len() {
            let byte = subset.load(image).unwrap().values[0];
            assert_eq!(subset.name(image), byte.to_string());
        }
    }

    #[test]
    fn a_smaller_share_is_part_of_a_larger_one_and_another_seed_gives_others() {
        let (few, more) = (names(0.02, 0), names(0.1, 0));
        assert!(few.iter().all(|name| more.contains(name)), "{few:?} {more:?}");
        assert_eq!(more, names(0.1, 0));
        assert_ne!(more, names(0.1, 1));
        assert_eq!(names(1.0, 0).len(), 253);
    }
}

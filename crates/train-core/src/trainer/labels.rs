//! Whether the images of a dataset have the classes that a pipeline needs.

use pipeline::Pipeline;
use plugin_api::{Images, Splits};

use super::TrainError;

/// Whether `splits` have the labels that `pipeline` needs to be trained: a loss that needs classes gets one for every image. To be
/// asked before a run has a folder.
///
/// # Errors
/// If an image has none, or one that the dataset does not name.
pub fn check_labels(pipeline: &Pipeline, splits: &Splits) -> Result<(), TrainError> {
    check_classes(splits)?;
    let mut losses = pipeline.network.modules.losses.iter();
    let Some(loss) = losses.find(|loss| loss.module.needs_labels()) else { return Ok(()) };
    let (train, n_images) = (&*splits.train, splits.train.len());
    match (0..n_images).filter(|&i| train.label(i).is_none()).count() {
        0 => Ok(()),
        without => Err(TrainError::NoLabels { loss: loss.name.clone(), without, n_images }),
    }
}

/// Whether the dataset names each class that it gives an image.
pub(super) fn check_classes(splits: &Splits) -> Result<(), TrainError> {
    [Some(&splits.train), splits.test.as_ref()]
        .into_iter()
        .flatten()
        .try_for_each(|images| check_split(&**images))
}

fn check_split(images: &dyn Images) -> Result<(), TrainError> {
    let n_classes = images.class_names().len();
    for index in 0..images.len() {
        if let Some(label) = images.label(index).filter(|label| *label as usize >= n_classes) {
            return Err(TrainError::Label { image: images.name(index), label, n_classes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugin_api::{ByteImage, UnreadableImage};

    use super::*;

    struct Labeled(Vec<Option<u32>>, Vec<String>);

    impl Images for Labeled {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn label(&self, index: usize) -> Option<u32> {
            self.0[index]
        }

        fn class_names(&self) -> &[String] {
            &self.1
        }

        fn name(&self, index: usize) -> String {
            format!("image {index}")
        }

        fn load(&self, _: usize) -> Result<ByteImage, UnreadableImage> {
            Ok(ByteImage::rgb(1, 1, vec![0; 3]))
        }
    }

    #[test]
    fn a_class_that_the_dataset_does_not_name_is_an_error_in_both_splits() {
        let split = |labels: &[Option<u32>]| -> Arc<dyn Images> {
            Arc::new(Labeled(labels.to_vec(), vec!["cat".into(), "dog".into()]))
        };
        let check = |train: &[Option<u32>], test: &[Option<u32>]| {
            check_classes(&Splits { train: split(train), test: Some(split(test)), notes: Vec::new() })
        };
        assert!(check(&[Some(0), None, Some(1)], &[]).is_ok());
        for (train, test) in [(&[Some(0), Some(2)][..], &[][..]), (&[Some(1)], &[None, Some(2)])] {
            let error = check(train, test).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the class of image 1 is 2, and the dataset names 2 classes, which are numbered from 0"
            );
            assert!(error.hint().unwrap().contains("`class_names`"));
        }
    }
}

//! Parquet files, written by pyarrow and by Hugging Face's `datasets`; see `tests/parquet/make.py`.

use std::path::PathBuf;

use super::open_error;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name)
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_the_feature_says_so() {
    let error = open_error("parquet", &format!("(path: {:?})", file("hub.parquet")));
    assert!(error.contains("Parquet files need a build with the feature `parquet`"), "{error}");
    assert!(error.contains("--features parquet"), "{error}");
    let error = datasets::open_images(&[file("hub.parquet")]).err().unwrap();
    assert!(error.reason.contains("feature `parquet`"), "{error}");
}

#[test]
fn a_folder_and_a_column_without_a_name_are_refused() {
    let error = open_error("parquet", &format!("(path: {:?})", file("")));
    assert!(error.contains("this is a folder") && error.contains("train-*.parquet"), "{error}");
    let error = super::dataset("parquet", "(path: \"a.parquet\", label: \"\")").err().unwrap();
    assert!(error.to_string().contains("it must be the name of a column"), "{error}");
}

#[cfg(feature = "parquet")]
mod with_the_feature {
    use datasets::open_images;
    use plugin_api::Images;

    use super::super::{labels, open};
    use super::*;

    const CLASSES: [u32; 10] = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0];

    fn config(name: &str, more: &str) -> String {
        format!("(path: {:?}{more})", file(name))
    }

    /// As `make.py` makes picture `number`.
    fn pixels(number: u8) -> Vec<u8> {
        (0..12).flat_map(|pixel| [20 * number + pixel, pixel, number]).collect()
    }

    /// In another order than that of the file, so that pages are left and come back.
    fn check_pixels(images: &dyn Images) {
        for index in [9, 0, 5, 1, 8, 2, 7, 3, 6, 4, 9] {
            let image = images.load(index).unwrap();
            assert_eq!((image.width, image.height, image.values), (4, 3, pixels(index as u8)), "{index}");
        }
    }

    fn short_names(images: &dyn Images) -> Vec<String> {
        (0..images.len()).map(|index| images.key(index)).collect()
    }

    #[test]
    fn what_the_hub_hands_out_has_names_of_classes() {
        let splits = open("parquet", &config("hub.parquet", "")).unwrap();
        check_pixels(splits.train.as_ref());
        assert_eq!(splits.train.class_names(), ["ant", "bee", "cat"]);
        assert_eq!(labels(splits.train.as_ref()), CLASSES.map(Some));
        assert_eq!(short_names(splits.train.as_ref())[..2], ["hub.parquet/row 0", "hub.parquet/row 1"]);
        assert!(splits.train.name(3).ends_with("hub.parquet/row 3"), "{}", splits.train.name(3));
        assert!(splits.notes.is_empty(), "{:?}", splits.notes);
    }

    #[test]
    fn files_keep_their_names_and_labels_may_be_words() {
        let splits = open("parquet", &config("named.parquet", "")).unwrap();
        check_pixels(splits.train.as_ref());
        assert_eq!(
            short_names(splits.train.as_ref())[..3],
            ["named.parquet/ant/0.png", "named.parquet/bee/1.png", "named.parquet/cat/2.png"]
        );
        assert_eq!(labels(splits.train.as_ref()), CLASSES.map(Some));
        let by_number = open("parquet", &config("named.parquet", ", label: \"id\"")).unwrap();
        assert_eq!(by_number.train.class_names()[..3], ["0", "1", "2"]);
    }

    #[test]
    fn what_unpacks_to_no_more_than_it_says_is_read() {
        for name in ["lz4", "plain", "beside"] {
            let splits = open("parquet", &config(&format!("{name}.parquet"), "")).unwrap();
            check_pixels(splits.train.as_ref());
            assert!(splits.train.class_names().is_empty());
        }
        let splits = open("parquet", &config("zstd.parquet", ", image: \"mask\"")).unwrap();
        check_pixels(splits.train.as_ref());
        for (name, expected) in [
            ("gzip", "the compression gzip is not read: write it with `compression=\"zstd\"` or \"snappy\""),
            ("brotli", "the compression Brotli is not read"),
            ("delta", "its encoding (number 7 of the format) is not read: write it as `PLAIN`"),
        ] {
            let error = open_error("parquet", &config(&format!("{name}.parquet"), ""));
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn rows_without_an_image_or_a_label_are_told() {
        let splits = open("parquet", &config("gaps.parquet", "")).unwrap();
        assert_eq!(splits.train.len(), 8);
        assert_eq!(splits.train.load(2).unwrap_err().reason, "its row has no bytes");
        assert_eq!(splits.train.load(3).unwrap().values, pixels(3));
        let note = &splits.notes[0];
        assert!(
            note.ends_with(
                "gaps.parquet: 2 images have no label, and left out: gaps.parquet/row 8, gaps.parquet/row 9"
            ),
            "{note}"
        );
    }

    #[test]
    fn files_follow_each_other() {
        let config = format!("(path: [{:?}, {:?}])", file("named.parquet"), file("hub.parquet"));
        let splits = open("parquet", &config).unwrap();
        assert_eq!(splits.train.len(), 20);
        assert_eq!(splits.train.load(13).unwrap().values, pixels(3));
        // Those of a file without a column of labels are told as well.
        let config = format!("(path: [{:?}, {:?}])", file("named.parquet"), file("plain.parquet"));
        let splits = open("parquet", &config).unwrap();
        assert_eq!((splits.train.len(), splits.train.class_names().len()), (10, 3));
        assert!(splits.notes[0].contains("plain.parquet: 10 images have no label, and left out"));
        let images = open_images(&[file("named.parquet"), file("hub.parquet")]).unwrap().images;
        assert_eq!((images.len(), images.class_names().len(), images.label(13)), (20, 3, Some(0)));
    }

    #[test]
    fn both_splits_share_their_classes() {
        let config = format!("(path: {:?}, test: {:?})", file("named.parquet"), file("gaps.parquet"));
        let splits = open("parquet", &config).unwrap();
        // Numbers without names are classes of their own.
        assert_eq!(splits.test.unwrap().class_names(), ["0", "1", "2", "ant", "bee", "cat"]);
    }

    #[test]
    fn a_path_alone_is_enough() {
        let images = open_images(&[file("hub.parquet")]).unwrap().images;
        check_pixels(images.as_ref());
        assert_eq!(images.class_names(), ["ant", "bee", "cat"]);
    }

    #[test]
    fn columns_that_are_not_there_are_told_with_those_that_are() {
        for (name, more, expected) in [
            ("none.parquet", "", "it has no column with the bytes of files, only `text`, `number`, `list`"),
            (
                "hub.parquet",
                ", image: \"photo\"",
                "it has no column `photo` with the bytes of files, only `image`, `label`",
            ),
            (
                "hub.parquet",
                ", label: \"image\"",
                "it has no column `image` of numbers or text, only `image`, `label`",
            ),
        ] {
            let error = open_error("parquet", &config(name, more));
            assert!(error.contains(expected), "{error}");
        }
        // Of several columns the name decides: `jpg` is a usual one, `mask` is not.
        let splits = open("parquet", &config("zstd.parquet", "")).unwrap();
        check_pixels(splits.train.as_ref());
    }
}

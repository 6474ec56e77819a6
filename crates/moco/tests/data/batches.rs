//! The same images give the same batches, wherever they lie and however many workers load them.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use loader::{LimitCheck, Loader, LoaderPlan, Rest, UnreadableLog, keep_small};
use pipeline::Parts;
use plugin_api::{Augmentation, AugmentationContext, Config, Dataset, DatasetContext, Splits, ViewTransform};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

#[cfg(feature = "parquet")]
mod parquet_files {
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    const SCHEMA: &str = "message images { required binary image; required binary label (UTF8); }";

    /// The images of the class folders in `folder`, in groups of three rows.
    pub(super) fn write(path: &Path, folder: &Path) {
        let sorted = |folder: &Path| {
            let mut paths: Vec<PathBuf> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort_unstable();
            paths
        };
        let rows: Vec<(ByteArray, ByteArray)> = sorted(folder)
            .iter()
            .flat_map(|class| {
                let label = class.file_name().unwrap().to_str().unwrap().to_owned();
                sorted(class)
                    .into_iter()
                    .map(move |image| (fs::read(image).unwrap().into(), label.as_str().into()))
            })
            .collect();
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let mut writer =
            SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
        for rows in rows.chunks(3) {
            let (images, labels): (Vec<ByteArray>, Vec<ByteArray>) = rows.iter().cloned().unzip();
            let mut group = writer.next_row_group().unwrap();
            for values in [images, labels] {
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.close().unwrap();
    }
}

const STEPS: [(&str, &str); 4] = [
    ("random-resized-crop", "(size: 16, scale: (0.2, 1.0))"),
    ("color-jitter", "(brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, p: 0.8)"),
    ("flip", "(p: 0.5)"),
    ("normalize", "(statistics: ImageNet)"),
];

fn view() -> Arc<ViewTransform> {
    let build = |(name, config)| {
        plugin_api::build::<dyn Augmentation>(name, Config::new(config), &AugmentationContext)
    };
    Arc::new(ViewTransform { steps: STEPS.into_iter().map(|step| build(step).unwrap()).collect() })
}

fn splits(plugin: &str, config: &str) -> Splits {
    let dataset = plugin_api::build::<dyn Dataset>(plugin, Config::new(config), &DatasetContext::default());
    dataset.unwrap().open().unwrap()
}

/// Which images are in each batch of two epochs, and the bits of their views.
fn batches(splits: Splits, n_workers: usize) -> Vec<(Vec<usize>, Vec<u32>)> {
    let images = keep_small(splits).train;
    let unreadable = Arc::new(UnreadableLog::new(images.len(), 0.5));
    let mut loader = Loader::start(LoaderPlan {
        images,
        views: vec![("query".into(), view()), ("key".into(), view())],
        seed: 3,
        shuffle_seed: 4,
        batch: 4,
        rest: Rest::Kept,
        parts: Parts::whole_of(2),
        own_parts: 0..1,
        first: (0, 0),
        epochs: 2,
        n_workers,
        prefetch_batches: 2,
        unreadable,
        limit_check: LimitCheck::ByLoader,
    })
    .unwrap();
    let bits = |batch: &loader::Batch| {
        batch.views.iter().flat_map(|view| &view.values).map(|value| value.to_bits()).collect()
    };
    std::iter::from_fn(|| loader.next().unwrap().map(|batch| (batch.images.clone(), bits(&batch)))).collect()
}

/// The files of `root` with their paths in it, in no order that a listing would have.
fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let source = open(&[root.to_owned()]);
    let mut files: Vec<(String, Vec<u8>)> = (0..source.n_images())
        .map(|image| {
            let name = source.name(image);
            let inner = Path::new(&name).strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            (inner, fs::read(&name).unwrap())
        })
        .collect();
    files.sort_by_key(|(_, bytes)| bytes.len());
    files
}

#[test]
fn every_source_gives_the_same_bits_to_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    dataset(&at("photos"));
    // One that cannot be read, whose place another image takes.
    fs::write(at("photos/train/cat/broken.png"), "no image").unwrap();
    let files = files(&at("photos"));
    let mut zip = ZipWriter::new(File::create(at("photos.zip")).unwrap());
    let mut tar = tar::Builder::new(File::create(at("photos.tar")).unwrap());
    for (name, bytes) in &files {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    zip.finish().unwrap();
    tar.finish().unwrap();
    pack_all(&open(&[at("photos")]), &at("photos.pack"), &PackOptions::default());

    #[cfg(feature = "parquet")]
    for split in ["train", "test"] {
        parquet_files::write(&at(&format!("{split}.parquet")), &at("photos").join(split));
    }
    let root = |name: &str| format!("(root: {:?})", at(name));
    let expected = batches(splits("class-folders", &root("photos")), 1);
    assert_eq!(expected.len(), 6);
    let sources = [
        ("class-folders", root("photos")),
        ("class-folders", root("photos.zip")),
        ("class-folders", root("photos.tar")),
        #[cfg(feature = "parquet")]
        ("parquet", format!("(path: {:?}, test: {:?})", at("train.parquet"), at("test.parquet"))),
    ];
    let check = |plugin: &str, config: &str, expected: &[(Vec<usize>, Vec<u32>)]| {
        for n_workers in [1, 2, 8] {
            let found = batches(splits(plugin, config), n_workers);
            assert!(found == expected, "{plugin} {config}, {n_workers} workers");
        }
    };
    for (plugin, config) in &sources {
        check(plugin, config, &expected);
    }
    // A pack has the readable ones.
    fs::remove_file(at("photos/train/cat/broken.png")).unwrap();
    let readable = batches(splits("class-folders", &root("photos")), 1);
    assert_ne!(readable, expected);
    check("pack", &format!("(path: {:?})", at("photos.pack")), &readable);
}

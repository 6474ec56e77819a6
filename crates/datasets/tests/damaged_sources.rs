//! Damaged archives and lists: no panic, no memory out of proportion, and images or reasons.
//!
//! `MOCO_MUTATIONS=100000` damages every file so many times, and `MOCO_MUTATIONS_SEED` does it in other ways.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use datasets::{Encoding, PackPlan, PackWriter, Packed};
use peak_alloc::PeakAlloc;
use plugin_api::{Config, Dataset, DatasetContext, Rng, Split, build};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How often each file is damaged where nothing else is asked for: seconds in all.
const N_MUTATIONS: usize = 400;
/// What opening and reading may take, besides a hundred times the length of the file: buffers and a few threads' stacks.
const MOST_BYTES: usize = 8 << 20;
/// Far above what opening and reading all images takes.
const MOST_TIME: Duration = Duration::from_secs(2);

fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(4, 3, image::Rgb([9, 8, 7]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn zip(method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for name in ["set/ant/1.png", "set/bee/2.png", "readme.txt"] {
        zip.start_file(name, options).unwrap();
        zip.write_all(&png()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let long = format!("{}/0003.png", "deep".repeat(40));
    for (name, bytes) in [
        ("0001.png", png()),
        ("0001.cls", b"7".to_vec()),
        ("0002.png", png()),
        ("0002.json", b"{\"label\": \"x\"}".to_vec()),
        (&long, png()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A file by the ending of its name, the dataset that reads it, and the field for its path.
fn seeds() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>)> {
    let table = "path,label,kind\n\"1.png\",a,x\n1.png,\"b\"\"c\",y\n";
    #[cfg(feature = "parquet")]
    let parquet = [
        include_bytes!("parquet/hub.parquet").to_vec(),
        include_bytes!("parquet/named.parquet").to_vec(),
        include_bytes!("parquet/gaps.parquet").to_vec(),
        include_bytes!("parquet/zstd.parquet").to_vec(),
        include_bytes!("parquet/lz4.parquet").to_vec(),
        include_bytes!("parquet/plain.parquet").to_vec(),
    ];
    #[cfg(not(feature = "parquet"))]
    let parquet: [Vec<u8>; 0] = [];
    let parquet = parquet.into_iter().map(|bytes| ("parquet", "parquet", "path", bytes));
    let others = vec![
        ("zip", "archive", "path", zip(CompressionMethod::Stored)),
        ("zip", "class-folders", "root", zip(CompressionMethod::Deflated)),
        ("tar", "archive", "path", tar()),
        ("tar", "flat-folder", "root", tar()),
        ("csv", "list-file", "path", table.as_bytes().to_vec()),
        ("tsv", "list-file", "path", b"1.png\ta\n1.png\tb\n".to_vec()),
        ("pack", "pack", "path", pack()),
        ("txt", "list-file", "path", b"# two\n1.png a\n1.png\tb c\n".to_vec()),
    ];
    others.into_iter().chain(parquet).collect()
}

/// A source's plugin, its files with their contents, and its config.
type Known = (&'static str, Vec<(String, Vec<u8>)>, &'static str);

/// Datasets that know their files: the plugin, its files, and which of them is damaged.
fn known() -> Vec<Known> {
    let record = |n_labels: usize| -> Vec<u8> { (0..n_labels + 3072).map(|i| (i % 10) as u8).collect() };
    let train = (1..=5).map(|i| (format!("data_batch_{i}.bin"), [record(1), record(1)].concat()));
    let cifar10 = train.chain([("test_batch.bin".to_owned(), record(1))]).collect();
    let cifar100 =
        vec![("train.bin".to_owned(), [record(2), record(2)].concat()), ("test.bin".to_owned(), record(2))];
    let stl10 = vec![
        ("unlabeled_X.bin".to_owned(), vec![7; 2 * 27_648]),
        ("test_X.bin".to_owned(), vec![8; 27_648]),
        ("test_y.bin".to_owned(), vec![3]),
    ];
    vec![
        ("cifar10", cifar10, "data_batch_3.bin"),
        ("cifar100", cifar100, "train.bin"),
        ("stl10", stl10, "unlabeled_X.bin"),
    ]
}

fn pack() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pack");
    let plan = PackPlan {
        encoding: Encoding::Files,
        channels: 3,
        class_names: vec!["ant".into(), "bee".into()],
        read: Some("(bands: [0, 1, 2])".into()),
        source: "a test".into(),
    };
    let mut writer = PackWriter::create(&path, plan).unwrap();
    for (i, split) in [Split::Train, Split::Train, Split::Test].into_iter().enumerate() {
        writer.push(split, &format!("{i}.png"), Some(i as u32 % 2), &Packed::File(png())).unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn damaged_sources_are_errors_or_images_within_the_limits() {
    // A backtrace of a decoder that gives up would count as its memory.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !datasets::is_decoding() {
            default(panic);
        }
    }));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.png"), png()).unwrap();
    let n_mutations = mutations::rounds(N_MUTATIONS);
    let seed = mutations::seed();
    let mut n_opened = 0;
    for (i, (ending, plugin, field, bytes)) in seeds().iter().enumerate() {
        for round in 0..n_mutations {
            let mut rng = Rng::new(seed, "mutations of sources", &[round as u64, i as u64]);
            let mut damaged = bytes.clone();
            (0..rng.below(4)).for_each(|_| damage(&mut damaged, &mut rng));
            let path = folder.path().join(format!("damaged.{ending}"));
            std::fs::write(&path, &damaged).unwrap();
            let what = format!("{plugin} of .{ending}, seed {seed}, round {round}");
            n_opened += usize::from(check(plugin, field, &path, damaged.len(), &what));
        }
    }
    for (i, (plugin, files, damaged_one)) in known().iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let (_, bytes) = files.iter().find(|(name, _)| name == damaged_one).unwrap();
        for round in 0..n_mutations / 4 {
            let mut rng = Rng::new(seed, "mutations of known datasets", &[round as u64, i as u64]);
            let mut damaged = bytes.clone();
            (0..rng.below(3)).for_each(|_| damage(&mut damaged, &mut rng));
            std::fs::write(folder.path().join(damaged_one), &damaged).unwrap();
            let what = format!("{plugin}, seed {seed}, round {round}");
            check(plugin, "root", folder.path(), damaged.len(), &what);
        }
    }
    // The damage must not hide what comes after opening.
    assert!(n_opened > seeds().len() * n_mutations / 4, "only {n_opened} were opened");
}

/// Whether it could be opened.
fn check(plugin: &str, field: &str, path: &Path, n_bytes: usize, what: &str) -> bool {
    let config = format!("({field}: {path:?})");
    let dataset = build::<dyn Dataset>(plugin, Config::new(&config), &DatasetContext { seed: 0 }).unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let start = Instant::now();
    let opened = dataset.open();
    if let Ok(splits) = &opened {
        let n_images = splits.train.len();
        assert!(n_images > 0 && n_images <= n_bytes, "{what}: {n_images} images");
        for index in 0..n_images {
            let n_classes = splits.train.class_names().len() as u32;
            assert!(splits.train.label(index).is_none_or(|label| label < n_classes), "{what}");
            assert!(!splits.train.name(index).contains('\n'), "{what}");
            if let Err(error) = splits.train.load(index) {
                assert!(!error.reason.is_empty(), "{what}");
            }
        }
        assert!(splits.notes.iter().all(|note| !note.contains('\n')), "{what}: {:?}", splits.notes);
    }
    assert!(start.elapsed() < MOST_TIME, "{what}: it took {:?}", start.elapsed());
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= MOST_BYTES + 100 * n_bytes, "{what}: {taken} bytes were taken");
    if let Err(error) = &opened {
        assert!(!error.reason.is_empty() && !error.hint.is_empty(), "{what}: {error}");
    }
    opened.is_ok()
}

/// Numbers at which sizes, counts and offsets turn.
const TURNS: [u32; 10] = [0, 1, 2, 0xff, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.len() < 8 {
        return;
    }
    let at = rng.below(bytes.len());
    let n = (1 + rng.below(16)).min(bytes.len() - at);
    match rng.below(7) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.bits() as u8,
        2 => bytes.truncate(bytes.len() - rng.below(bytes.len().min(64))),
        3 => drop(bytes.drain(at..at + n)),
        4 => mutations::repeat(bytes, at, n),
        5 => {
            // A digit of a size in a tar header, or of a number in a list.
            mutations::change_a_digit(bytes, rng);
        }
        _ => {
            mutations::overwrite(bytes, at, &TURNS[rng.below(TURNS.len())].to_le_bytes());
        }
    }
}

//! What a trained encoder is used for: features in a file, sheets of neighbors, and maps of where it looks.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use moco::{Encoder, Level};
use tempfile::{TempDir, tempdir};

use crate::support::{here, same_bytes, xtask};

/// A short run, in a folder of its own.
fn trained() -> TempDir {
    let root = tempdir().unwrap();
    let set = ["--set", "epochs=1", "--set", "monitor=[(\"knn\", (every: 1, k: 5))]"];
    xtask(root.path(), ["run", &here("small.ron"), "--out", "run"].iter().copied().chain(set)).done();
    root
}

/// Pictures in `root/photos`, in two class folders, 13 in all, and one that is broken.
fn photos(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for number in 0..13_u32 {
        let (class, hue) = if number < 6 { ("blue", 0) } else { ("green & <red>", 200) };
        let folder = root.join("photos").join(class).join("deep");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = RgbImage::from_fn(30 + number, 40, |x, y| {
            let inside = x.abs_diff(15) + y.abs_diff(20) < 6 + number % 4;
            if inside { Rgb([255, (number * 19) as u8, 0]) } else { Rgb([hue, (x * 3) as u8, (y * 4) as u8]) }
        });
        let path = folder.join(format!("{number:02}.png"));
        picture.save(&path).unwrap();
        paths.push(path.strip_prefix(root).unwrap().to_owned());
    }
    std::fs::write(root.join("photos/blue/00-broken.jpg"), "404 Not Found").unwrap();
    paths
}

/// The shape and the values of an array.
fn npy(path: &Path) -> (Vec<u64>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = str::from_utf8(&bytes[10..10 + length]).unwrap();
    let shape = header.strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (").unwrap();
    let axes = shape.split(", ").map_while(|axis| axis.parse().ok()).collect();
    let (values, rest) = bytes[10 + length..].as_chunks();
    assert!(rest.is_empty());
    (axes, values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn features_of_a_folder_are_written_in_order_with_their_paths() {
    let root = trained();
    let root = root.path();
    let photos = photos(root);
    let outcome = xtask(root, ["embed", "run", "photos", "-o", "out.npy", "--workers", "1"]).done();
    let said = &outcome.stdout;
    assert!(
        said.starts_with("out.npy: 13 rows of 32 features (backbone features, view `eval`, run/"),
        "{outcome}"
    );
    assert!(
        said.contains(", 1 unreadable image skipped\nout.names.txt: the path of each row\n"),
        "{outcome}"
    );
    let told = "skipped: photos/blue/00-broken.jpg: the file has no supported image format";
    assert!(outcome.stderr.contains(told), "{outcome}");

    let (shape, values) = npy(&root.join("out.npy"));
    assert_eq!(shape, [13, 32]);
    let names = std::fs::read_to_string(root.join("out.names.txt")).unwrap();
    assert_eq!(names.lines().map(PathBuf::from).collect::<Vec<_>>(), photos);
    // The same as from Rust.
    let mut encoder = Encoder::load(root.join("run")).unwrap();
    let paths: Vec<PathBuf> = photos.iter().map(|photo| root.join(photo)).collect();
    assert!(bits(encoder.embed(&paths).unwrap().values()) == bits(&values));

    // Other batches and threads, the same file.
    let other = ["embed", "run", "photos", "-o", "other.npy"];
    let machine = ["--batch", "3", "--workers", "3", "--threads", "1"];
    xtask(root, other.into_iter().chain(machine)).done();
    assert!(same_bytes(&root.join("out.npy"), &root.join("other.npy")));
    // The head's features are others, and as wide as the head.
    xtask(root, ["embed", "run", "photos", "-o", "head.npy", "--level", "head", "--encoder", "momentum"])
        .done();
    assert_eq!(npy(&root.join("head.npy")).0, [13, 16]);

    // A table of the same, from files in another order and a list.
    std::fs::write(root.join("list.txt"), format!("{}\n", photos[5].display())).unwrap();
    let (last, first) = (photos[12].display().to_string(), photos[0].display().to_string());
    xtask(root, ["embed", "run", &last, "list.txt", &first, "-o", "out.csv"]).done();
    let mut table = csv::Reader::from_path(root.join("out.csv")).unwrap();
    let head: Vec<String> = table.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!((head.len(), &head[0][..], &head[1][..], &head[32][..]), (33, "path", "f0", "f31"));
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    for (row, (name, place)) in
        rows.iter().zip([(&last, 12), (&photos[5].display().to_string(), 5), (&first, 0)])
    {
        assert_eq!(&row[0], name);
        let read: Vec<f32> = row.iter().skip(1).map(|value| value.parse().unwrap()).collect();
        assert!(bits(&read) == bits(&values[place * 32..(place + 1) * 32]), "{name}");
    }
}

#[test]
fn the_run_s_own_images_need_not_be_named() {
    let root = trained();
    let root = root.path();
    xtask(root, ["embed", "run", "--split", "test", "-o", "test.npy"]).done();
    assert_eq!(npy(&root.join("test.npy")).0, [16, 32]);
    let names = std::fs::read_to_string(root.join("test.names.txt")).unwrap();
    assert_eq!(names.lines().next(), Some("shapes, test image 0"));
    let encoder = Encoder::load(root.join("run")).unwrap();
    assert_eq!(encoder.image_size(), (32, 32));
    let options = moco::EncoderOptions { level: Level::Head, ..moco::EncoderOptions::default() };
    assert_eq!(Encoder::load_with(root.join("run"), &options).unwrap().n_features(), 16);
}

#[test]
fn nothing_is_written_over_and_mistakes_leave_no_file() {
    let root = trained();
    let root = root.path();
    photos(root);
    let embed = |more: &[&str]| xtask(root, ["embed", "run"].iter().chain(more));
    embed(&["photos", "-o", "out.npy"]).done();
    let before = std::fs::read(root.join("out.npy")).unwrap();
    let stderr = embed(&["photos/blue", "-o", "out.npy"]).refused();
    assert!(stderr.contains("`out.npy` already exists"), "{stderr}");
    assert!(stderr.contains("hint: choose another name, or overwrite it with `--force`"), "{stderr}");
    assert!(std::fs::read(root.join("out.npy")).unwrap() == before);
    std::fs::remove_file(root.join("out.npy")).unwrap();
    assert!(embed(&["photos", "-o", "out.npy"]).refused().contains("`out.names.txt` already exists"));
    embed(&["photos/blue", "-o", "out.npy", "--force"]).done();
    assert_eq!(npy(&root.join("out.npy")).0, [6, 32]);

    std::fs::create_dir(root.join("empty")).unwrap();
    let n_files = std::fs::read_dir(root).unwrap().count();
    for (arguments, expected) in [
        (&["nowhere", "-o", "a.npy"][..], "error: nowhere: the file or folder does not exist"),
        (&["empty", "-o", "a.npy"], "error: empty: there are no images in this folder"),
        (&["photos", "-o", "nowhere/a.npy"], "the folder `nowhere` does not exist"),
        (&["photos", "-o", "a.npy", "--view", "evl"], "has no view `evl`"),
        (&["photos", "-o", "a.npy", "--best", "--encoder", "momentum", "--view", "?"], "has no view `?`"),
        (&["photos/blue/00-broken.jpg", "-o", "a.npy"], "none of the 1 images can be read"),
    ] {
        let stderr = embed(arguments).refused();
        assert!(stderr.contains(expected), "{arguments:?}\n{stderr}");
        assert!(stderr.contains("hint: "), "{arguments:?}\n{stderr}");
    }
    let stderr = xtask(root, ["embed", "rnu", "photos", "-o", "a.npy"]).refused();
    assert_eq!(stderr, "error: `rnu` does not exist\nhint: did you mean `run`?\n");
    for number in 0..17 {
        std::fs::write(root.join(format!("photos/broken-{number}.png")), "no image").unwrap();
    }
    let stderr = embed(&["photos", "-o", "a.npy"]).refused();
    assert!(stderr.contains("images cannot be read, and at most 16 may be"), "{stderr}");
    assert!(stderr.contains("`--max-unreadable`"), "{stderr}");
    assert_eq!(std::fs::read_dir(root).unwrap().count(), n_files, "a file is left over");
    embed(&["photos", "-o", "a.npy", "--max-unreadable", "0.9"]).done();
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_it() {
    let root = tempdir().unwrap();
    let stderr = xtask(root.path(), ["embed", "run", "photos", "-o", "a.parquet"]).refused();
    assert!(
        stderr.contains("this build has no parquet") && stderr.contains("--features parquet"),
        "{stderr}"
    );
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_has_the_columns_of_the_csv_file() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    let root = trained();
    let root = root.path();
    let photos = photos(root);
    xtask(root, ["embed", "run", "photos", "-o", "a.parquet"]).done();
    xtask(root, ["embed", "run", "photos", "-o", "a.npy"]).done();
    let (_, values) = npy(&root.join("a.npy"));
    let reader = SerializedFileReader::new(std::fs::File::open(root.join("a.parquet")).unwrap()).unwrap();
    let rows: Vec<parquet::record::Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 13);
    for (row, (photo, values)) in rows.iter().zip(photos.iter().zip(values.chunks(32))) {
        assert_eq!(row.get_string(0).unwrap(), &photo.display().to_string());
        let read: Vec<f32> = (1..33).map(|column| row.get_float(column).unwrap()).collect();
        assert!(bits(&read) == bits(values), "{}", photo.display());
    }
}

#[test]
fn neighbors_are_drawn_with_and_without_labels() {
    let root = trained();
    let root = root.path();
    let photos = photos(root);
    let outcome =
        xtask(root, ["neighbors", "run", "photos", "-o", "sheet.png", "--count", "3", "-k", "4"]).done();
    let said = &outcome.stdout;
    assert!(said.starts_with("sheet.png: 3 query images among 13 images (backbone features"), "{outcome}");
    assert!(said.contains("1 unreadable image skipped"), "{outcome}");
    let sheet = image::open(root.join("sheet.png")).unwrap();
    // Three lines below each image: its similarity, its class and its name.
    assert_eq!((sheet.width(), sheet.height()), (5 * 132 + 4, 3 * 162 + 4));
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with("row ")).collect();
    assert_eq!(rows.len(), 3, "{said}");
    assert_eq!(rows[0], format!("row 1: {} (blue)", photos[0].display()));
    // The nearest come first, and the query is not among them.
    let mut query = "";
    let mut last = f32::INFINITY;
    for line in said.lines().skip(1) {
        if let Some(rest) = line.strip_prefix("row ") {
            (query, last) = (rest.split_once(": ").unwrap().1, f32::INFINITY);
        } else {
            let (similarity, name) = line.trim_start().split_once("  ").unwrap();
            let similarity: f32 = similarity.parse().unwrap();
            assert!(similarity <= last && name != query, "{said}");
            last = similarity;
        }
    }

    // Named queries; a copy under another path is no longer the query.
    std::fs::copy(root.join(&photos[2]), root.join("copy.png")).unwrap();
    let (inside, outside) = (photos[7].display().to_string(), "copy.png");
    let page = ["neighbors", "run", "photos", "-q", &inside, "-q", outside, "-k", "2", "-o", "page.html"];
    xtask(root, page).done();
    let page = std::fs::read_to_string(root.join("page.html")).unwrap();
    assert_eq!(page.matches("<img ").count(), 6);
    assert!(page.contains("green &amp; &lt;red&gt;") && !page.contains("<red>"), "names are markup");
    assert!(page.contains("<b>1.000</b>"), "a copy is as near as can be");
    assert!(page.len() < 60_000 && page.contains(">07.png</span>"), "{} bytes", page.len());
    let stderr = xtask(root, ["neighbors", "run", "photos", "-o", "page.html"]).refused();
    assert!(stderr.contains("`page.html` already exists"), "{stderr}");
    let stderr =
        xtask(root, ["neighbors", "run", "photos", "-o", "b.png", "-q", "photos/blue/00-broken.jpg"]);
    assert!(stderr.refused().contains("none of the 1 images can be read"));
    // Without class folders there is nothing to tell classes by.
    let flat = ["neighbors", "run", "photos/blue/deep", "-o", "flat.png", "--count", "1"];
    let said = xtask(root, flat).done().stdout;
    assert!(said.contains("row 1: photos/blue/deep/00.png\n"), "{said}");
    // Splits are no classes.
    std::fs::create_dir_all(root.join("splits/train")).unwrap();
    std::fs::create_dir_all(root.join("splits/test")).unwrap();
    std::fs::copy(root.join(&photos[1]), root.join("splits/train/a.png")).unwrap();
    std::fs::copy(root.join(&photos[8]), root.join("splits/test/b.png")).unwrap();
    let said = xtask(root, ["neighbors", "run", "splits", "-o", "splits.png", "--count", "1"]).done().stdout;
    assert!(said.contains("row 1: splits/test/b.png\n") && said.ends_with("splits/train/a.png\n"), "{said}");
}

#[test]
fn where_an_encoder_looks_is_drawn_for_both_kinds_of_backbones() {
    let root = trained();
    let root = root.path();
    photos(root);
    let outcome = xtask(root, ["attend", "run", "photos", "--count", "3"]).done();
    let said = "run/evaluations/attend-001/attention.html: similarity of each place of the last feature map with \
                the features, 2 images (backbone features, view `eval`, ";
    assert!(outcome.stdout.starts_with(said), "{outcome}");
    assert!(outcome.stdout.ends_with(", 1 unreadable image skipped\n"), "{outcome}");
    let names = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    };
    let expected =
        ["001-image.png", "001-similarity.png", "002-image.png", "002-similarity.png", "attention.html"];
    assert_eq!(names("run/evaluations/attend-001"), expected);

    let small = "--set epochs=1 --set data.source.train=64";
    let pipeline = here("v3.ron");
    xtask(root, ["run", &pipeline, "--out", "vit"].into_iter().chain(small.split(' '))).done();
    let attend = ["attend", "vit", "photos/green & <red>", "--count", "2", "-o", "maps"];
    let outcome = xtask(root, attend).done();
    let said = "maps/attention.html: attention of the class token in the last block, 2 images";
    assert!(outcome.stdout.starts_with(said), "{outcome}");
    let maps = names("maps");
    assert_eq!(maps.len(), 9, "{maps:?}");
    for name in ["001-image.png", "001-mean.png", "001-head-1.png", "002-head-2.png"] {
        assert!(maps.iter().any(|map| map == name), "{name} is not among {maps:?}");
        let picture = image::open(root.join("maps").join(name)).unwrap();
        assert_eq!((picture.width(), picture.height()), (160, 160));
    }
    let page = std::fs::read_to_string(root.join("maps/attention.html")).unwrap();
    assert_eq!(page.matches("<img ").count(), 8);
    assert!(page.contains("green &amp; &lt;red&gt;") && !page.contains("http"), "names are markup");
    let again = xtask(root, attend).refused();
    assert!(again.contains("`maps` already exists"), "{again}");
    let head = xtask(root, ["attend", "vit", "photos", "--level", "head"]);
    assert_eq!(head.code, Some(2), "{head}");
    assert!(head.stderr.contains("attention is that of the backbone, not of the head"), "{head}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_file() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Command;

    let root = trained();
    let root = root.path();
    photos(root);
    // One file, very often.
    let list = "photos/blue/deep/00.png\n".repeat(200_000);
    std::fs::write(root.join("list.txt"), list).unwrap();
    let mut child = crate::support::start(root, ["embed", "run", "list.txt", "-o", "a.npy"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("note: list.txt: 199999 lines repeat an image of another line, "), "{line}");
    line.clear();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("embedding "), "{line}");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let outcome = child.wait_with_output().unwrap();
    assert_eq!(outcome.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "stopped; nothing was written\n");
    assert!(!root.join("a.npy").exists() && !root.join("a.names.txt").exists());
}

//! Pages that show a run: what is on them, and how a browser shows them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use tempfile::{TempDir, tempdir};

use crate::browser::{chromium, printed, show};
use crate::support::{Outcome, here, same_bytes, start, xtask};

const MONITORS: &str = "monitor=[(\"knn\", (every: 1, k: 5)), (\"feature-collapse\", (every: 1)), (\"linear-probe\", (every: 1, epochs: 2))]";

/// Two short runs, which differ in their seed and their learning rate.
fn trained() -> TempDir {
    let root = tempdir().unwrap();
    for (name, rate) in [("run", "0.06"), ("other", "0.03")] {
        let set = ["--set", MONITORS, "--set"];
        let rate = format!("learning_rate.base={rate}");
        let arguments = ["run", &here("small.ron"), "--out", name].map(str::to_owned).into_iter();
        xtask(root.path(), arguments.chain(set.map(str::to_owned)).chain([rate])).done();
    }
    root
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// `small.ron` with these values, in the folder `name`.
fn run(root: &Path, name: &str, sets: &[&str]) -> Outcome {
    let (small, sets) = (here("small.ron"), sets.iter().flat_map(|set| ["--set", *set]));
    xtask(root, ["run", &small, "--threads", "1", "--out", name].into_iter().chain(sets))
}

/// The tags of the pictures in event files, in the order of their files and places.
fn pictures(events: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(events).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let bytes: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    let starts = bytes.windows(8).enumerate().filter(|(_, window)| *window == b"\x89PNG\r\n\x1a\n");
    let tag = |place: usize| {
        let before = String::from_utf8_lossy(&bytes[place.saturating_sub(40)..place]).into_owned();
        ["views", "map"].into_iter().find(|tag| before.contains(tag)).unwrap_or("?").to_owned()
    };
    starts.map(|(place, _)| tag(place)).collect()
}

#[test]
fn the_page_of_a_run_shows_its_course_its_images_and_its_pipeline() {
    let root = trained();
    let root = root.path();
    assert_eq!(pictures(&root.join("run/events")), ["views", "map"]);
    let outcome = xtask(root, ["report", "run"]).done();
    assert!(outcome.stdout.starts_with("run/report.html: "), "{outcome}");
    assert_eq!(pictures(&root.join("run/events")), ["views", "map"]);
    let page = read(&root.join("run/report.html"));
    for part in [
        "<h1>run</h1>",
        "knn_top1",
        "2 of 2 epochs, complete",
        ">chance ",
        "Learning rate",
        "Momentum",
        "Gradients",
        "Spread of features",
        "Images per second",
        "What the encoder sees",
        "Nearest neighbors",
        "Map of the features",
        "Worst classes",
        "backbone features of step-00000008.safetensors",
        "Pipeline(",
    ] {
        assert!(page.contains(part), "{part} is not on the page");
    }
    for part in ["Not drawn", "<script", "http://", "https://", "NaN"] {
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(part), "{part} is on the page");
    }
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    // The page in the folder is replaced, and is the same.
    std::fs::copy(root.join("run/report.html"), root.join("first.html")).unwrap();
    xtask(root, ["report", "run", "--workers", "1", "--threads", "1"]).done();
    assert!(same_bytes(&root.join("first.html"), &root.join("run/report.html")));
    // Elsewhere, a file is never replaced without a word.
    let stderr = xtask(root, ["report", "run", "-o", "first.html"]).refused();
    assert!(stderr.contains("`first.html` already exists"), "{stderr}");
    xtask(root, ["report", "run", "-o", "first.html", "--force", "--no-images"]).done();
    assert!(!read(&root.join("first.html")).contains("Nearest neighbors"));
}

#[test]
fn several_runs_are_shown_beside_each_other() {
    let root = trained();
    let root = root.path();
    let outcome = xtask(root, ["report", "run", "other"]).done();
    assert!(outcome.stdout.starts_with("report.html: "), "{outcome}");
    let page = read(&root.join("report.html"));
    for part in ["<h1>2 runs</h1>", "learning_rate.base", "<code>0.06</code>", "<code>0.03</code>"] {
        assert!(page.contains(part), "{part} is not on the page");
    }
    assert!(!page.contains("Nearest neighbors") && !page.contains("<code>seed</code>"));
    let stderr = xtask(root, ["report", "run", "other"]).refused();
    assert!(stderr.contains("`report.html` already exists"), "{stderr}");
    let stderr = xtask(root, ["report", "run", "rnu"]).refused();
    assert_eq!(stderr, "error: `rnu` does not exist\nhint: did you mean `run`?\n");
}

#[test]
fn a_run_that_failed_or_collapsed_says_so_on_its_page() {
    let root = tempdir().unwrap();
    let root = root.path();
    let too_fast = ["learning_rate=(base: 1e30, scale: Absolute)", r#"schedule=("constant", ())"#];
    run(root, "diverged", &too_fast).refused();
    xtask(root, ["report", "diverged", "--no-images"]).done();
    let page = read(&root.join("diverged/report.html"));
    let failed = "Training failed: training has diverged at epoch 1, step ";
    assert!(page.contains(failed) && page.contains("0 of 2 epochs, failed<"), "{page}");

    // As the terminal says it, on the page that the run writes at its end.
    let watched = r#"monitor=[("feature-collapse", (every: 1))]"#;
    let told = run(root, "collapsed", &[watched, "learning_rate.base=1e3", "epochs=3"]).done().stderr;
    let note =
        told.lines().find_map(|line| line.strip_prefix("note: the encoder has collapsed: ")).expect(&told);
    let said = "The encoder has collapsed: ";
    let page = read(&root.join("collapsed/report.html"));
    assert!(page.contains(said) && page.contains(note.split(';').next().unwrap()), "{note}");
    run(root, "usual", &[watched]).done();
    assert!(!read(&root.join("usual/report.html")).contains("The encoder has"));

    xtask(root, ["report", "diverged", "collapsed", "-o", "both.html"]).done();
    let page = read(&root.join("both.html"));
    for part in [format!("<b>diverged: </b>{failed}"), format!("<b>collapsed: </b>{said}")] {
        assert!(page.contains(&part), "{part} is not on the page");
    }
}

#[test]
fn what_decides_the_best_checkpoint_is_first_and_epoch_0_is_told_where_it_was_measured() {
    let root = tempdir().unwrap();
    let root = root.path();
    // No accuracy, so that another metric stands in; it is not the first by name.
    let monitors = r#"monitor=[("alignment-uniformity", (every: 1, view: "query", images: 16)), ("feature-collapse", (every: 1)), ("key-drift", (every: 1))]"#;
    run(root, "run", &[monitors]).done();
    let page = read(&root.join("run/report.html"));
    let (_, tiles) = page.split_once("<dl class=\"tiles\">").unwrap();
    let first = tiles.split("</div>").next().unwrap();
    assert!(first.starts_with("<div><dt>effective_rank</dt>"), "{first}");
    assert!(first.ends_with("decides the best checkpoint</dd>"), "{first}");
    let chart = |name: &str| -> String {
        let (_, caption) = page.split_once(&format!("<b>{name}</b>")).unwrap();
        caption.split("</figcaption>").next().unwrap().to_owned()
    };
    assert!(chart("alignment").contains("Epoch 0 is the untrained encoder"), "{}", chart("alignment"));
    let drift = chart("key_drift_newest");
    assert!(!drift.to_lowercase().contains("epoch 0"), "{drift}");
}

/// A run whose images are class folders, 60 images in all.
fn of_folders(root: &Path) {
    for number in 0..60_u32 {
        let class = ["green", "blue"][number as usize % 2];
        let folder = root.join("data/train").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        let picture = RgbImage::from_fn(40, 30, |x, y| {
            let [r, b] = if class == "blue" { [20, 200] } else { [200, 20_u32] };
            Rgb([r as u8, (x * 3 + number) as u8, (y + b) as u8])
        });
        picture.save(folder.join(format!("{number:02}.png"))).unwrap();
    }
    let source = "data.source=(\"class-folders\", (root: \"data\"))";
    let set = ["--set", "epochs=1", "--set", "monitor=[]", "--set", source];
    xtask(root, ["run", &here("small.ron"), "--out", "run"].into_iter().chain(set)).done();
}

#[test]
fn what_cannot_be_drawn_is_told_on_the_page() {
    let root = tempdir().unwrap();
    let root = root.path();
    of_folders(root);
    xtask(root, ["report", "run"]).done();
    let page = read(&root.join("run/report.html"));
    assert!(
        page.contains("Neighbors, map and classes show the 60 training images")
            && !page.contains("Not drawn")
    );
    std::fs::rename(root.join("data"), root.join("moved")).unwrap();
    xtask(root, ["report", "run"]).done();
    let page = read(&root.join("run/report.html"));
    assert!(
        page.contains("Not drawn: the images of the run cannot be opened: data"),
        "the images have moved"
    );
    assert!(page.contains(">Loss</b>"), "its course is still there");
    xtask(root, ["report", "run", "--data-root", "data=moved"]).done();
    assert!(!read(&root.join("run/report.html")).contains("Not drawn"));
    // A run that has just begun has no epoch to show.
    std::fs::remove_file(root.join("run/metrics.jsonl")).unwrap();
    xtask(root, ["report", "run", "--no-images"]).done();
    assert!(read(&root.join("run/report.html")).contains("run has no complete epoch yet."));
}

#[test]
fn a_map_is_the_same_file_for_the_same_seed() {
    let root = tempdir().unwrap();
    let root = root.path();
    of_folders(root);
    let map =
        |out: &str, more: &[&str]| xtask(root, ["map", "run", "-o", out].iter().chain(more)).done().stdout;
    let said = map("a.html", &[]);
    assert!(said.starts_with("a.html: 60 images (PCA, ") && said.contains("% of the variance"), "{said}");
    map("b.html", &["--threads", "1", "--workers", "1"]);
    assert!(same_bytes(&root.join("a.html"), &root.join("b.html")));
    let page = read(&root.join("a.html"));
    assert!(
        page.contains("blue <span") && page.contains("30.png, green") && !page.contains("https:"),
        "{said}"
    );

    for (out, again, more) in [
        ("a.png", "b.png", &["--method", "tsne"][..]),
        ("a.csv", "b.csv", &["--method", "tsne", "--clusters", "3", "--seed", "7"]),
    ] {
        map(out, more);
        map(again, &[more, &["--threads", "1"]].concat());
        assert!(same_bytes(&root.join(out), &root.join(again)), "{out}");
    }
    let table = read(&root.join("a.csv"));
    assert_eq!((table.lines().next(), table.lines().count()), (Some("path,x,y,cluster"), 61));

    // Fewer images, evenly spread, and images of one's own.
    let said = map("c.csv", &["--limit", "20", "--split", "train"]);
    assert!(said.starts_with("c.csv: 20 images of 60, evenly spread"), "{said}");
    assert_eq!(read(&root.join("c.csv")).matches(",blue").count(), 10);
    let said = xtask(root, ["map", "run", "data/train/blue", "-o", "d.csv"]).done().stdout;
    assert!(said.starts_with("d.csv: 30 images"), "{said}");
    assert!(read(&root.join("d.csv")).starts_with("path,x,y,cluster\n"), "one folder is no class");
    let stderr = xtask(root, ["map", "run", "-o", "d.csv"]).refused();
    assert!(stderr.contains("`d.csv` already exists"), "{stderr}");
    let stderr = xtask(root, ["map", "run", "--split", "test", "-o", "e.csv"]).refused();
    assert!(stderr.contains("has no test images"), "{stderr}");
}

#[test]
fn a_browser_shows_pages_whole_in_narrow_and_in_wide_windows() {
    let Some(chromium) = chromium() else { return };
    let root = trained();
    let root = root.path();
    xtask(root, ["report", "run"]).done();
    xtask(root, ["report", "run", "other", "-o", "both.html"]).done();
    xtask(root, ["map", "run", "-o", "map.html"]).done();
    xtask(root, ["neighbors", "run", "--split", "test", "-o", "neighbors.html"]).done();
    xtask(root, ["attend", "run", "--split", "test", "--count", "3", "-o", "maps"]).done();
    for page in ["run/report.html", "both.html", "map.html", "neighbors.html", "maps/attention.html"] {
        for width in [400, 1280] {
            let drawn = show(&chromium, &root.join(page), width);
            let [content, window] = drawn.widths;
            assert!(content <= window && window == width, "{page}: {content} of {window} px");
            assert_eq!((drawn.n_broken, drawn.n_tiny), (0, 0), "{page}: {drawn:?}");
            assert!(drawn.console.is_empty(), "{page}: {:?}", drawn.console);
            assert!(drawn.n_images > 0 || page == "both.html" || page == "map.html", "{page}: {drawn:?}");
        }
    }
    // Half as wide as paper is, for twice as many metrics.
    for page in ["run/report.html", "both.html"] {
        let drawn = printed(&chromium, &root.join(page), 400);
        assert_eq!(drawn.n_cut, 0, "{page}: {drawn:?}");
    }
}

/// The head and the body of what is answered.
fn get(address: &str, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn a_page_that_is_served_is_another_after_an_epoch_and_only_for_this_machine() {
    let root = trained();
    let root = root.path();
    // The one from the end of the run.
    std::fs::remove_file(root.join("run/report.html")).unwrap();
    let mut server = start(root, ["report", "run", "--serve", "0", "--no-images"]);
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{line}");
    let (head, page) = get(&address, "/", &address);
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/html"), "{head}");
    assert!(page.contains("<h1>run</h1>") && page.contains("setInterval"), "it shows itself anew");
    let version = |address: &str| get(address, "/version", address).1;
    let first = version(&address);
    assert!(page.contains(&format!("'{}'", first.trim())), "{first}");
    for (path, host, code) in [("/", "example.org", "403"), ("/pipeline.ron", &address[..], "404")] {
        let (head, _) = get(&address, path, host);
        assert!(head.starts_with(&format!("HTTP/1.1 {code}")), "{path} of {host}: {head}");
    }
    // A line of the log is an epoch.
    let metrics = root.join("run/metrics.jsonl");
    let text = read(&metrics);
    std::fs::write(&metrics, format!("{text}{{\"step\": 12, \"epoch\": 3, \"loss\": 3.0}}\n")).unwrap();
    let began = Instant::now();
    while version(&address) == first {
        assert!(began.elapsed() < Duration::from_secs(60), "the page stays as it was");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(get(&address, "/", &address).1.contains("mean of epoch 3"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(!root.join("run/report.html").exists(), "a page that is served is no file");
}

#[test]
fn watching_a_run_that_nobody_trains_writes_its_page_once() {
    let root = trained();
    let outcome = xtask(root.path(), ["report", "run", "--watch", "--no-images"]).done();
    assert!(outcome.stdout.ends_with("no process trains this run now\n"), "{outcome}");
    assert_eq!(outcome.stdout.matches("run/report.html").count(), 1, "{outcome}");
}

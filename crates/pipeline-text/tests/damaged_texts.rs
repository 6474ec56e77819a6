//! Damaged pipelines and arguments of `--set`: no panic, no long wait, no memory out of proportion, and a text whose tree is its
//! own or a fault that can be drawn.
//!
//! `MOCO_MUTATIONS=100000` damages every text so many times, and `MOCO_MUTATIONS_SEED` does it in other ways.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use pipeline_text::{Checked, Color, Node, PipelineText};
use plugin_api::Rng;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How often each text is damaged where nothing else is asked for: seconds in all.
const N_MUTATIONS: usize = 200;
/// What one may take, besides a thousand times its length: trees are compared as texts.
const MOST_BYTES: usize = 2 << 20;
/// Far above what one takes.
const MOST_TIME: Duration = Duration::from_secs(2);

/// The pipelines of the repository, and one with what they do not have.
fn seeds() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders =
        ["pipelines", "pipelines/cifar10", "pipelines/imagenet", "tests"].map(|folder| root.join(folder));
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "ron")).collect();
    paths.sort();
    let read = |path: &PathBuf| (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    let mut seeds: Vec<(String, String)> = paths.iter().map(read).collect();
    assert!(seeds.len() > 5);
    let odd = "#![enable(implicit_some)]\n/* a /* b */ c */ (name: r#\"a\"b\"#, x: 'c', y: '\\'', \
               views: {\"a\": Like(\"b\"), \"b\": [(\"fl\\u{69}p\", (p: -1.5e-3)), \"é\"]}, r#type: Some(1), z: ())";
    seeds.push(("odd".into(), odd.into()));
    seeds
}

const ARGUMENTS: [&str; 7] = [
    "data.batch=64",
    "modules.backbone=(\"resnet\", (depth: 18, width: 4))",
    "views.query.flip.p=0.5",
    "views={\"a\": Like(\"b\"), \"b\": []}",
    "graph.q.on=[\"query\"]",
    "name=\"a\\\"b\"",
    "checkpoint=(keep: 1)",
];

/// Pieces with which a text turns into another one.
const PIECES: [&str; 24] = [
    "(", ")", "[", "]", "{", "}", "\"", "'", ",", ":", "=", ".", "\\", "/*", "*/", "//", "\n", "#", "r#\"",
    "é", "Like(", "\\u{6e}", "\u{feff}", "#![",
];

fn damage(text: &mut String, rng: &mut Rng) {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let place = |rng: &mut Rng| places[rng.below(places.len())];
    let (a, b) = (place(rng), place(rng));
    let (from, to) = (
        a.min(b),
        a.max(b).min(places[places.partition_point(|at| *at <= a.min(b) + 12).min(places.len() - 1)]),
    );
    match rng.below(6) {
        0 => text.insert_str(a, PIECES[rng.below(PIECES.len())]),
        1 => text.replace_range(from..to.max(from), PIECES[rng.below(PIECES.len())]),
        2 => text.replace_range(from..to.max(from), ""),
        3 => text.truncate(a),
        4 => {
            let again = text[from..to.max(from)].to_owned();
            text.insert_str(b, &again);
        }
        _ => text.insert_str(a, &PIECES[rng.below(PIECES.len())].repeat(1 + rng.below(200))),
    }
}

fn judge(text: &str, arguments: &[String]) -> Checked<()> {
    let mut whole = PipelineText::new("a.ron", text)?;
    for argument in arguments {
        whole.set(argument)?;
    }
    whole.write_out_views()?;
    let again =
        Node::parse(&whole.text).map_err(|error| whole.fault(error.span, error.message, error.hint))?;
    assert_eq!(format!("{:?}", whole.tree), format!("{again:?}"));
    // Places can be shown.
    for at in (0..=whole.text.len()).step_by(37).filter(|at| whole.text.is_char_boundary(*at)) {
        let fault = whole.fault(at..at, "x", None);
        assert!(fault.span.start <= fault.span.end && fault.span.end <= fault.text.len());
    }
    Ok(())
}

/// One test, because the allocator counts the whole program.
#[test]
fn every_text_is_judged_soon_and_in_little_memory() {
    damaged_texts_are_pipelines_or_faults();
    the_longest_texts_are_judged_soon();
}

fn damaged_texts_are_pipelines_or_faults() {
    let n_mutations = mutations::rounds(N_MUTATIONS);
    let seed = mutations::seed();
    let mut n_whole = 0;
    let seeds = seeds();
    for (i, (name, whole)) in seeds.iter().enumerate() {
        for round in 0..n_mutations {
            let mut rng = Rng::new(seed, "mutations of texts", &[round as u64, i as u64]);
            let mut text = whole.clone();
            (0..rng.below(3)).for_each(|_| damage(&mut text, &mut rng));
            let arguments: Vec<String> = (0..rng.below(3))
                .map(|_| {
                    let mut argument = ARGUMENTS[rng.below(ARGUMENTS.len())].to_owned();
                    (0..rng.below(2)).for_each(|_| damage(&mut argument, &mut rng));
                    argument
                })
                .collect();
            let what = format!("{name}, seed {seed}, round {round}");
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let start = Instant::now();
            match judge(&text, &arguments) {
                Ok(()) => n_whole += 1,
                Err(fault) => {
                    assert!(!fault.message.is_empty(), "{what}");
                    assert!(fault.span.end <= fault.text.len(), "{what}: {:?}", fault.span);
                    let (line, column) = fault.position();
                    assert!(line > 0 && column > 0 && !fault.render(Color::No).is_empty(), "{what}");
                }
            }
            let n_bytes = text.len() + arguments.iter().map(String::len).sum::<usize>();
            let taken = MEMORY.peak_usage().saturating_sub(before);
            assert!(taken <= MOST_BYTES + 1000 * n_bytes, "{what}: {taken} bytes were taken");
            assert!(start.elapsed() < MOST_TIME, "{what}: it took {:?}", start.elapsed());
        }
    }
    // The damage must not hide what comes after reading.
    assert!(n_whole > seeds.len() * n_mutations / 5, "only {n_whole} were whole");
}

fn the_longest_texts_are_judged_soon() {
    let unclosed = format!("(name: \"{}", "x".repeat(1_000_000));
    let keys = format!("(a: {{{}}})", (0..32_000).map(|i| format!("\"{i}\": 1,")).collect::<String>());
    let brackets = "(".repeat(1_000_000);
    let comments = "/*".repeat(500_000);
    let blank = " ".repeat(1_000_000);
    let lines = "\n".repeat(1_000_000);
    for text in [&unclosed, &keys, &brackets, &comments, &blank, &lines] {
        MEMORY.reset_peak_usage();
        let start = Instant::now();
        match PipelineText::new("a.ron", text) {
            Ok(whole) => drop(whole.tree.twice()),
            Err(fault) => assert!(!fault.render(Color::No).is_empty() && fault.position().0 > 0),
        }
        let begin: String = text.chars().take(20).collect();
        assert!(start.elapsed() < MOST_TIME, "{begin}: it took {:?}", start.elapsed());
        assert!(MEMORY.peak_usage() < 512 << 20, "{begin}: {} bytes", MEMORY.peak_usage());
    }
}

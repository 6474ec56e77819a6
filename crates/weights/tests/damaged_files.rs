//! Damaged files of weights, whole: no panic, no memory out of proportion, no long wait, and weights or a reason.
//!
//! `MOCO_MUTATIONS=100000` damages every file so many times, and `MOCO_MUTATIONS_SEED` does it in other ways.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use plugin_api::Rng;
use run_store::checkpoint::Stored;
use weights::{Tensors, WeightFile, write_safetensors};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How often each file is damaged where nothing else is asked for: seconds in all.
const N_MUTATIONS: usize = 150;
/// What reading may take, besides fifty times the length of the file: buffers.
const MOST_BYTES: usize = 8 << 20;
/// Far above what one takes.
const MOST_TIME: Duration = Duration::from_secs(2);

/// Files by name: what PyTorch has written, and safetensors.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored");
    let files = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let is_one =
            |path: &PathBuf| path.extension().is_some_and(|ending| ending == "pth" || ending == "pkl");
        entries.filter(is_one).collect()
    };
    let mut paths = [files(&root), files(&root.join("cases"))].concat();
    paths.sort();
    let read = |path: &PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    };
    let mut seeds: Vec<(String, Vec<u8>)> = paths.iter().map(read).collect();
    assert!(seeds.len() > 15);
    let tensors = Tensors::from([
        ("conv1.weight".into(), Stored::F32 { shape: vec![2, 3, 1, 1], values: vec![0.5; 6] }),
        ("bn1.running_var".into(), Stored::F32 { shape: vec![2], values: vec![1.0; 2] }),
        ("bn1.num_batches_tracked".into(), Stored::U64(vec![7])),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.safetensors");
    write_safetensors(&path, &tensors, &BTreeMap::from([("a".into(), "b".into())])).unwrap();
    seeds.push(("safetensors".into(), std::fs::read(path).unwrap()));
    seeds
}

/// Numbers at which lengths, counts and offsets turn.
const TURNS: [u32; 10] = [0, 1, 2, 0xff, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.len() < 8 {
        return;
    }
    // Headers and directories have more to go wrong than values.
    let at = match rng.below(3) {
        0 => rng.below(bytes.len().min(200)),
        1 => bytes.len() - 1 - rng.below(bytes.len().min(400)),
        _ => rng.below(bytes.len()),
    };
    let n = (1 + rng.below(16)).min(bytes.len() - at);
    match rng.below(7) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.bits() as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..at + n)),
        4 => mutations::repeat(bytes, at, n),
        5 => {
            // A digit of a shape or an offset.
            mutations::change_a_digit(bytes, rng);
        }
        _ => {
            mutations::overwrite(bytes, at, &TURNS[rng.below(TURNS.len())].to_le_bytes());
        }
    }
}

#[test]
fn damaged_files_are_weights_or_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let n_mutations = mutations::rounds(N_MUTATIONS);
    let seed = mutations::seed();
    let mut n_opened = 0;
    for (i, (name, whole)) in seeds().iter().enumerate() {
        for round in 0..n_mutations {
            let mut rng = Rng::new(seed, "mutations of weights", &[round as u64, i as u64]);
            let mut bytes = whole.clone();
            (0..rng.below(4)).for_each(|_| damage(&mut bytes, &mut rng));
            std::fs::write(&path, &bytes).unwrap();
            n_opened +=
                usize::from(check(&path, bytes.len(), &format!("{name}, seed {seed}, round {round}")));
        }
    }
    // The damage must not hide what comes after opening.
    assert!(n_opened > n_mutations * 4, "only {n_opened} were opened");
}

/// Whether it could be opened.
fn check(path: &Path, n_bytes: usize, what: &str) -> bool {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let start = Instant::now();
    let opened = WeightFile::open(path);
    let is_open = opened.is_ok();
    match &opened {
        Ok(file) => assert!(file.names().count() <= n_bytes, "{what}"),
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.to_string().contains('\n'), "{what}: {error}")
        }
    }
    drop(opened);
    if let Ok(tensors) = weights::read(path) {
        let n_values = |stored: &Stored| match stored {
            Stored::F32 { shape, values } => {
                assert_eq!(shape.iter().product::<usize>(), values.len(), "{what}");
                values.len()
            }
            Stored::U64(values) => values.len(),
        };
        assert!(tensors.values().map(n_values).sum::<usize>() <= n_bytes, "{what}");
    }
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= MOST_BYTES + 50 * n_bytes, "{what}: {taken} bytes were taken");
    assert!(start.elapsed() < MOST_TIME, "{what}: it took {:?}", start.elapsed());
    is_open
}

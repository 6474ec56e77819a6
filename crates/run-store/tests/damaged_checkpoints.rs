//! Damaged checkpoints: no panic, no memory out of proportion, and an error unless every byte is as it was.
//!
//! `MOCO_MUTATIONS=100000` damages one so many times, and `MOCO_MUTATIONS_SEED` does it in other ways.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use plugin_api::Rng;
use run_store::checkpoint::{self, Snapshot, Stored};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How often one is damaged where nothing else is asked for: seconds in all.
const N_MUTATIONS: usize = 5000;
/// What reading may take, besides a hundred times the length of the file.
const MOST_BYTES: usize = 1 << 20;
/// Far above what one takes.
const MOST_TIME: Duration = Duration::from_secs(2);

fn snapshot() -> Snapshot {
    Snapshot {
        tensors: BTreeMap::from([
            ("backbone.conv1.weight".into(), Stored::F32 { shape: vec![2, 3], values: vec![0.5; 6] }),
            ("queue.keys".into(), Stored::F32 { shape: vec![0, 4], values: vec![] }),
            ("steps".into(), Stored::U64(vec![1, 2, 3])),
        ]),
        metadata: BTreeMap::from([("pipeline".into(), "Pipeline(\n  name: \"a\")".into())]),
    }
}

/// Numbers at which lengths turn.
const TURNS: [u64; 8] = [0, 1, 0xff, 0xffff, 0xffff_ffff, 1 << 40, u64::MAX - 7, u64::MAX];

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.len() < 9 {
        return;
    }
    let at = rng.below(bytes.len());
    let n = (1 + rng.below(16)).min(bytes.len() - at);
    match rng.below(7) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.bits() as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..at + n)),
        4 => mutations::repeat(bytes, at, n),
        5 => bytes[..8].copy_from_slice(&TURNS[rng.below(TURNS.len())].to_le_bytes()),
        _ => mutations::change_a_digit(bytes, rng),
    }
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    checkpoint::write(&path, &snapshot()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let seed = mutations::seed();
    for round in 0..mutations::rounds(N_MUTATIONS) {
        let mut rng = Rng::new(seed, "mutations of checkpoints", &[round as u64]);
        let mut bytes = whole.clone();
        (0..1 + rng.below(3)).for_each(|_| damage(&mut bytes, &mut rng));
        std::fs::write(&path, &bytes).unwrap();
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let start = Instant::now();
        match checkpoint::read(&path) {
            Ok(read) => assert!(bytes == whole && read == snapshot(), "seed {seed}, round {round}"),
            Err(error) => assert!(
                bytes != whole && !error.to_string().is_empty(),
                "seed {seed}, round {round}: {error}"
            ),
        }
        assert_eq!(
            checkpoint::from_bytes(&path, &bytes).is_ok(),
            bytes == whole,
            "seed {seed}, round {round}"
        );
        let _ = checkpoint::read_metadata(&path);
        let taken = MEMORY.peak_usage().saturating_sub(before);
        assert!(
            taken <= MOST_BYTES + 100 * bytes.len(),
            "seed {seed}, round {round}: {taken} bytes were taken"
        );
        assert!(start.elapsed() < MOST_TIME, "seed {seed}, round {round}: it took {:?}", start.elapsed());
    }
}

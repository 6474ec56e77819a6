//! Damaged files of every kind: no panic of ours, no more memory than the limit, and an image that is one or a reason.
//!
//! `MOCO_MUTATIONS=100000` damages every file so many times, and `MOCO_MUTATIONS_SEED` does it in other ways.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use datasets::{MAX_DECODING_BYTES, MAX_PIXELS, Orientation, ReadOptions, decode_bytes};
use peak_alloc::PeakAlloc;
use plugin_api::Rng;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How often each file is damaged where nothing else is asked for: seconds in all.
const N_MUTATIONS: usize = 2000;
/// Decoding takes no longer than this, on a slow machine with other work.
const MOST_TIME: Duration = Duration::from_secs(60);

/// Where code has panicked. A decoder of others may: it is caught.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn damaged_files_are_errors_or_images_within_the_limits() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload().downcast_ref::<String>().filter(|_| is_ours(&place));
        PANICS.lock().unwrap().push(format!("{place} {}", message.map_or("", String::as_str)));
    }));
    let outcome = std::panic::catch_unwind(damage_all);
    let _ = std::panic::take_hook();
    let mut places = PANICS.lock().unwrap().clone();
    places.sort_unstable();
    places.dedup();
    assert!(outcome.is_ok(), "{places:#?}");
    assert!(places.iter().all(|place| !is_ours(place)), "{places:#?}");
}

fn is_ours(place: &str) -> bool {
    place.replace('\\', "/").contains("crates/datasets/") || place.starts_with("src/")
}

fn damage_all() {
    let seeds = seeds();
    let options = [
        ReadOptions::default(),
        ReadOptions { bands: Some(vec![0]), ..ReadOptions::default() },
        ReadOptions { bands: Some(vec![2, 1, 0, 3]), range: Some((0.0, 4095.0)), ..ReadOptions::default() },
        ReadOptions { range: Some((-1.5, 1e30)), orientation: Orientation::Exif, ..ReadOptions::default() },
    ];
    let n_mutations = mutations::rounds(N_MUTATIONS);
    let seed = mutations::seed();
    for round in 0..n_mutations {
        for (i, (name, bytes)) in seeds.iter().enumerate() {
            let mut rng = Rng::new(seed, "mutations", &[round as u64, i as u64]);
            let mut damaged = bytes.clone();
            for _ in 0..=rng.below(3) {
                damage(&mut damaged, &seeds[rng.below(seeds.len())].1, &mut rng);
            }
            if rng.below(4) > 0 {
                mend_checksums(&mut damaged);
            }
            check(&damaged, &options[round % options.len()], &format!("{name}, seed {seed}, round {round}"));
        }
    }
}

/// Files by name.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = seeds_of("files.zip");
    if cfg!(feature = "jxl") {
        seeds.extend(seeds_of("jxl.zip"));
    }
    if cfg!(feature = "npy") {
        for (kind, shape, n_bytes) in
            [("|u1", "(3, 4)", 12), (">u2", "(2, 5, 3)", 60), ("<f4", "(3, 4, 5)", 240)]
        {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
            let start = [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes()].concat();
            seeds.push((format!("{kind} {shape}"), [start, header.into_bytes(), vec![9; n_bytes]].concat()));
        }
    }
    assert!(seeds.len() > 400);
    seeds
}

fn seeds_of(archive: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pillow").join(archive);
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut seeds = Vec::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).unwrap();
        let name = entry.name().unwrap().into_owned();
        if !name.ends_with(".pixels") {
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes).unwrap();
            seeds.push((name, bytes));
        }
    }
    seeds
}

fn check(bytes: &[u8], options: &ReadOptions, what: &str) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let start = Instant::now();
    let outcome = decode_bytes(bytes, options);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    // A file without its last chunk is copied.
    let most = MAX_DECODING_BYTES + 2 * bytes.len();
    assert!(taken <= most, "{what}: {taken} bytes were taken");
    assert!(start.elapsed() < MOST_TIME, "{what}: it took {:?}", start.elapsed());
    match outcome {
        Ok(image) => {
            assert!((1..=MAX_PIXELS).contains(&(image.width * image.height)), "{what}");
            assert_eq!(image.channels, options.channels(), "{what}");
            assert_eq!(image.values.len(), image.width * image.height * image.channels, "{what}");
        }
        Err(reason) => assert!(!reason.is_empty() && !reason.contains('\n'), "{what}: {reason}"),
    }
}

/// Numbers at which sizes, counts and offsets turn.
const TURNS: [u32; 12] = [0, 1, 2, 8, 0x7f, 0xff, 0x100, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];

fn damage(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if bytes.len() < 8 {
        return;
    }
    // Headers have more to go wrong than pixels.
    let within = if rng.below(2) == 0 { bytes.len().min(128) } else { bytes.len() };
    let at = rng.below(within);
    let n = (1 + rng.below(16)).min(bytes.len() - at);
    match rng.below(9) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.bits() as u8,
        2 => bytes.truncate(rng.below(bytes.len())),
        3 => drop(bytes.drain(at..at + n)),
        4 => {
            let noise: Vec<u8> = (0..n).map(|_| rng.bits() as u8).collect();
            bytes.splice(at..at, noise);
        }
        5 => mutations::repeat(bytes, at, n),
        6 if !other.is_empty() => {
            let from = rng.below(other.len());
            let there = other[from..].iter().copied().take(n);
            bytes.splice(at..at + n, there.collect::<Vec<_>>());
        }
        kind => {
            let turn = TURNS[rng.below(TURNS.len())];
            let field = if rng.below(2) == 0 { turn.to_le_bytes() } else { turn.to_be_bytes() };
            let field = if kind == 7 && rng.below(2) == 0 { &field[..2] } else { &field[..] };
            mutations::overwrite(bytes, at, field);
        }
    }
}

/// Makes the chunks of a PNG file valid again, so that damage reaches what is in them.
fn mend_checksums(bytes: &mut [u8]) {
    if !bytes.starts_with(b"\x89PNG") {
        return;
    }
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = at.saturating_add(8).saturating_add(length);
        let Some(chunk) = bytes.get(at + 4..end) else { return };
        let checksum = crc32(chunk).to_be_bytes();
        let Some(place) = bytes.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&checksum);
        at = end + 4;
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

//! Damaged pickles: whatever is in one, it is read or refused, soon and in little memory.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use plugin_api::Rng;

use super::contents::contents;
use super::opcode::*;
use super::pickle::read_pickle;

/// Damaged copies of each file. `MOCO_MUTATIONS` says another number.
const N_MUTATIONS: usize = 300;
/// Far above what one takes.
const MOST_TIME: Duration = Duration::from_secs(10);

/// The pickle in a file of `torch.save`.
fn pickle(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored").join(name);
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let entry =
        archive.file_names().flatten().map(|name| name.into_owned()).find(|name| name.ends_with("data.pkl"));
    let mut bytes = Vec::new();
    archive.by_name(&entry.unwrap()).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Instructions that move what is there to where it was not meant to be.
const INSTRUCTIONS: [u8; 24] = [
    MARK,
    STOP,
    POP,
    POP_MARK,
    DUP,
    NONE,
    REDUCE,
    BINPERSID,
    BUILD,
    APPEND,
    APPENDS,
    SETITEM,
    SETITEMS,
    TUPLE,
    TUPLE1,
    TUPLE2,
    LIST,
    DICT,
    NEWOBJ,
    NEWOBJ_EX,
    OBJ,
    STACK_GLOBAL,
    MEMOIZE,
    EMPTY_DICT,
];

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len());
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = INSTRUCTIONS[rng.below(INSTRUCTIONS.len())],
            2 => bytes.insert(at, INSTRUCTIONS[rng.below(INSTRUCTIONS.len())]),
            3 if bytes.len() > 1 => drop(bytes.remove(at)),
            4 => bytes.truncate(at + 1),
            _ => {
                let end = (at + 1 + rng.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = rng.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}

#[test]
fn damaged_pickles_are_read_or_refused_and_nothing_else() {
    let n = ::mutations::rounds(N_MUTATIONS);
    let path = Path::new("damaged.pth");
    for name in [
        "archive.pth",
        "beside2.pth",
        "beside5.pth",
        "code_archive.pth",
        "cases/dino_full.pth",
        "cases/numpy_best.pth",
    ] {
        let whole = pickle(name);
        let (arena, root) = read_pickle(&mut whole.as_slice()).unwrap();
        assert!(!contents(path, &arena, root).unwrap().is_empty(), "{name}");
        for i in 0..n {
            let mut rng = Rng::new(i as u64, name, &[]);
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut rng);
            let start = Instant::now();
            if let Ok((arena, root)) = read_pickle(&mut bytes.as_slice()) {
                // Values are made from bytes, and few from each.
                assert!(arena.len() <= bytes.len(), "{name}, {i}: {} values", arena.len());
                let _ = contents(path, &arena, root);
            }
            assert!(start.elapsed() < MOST_TIME, "{name}, {i}: {:?}", start.elapsed());
        }
    }
}

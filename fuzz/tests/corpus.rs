//! Every function takes the files of its corpus.

use std::path::Path;

use fuzz_targets::{TARGETS, allow_decoders_to_give_up};

#[test]
fn every_file_of_a_corpus_is_taken() {
    allow_decoders_to_give_up();
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let folders = std::fs::read_dir(&corpora).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "each folder of {} is of one function", corpora.display());
    for (name, target) in TARGETS {
        let folder = corpora.join(name);
        let files =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut n_files = 0;
        for file in files {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(bytes.len() < 1 << 16, "{} is no small file", path.display());
            let given = std::panic::catch_unwind(|| target(&bytes));
            assert!(given.is_ok(), "{name} breaks at {}", path.display());
            n_files += 1;
        }
        assert!(n_files > 0, "{} is empty", folder.display());
    }
}

//! Files of values.

use std::path::Path;

use run_store::checkpoint::{self as checkpoints, Stored};
use tensor_ops::Device;
use weights::WeightFile;

/// Checkpoints of runs: one that is read is written as it was.
pub fn checkpoint(bytes: &[u8]) {
    let path = Path::new("a.safetensors");
    match checkpoints::from_bytes(path, bytes) {
        Ok(snapshot) => assert!(checkpoints::from_bytes(path, &checkpoints::to_bytes(&snapshot)).is_ok()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Weights of other programs: safetensors, and what PyTorch writes, whichever it is by its bytes.
pub fn weights(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for name in ["a.pth", "a.safetensors"] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("there is room for a file");
        match WeightFile::open(&path) {
            Ok(file) => assert!(file.names().count() <= bytes.len()),
            Err(error) => {
                let error = error.to_string();
                assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
            }
        }
        let Ok(tensors) = weights::read(&path) else { continue };
        for stored in tensors.values() {
            if let Stored::F32 { shape, values } = stored {
                assert_eq!(shape.iter().product::<usize>(), values.len());
            }
        }
    }
}

/// Golden files of losses: figures, or a reason.
pub fn golden(bytes: &[u8]) {
    if let Err(error) = loss_parity::compare("a golden", bytes, &Device::default()) {
        assert!(!error.to_string().is_empty());
    }
}

//! Writes the CUDA kernels to a folder, as the compiler gets them: `write_kernels DIR`. Needs no GPU.
//!
//! `tests/python/cuda_kernels.py` compiles what it writes.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("write_kernels DIR: no folder is named"));
    };
    std::fs::create_dir_all(&folder)?;
    for (name, source) in tensor_ops::kernel_sources() {
        std::fs::write(folder.join(name.replace(' ', "_")).with_extension("cu"), source)?;
    }
    Ok(())
}

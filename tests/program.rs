//! The program that the tests run: `cargo xtask` by another name.

use std::process::ExitCode;

/// Keeps the big buffers of a step for the next one, see [`tensor_ops::keep_memory`].
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tensor_ops::keep_memory();
    xtask::main()
}

//! The program that the tests run: `cargo xtask` by another name.

use std::process::ExitCode;

/// Keeps the big buffers of a step for the next one, see [`allocator::keep_memory`].
#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

fn main() -> ExitCode {
    allocator::keep_memory();
    xtask::main()
}

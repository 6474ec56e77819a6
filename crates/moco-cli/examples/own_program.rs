//! A program with the commands of `moco`, and the plugins of the crates that it names.

use std::process::ExitCode;

// use augment_invert as _;

fn main() -> ExitCode {
    moco_cli::main()
}

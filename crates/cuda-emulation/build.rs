//! Compiles the emulation, with the prelude of emulated kernels inside it.

use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCES: [&str; 8] =
    ["cublas.c", "driver.c", "launch.c", "memory.c", "module.c", "nvrtc.c", "unsupported.c", "warp.c"];

/// What stands before every kernel's source, in this order.
const PRELUDE: [&str; 2] = ["interface.h", "prelude.h"];

fn main() {
    let native = Path::new("native");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=native");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let prelude: Vec<u8> = PRELUDE
        .iter()
        .flat_map(|name| fs::read(native.join(name)).expect("the prelude is part of the crate"))
        .collect();
    // Numbers rather than a literal: compilers need not accept literals this long.
    let numbers: String = prelude.iter().map(|byte| format!("{byte},")).collect();
    fs::write(out.join("prelude.inc"), numbers).expect("OUT_DIR is writable");

    cc::Build::new()
        .files(SOURCES.map(|name| native.join(name)))
        .include(native)
        .include(&out)
        .std("gnu11")
        // The products are slow enough without optimization to rule out their tests.
        .opt_level(3)
        .pic(true)
        // The checked `longjmp` refuses to jump from one stack to another.
        .flag("-U_FORTIFY_SOURCE")
        .warnings(true)
        .cargo_metadata(false)
        .compile("cuda_emulation");

    println!("cargo:rustc-link-search=native={}", out.display());
    // Whole, for the program names no symbol of this crate until cudarc, later on the command line.
    println!("cargo:rustc-link-lib=static:+whole-archive=cuda_emulation");
    for library in ["dl", "m", "pthread"] {
        println!("cargo:rustc-link-lib={library}");
    }
}

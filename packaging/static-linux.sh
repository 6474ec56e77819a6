#!/usr/bin/env bash
# Builds `moco` for Linux on x86-64 without shared libraries: it runs on any distribution. Needs Rust and `musl-gcc`, which
# Debian and Ubuntu have in the package `musl-tools`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-musl
if ! command -v musl-gcc >/dev/null; then
    echo "musl-gcc is not there: install it, for instance with \`apt-get install musl-tools\`" >&2
    exit 1
fi
rustup target add "$target"
CC_x86_64_unknown_linux_musl=musl-gcc cargo build --release --locked --package moco-cli --target "$target" "$@"
echo "${CARGO_TARGET_DIR:-target}/$target/release/moco"

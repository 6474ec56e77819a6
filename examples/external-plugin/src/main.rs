//! Every command of moco-rs, with the plugin of this crate.

use external_plugin as _; // Without this line, the linker would drop the plugin.

fn main() -> std::process::ExitCode {
    moco_cli::main()
}

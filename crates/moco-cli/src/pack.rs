//! `moco pack`: writes the images of a dataset to one file.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use moco::data::{PackOptions, Packing, pack};

use crate::encoding::stopped;
use crate::failure::Failure;
use crate::image_pass::share;
use crate::new_file::{self, Overwrite};
use crate::progress::ImageLine;
use crate::source::{STOP, SourceArguments, counted};
use crate::{compute, cores, notes, text};

/// Write the images of a dataset to one file.
///
/// A pack holds all images with their names, labels and order, and a checksum of each. Every pipeline reads it, with the
/// dataset `("pack", (path: "FILE"))`, and trains on it with the same bits as on the files. One large file is faster to copy,
/// to open and to read from a disk or a network than a million small ones.
///
/// With `--shorter`, the pack holds decoded pixels instead, of images whose shorter side is reduced to N. Training then
/// decodes nothing, and sees images of that size.
///
/// Each image is decoded once, and those that cannot be read are left out and listed. The file appears when it is whole;
/// Ctrl-C leaves none.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Output file, which must not exist. Its usual extension is `.pack`.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Keep decoded pixels, with the shorter side of larger images reduced to N pixels.
    #[arg(long, value_name = "N")]
    shorter: Option<NonZeroUsize>,
    /// Files to divide the pack into, at most 1024; `NAME-00000-of-00004.pack` and so on.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    shards: NonZeroUsize,
    /// Share of images, from 0 to 1, that may be unreadable; up to 16 images always may be.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value_t = PackOptions::default().max_unreadable)]
    max_unreadable: f64,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Examples:
  moco pack photos -o photos.pack
  moco pack photos -o photos-256.pack --shorter 256
  moco pack pipelines/imagenet/mocov2-r50.ron -o imagenet.pack --shards 16
  moco run pipelines/mocov2.ron --set 'data.source=(\"pack\", (path: \"photos.pack\"))'";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    new_file::check(&arguments.out, Overwrite::Never)?;
    compute::start(arguments.threads)?;
    let source = arguments.source.open()?;
    notes::print(&source.splits.notes);
    let options = PackOptions {
        shorter: arguments.shorter.map(usize::from),
        n_shards: arguments.shards.get(),
        max_unreadable: arguments.max_unreadable,
    };
    let mut line = ImageLine::start("packing", source.n_images());
    let packing = pack(&source, &arguments.out, &options, &mut |progress| {
        line.show(progress.n_done);
        if STOP.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(line);
    let Packing::Done { files, n_images, n_bytes, left_out } = packing else { return stopped(out) };
    for image in &left_out {
        // A closed standard error is no reason to lose the result.
        let _ = writeln!(io::stderr(), "left out: {}", run_store::one_line(&image.to_string()));
    }
    let what = if options.shorter.is_some() { "decoded pixels" } else { "image files" };
    let left_out = if left_out.is_empty() {
        String::new()
    } else {
        format!(", {} left out", text::count(left_out.len(), "unreadable image"))
    };
    let name = match &files[..] {
        [file] => file.display().to_string(),
        files => format!("{} and {} more", files[0].display(), files.len() - 1),
    };
    writeln!(out, "{name}: {}, {what}, {}{left_out}", counted(n_images), text::bytes(n_bytes))?;
    Ok(ExitCode::SUCCESS)
}

//! `moco scan`: says what is in a dataset.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use moco::data::{Channel, Found, Scanned, scan};
use serde_json::json;

use crate::encoding::stopped;
use crate::failure::Failure;
use crate::image_list::ImageList;
use crate::progress::ImageLine;
use crate::source::{STOP, SourceArguments, counted};
use crate::{compute, cores, json, notes, text};

/// Look at every image of a dataset, and say what is there.
///
/// Counts formats and sizes, and finds images that cannot be read, images with the same bytes, images that look the same
/// (one picture in other sizes, formats or qualities), and test images that are among the training images. Mean and
/// deviation of each channel come as `normalize` takes them.
///
/// `--list` writes a list of the images that can be read, one of those with the same bytes, for the dataset `list-file`.
/// No image is changed or removed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Write a list of the readable images, without repeated ones; of the test images to `NAME-test`.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Overwrite existing lists.
    #[arg(long, requires = "list")]
    force: bool,
    /// Print one JSON object, with the names of all images that were found.
    ///
    /// Print one JSON object: `train` and `test` (numbers of images), `bytes`, `formats` (their numbers by name), `shorter_side` and
    /// `longer_side` (each with `min`, `median` and `max`, in pixels), `most_frequent_size` (`height`, `width`, `images`),
    /// `unreadable` (each with `name` and `reason`), `same_bytes` and `same_look` (lists of groups of names),
    /// `groups_of_different_classes`, `test_in_training`, and `mean` and `std` of each channel.
    #[arg(long)]
    json: bool,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Examples:
  moco scan photos
  moco scan photos --list clean.txt
  moco scan pipelines/mocov2.ron --set 'data.source=(\"cifar10\", (root: \"data\"))'
  moco scan photos --json > photos.json";

/// Groups and unreadable images that are shown; `--json` shows all.
const N_SHOWN: usize = 5;

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    compute::start(arguments.threads)?;
    let source = arguments.source.open()?;
    notes::print(&notes::of(&source.splits));
    let list = match &arguments.list {
        Some(file) => Some(ImageList::plan(file, &source, arguments.force.into())?),
        None => None,
    };
    let mut line = ImageLine::start("scanning", source.n_images());
    let scanned = scan(&source, &mut |n_done| {
        line.show(n_done);
        if STOP.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(line);
    let Scanned::All(found) = scanned else { return stopped(out) };
    let name = |image: usize| source.name(image);
    if arguments.json {
        json::print(out, &as_json(&found, &name))?;
    } else {
        print(out, &found, &name)?;
    }
    if let Some(list) = list {
        for (file, n) in list.write(&source, &found.kept())? {
            // Standard output is for the result.
            let _ = writeln!(io::stderr(), "{}: {}", file.display(), text::count(n, "image"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut dyn Write, found: &Found, name: &dyn Fn(usize) -> String) -> io::Result<()> {
    // These two are told as unreadable below.
    let formats =
        found.formats.iter().filter(|(name, _)| !["unreadable", "unknown"].contains(&name.as_str()));
    let formats: Vec<String> = formats.map(|(name, n)| format!("{} {name}", text::grouped(*n))).collect();
    let bytes = if found.n_bytes > 0 { format!(", {}", text::bytes(found.n_bytes)) } else { String::new() };
    writeln!(out, "images: {}{bytes}", counted(found.n_images))?;
    if !formats.is_empty() {
        writeln!(out, "formats: {}", formats.join(", "))?;
    }
    let range = |[least, median, most]: [usize; 3]| format!("{least} to {most} px, median {median}");
    let sizes = &found.sizes;
    // Without an image that can be read there are no sizes.
    if let Some(((height, width), n)) = sizes.most_frequent {
        writeln!(out, "shorter side: {}; longer side: {}", range(sizes.shorter), range(sizes.longer))?;
        let n = text::count(n, "image");
        let order = if height == width { "" } else { ", height and width" };
        writeln!(out, "most frequent size: {height} x {width}{order} ({n})")?;
    }
    writeln!(out, "unreadable: {}", text::grouped(found.unreadable.len()))?;
    for (_, image) in found.unreadable.iter().take(N_SHOWN) {
        writeln!(out, "  {}", run_store::one_line(&image.to_string()))?;
    }
    print_more(out, found.unreadable.len())?;
    print_groups(out, "the same bytes", &found.identical, name)?;
    print_groups(out, "the same look", &found.alike, name)?;
    if found.n_mixed_classes > 0 {
        let groups = text::count(found.n_mixed_classes, "group");
        writeln!(out, "different classes: {groups} of these with images of more than one class")?;
    }
    if found.n_test_in_train > 0 {
        let images = text::count(found.n_test_in_train, "test image");
        writeln!(out, "test in training: {images} with the bytes or the look of a training image")?;
    }
    if !found.channels.is_empty() {
        writeln!(out, "colors: (\"normalize\", (statistics: {}))", statistics(&found.channels))?;
    }
    Ok(())
}

fn print_groups(
    out: &mut dyn Write,
    what: &str,
    groups: &[Vec<usize>],
    name: &dyn Fn(usize) -> String,
) -> io::Result<()> {
    let n_images = groups.iter().map(Vec::len).sum();
    if groups.is_empty() {
        return writeln!(out, "{what}: none");
    }
    writeln!(out, "{what}: {} in {}", text::count(n_images, "image"), text::count(groups.len(), "group"))?;
    for group in groups.iter().take(N_SHOWN) {
        let more = if group.len() > 2 { format!(" and {} more", group.len() - 2) } else { String::new() };
        writeln!(out, "  {} = {}{more}", name(group[0]), name(group[1]))?;
    }
    print_more(out, groups.len())
}

fn print_more(out: &mut dyn Write, n: usize) -> io::Result<()> {
    match n.saturating_sub(N_SHOWN) {
        0 => Ok(()),
        rest => writeln!(out, "  and {} more; `--json` lists all", text::grouped(rest)),
    }
}

/// As `normalize` takes it.
fn statistics(channels: &[Channel]) -> String {
    let list = |value: fn(&Channel) -> f64| {
        let values: Vec<String> = channels.iter().map(|channel| format!("{:.4}", value(channel))).collect();
        format!("({})", values.join(", "))
    };
    format!("Custom(mean: {}, std: {})", list(|channel| channel.mean), list(|channel| channel.std))
}

fn as_json(found: &Found, name: &dyn Fn(usize) -> String) -> serde_json::Value {
    let named = |groups: &[Vec<usize>]| -> Vec<Vec<String>> {
        groups.iter().map(|group| group.iter().map(|&image| name(image)).collect()).collect()
    };
    let unreadable: Vec<_> = found
        .unreadable
        .iter()
        .map(|(_, image)| json!({ "name": image.name, "reason": image.reason }))
        .collect();
    let sides = |[least, median, most]: [usize; 3]| json!({ "min": least, "median": median, "max": most });
    json!({
        "train": found.n_images.0,
        "test": found.n_images.1,
        "bytes": found.n_bytes,
        "formats": found.formats,
        "shorter_side": sides(found.sizes.shorter),
        "longer_side": sides(found.sizes.longer),
        "most_frequent_size": found.sizes.most_frequent.map(|((height, width), n)| {
            json!({ "height": height, "width": width, "images": n })
        }),
        "unreadable": unreadable,
        "same_bytes": named(&found.identical),
        "same_look": named(&found.alike),
        "groups_of_different_classes": found.n_mixed_classes,
        "test_in_training": found.n_test_in_train,
        "mean": found.channels.iter().map(|channel| channel.mean).collect::<Vec<_>>(),
        "std": found.channels.iter().map(|channel| channel.std).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_as_normalize_takes_them() {
        let channels = [0.1, 0.25, 1.0].map(|mean| Channel { mean, std: mean / 2.0 });
        assert_eq!(
            statistics(&channels),
            "Custom(mean: (0.1000, 0.2500, 1.0000), std: (0.0500, 0.1250, 0.5000))"
        );
    }
}

//! What a person should know of how files are read, from a look at a few of them.

use std::path::{Path, PathBuf};

use super::format::{Format, format_of};
use super::options::ReadOptions;
use super::{decode, file, gif, png, tiff_header, webp};

/// How many files are looked at. They are spread over the dataset, because its parts may have come from elsewhere.
const N_LOOKED_AT: usize = 16;

/// 16-bit images with no value above this use less than a sixteenth of their range.
const DARK: u16 = u16::MAX / 16;

/// One sentence for each thing found, the same ones each time. Files that cannot be read have nothing to say here.
pub(crate) fn notes(paths: &[PathBuf], options: &ReadOptions) -> Vec<String> {
    let mut several = None;
    let mut left_out = None;
    let mut highest_word = None;
    for path in spread(paths) {
        let Ok(bytes) = file::read_file(path) else { continue };
        let Ok(decoded) = decode(&bytes, options) else { continue };
        several = several.or_else(|| several_images(path, &bytes));
        left_out = left_out.or(decoded.found.left_out.map(|(n, n_taken)| {
            let taken = if n_taken == 1 { "first is" } else { "first 3 are" };
            format!(
                "{} has {n} channels, of which the {taken} taken: `bands` of the dataset's `read` names others",
                path.display()
            )
        }));
        highest_word = highest_word.max(decoded.found.highest_word);
    }
    let dark = highest_word.filter(|highest| (1..=DARK).contains(highest)).map(|highest| {
        let most = (u32::from(highest) + 1).next_power_of_two() - 1;
        format!(
            "the 16-bit images that were looked at have no value above {highest}, and become nearly black: \
             `range: (0, {most})` of the dataset's `read` makes {most} white"
        )
    });
    several.into_iter().chain(left_out).chain(dark).collect()
}

fn several_images(path: &Path, bytes: &[u8]) -> Option<String> {
    let (n, what) = match format_of(bytes).ok()? {
        Format::Tiff => (tiff_header::n_pages(bytes), "pages"),
        Format::Gif => (gif::n_frames(bytes), "images"),
        Format::WebP => (webp::n_frames(bytes), "images"),
        Format::Png => (png::Chunks::read(bytes).ok()?.n_frames as usize, "images"),
        _ => return None,
    };
    (n > 1).then(|| format!("{} has {n} {what}, the first is taken", path.display()))
}

/// At most so many paths, evenly spaced, with the first and the last.
fn spread(paths: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    let n = paths.len().min(N_LOOKED_AT);
    (0..n).map(move |i| &paths[if n > 1 { i * (paths.len() - 1) / (n - 1) } else { 0 }])
}

//! What a person should know of how files are read, from a look at a few of them.

use super::format::{Format, format_of};
use super::options::ReadOptions;
use super::{decode, gif, png, tiff_header, webp};

/// How many files are looked at. They are spread over the dataset, because its parts may have come from elsewhere.
const N_LOOKED_AT: usize = 16;

/// 16-bit images with no value above this use less than a sixteenth of their range.
const DARK: u16 = u16::MAX / 16;

/// A file that is looked at.
pub(crate) struct Looked {
    /// How messages call it.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// One sentence for each thing found in a few of `n` files, the same ones each time. Files that `look` cannot read have
/// nothing to say here.
pub(crate) fn notes(n: usize, look: &dyn Fn(usize) -> Option<Looked>, options: &ReadOptions) -> Vec<String> {
    let mut several = None;
    let mut left_out = None;
    let mut highest_word = None;
    for Looked { name, bytes } in spread(n).filter_map(look) {
        let Ok(decoded) = decode(&bytes, options) else { continue };
        several = several.or_else(|| several_images(&name, &bytes));
        left_out = left_out.or(decoded.found.left_out.map(|(n, n_taken)| {
            let taken = if n_taken == 1 { "first is" } else { "first 3 are" };
            format!(
                "{name} has {n} channels, of which the {taken} taken: `bands` of the dataset's `read` names others"
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

fn several_images(name: &str, bytes: &[u8]) -> Option<String> {
    let (n, what) = match format_of(bytes).ok()? {
        Format::Tiff => (tiff_header::n_pages(bytes), "pages"),
        Format::Gif => (gif::n_frames(bytes), "images"),
        Format::WebP => (webp::n_frames(bytes), "images"),
        Format::Png => (png::Chunks::read(bytes).ok()?.n_frames as usize, "images"),
        #[cfg(feature = "jxl")]
        Format::Jxl => (super::jxl::n_frames(bytes), "images"),
        _ => return None,
    };
    (n > 1).then(|| format!("{name} has {n} {what}, the first is taken"))
}

/// At most so many of `n`, evenly spaced, with the first and the last.
fn spread(n: usize) -> impl Iterator<Item = usize> {
    let n_looked_at = n.min(N_LOOKED_AT);
    (0..n_looked_at).map(move |i| if n_looked_at > 1 { i * (n - 1) / (n_looked_at - 1) } else { 0 })
}

//! What a person should know of how files are read, from a look at a few of them.

use super::canvas::{ALL_WORDS, Depth, UNIT, Values};
use plugin_api::UnreadableImage;

use super::format::{Format, format_of};
use super::options::ReadOptions;
use super::unreadable::{Look, Unreadable};
use super::{decode, gif, png, tiff_header, webp};

/// How many files are looked at. They are spread over the dataset, because its parts may have come from elsewhere.
const N_LOOKED_AT: usize = 16;

/// A range hardly fits if the values that are there take less than this share of it.
const LEAST_USED: f64 = 1.0 / 16.0;
/// Or if more of them than this become white. Black ones are more often meant: what is around a thing is dark.
const MOST_WHITE: f64 = 0.75;
/// Or if more of them than this become black or white.
const MOST_CLIPPED: f64 = 0.95;

/// A file that is looked at.
pub(crate) struct Looked {
    /// How messages call it.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// One sentence for each thing found in a few of `n` files, the same ones each time. What `look` has nothing of is no file.
pub(crate) fn notes<L: Into<Look>>(
    n: usize,
    look: &dyn Fn(usize) -> Option<L>,
    options: &ReadOptions,
) -> Vec<String> {
    let mut unreadable = Unreadable::default();
    let mut several = None;
    let mut left_out = None;
    let mut values: Vec<Values> = Vec::new();
    for look in spread(n).filter_map(look) {
        let Some(Looked { name, bytes }) = unreadable.file(look.into()) else { continue };
        let decoded = match decode(&bytes, options) {
            Ok(decoded) => decoded,
            Err(reason) => {
                unreadable.add(UnreadableImage { name, reason });
                continue;
            }
        };
        several = several.or_else(|| several_images(&name, &bytes));
        left_out = left_out.or(decoded.found.left_out.map(|(n, n_taken)| {
            let taken = if n_taken == 1 { "first is" } else { "first 3 are" };
            format!(
                "{name} has {n} channels, of which the {taken} taken: `bands` of the dataset's `read` names others"
            )
        }));
        let Some(found) = decoded.found.values else { continue };
        match values.iter_mut().find(|values| values.depth == found.depth) {
            Some(values) => values.append(&found),
            None => values.push(found),
        }
    }
    let ranges = values.iter().filter_map(|values| hardly_fits(values, options.range));
    several.into_iter().chain(left_out).chain(ranges).chain(unreadable.note()).collect()
}

/// What to say where a range makes little of the `values` that are there.
fn hardly_fits(values: &Values, range: Option<(f64, f64)>) -> Option<String> {
    let &Values { depth, lowest, highest, n, n_clipped } = values;
    let (low, high) = range.unwrap_or(if depth == Depth::Word { ALL_WORDS } else { UNIT });
    let share = |count: usize| count as f64 / n as f64;
    let used = (highest.min(high) - lowest.max(low)) / (high - low);
    // Images of one value have no better range.
    if highest <= lowest {
        return None;
    }
    let become_what = if n_clipped.1 == n || share(n_clipped.1) > MOST_WHITE {
        "white"
    } else if n_clipped.0 == n || share(n_clipped.0) > MOST_CLIPPED {
        "black"
    } else if share(n_clipped.0 + n_clipped.1) > MOST_CLIPPED {
        "black and white"
    } else if used >= LEAST_USED {
        return None;
    } else if highest <= low + (high - low) * LEAST_USED {
        "black"
    } else if lowest >= high - (high - low) * LEAST_USED {
        "white"
    } else {
        "one gray"
    };
    let kind = match depth {
        Depth::Float(_) => "images of floats".to_owned(),
        Depth::Byte | Depth::Word => "16-bit images".to_owned(),
        Depth::Integer(bits) => format!("images of {bits}-bit integers"),
    };
    if range.is_none() && depth == Depth::Word && become_what == "black" {
        let most = all_bits(highest);
        return Some(format!(
            "the {kind} that were looked at have no value above {highest}, and become nearly black: \
             `range: (0, {most})` of the dataset's `read` makes {most} white"
        ));
    }
    let by = match range {
        Some((low, high)) => format!("with `range: ({low}, {high})`"),
        None => format!("without a `range`, where {low} to {high} is taken"),
    };
    let (from, to) = fitting(values);
    Some(format!(
        "the {kind} that were looked at have values from {lowest} to {highest}, which {by} become nearly all {become_what}: \
         `range: ({from}, {to})` of the dataset's `read` spreads them"
    ))
}

/// The largest number of so many bits as `highest` has.
fn all_bits(highest: f64) -> u64 {
    (highest as u64 + 1).next_power_of_two() - 1
}

/// A range for `values`: of integers from 0 to all bits that they have, where that leaves little unused.
fn fitting(values: &Values) -> (f64, f64) {
    let &Values { depth, lowest, highest, .. } = values;
    let is_whole = !matches!(depth, Depth::Float(_)) && lowest >= 0.0 && lowest < highest / 4.0;
    match is_whole && highest < f64::from(u32::MAX) {
        true => (0.0, all_bits(highest) as f64),
        false => (lowest, highest),
    }
}

pub(super) fn several_images(name: &str, bytes: &[u8]) -> Option<String> {
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
pub(super) fn spread(n: usize) -> impl Iterator<Item = usize> {
    let n_looked_at = n.min(N_LOOKED_AT);
    (0..n_looked_at).map(move |i| if n_looked_at > 1 { i * (n - 1) / (n_looked_at - 1) } else { 0 })
}

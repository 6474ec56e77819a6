//! `moco attend`: draws where an encoder looks.

mod drawing;
mod page;

use std::io::{Cursor, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use image::RgbImage;
use moco::map::spread;
use moco::{Attended, rgb_of};
use plugin_api::Images;
use run_store::{ResultFolder, RunFolder};

use self::drawing::{enlarged, overlaid};
use crate::encoding::{EncoderArguments, ImageArguments, skipped, stopped};
use crate::failure::Failure;
use crate::image_pass::{Passed, none_readable};
use crate::{new_file, text};

/// Draw where an encoder looks.
///
/// For a ViT, draws the attention of the class token to each patch in the last block, by head and as the mean over heads; for a
/// ResNet, the cosine similarity of each place of the last feature map with the pooled features. Each map is drawn over the
/// image as the encoder sees it, from dark (its least value) to bright (its largest).
///
/// Writes a folder with a single page, `attention.html`, and a PNG file for each image and map.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run folder, or a checkpoint in it.
    run: PathBuf,
    #[command(flatten)]
    images: ImageArguments,
    /// Number of images to draw, spread evenly over IMAGES, up to 256.
    #[arg(long, value_name = "N", value_parser = count, default_value = "16")]
    count: NonZeroUsize,
    /// Output folder, which must not exist [default: the next number in RUN/evaluations].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    encoder: EncoderArguments,
}

const EXAMPLES: &str = "\
Examples:
  moco attend runs/mocov3-001 photos
  moco attend runs/mocov3-001 cat.jpg dog.jpg -o attention
  moco attend runs/mocov3-001 --split test --count 32 --best";

/// More images than this would not fit into memory with their maps.
const MAX_COUNT: usize = 256;

fn count(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(count) if count.get() <= MAX_COUNT => Ok(count),
        _ => Err(format!("it must be a whole number from 1 to {MAX_COUNT}")),
    }
}

/// An image with its maps, as they are drawn.
struct Drawn {
    name: String,
    seen: RgbImage,
    /// With the smallest and the largest value of each.
    maps: Vec<(String, RgbImage, [f32; 2])>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    if arguments.encoder.level_name() != "backbone" {
        return Err(Failure::usage("attention is that of the backbone, not of the head", "omit `--level`"));
    }
    let mut encoder = arguments.encoder.load(&arguments.run)?;
    let run = RunFolder::open(encoder.checkpoint())?;
    let folder = ResultFolder::new(&run, "attend", arguments.out.as_deref())?;
    let all = arguments.images.open(&encoder)?;
    let images = evaluate::chosen_images(&all, spread(all.len(), arguments.count.get()));
    let place = arguments.out.clone().unwrap_or_else(|| run.path().join("evaluations"));
    new_file::check_room(&place, images.len() as u64 * BYTES_OF_AN_IMAGE)?;
    let (mut drawn, mut what) = (Vec::new(), "");
    let allowed = encoder.max_unreadable();
    let pass = arguments.encoder.pass();
    let passed = pass.run("drawing", images.len(), allowed, |unreadable, watch| {
        encoder.attend(&images, unreadable, &mut |attended| {
            what = attended.what;
            drawn.push(draw(images.as_ref(), attended));
            watch(drawn.len())
        })
    })?;
    let Passed::All { n_unreadable, .. } = passed else { return stopped(out) };
    if drawn.is_empty() {
        return Err(none_readable(images.len()));
    }
    let title = arguments.encoder.describe(&encoder);
    let (names, contents): (Vec<String>, Vec<Vec<u8>>) = files(&drawn, what, &title)?.into_iter().unzip();
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(String::as_str).zip(contents).collect();
    let path = folder.write(&files)?;
    writeln!(
        out,
        "{}: {what}, {} ({title}){}",
        path.join(PAGE).display(),
        text::count(drawn.len(), "image"),
        skipped(n_unreadable)
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What an image takes with a map for each head, as pictures and on the page: an estimate that is rather too high.
const BYTES_OF_AN_IMAGE: u64 = 1_000_000;

/// The name of the page.
const PAGE: &str = "attention.html";

fn draw(images: &dyn Images, attended: Attended) -> Drawn {
    let Attended { image, seen, size, maps, .. } = attended;
    let seen = enlarged(&rgb_of(seen));
    let maps = maps.into_iter().map(|(name, values)| {
        let (picture, range) = overlaid(&seen, size, &values);
        (name, picture, range)
    });
    Drawn { name: images.name(image), maps: maps.collect(), seen }
}

/// The page first, and then a picture for each image and map: `001-image.png`, `001-head-1.png`.
fn files(drawn: &[Drawn], what: &str, title: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = vec![(PAGE.to_owned(), page::page(drawn, what, title).into_bytes())];
    for (i, drawn) in drawn.iter().enumerate() {
        let number = i + 1;
        files.push((format!("{number:03}-image.png"), png(&drawn.seen)?));
        for (name, picture, _) in &drawn.maps {
            files.push((format!("{number:03}-{}.png", name.replace(' ', "-")), png(picture)?));
        }
    }
    Ok(files)
}

/// `picture` as a PNG file.
fn png(picture: &RgbImage) -> std::io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    moco::write_picture(&mut bytes, picture)?;
    Ok(bytes.into_inner())
}

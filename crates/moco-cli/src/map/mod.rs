//! `moco map`: draws images as points in the plane.

mod page;

use std::ffi::OsStr;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use image::RgbImage;
use moco::map::{self, MapError, spread};
use moco::{Embeddings, rgb_of};
use pages::{FeatureMap, MapGroup, MapImages, MapPoint};
use plugin_api::Images;
use run_store::{cell, path_cell, write_whole};

use crate::encoding::{Embedded, EncoderArguments, Part, images_at, images_of_run, skipped, stopped};
use crate::failure::Failure;
use crate::{new_file, text};

/// Draw images as points, near to each other where their features are alike.
///
/// Computes the features of the images, and gives each image a place in the plane: along the two directions in which the
/// features differ most (PCA), or by t-SNE, which shows groups more clearly and makes distances between them meaningless. The
/// extension of FILE sets the format: `.html`, a page that shows the image under the pointer; `.png`, a picture with as many of
/// the images as have room; `.csv`, a table of places.
///
/// Points are colored by class where the images have labels, and otherwise by cluster (k-means). The same images and seed give
/// the same file, bit for bit.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run folder, or a checkpoint in it.
    run: PathBuf,
    /// Images: a folder (searched recursively), an archive, a pack, a Parquet file, a list (one path per line), or image files
    /// [default: the run's test images, or its training images if it has none].
    images: Vec<PathBuf>,
    /// Use this split of the run's dataset.
    #[arg(long, value_enum, conflicts_with = "images")]
    split: Option<Part>,
    /// Output file: `.html`, `.png` or `.csv`.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    /// How places are found.
    #[arg(long, value_enum, default_value_t = Method::Pca)]
    method: Method,
    /// Color by this many clusters, also where there are labels [default: by class, or by 8 clusters].
    #[arg(long, value_name = "N")]
    clusters: Option<NonZeroUsize>,
    /// Random seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Images at the most, spread evenly over all.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(2000).expect("2000 is not 0"))]
    limit: NonZeroUsize,
    #[command(flatten)]
    encoder: EncoderArguments,
}

const EXAMPLES: &str = "\
Examples:
  moco map runs/mocov2-001 -o map.html
  moco map runs/mocov2-001 photos -o photos.png --method tsne
  moco map runs/mocov2-001 --split train --limit 5000 -o map.csv";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// Principal components.
    Pca,
    /// t-SNE, from the principal components.
    Tsne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Html,
    Png,
    Csv,
}

/// Clusters, unless their number is given.
const CLUSTERS: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");
/// Side of an image of a page in pixels of its file.
const IMAGE_PX: u32 = 48;

/// What is written.
struct Drawn {
    map: FeatureMap,
    /// Whether groups are classes.
    has_classes: bool,
    /// How places were found, in words.
    method: String,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let path = &arguments.out;
    let format = Format::of(path)?;
    new_file::check(path, arguments.force.into())?;
    let mut encoder = arguments.encoder.load(&arguments.run)?;
    let all = match &arguments.images[..] {
        [] => images_of_run(&encoder, arguments.split)?,
        paths => images_at(paths, &encoder)?,
    };
    let images = evaluate::chosen_images(&all, spread(all.len(), arguments.limit.get()));
    let (embeddings, n_unreadable) = match arguments.encoder.embed(&mut encoder, &images)? {
        Embedded::All { embeddings, n_unreadable } => (embeddings, n_unreadable),
        Embedded::Stopped => return stopped(out),
    };
    let drawn = arguments.draw(&images, &embeddings)?;
    let features = arguments.encoder.describe(&encoder);
    let n_points = embeddings.n();
    let contents = match format {
        Format::Html => {
            let map = with_all_images(drawn.map.clone(), images.as_ref(), &embeddings);
            page::page(&map, &format!("{}; {features}", drawn.method), drawn.has_classes).into_bytes()
        }
        Format::Png => {
            let apart = drawn.map.apart();
            let pictures =
                apart.into_iter().map(|row| (row, picture(images.as_ref(), embeddings.images()[row])));
            let mut bytes = std::io::Cursor::new(Vec::new());
            moco::write_picture(&mut bytes, &drawn.map.picture(&pictures.collect::<Vec<_>>()))?;
            bytes.into_inner()
        }
        Format::Csv => table(&drawn)?,
    };
    new_file::check(path, arguments.force.into())?;
    write_whole(path, |file| file.write_all(&contents))
        .map_err(|error| Failure::plain(format!("`{}` cannot be written: {error}", path.display())))?;
    let cut = match all.len() > images.len() {
        true => format!(" of {}, evenly spread", text::grouped(all.len())),
        false => String::new(),
    };
    writeln!(
        out,
        "{}: {}{cut} ({}; {features}){}",
        path.display(),
        text::count(n_points, "image"),
        drawn.method,
        skipped(n_unreadable),
    )?;
    Ok(ExitCode::SUCCESS)
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("png") => Ok(Self::Png),
            Some("csv") => Ok(Self::Csv),
            _ => Err(Failure::usage(
                format!("`{}` has no known extension", path.display()),
                "use `.html`, `.png` or `.csv`",
            )),
        }
    }
}

impl Arguments {
    fn draw(&self, images: &Arc<dyn Images>, embeddings: &Embeddings) -> Result<Drawn, Failure> {
        let (rows, d) = (embeddings.values(), embeddings.d());
        let (places, method) = match self.method {
            Method::Pca => {
                let components = map::principal_components(rows, d, 2, self.seed).map_err(refused)?;
                let share: f64 = components.shares.iter().sum();
                let place = |row: &[f64]| [row[0], row.get(1).copied().unwrap_or(0.0)];
                let places = components.places.chunks_exact(components.k).map(place).collect();
                (places, format!("PCA, {:.1} % of the variance", 100.0 * share))
            }
            Method::Tsne => (map::t_sne(rows, d, self.seed).map_err(refused)?, "t-SNE".to_owned()),
        };
        let labels =
            embeddings.clone().with_labels(images.as_ref()).labels.filter(|_| self.clusters.is_none());
        let has_classes = labels.is_some();
        let (groups, names): (Vec<usize>, Vec<String>) = match labels {
            Some(labels) => {
                (labels.iter().map(|label| *label as usize).collect(), images.class_names().to_vec())
            }
            None => {
                let n = self.clusters.unwrap_or(CLUSTERS).get();
                let groups = map::k_means(rows, d, n, self.seed).map_err(refused)?;
                let n_groups = groups.iter().max().map_or(0, |last| last + 1);
                (groups, (1..=n_groups).map(|number| format!("cluster {number}")).collect())
            }
        };
        let points = places.iter().zip(&groups).zip(embeddings.images()).map(|((place, group), image)| {
            MapPoint { place: *place, group: *group, name: images.name(*image) }
        });
        let map = FeatureMap {
            points: points.collect(),
            groups: names.into_iter().map(|name| MapGroup { name }).collect(),
            images: None,
        };
        Ok(Drawn { map, has_classes, method })
    }
}

/// It was readable when its features were computed; a gray image stands for one that is not any more.
fn picture(images: &dyn Images, image: usize) -> RgbImage {
    images.load(image).map_or_else(|_| RgbImage::from_pixel(8, 8, image::Rgb([128; 3])), rgb_of)
}

fn with_all_images(map: FeatureMap, images: &dyn Images, embeddings: &Embeddings) -> FeatureMap {
    // Made small one by one: as they are, they may not fit into memory.
    let small = |image: &usize| pages::fitted(&picture(images, *image), (IMAGE_PX, IMAGE_PX));
    let pictures: Vec<RgbImage> = embeddings.images().iter().map(small).collect();
    FeatureMap { images: Some(MapImages::new((0..pictures.len()).collect(), &pictures, IMAGE_PX)), ..map }
}

fn table(drawn: &Drawn) -> Result<Vec<u8>, Failure> {
    let failed = |error: csv::Error| Failure::plain(format!("the table cannot be written: {error}"));
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record(["path", "x", "y", if drawn.has_classes { "class" } else { "cluster" }])
        .map_err(failed)?;
    for MapPoint { place: [x, y], group, name } in &drawn.map.points {
        let group =
            if drawn.has_classes { drawn.map.groups[*group].name.clone() } else { (group + 1).to_string() };
        let record = [path_cell(name).into_owned(), x.to_string(), y.to_string(), cell(&group).into_owned()];
        table.write_record(record).map_err(failed)?;
    }
    table.into_inner().map_err(|error| Failure::plain(format!("the table cannot be written: {error}")))
}

fn refused(error: MapError) -> Failure {
    let message = format!("there is no map: {error}");
    match error {
        MapError::Lost => Failure::new(message, "use `--method pca`"),
        error => match error.hint() {
            Some(hint) => Failure::new(message, hint),
            None => Failure::plain(message),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_the_format() {
        assert_eq!(Format::of(Path::new("a.CSV")).unwrap(), Format::Csv);
        assert_eq!(Format::of(Path::new("a.htm")).unwrap(), Format::Html);
        assert!(Format::of(Path::new("a.svg")).unwrap_err().to_string().contains("no known extension"));
    }

    #[test]
    fn a_table_has_a_line_for_each_image() {
        let point = |name: &str, group| MapPoint { place: [0.5, -1.0], group, name: name.into() };
        let groups = ["a, b", "c"].map(|name| MapGroup { name: name.into() }).to_vec();
        let map = FeatureMap { points: vec![point("x.png", 0), point("y.png", 1)], groups, images: None };
        let mut drawn = Drawn { map, has_classes: true, method: String::new() };
        let text = |drawn: &Drawn| String::from_utf8(table(drawn).unwrap()).unwrap();
        assert_eq!(text(&drawn), "path,x,y,class\nx.png,0.5,-1,\"a, b\"\ny.png,0.5,-1,c\n");
        drawn.has_classes = false;
        assert_eq!(text(&drawn), "path,x,y,cluster\nx.png,0.5,-1,1\ny.png,0.5,-1,2\n");
    }
}

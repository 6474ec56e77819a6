//! `moco neighbors`: draws images and their nearest neighbors.

mod html;
mod picture;

use std::ffi::OsStr;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use evaluate::{KnnError, Neighbor};
use image::RgbImage;
use moco::map::spread;
use moco::rgb_of;
use pages::{Relation, shrunk};
use plugin_api::Images;
use run_store::write_whole;
use serde_json::json;

use crate::encoding::{Embedded, EncoderArguments, ImageArguments, skipped, stopped};
use crate::failure::Failure;
use crate::{json, new_file, notes, text};

/// Draw images and their nearest neighbors.
///
/// Draws one row per query image: the image itself, then its nearest neighbors by cosine similarity of their features.
/// It shows what the encoder considers similar, and needs no labels. A query is never its own neighbor.
///
/// Without `--query`, queries are spread evenly over IMAGES. The extension of FILE sets the format: `.png`, a picture
/// (names are printed to the terminal as a whole), or `.html`, a single page with names, similarities and embedded images.
///
/// If images have labels (class folders, a list with labels, or the run's dataset), neighbors of the query's class have
/// a blue frame and others an orange one. Folders called `train`, `val` and `test` are splits, and no classes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run folder, or a checkpoint in it.
    run: PathBuf,
    #[command(flatten)]
    images: ImageArguments,
    /// Query image; may be given several times [default: some of the images].
    #[arg(short, long, value_name = "FILE")]
    query: Vec<PathBuf>,
    /// Number of queries, unless `--query` is given.
    #[arg(long, value_name = "N", conflicts_with = "query", default_value_t = NonZeroUsize::new(8).expect("8 is not 0"))]
    count: NonZeroUsize,
    /// Neighbors per query.
    #[arg(short, value_name = "K", default_value_t = NonZeroUsize::new(8).expect("8 is not 0"))]
    k: NonZeroUsize,
    /// Output file: `.png` or `.html`.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    encoder: EncoderArguments,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `file`, `features` (in words), `images` (their number), `unreadable_images`, and `queries`, each with
    /// `image`, `class` (`null` without labels) and `neighbors`, nearest first, each with `image`, `class` and `similarity`.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco neighbors runs/mocov2-001 photos -o neighbors.html
  moco neighbors runs/mocov2-001 photos --query cat.jpg --query dog.jpg -k 12 -o pets.png
  moco neighbors runs/mocov2-001 --split test --count 16 -o test.html --level head";

/// Larger sheets are mistakes, and would not fit into memory.
const MAX_CELLS: usize = 4096;
/// The side of a cell of the picture, and the longest side of an image that is kept.
const CELL_PX: u32 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Png,
    Html,
}

/// An image of the sheet.
struct Shown {
    name: String,
    class: Option<String>,
    /// The cosine similarity to the query; `None` for the query itself.
    similarity: Option<f32>,
    /// What it is to the query, by their labels.
    relation: Relation,
    /// No side is longer than [`CELL_PX`].
    image: RgbImage,
}

/// A query, and its neighbors, nearest first.
struct Row {
    query: Shown,
    neighbors: Vec<Shown>,
}

impl Row {
    /// The query and its neighbors.
    fn all(&self) -> impl Iterator<Item = &Shown> {
        [&self.query].into_iter().chain(&self.neighbors)
    }
}

/// Where a query comes from.
#[derive(Clone, Copy)]
struct Query<'a> {
    of: &'a dyn Images,
    image: usize,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let path = &arguments.out;
    let format = Format::of(path)?;
    check_size(arguments)?;
    new_file::check(path, arguments.force.into())?;
    let mut encoder = arguments.encoder.load(&arguments.run)?;
    let images = arguments.images.open(&encoder)?;
    let asked = if arguments.query.is_empty() {
        None
    } else {
        let queries = datasets::open_images(&arguments.query)?;
        notes::print(&queries.notes);
        let queries = queries.images;
        if queries.len() * (arguments.k.get() + 1) > MAX_CELLS {
            return Err(too_large(queries.len(), arguments.k.get()));
        }
        // The queries first: a mistake in a name should not cost a pass over all images.
        match arguments.encoder.embed(&mut encoder, &queries)? {
            Embedded::All { embeddings, n_unreadable: 0 } => Some((queries, embeddings)),
            Embedded::All { n_unreadable: n, .. } => {
                return Err(Failure::new(
                    format!("{} of `--query` cannot be read", text::count(n, "image")),
                    "the reason is printed above; choose other images",
                ));
            }
            Embedded::Stopped => return stopped(out),
        }
    };
    let (bank, n_unreadable) = match arguments.encoder.embed(&mut encoder, &images)? {
        Embedded::All { embeddings, n_unreadable } => (embeddings, n_unreadable),
        Embedded::Stopped => return stopped(out),
    };

    let (queries, features): (Vec<Query<'_>>, Vec<f32>) = match &asked {
        Some((of, embeddings)) => (
            embeddings.images().iter().map(|&image| Query { of: of.as_ref(), image }).collect(),
            embeddings.values().to_vec(),
        ),
        None => {
            let rows = spread(bank.n(), arguments.count.get());
            (
                rows.iter().map(|&row| Query { of: images.as_ref(), image: bank.images()[row] }).collect(),
                rows.iter().flat_map(|&row| bank.row(row)).copied().collect(),
            )
        }
    };
    let itself: Vec<Vec<usize>> = queries
        .iter()
        .map(|query| {
            let is_same = same_as(query, &images, asked.is_none());
            (0..bank.n()).filter(|row| is_same(bank.images()[*row])).collect()
        })
        .collect();
    // More than needed, because the query may be among them, even several times.
    let k = arguments.k.get() + itself.iter().map(Vec::len).max().unwrap_or(0);
    let found = evaluate::neighbors(bank.values(), &features, bank.d(), k).map_err(refused)?;

    let mut rows = Vec::new();
    for ((query, found), itself) in queries.iter().zip(found).zip(itself) {
        let others =
            found.into_iter().filter(|neighbor| !itself.contains(&neighbor.row)).take(arguments.k.get());
        let others: Vec<(usize, Neighbor)> =
            others.map(|neighbor| (bank.images()[neighbor.row], neighbor)).collect();
        rows.push(row(*query, images.as_ref(), &others)?);
    }
    new_file::check(path, arguments.force.into())?;
    let title = arguments.encoder.describe(&encoder);
    let shown =
        |shown: &Shown| json!({ "image": shown.name, "class": shown.class, "similarity": shown.similarity });
    let queries = rows.iter().map(|row| {
        let mut query = shown(&row.query);
        query["neighbors"] = row.neighbors.iter().map(shown).collect();
        query
    });
    let result = json!({
        "file": path.display().to_string(),
        "features": title,
        "images": bank.n(),
        "unreadable_images": n_unreadable,
        "queries": queries.collect::<Vec<_>>(),
    });
    write_whole(path, |file| match format {
        Format::Png => picture::write(file, &rows),
        Format::Html => html::write(file, &rows, &title),
    })
    .map_err(|error| Failure::plain(format!("`{}` cannot be written: {error}", path.display())))?;
    if arguments.json {
        json::print(out, &result)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{}: {} among {} ({title}){}",
        path.display(),
        text::count(rows.len(), "query image"),
        text::count(bank.n(), "image"),
        skipped(n_unreadable),
    )?;
    if format == Format::Png {
        list(out, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("html" | "htm") => Ok(Self::Html),
            _ => Err(Failure::usage(
                format!("`{}` has no known extension", path.display()),
                "use `.png` or `.html`",
            )),
        }
    }
}

fn check_size(arguments: &Arguments) -> Result<(), Failure> {
    let n_queries = if arguments.query.is_empty() { arguments.count.get() } else { arguments.query.len() };
    let n_cells = n_queries.checked_mul(arguments.k.get().saturating_add(1));
    if n_cells.is_some_and(|n_cells| n_cells <= MAX_CELLS) {
        return Ok(());
    }
    Err(too_large(n_queries, arguments.k.get()))
}

fn too_large(n_queries: usize, k: usize) -> Failure {
    Failure::usage(
        format!("a sheet of {n_queries} queries with {k} neighbors each is too large"),
        format!("at most {MAX_CELLS} images fit on a sheet"),
    )
}

/// Whether an image of the list is the query itself: at the same place if it was taken from the list, or the same file.
fn same_as<'a>(
    query: &Query<'_>,
    images: &'a Arc<dyn Images>,
    is_of_the_list: bool,
) -> Box<dyn Fn(usize) -> bool + 'a> {
    let image = query.image;
    let name = PathBuf::from(query.of.name(image));
    let file = name.canonicalize().ok();
    Box::new(move |other| {
        if is_of_the_list && other == image {
            return true;
        }
        let Some(file) = &file else { return false };
        let other = PathBuf::from(images.name(other));
        // Resolving every path would be slow.
        other == name
            || (other.file_name() == name.file_name() && other.canonicalize().ok().as_ref() == Some(file))
    })
}

fn row(query: Query<'_>, images: &dyn Images, others: &[(usize, Neighbor)]) -> Result<Row, Failure> {
    let of_query = Shown { relation: Relation::Query, ..shown(query.of, query.image)? };
    let mut neighbors = Vec::new();
    for (image, neighbor) in others {
        let mut other = shown(images, *image)?;
        other.similarity = Some(neighbor.similarity);
        other.relation = match (&of_query.class, &other.class) {
            (Some(query), Some(other)) if query == other => Relation::Same,
            (Some(_), Some(_)) => Relation::Other,
            _ => Relation::Unknown,
        };
        neighbors.push(other);
    }
    Ok(Row { query: of_query, neighbors })
}

fn shown(images: &dyn Images, image: usize) -> Result<Shown, Failure> {
    let class = images.label(image).and_then(|label| images.class_names().get(label as usize).cloned());
    let small = shrunk(&rgb_of(images.load(image)?), CELL_PX);
    Ok(Shown { name: images.name(image), class, similarity: None, relation: Relation::Unknown, image: small })
}

/// Prints the names, of which the picture has room for the last part only.
fn list(out: &mut dyn Write, rows: &[Row]) -> std::io::Result<()> {
    let class = |shown: &Shown| shown.class.as_ref().map(|class| format!(" ({class})")).unwrap_or_default();
    for (i, row) in rows.iter().enumerate() {
        writeln!(out, "row {}: {}{}", i + 1, row.query.name, class(&row.query))?;
        for other in &row.neighbors {
            let similarity = other.similarity.unwrap_or_default();
            writeln!(out, "  {similarity:>6.3}  {}{}", other.name, class(other))?;
        }
    }
    Ok(())
}

fn refused(error: KnnError) -> Failure {
    Failure::plain(format!("there are no neighbors: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_the_format() {
        assert_eq!(Format::of(Path::new("a.PNG")).unwrap(), Format::Png);
        assert_eq!(Format::of(Path::new("a.htm")).unwrap(), Format::Html);
        assert!(Format::of(Path::new("a.jpg")).unwrap_err().to_string().contains("no known extension"));
    }
}

//! What a page shows of a run's images: views, neighbors, the map and the worst classes.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use pages::{
    Caption, FeatureMap, ImageRows, ImageTile, MapGroup, MapImages, MapPoint, Relation, Report, Thumbnail,
};
use pipeline::{Pipeline, View};
use plugin_api::{Embedding, Embeddings, Images, Splits};

use super::ReportOptions;
use super::classes::weak_classes;
use super::pictures::Pictures;
use crate::map::{self, spread};
use crate::views::{SeenImage, seen_images, view_sheet};
use crate::{Encoder, EncoderOptions, colors_note, rgb_of};

/// Images whose views are shown.
const VIEWED_IMAGES: usize = 4;
/// Tiles in a row of views, about: with fewer views each is shown in two epochs.
const VIEW_TILES: usize = 6;
const QUERIES: usize = 6;
const NEIGHBORS: usize = 7;
/// Of the vote that tells the worst classes, as monitors have it by default.
const TEMPERATURE: f64 = 0.1;
const VOTERS: usize = 20;
/// Groups where there are no labels.
const CLUSTERS: usize = 8;
/// A test split with fewer images than this says little.
const LEAST_TEST_IMAGES: usize = 100;
/// Pixels along a side of the images that `most_images` speaks of.
const USUAL_SIDE: usize = 64;
/// Side of an image on the map in pixels of its file.
const MAP_IMAGE_PX: u32 = 48;

/// Adds what is shown of the images of the run at `run`, and returns the pictures for TensorBoard, if they are wanted.
pub(super) fn show(
    run: &Path,
    pipeline: Result<&Pipeline, &str>,
    options: &ReportOptions,
    report: &mut Report,
) -> Option<Pictures> {
    let mut pictures = options.for_tensorboard.then(Pictures::default);
    let opened = pipeline.map_err(str::to_owned).and_then(|pipeline| match pipeline.dataset.open() {
        Ok(splits) => Ok((pipeline, splits)),
        Err(error) => Err(format!("the images of the run cannot be opened: {error}")),
    });
    let (pipeline, splits) = match opened {
        Ok(opened) => opened,
        // Said once, and not in each part.
        Err(why) => {
            report.views = Some(Err(why));
            return pictures;
        }
    };
    report.image_notes.extend(colors_note(pipeline.dataset.channels()).map(sentence));
    report.views = Some(views(pipeline, splits.train.as_ref(), pictures.as_mut()));
    let shown = features(run, &splits, options).and_then(|features| {
        report.image_notes.push(features.said.clone());
        report.neighbors = Some(neighbors(&features));
        report.weak_classes = classes(&features).transpose();
        feature_map(&features, pipeline.seed, pictures.as_mut())
    });
    report.map = Some(shown);
    pictures
}

fn sentence(text: String) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect::<String>() + ".")
        .unwrap_or_default()
}

fn views(
    pipeline: &Pipeline,
    images: &dyn Images,
    pictures: Option<&mut Pictures>,
) -> Result<ImageRows, String> {
    let views: Vec<&View> =
        pipeline.network.graph.views.iter().filter_map(|name| pipeline.view(name)).collect();
    let n_epochs = if 2 * views.len() <= VIEW_TILES { 2 } else { 1 };
    let (seen, unreadable) = seen_images(&views, pipeline.seed, images, VIEWED_IMAGES, n_epochs);
    if seen.is_empty() {
        let why = unreadable.first().map_or("there are no images".into(), ToString::to_string);
        return Err(format!("none of the images that were tried can be read: {why}"));
    }
    if let Some(pictures) = pictures {
        pictures.views = Some(view_sheet(&views, &seen, n_epochs));
    }
    let row = |image: &SeenImage| {
        let original = ImageTile {
            thumbnail: Thumbnail::new(&image.original),
            caption: Caption { head: Some("original".into()), name: Some(image.name.clone()), class: None },
            relation: Relation::Query,
        };
        let heads = views.iter().flat_map(|view| (1..=n_epochs).map(move |epoch| (view, epoch)));
        let tile = |((view, epoch), picture): ((&&View, u64), &RgbImage)| ImageTile {
            thumbnail: Thumbnail::new(picture),
            caption: Caption {
                head: Some(view.name.clone()),
                class: (n_epochs > 1).then(|| format!("epoch {epoch}")),
                name: None,
            },
            relation: Relation::Unknown,
        };
        [original].into_iter().chain(heads.zip(&image.views).map(tile)).collect()
    };
    Ok(ImageRows { rows: seen.iter().map(row).collect(), ..ImageRows::default() })
}

/// The features of a choice of images.
struct Features {
    /// The choice.
    images: Arc<dyn Images>,
    embeddings: Embeddings,
    embedding: Embedding,
    /// What they are, in a sentence.
    said: String,
}

impl Features {
    /// The image of a row.
    fn image(&self, row: usize) -> usize {
        self.embeddings.images()[row]
    }

    fn class(&self, row: usize) -> Option<&String> {
        self.images.label(self.image(row)).and_then(|label| self.images.class_names().get(label as usize))
    }

    /// It was readable when its features were computed; a gray image stands for one that is not any more.
    fn picture(&self, row: usize) -> RgbImage {
        self.images
            .load(self.image(row))
            .map_or_else(|_| RgbImage::from_pixel(8, 8, image::Rgb([128; 3])), rgb_of)
    }
}

fn features(run: &Path, splits: &Splits, options: &ReportOptions) -> Result<Features, String> {
    let encoder_options = EncoderOptions {
        workers: options.workers,
        moved: options.moved.clone(),
        ..EncoderOptions::default()
    };
    let mut encoder = Encoder::load_with(run, &encoder_options).map_err(|error| error.to_string())?;
    let (split, all) = match &splits.test {
        Some(test) if test.len() >= LEAST_TEST_IMAGES => ("test", test),
        _ => ("training", &splits.train),
    };
    let (height, width) = encoder.image_size();
    let n_pixels = options.most_images.saturating_mul(USUAL_SIDE * USUAL_SIDE);
    let most = (n_pixels / (height * width).max(1)).clamp(1, options.most_images.max(1));
    let images = evaluate::chosen_images(all, spread(all.len(), most));
    let (embeddings, unreadable) = encoder.embed_dataset(&images).map_err(|error| error.to_string())?;
    if !embeddings.values().iter().all(|value| value.is_finite()) {
        return Err("a feature is infinite or not a number: training has diverged".into());
    }
    let n = embeddings.n();
    let of = if all.len() > most {
        format!("{n} of the {} {split} images, evenly spread", all.len())
    } else {
        format!("the {n} {split} images")
    };
    let skipped = match unreadable.len() {
        0 => String::new(),
        n => format!("; {n} could not be read"),
    };
    let checkpoint = encoder.checkpoint().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let said = format!(
        "Neighbors, map and classes show {of}{skipped}: backbone features of {checkpoint}, view {}, compared by cosine similarity.",
        encoder_options.view
    );
    let embedding = embeddings.clone().with_labels(images.as_ref());
    Ok(Features { images, embeddings, embedding, said })
}

fn neighbors(features: &Features) -> Result<ImageRows, String> {
    let Features { embeddings, .. } = features;
    let queries = spread(embeddings.n(), QUERIES);
    let rows: Vec<f32> = queries.iter().flat_map(|row| embeddings.row(*row)).copied().collect();
    let found = evaluate::neighbors(embeddings.values(), &rows, embeddings.d(), NEIGHBORS + 1)
        .map_err(|error| error.to_string())?;
    let tile = |row: usize, head: String, relation: Relation| ImageTile {
        thumbnail: Thumbnail::new(&features.picture(row)),
        caption: Caption {
            head: Some(head),
            class: features.class(row).cloned(),
            name: Some(features.images.name(features.image(row))),
        },
        relation,
    };
    let rows = queries.iter().zip(found).map(|(&query, found)| {
        let others = found.into_iter().filter(|neighbor| neighbor.row != query).take(NEIGHBORS);
        let others = others.map(|neighbor| {
            let relation = match (features.class(query), features.class(neighbor.row)) {
                (Some(one), Some(other)) if one == other => Relation::Same,
                (Some(_), Some(_)) => Relation::Other,
                _ => Relation::Unknown,
            };
            tile(neighbor.row, format!("{:.3}", neighbor.similarity), relation)
        });
        [tile(query, "query".into(), Relation::Query)].into_iter().chain(others).collect()
    });
    Ok(ImageRows { rows: rows.collect(), ..ImageRows::default() })
}

/// Nothing, where there is one class or none.
fn classes(features: &Features) -> Result<Option<Vec<pages::WeakClass>>, String> {
    let Embedding { labels: Some(labels), n_classes: 2.., .. } = &features.embedding else {
        return match features.images.class_names().len() {
            1 => Ok(None),
            _ => Err("the images have no labels".into()),
        };
    };
    let found = evaluate::knn_left_out(&features.embedding, VOTERS, TEMPERATURE)
        .map_err(|error| error.to_string())?;
    Ok(Some(weak_classes(labels, &found, features.images.class_names())))
}

fn feature_map(
    features: &Features,
    seed: u64,
    pictures: Option<&mut Pictures>,
) -> Result<FeatureMap, String> {
    let Features { embeddings, embedding, images, .. } = features;
    let (rows, d) = (embeddings.values(), embeddings.d());
    let failed = |error: map::MapError| error.to_string();
    let components = map::principal_components(rows, d, 2, seed).map_err(failed)?;
    let (groups, names) = match &embedding.labels {
        Some(labels) => (labels.iter().map(|label| *label as usize).collect(), images.class_names().to_vec()),
        None => {
            let groups = map::k_means(rows, d, CLUSTERS, seed).map_err(failed)?;
            (groups, (1..=CLUSTERS).map(|n| format!("cluster {n}")).collect())
        }
    };
    let groups: Vec<usize> = groups;
    let points = groups.iter().enumerate().map(|(row, &group)| {
        let place = &components.places[row * components.k..];
        let second = if components.k > 1 { place[1] } else { 0.0 };
        MapPoint { place: [place[0], second], group, name: images.name(features.image(row)) }
    });
    let names: Vec<String> = names;
    let groups = names.into_iter().map(|name| MapGroup { name }).collect();
    let mut drawn = FeatureMap { points: points.collect(), groups, images: None };
    let apart = drawn.apart();
    let shown: Vec<RgbImage> = apart.iter().map(|row| features.picture(*row)).collect();
    drawn.images = Some(MapImages::new(apart.clone(), &shown, MAP_IMAGE_PX));
    if let Some(pictures) = pictures {
        pictures.map = Some(drawn.picture(&apart.into_iter().zip(shown).collect::<Vec<_>>()));
    }
    Ok(drawn)
}

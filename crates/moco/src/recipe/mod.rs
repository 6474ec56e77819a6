//! From a folder of images to a pipeline for them: every number that a person would have to choose, with its reason.
//!
//! [`Looked`] is what is known of the images, [`Wishes`] what the person has said, and [`Recipe::choose`] makes of both a
//! [`Recipe`], whose [`to_ron`](Recipe::to_ron) is the text of a pipeline with the reasons as comments. Nothing is read and
//! nothing is measured here: [`data::look`](crate::data::look) looks at a folder.
//!
//! ```
//! use moco::recipe::{Looked, Recipe, Wishes};
//!
//! let looked = Looked::new("photos", 5000, [300, 480, 900]);
//! let recipe = Recipe::choose(&looked, &Wishes::default())?;
//! assert_eq!((recipe.size.value, recipe.batch.value), (224, 64));
//! assert!(recipe.to_ron().contains("size: 224"));
//! # Ok::<(), moco::recipe::RecipeError>(())
//! ```

mod amounts;
mod chosen;
mod course;
mod error;
mod looked;
mod network;
mod text;
mod views;
mod wishes;

use pipeline::Precision;

pub use self::chosen::Chosen;
pub use self::course::Course;
pub use self::error::RecipeError;
pub use self::looked::{HELD_OUT, Looked};
pub use self::network::{Backbone, Stem};
pub use self::views::ViewChoices;
pub use self::wishes::{Fitted, Method, Part, Processor, Wishes};

/// A pipeline for the images of a folder, choice by choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The variant of MoCo.
    pub method: Chosen<Method>,
    /// Height and width of the views, in pixels.
    pub size: Chosen<usize>,
    /// The encoder.
    pub backbone: Chosen<Backbone>,
    /// The stem of a ResNet; `None` for a ViT.
    pub stem: Option<Chosen<Stem>>,
    /// The patches of a ViT, in pixels; `None` for a ResNet.
    pub patch: Option<Chosen<usize>>,
    /// How values between the layers of the encoder are kept.
    pub precision: Chosen<Precision>,
    /// Images in a step.
    pub batch: Chosen<usize>,
    /// Parts of a batch with statistics of their own, among which v1 and v2 shuffle their keys; 1 for none.
    pub batch_norm_splits: Chosen<usize>,
    /// Keys in the queue of v1 and v2; `None` for v3.
    pub queue: Option<Chosen<usize>>,
    /// The temperature of the loss.
    pub temperature: Chosen<f64>,
    /// Passes over the training images.
    pub epochs: Chosen<usize>,
    /// Of the momentum encoder.
    pub momentum: Chosen<f64>,
    /// As it stands in the pipeline, whatever the batch.
    pub learning_rate: Chosen<f64>,
    /// Epochs in which the learning rate rises; 0 for none.
    pub warmup_epochs: usize,
    /// The decay of the weights.
    pub weight_decay: Chosen<f64>,
    /// What is made of an image.
    pub views: ViewChoices,
    /// The share of the images that is held out for measuring; `None` if none is.
    pub held_out: Chosen<Option<f64>>,
    /// The share of the images that is trained on, if it is not all that are left.
    pub train_share: Option<Chosen<f64>>,
    /// Neighbors that vote in the kNN monitor; `None` if there are no labels or no test images to measure on.
    pub knn: Chosen<Option<usize>>,
    /// Epochs between measurements.
    pub measure_every: usize,
    /// Epochs between checkpoints.
    pub save_every: usize,
    /// Training images.
    pub n_train: usize,
    /// The run that the reasons speak of.
    course: Course,
    seed: u64,
    is_seed_given: bool,
    looked: Looked,
    wishes: Wishes,
}

impl Recipe {
    /// Chooses.
    ///
    /// # Errors
    /// If there are too few images, or what is wished for does not go together.
    pub fn choose(looked: &Looked, wishes: &Wishes) -> Result<Self, RecipeError> {
        let method = match wishes.method {
            Some(method) => Chosen::given(method),
            None => {
                Chosen::new(Method::V2, "works with small batches, and trains a step in half the time of v3")
            }
        };
        let size = views::size(looked, wishes)?;
        let backbone = network::backbone(wishes);
        let stem = network::stem(backbone.value, size.value)?;
        let patch = network::patch(backbone.value, size.value)?;
        let held_out = looked.held_out();
        let part = wishes.fitted.as_ref().and_then(|fitted| fitted.part.map(|part| (part, fitted)));
        let train_share = part.map(|(part, fitted)| amounts::part(part.share, fitted));
        let n_train = match (part, held_out.value) {
            (Some((part, _)), _) => part.n_images,
            (None, Some(_)) => looked.n_images - looked.n_held_out,
            (None, None) => looked.n_images,
        };
        let batch = amounts::batch(n_train, size.value, wishes)?;
        let epochs = amounts::epochs(n_train / batch.value, wishes)?;
        let course = Course { n_train, batch: batch.value, epochs: epochs.value };
        let n_steps = course.n_steps();
        let momentum = amounts::momentum(n_steps, method.value);
        let queue = match method.value {
            Method::V1 | Method::V2 => Some(amounts::queue(batch.value, n_train, momentum.value)),
            Method::V3 => None,
        };
        let is_vit = backbone.value.is_vit();
        Ok(Self {
            views: ViewChoices::of(looked, method.value, size.value),
            batch_norm_splits: network::batch_norm_splits(method.value, is_vit, batch.value),
            temperature: amounts::temperature(method.value, n_steps),
            learning_rate: amounts::learning_rate(method.value, is_vit, size.value, (batch.value, n_steps)),
            warmup_epochs: amounts::warmup_epochs(method.value, is_vit, epochs.value),
            weight_decay: amounts::weight_decay(method.value, is_vit, size.value),
            precision: network::precision(wishes),
            knn: looked.knn(held_out.value.is_some(), n_train),
            measure_every: Self::measure_every(epochs.value),
            save_every: Self::save_every(epochs.value),
            course,
            seed: wishes.seed.unwrap_or(0),
            is_seed_given: wishes.seed.is_some(),
            looked: looked.clone(),
            wishes: wishes.clone(),
            method,
            size,
            backbone,
            stem,
            patch,
            batch,
            queue,
            epochs,
            momentum,
            held_out,
            train_share,
            n_train,
        })
    }

    /// The length of the run that the reasons speak of.
    pub fn course(&self) -> Course {
        self.course
    }

    /// The same choices, with reasons that speak of a run of this length: of one whose batch, say, is changed afterwards.
    #[must_use]
    pub fn with_course(mut self, course: Course) -> Self {
        self.momentum.why = amounts::why_momentum(self.momentum.value, course.n_steps(), self.method.value);
        Self { course, ..self }
    }

    /// Epochs between measurements in a run of `epochs`.
    pub fn measure_every(epochs: usize) -> usize {
        epochs.div_ceil(amounts::N_MEASUREMENTS)
    }

    /// Epochs between checkpoints in a run of `epochs`.
    pub fn save_every(epochs: usize) -> usize {
        epochs.div_ceil(amounts::N_CHECKPOINTS)
    }

    /// What was looked at.
    pub fn looked(&self) -> &Looked {
        &self.looked
    }
}

#[cfg(test)]
mod tests;

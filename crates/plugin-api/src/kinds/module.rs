//! What has parameters: encoders and heads.

use std::sync::Arc;

use processes::Processes;
use tensor_ops::{Device, FeatureMap, Features, Mode, Movable, OpError, Tokens};

use super::{MapShape, Visitor, VisitorMut};
use crate::AttentionMaps;
use crate::ConfigError;
use crate::Rng;
use crate::architecture::Architecture;

/// Something with parameters and state.
pub trait Module: Movable {
    /// Calls `visitor` with each entry and its name, always the same names in the same order.
    ///
    /// Names are those of PyTorch's module of the same kind (`layer1.0.conv1.weight`), so that weights can be exchanged.
    /// [`visit!`](crate::visit) writes both visits from a list of names and fields.
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// As [`visit`](Self::visit), to change the entries: the same names in the same order.
    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>);

    /// Into how many parts batch normalization splits a batch, if there is any batch normalization.
    ///
    /// Shuffling a batch does nothing unless its statistics are taken over parts of it.
    fn batch_norm_splits(&self) -> Option<usize> {
        None
    }
}

/// Images `(N, H, W, C)` to features `(N, D)`.
pub trait Backbone: Module {
    /// `D`.
    fn n_features(&self) -> usize;

    /// The features of `images`; recorded exactly if `images` is.
    ///
    /// # Errors
    /// If the images have another size than the backbone was built for, unless [`check_image_size`](Self::check_image_size)
    /// accepts it for this `mode`.
    fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Features, OpError>;

    /// The map that it has of images of `(H, W)` pixels beside their features, for losses on parts of an image. `None`, without an
    /// implementation, if it has none to give, and for a size that it cannot take.
    fn map_shape(&self, image_size: (usize, usize)) -> Option<MapShape> {
        let _ = image_size;
        None
    }

    /// The features of `images`, `(N, D)`, and the map that they are pooled from, `(N, T, C)` as
    /// [`map_shape`](Self::map_shape) says; each recorded exactly if `images` is.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); without an implementation always.
    fn forward_with_map(&mut self, images: FeatureMap, mode: Mode) -> Result<(Features, Tokens), OpError> {
        let _ = (images, mode);
        Err(OpError::value("backbone", "map of a backbone", "none", "`forward_with_map` gives one"))
    }

    /// Says what the random draws of the next [`forward`](Self::forward) in [`Mode::Train`] are keyed by, for a backbone that
    /// makes any. Whoever trains calls it before each such pass.
    fn set_draws(&mut self, draws: PassDraws) {
        let _ = draws;
    }

    /// Sets the rate of stochastic depth in place of the config's, from 0 to below 1, for fine-tuning.
    ///
    /// # Errors
    /// If the rate is out of range. Without an implementation, if it is not 0.
    fn set_drop_path(&mut self, rate: f64) -> Result<(), ConfigError> {
        if rate == 0.0 {
            return Ok(());
        }
        Err(ConfigError::unfit(
            format!("this backbone drops no paths, and a rate of {rate} is asked for"),
            "use a rate of 0",
        ))
    }

    /// Accepts images of `(H, W)` pixels, other than it was built for. In [`Mode::Eval`] an encoder can then be measured at
    /// another size than it is trained at, in [`Mode::Train`] it can be trained at several.
    ///
    /// # Errors
    /// If it cannot take them. Without an implementation it takes none.
    fn check_image_size(&self, size: (usize, usize), mode: Mode) -> Result<(), ConfigError> {
        let _ = (size, mode);
        Err(ConfigError::unfit(
            "this backbone takes images of the size that it is trained on, and no others",
            "give every view of one encoder the same size",
        ))
    }

    /// Values for the parameter called `name`, whose own shape is another than that of `other`: what positions for images of one
    /// size become for those of another. `None` if `other` is no such parameter.
    fn resized(&self, name: &str, other: OfOtherSize<'_>) -> Option<Resized> {
        let _ = (name, other);
        None
    }

    /// Where in each of `images` it looks, in eval mode. `None`, without an implementation, if it has nothing to show.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    fn attention(&mut self, images: FeatureMap) -> Result<Option<AttentionMaps>, OpError> {
        let _ = images;
        Ok(None)
    }

    /// What other programs know of it, if they have encoders of its kind; without it, it is not exported for them.
    fn architecture(&self) -> Option<Architecture> {
        None
    }

    /// The names of the first layer's parameters, or the beginnings of them, if it is a layer of its own: what
    /// `freeze: ["backbone.stem"]` means.
    fn stem(&self) -> &'static [&'static str] {
        &[]
    }

    /// How many layers there are to tell apart where each has a learning rate of its own: the stem, and what follows it one
    /// after another, such as the blocks of a ViT.
    fn n_layers(&self) -> usize {
        1
    }

    /// Which of the layers the parameter called `name` is in, from 0 for the stem; `None` for what follows the last one.
    fn layer_of(&self, name: &str) -> Option<usize> {
        let _ = name;
        None
    }
}

/// A parameter of a network like another, but built for images of another size.
#[derive(Clone, Copy, Debug)]
pub struct OfOtherSize<'a> {
    /// Its shape, as PyTorch has it.
    pub shape: &'a [usize],
    /// Its values, in PyTorch's order.
    pub values: &'a [f32],
    /// `(H, W)` of the images, in pixels, if it is known.
    pub image_size: Option<(usize, usize)>,
}

/// Values that were made for images of another size.
#[derive(Clone, Debug, PartialEq)]
pub struct Resized {
    /// The values, in PyTorch's order.
    pub values: Vec<f32>,
    /// Rows and columns of what they were made from.
    pub from: (usize, usize),
    /// Rows and columns of what they are for.
    pub to: (usize, usize),
    /// Whether they follow from a formula; they are interpolated otherwise.
    pub computed: bool,
}

/// Features `(N, D)` to embeddings `(N, C)`.
pub trait Head: Module {
    /// `C`.
    fn n_outputs(&self) -> usize;

    /// Whether it takes a map behind the features, see [`ModuleContext::map`]; where there is one, it is built for it. `false` by
    /// default: it is then given the features alone.
    fn takes_map(&self) -> bool {
        false
    }

    /// The map at the end of what it gives, among its [`n_outputs`](Self::n_outputs) values. `None` by default.
    fn map(&self) -> Option<MapShape> {
        None
    }

    /// The embeddings of `features`; recorded exactly if `features` is.
    ///
    /// # Errors
    /// If the features have another width than the head was built for.
    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError>;
}

/// What the random draws of one pass through a module are keyed by: the same key gives the same draws, whatever part of the
/// batch goes through at a time, and in whichever process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassDraws {
    /// The run's seed.
    pub seed: u64,
    /// Which pass of a step it is, for instance the name of a step of the graph.
    pub pass: String,
    /// The step, from 0.
    pub step: u64,
    /// For each image that goes through, its place in the whole batch.
    pub places: Vec<u64>,
}

impl PassDraws {
    /// Draws for `purpose` and the image at place `image` of those that go through; `number` tells apart what asks for them,
    /// for instance layers.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn rng(&self, purpose: &str, number: u64, image: usize) -> Rng {
        let purpose = format!("{purpose} of {}", self.pass);
        Rng::new(self.seed, &purpose, &[self.step, number, self.places[image]])
    }
}

/// What a backbone or head is told besides its config.
#[derive(Clone, Debug)]
pub struct ModuleContext {
    /// Where its parameters live.
    pub device: Device,
    /// What comes in: the channels of an image, 3 for RGB, or the values of the module before.
    pub n_inputs: usize,
    /// The map that stands behind features, as the last of the values that come in. `None` for a backbone.
    pub map: Option<MapShape>,
    /// `(H, W)` of the images, in pixels.
    pub image_size: (usize, usize),
    /// Images in a batch.
    pub batch: usize,
    /// Parts in which a batch goes through a backbone, one after another; 1 where it goes through as a whole. A backbone
    /// that takes statistics over the batch can do so within a part only, or over all parts where each process has one. Heads
    /// see whole batches.
    pub parts: usize,
    /// Who trains together: [`Alone`](processes::Alone), or as many as the parts are dealt to.
    pub processes: Arc<dyn Processes>,
    /// The pipeline's seed.
    pub seed: u64,
    /// The module's name in the pipeline.
    pub name: String,
}

/// What a batch norm of a backbone takes its statistics over, as a part of a batch goes through it.
#[derive(Clone, Debug)]
pub struct NormScope {
    /// Splits of the part, each with statistics of its own.
    pub splits: usize,
    /// Processes whose parts have their statistics together; `None`: the part has its own.
    pub processes: Option<Arc<dyn Processes>>,
}

impl ModuleContext {
    /// What batch norm takes its statistics over in a part, where it normalizes a whole batch in `splits`: the value of the
    /// field `batch_norm_splits`.
    ///
    /// # Errors
    /// If the parts do not divide into splits, unless there is one split and each process has one part: statistics of more than
    /// a part can be had only where all parts go through the backbone at once.
    pub fn norm_scope(&self, splits: usize) -> Result<NormScope, ConfigError> {
        if splits.is_multiple_of(self.parts) {
            return Ok(NormScope { splits: splits / self.parts, processes: None });
        }
        if splits == 1 && self.processes.n() == self.parts {
            return Ok(NormScope { splits, processes: Some(Arc::clone(&self.processes)) });
        }
        let parts = self.parts;
        let must = format!(
            "it must be a multiple of {parts}: `data.micro_batch` takes the batch in {parts} parts, and statistics over \
             more than a part cannot be had; `batch_norm_splits: {parts}` gives each part its own, which is called ghost \
             batch norm; or train in as many processes as parts, {parts}, with `batch_norm_splits: 1`"
        );
        Err(ConfigError::field("batch_norm_splits", splits, must))
    }

    /// Draws for the initial values of one parameter.
    pub fn rng(&self, parameter: &str) -> Rng {
        initial_draws(self.seed, &self.name, parameter)
    }
}

/// Draws for the initial values of what a module calls `name`.
pub(super) fn initial_draws(seed: u64, module: &str, name: &str) -> Rng {
    Rng::new(seed, &format!("initial values of {module}.{name}"), &[])
}

//! What a backbone must do.

use std::sync::Arc;

use plugin_api::processes::Alone;
use plugin_api::{Backbone, Module, ModuleContext, PassDraws};
use tensor_ops::{Device, FeatureMap, Mode, OpError, Recording, Rows as _};

use crate::calm::calm;
use crate::config::Plugged;
use crate::fault::{Checked, Wrong, ensure, wrong};
use crate::module;
use crate::numbers::{all_finite, distance, normal, same_bits};
use crate::subject::{Factory, Made, Subject, same_images};
use crate::surroundings::Surroundings;

pub(crate) fn check(name: &str, config: Option<&str>, surroundings: &Surroundings) -> Checked {
    let plugged = Plugged::find(name, config)?;
    plugged.check_config(&context(surroundings, 0))?;
    let backbones = Backbones { plugged, surroundings };
    module::check(&backbones, surroundings.finite_differences)?;
    check_parts(&backbones)?;
    check_other_channels(&backbones)?;
    check_other_sizes(&backbones)?;
    check_draws(&backbones)?;
    check_layers(&backbones)?;
    check_drop_path(&backbones)?;
    check_map(&backbones)?;
    check_attention(&backbones)
}

/// What a backbone or head is told, with the seed `seed`.
pub(crate) fn context(surroundings: &Surroundings, seed: u64) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs: surroundings.channels,
        map: None,
        image_size: surroundings.image_size,
        batch: surroundings.batch,
        parts: 1,
        processes: Arc::new(Alone),
        seed,
        name: "module".into(),
    }
}

struct Backbones<'a> {
    plugged: Plugged<dyn Backbone>,
    surroundings: &'a Surroundings,
}

struct Built {
    backbone: Box<dyn Backbone>,
    shape: [usize; 4],
    /// Which image of the batch is the first that goes in.
    first: usize,
    step: u64,
}

impl Factory for Backbones<'_> {
    type Subject = Built;

    const HAS_MODES: bool = true;
    const METHOD: &'static str = "forward";

    fn build(&self, seed: u64) -> Checked<Built> {
        let Surroundings { image_size: (height, width), channels, batch, .. } = *self.surroundings;
        let backbone = self.plugged.build(&context(self.surroundings, seed))?;
        Ok(Built { backbone, shape: [batch, height, width, channels], first: 0, step: 0 })
    }

    fn inputs(&self, set: u64) -> Vec<Vec<f32>> {
        let Surroundings { image_size: (height, width), channels, batch, .. } = *self.surroundings;
        vec![normal("images", set, batch * height * width * channels)]
    }
}

impl Built {
    fn images(&self, values: &[f32], is_recorded: bool) -> Result<FeatureMap, OpError> {
        let recording = if is_recorded { Recording::start() } else { Recording::Off };
        FeatureMap::from_nhwc(&Device::default(), self.shape, values, recording)
    }
}

impl Subject for Built {
    fn module(&mut self) -> &mut dyn Module {
        &mut *self.backbone
    }

    fn declared(&self) -> (usize, usize) {
        (self.shape[0], self.backbone.n_features())
    }

    fn pass(&mut self, inputs: &[Vec<f32>], mode: Mode, is_recorded: bool) -> Result<Made, OpError> {
        let mut images = self.images(&inputs[0], is_recorded)?;
        let mut handle = None;
        if is_recorded {
            images = images.requires_gradient();
            handle = Some(images.share());
            images = same_images(images)?;
        }
        if mode == Mode::Train {
            let places = (self.first..self.first + self.shape[0]).map(|place| place as u64).collect();
            self.backbone.set_draws(PassDraws { seed: 0, pass: "q".into(), step: self.step, places });
        }
        let features = self.backbone.forward(images, mode)?;
        Made::of_features(features, &*self.backbone, |gradients| {
            handle.iter().map(|handle| handle.gradient(gradients)).collect()
        })
    }

    fn advance(&mut self, _: &[Vec<f32>]) -> Result<(), OpError> {
        Ok(())
    }
}

/// A batch that goes through in two parts gives the same as the whole: in evaluation, and in training where no layer looks
/// across the batch.
fn check_parts(backbones: &Backbones<'_>) -> Checked {
    let mut whole = backbones.build(0)?;
    let modes: &[Mode] = match whole.backbone.batch_norm_splits() {
        Some(_) => &[Mode::Eval],
        None => &[Mode::Eval, Mode::Train],
    };
    let inputs = backbones.inputs(0);
    let half = backbones.surroundings.batch / 2;
    let n_of_half = inputs[0].len() / backbones.surroundings.batch * half;
    for mode in modes {
        let expected = module::pass::<Backbones<'_>>(&mut whole, &inputs, *mode, false)?;
        let mut part = backbones.build(0)?;
        part.shape[0] = half;
        let first =
            module::pass::<Backbones<'_>>(&mut part, &[inputs[0][..n_of_half].to_vec()], *mode, false)?;
        let mut part = backbones.build(0)?;
        part.shape[0] = backbones.surroundings.batch - half;
        part.first = half;
        let last =
            module::pass::<Backbones<'_>>(&mut part, &[inputs[0][n_of_half..].to_vec()], *mode, false)?;
        let distance = distance(&expected.values, &[first.values, last.values].concat());
        let why = match mode {
            Mode::Eval => "in evaluation an image's features depend on no other image",
            Mode::Train => {
                "it has no batch norm by `batch_norm_splits`, so an image's features depend on no other image, and draws come \
                 from `set_draws`"
            }
        };
        ensure!(
            distance < 1e-4,
            "a batch in two parts has other features than as a whole, by {distance:.1e} of their size: {why}"
        );
    }
    Ok(())
}

/// Images with one channel more: refused, or taken.
fn check_other_channels(backbones: &Backbones<'_>) -> Checked {
    let other =
        Surroundings { channels: backbones.surroundings.channels + 1, ..backbones.surroundings.clone() };
    if backbones.plugged.try_build(&context(&other, 0))?.is_err() {
        return Ok(());
    }
    let other = Backbones { plugged: backbones.plugged.again(), surroundings: &other };
    let n_channels = other.surroundings.channels;
    let made = module::pass::<Backbones<'_>>(&mut other.build(0)?, &other.inputs(0), Mode::Eval, false);
    made.map(drop).map_err(|Wrong(what)| {
        wrong!("it is built for images of {n_channels} channels (`n_inputs` of its context), and then {what}")
    })
}

/// Images of another size: an error, or features where `check_image_size` accepts it.
fn check_other_sizes(backbones: &Backbones<'_>) -> Checked {
    let (height, width) = backbones.surroundings.image_size;
    for size in [(height + height / 2, width + width / 2), (height / 2, width / 2), (height, width + 1)] {
        for mode in [Mode::Eval, Mode::Train] {
            let mut built = backbones.build(0)?;
            built.shape[1..3].copy_from_slice(&[size.0, size.1]);
            let inputs = [normal("images", 2, built.shape.iter().product())];
            let accepted =
                calm("in `check_image_size`", || built.backbone.check_image_size(size, mode).is_ok())?;
            let made = calm(&format!("in `forward` with images of {} x {} pixels", size.0, size.1), || {
                built.pass(&inputs, mode, false)
            })?;
            if !accepted {
                continue;
            }
            let made = made.map_err(|error| {
                wrong!(
                    "`check_image_size` accepts {} x {} pixels, and `forward` fails: {error}",
                    size.0,
                    size.1
                )
            })?;
            ensure!(
                made.shape == built.declared() && all_finite(&made.values),
                "of images of {} x {} pixels, which `check_image_size` accepts, it makes {:?} features, and {:?} are declared, \
                 all finite",
                size.0,
                size.1,
                made.shape,
                built.declared()
            );
        }
    }
    Ok(())
}

/// The same draws give the same features, whatever went through before.
fn check_draws(backbones: &Backbones<'_>) -> Checked {
    let mut built = backbones.build(0)?;
    if built.backbone.batch_norm_splits().is_some() {
        return Ok(());
    }
    let inputs = backbones.inputs(0);
    let mut of_step = |step| {
        built.step = step;
        module::pass::<Backbones<'_>>(&mut built, &inputs, Mode::Train, false)
    };
    let (first, _, again) = (of_step(0)?, of_step(1)?, of_step(0)?);
    ensure!(
        same_bits(&first.values, &again.values),
        "it makes other features of the same images with the same key by `set_draws`, after another pass"
    );
    Ok(())
}

/// Layers and the stem are of parameters that are there.
fn check_layers(backbones: &Backbones<'_>) -> Checked {
    let built = backbones.build(0)?;
    let backbone = &built.backbone;
    let n_layers = backbone.n_layers();
    ensure!(n_layers >= 1, "`n_layers` is 0: the stem is a layer");
    let mut names = Vec::new();
    backbone.visit(&mut |name, _| names.push(name.to_owned()));
    for name in &names {
        if let Some(layer) = backbone.layer_of(name) {
            ensure!(
                layer < n_layers,
                "`layer_of` puts `{name}` into layer {layer}, and `n_layers` is {n_layers}"
            );
        }
    }
    for stem in backbone.stem() {
        ensure!(
            names.iter().any(|name| name.starts_with(stem)),
            "`stem` names `{stem}`, and no parameter begins with that"
        );
    }
    Ok(())
}

fn check_drop_path(backbones: &Backbones<'_>) -> Checked {
    let mut backbone = backbones.build(0)?.backbone;
    ensure!(backbone.set_drop_path(0.0).is_ok(), "`set_drop_path` refuses a rate of 0, which drops nothing");
    for rate in [-0.5, 1.5, f64::NAN] {
        let result = calm("in `set_drop_path`", || backbone.set_drop_path(rate))?;
        ensure!(result.is_err(), "`set_drop_path` takes a rate of {rate}");
    }
    Ok(())
}

/// The map beside the features has the shape that is declared, and the features are those of `forward`.
fn check_map(backbones: &Backbones<'_>) -> Checked {
    let mut built = backbones.build(0)?;
    let Some(declared) = built.backbone.map_shape(backbones.surroundings.image_size) else { return Ok(()) };
    let inputs = backbones.inputs(0);
    let expected = module::pass::<Backbones<'_>>(&mut built, &inputs, Mode::Eval, false)?;
    for (is_recorded, mode) in [(false, Mode::Eval), (true, Mode::Eval), (true, Mode::Train)] {
        let failed =
            |error: OpError| wrong!("`map_shape` gives a shape, and `forward_with_map` fails: {error}");
        let images = built.images(&inputs[0], is_recorded).map_err(failed)?;
        if mode == Mode::Train {
            let places = (0..built.shape[0] as u64).collect();
            built.backbone.set_draws(PassDraws { seed: 0, pass: "q".into(), step: 0, places });
        }
        let given = calm("in `forward_with_map`", || built.backbone.forward_with_map(images, mode))?;
        let (features, map) = given.map_err(failed)?;
        let shape = [built.shape[0], declared.n_positions(), declared.channels];
        ensure!(
            map.shape() == shape,
            "`forward_with_map` gives a map of the shape {:?}, and `map_shape` says {shape:?}",
            map.shape()
        );
        ensure!(
            map.is_recorded() == is_recorded && all_finite(&map.to_rows()),
            "the map of `forward_with_map` must be finite, and recorded exactly if the images are"
        );
        ensure!(
            mode == Mode::Train || same_bits(&features.rows(), &expected.values),
            "`forward_with_map` gives other features than `forward`"
        );
    }
    Ok(())
}

fn check_attention(backbones: &Backbones<'_>) -> Checked {
    let mut built = backbones.build(0)?;
    let failed = |error: OpError| wrong!("`attention` fails: {error}");
    let images = built.images(&backbones.inputs(0)[0], false).map_err(failed)?;
    let maps = calm("in `attention`", || built.backbone.attention(images))?.map_err(failed)?;
    let Some(maps) = maps else { return Ok(()) };
    let n = built.shape[0] * maps.names.len() * maps.size.0 * maps.size.1;
    ensure!(
        maps.values.len() == n && n > 0 && all_finite(&maps.values),
        "`attention` gives {} values; {n} would be `(N, maps, H, W)`, all finite",
        maps.values.len()
    );
    Ok(())
}

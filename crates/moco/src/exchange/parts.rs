//! Which modules of a pipeline are its encoder, and what another program must know to use it.

use pipeline::{Graph, HeadId, ModuleId, Pipeline};
use plugin_api::architecture::Architecture;
use plugin_api::{Backbone, ByteImage, Image, Normalization, Rng};
use weights::Tensors;

/// The modules of an encoder, by role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Maps images to features.
    pub(super) backbone: String,
    /// The projection heads behind it, which keys pass through too.
    pub(super) heads: Vec<String>,
    /// Modules that only queries pass through: MoCo v3's predictor.
    pub(super) predictors: Vec<String>,
}

impl Parts {
    /// The parts in `graph`: the modules of its first query step on a view.
    pub(super) fn of(graph: &Graph) -> Self {
        let chain = graph.encoder();
        let n_heads = match graph.keys.is_empty() {
            true => chain.heads.len(),
            false => chain.heads.iter().take_while(|head| graph.has_copy(ModuleId::Head(**head))).count(),
        };
        let names = |heads: &[HeadId]| heads.iter().map(|head| graph.heads[*head].clone()).collect();
        Self {
            backbone: graph.backbones[chain.backbone].clone(),
            heads: names(&chain.heads[..n_heads]),
            predictors: names(&chain.heads[n_heads..]),
        }
    }
}

/// The view to evaluate with: `eval` if there is one, and otherwise the first training view.
pub(super) fn measuring_view(pipeline: &Pipeline) -> &str {
    const EVAL: &str = "eval";
    match pipeline.view(EVAL) {
        Some(_) => EVAL,
        None => pipeline.network.graph.views.first().map_or("", String::as_str),
    }
}

/// The normalization of `view`; `None` if no step has one.
pub(super) fn normalization(pipeline: &Pipeline, view: &str) -> Option<Normalization> {
    pipeline.view(view)?.transform.steps.iter().find_map(|step| step.normalization())
}

/// The side in pixels that `view` makes the shorter side of an image, before it cuts out the square that the encoder sees; `None`
/// if it does something else.
pub(super) fn resized_to(pipeline: &Pipeline, view: &str) -> Option<usize> {
    let steps = &pipeline.view(view)?.transform.steps;
    let cut = steps.iter().position(|step| step.center().is_some())?;
    // Of a square nothing is cut by the way, and the shorter side is any.
    let resized = |side: usize| {
        let channels = pipeline.dataset.channels();
        let blank =
            ByteImage { width: side, height: side, channels, values: vec![0; side * side * channels] };
        let image = steps[..cut].iter().fold(Image::Bytes(blank), |image, step| {
            step.apply(image, &mut Rng::new(0, "the size of a view", &[]))
        });
        match image {
            Image::Bytes(image) => (image.height, image.width),
            Image::Floats(image) => (image.height, image.width),
        }
    };
    let (height, width) = steps[cut].center()?;
    let [(side, across), other] = SIDES.map(resized);
    // A step that resizes gives the same for every image.
    let is_resized = side == across && (side, across) == other;
    (is_resized && height == width && side >= height).then_some(side)
}

/// Of images that a view is tried on: of no size that views have.
const SIDES: [usize; 2] = [317, 461];

/// The backbone of `pipeline` that is called `name`.
pub(crate) fn backbone<'a>(pipeline: &'a Pipeline, name: &str) -> Option<&'a dyn Backbone> {
    let mut backbones = pipeline.network.modules.encoders.backbones.iter();
    backbones.find(|named| named.name == name).map(|named| &*named.module)
}

/// The architecture of the backbone called `name`.
pub(super) fn architecture(pipeline: &Pipeline, name: &str) -> Option<Architecture> {
    backbone(pipeline, name)?.architecture()
}

/// The tensors whose names start with `prefix` and a dot, with this prefix removed.
pub(super) fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    let inner = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
    tensors.iter().filter_map(|(name, stored)| Some((inner(name)?, stored.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tensor_ops::Device;

    use super::*;

    fn pipeline(file: &str) -> Pipeline {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(file);
        Pipeline::read(&path, &[], &Device::default()).unwrap()
    }

    #[test]
    fn head_and_predictor_are_told_apart_by_the_momentum_copy() {
        let parts = |file| {
            let Parts { backbone, heads, predictors } = Parts::of(&pipeline(file).network.graph);
            (backbone, heads.join(" "), predictors.join(" "))
        };
        assert_eq!(parts("small.ron"), ("backbone".into(), "head".into(), String::new()));
        assert_eq!(parts("v3.ron"), ("backbone".into(), "projector".into(), "predictor".into()));
    }

    #[test]
    fn the_pipeline_tells_what_weights_do_not() {
        let pipeline = pipeline("v3.ron");
        let Some(Architecture::Vit(vit)) = architecture(&pipeline, "backbone") else { panic!("no ViT") };
        assert_eq!(vit.heads, Some(2));
        assert_eq!(architecture(&pipeline, "projector"), None);
        let cifar = Normalization { mean: vec![0.4914, 0.4822, 0.4465], std: vec![0.2470, 0.2435, 0.2616] };
        assert_eq!(measuring_view(&pipeline), "eval");
        assert_eq!(normalization(&pipeline, "eval"), Some(cifar));
        assert_eq!(resized_to(&pipeline, "eval"), Some(16));
        let other = |set: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/v3.ron");
            let pipeline = Pipeline::read(&path, &[set.to_owned()], &Device::default()).unwrap();
            resized_to(&pipeline, "eval")
        };
        assert_eq!(other(r#"views.eval.0=("resize", (shorter: 37))"#), Some(37));
        assert_eq!(other(r#"views.eval.0=("resize", (size: (40, 37)))"#), None);
        assert_eq!(
            other(r#"views.eval=[("center-crop", (size: 16)), ("normalize", (statistics: Cifar10))]"#),
            None
        );
    }
}

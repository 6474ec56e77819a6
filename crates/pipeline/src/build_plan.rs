//! What modules are built for, and one module of the graph.

use std::sync::Arc;

use plugin_api::{Backbone, Head, ModuleContext};

use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::Graph;
use crate::ids::{BackboneId, HeadId, Table, ViewId};
use crate::modules::Named;
use crate::on_features::OnFeatures;
use crate::row_shape::RowShape;
use crate::site::Site;
use crate::views::View;
use pipeline_text::Checked;

/// What a module is built for besides the graph.
#[derive(Clone, Copy)]
pub(crate) struct BuildPlan<'a> {
    pub(crate) checker: &'a Checker,
    pub(crate) config: &'a PipelineConfig,
    pub(crate) graph: &'a Graph,
    /// What the views of the graph give.
    pub(crate) view_images: &'a Table<ViewId, ViewImages>,
    /// Parts in which a batch goes through a backbone.
    pub(crate) n_parts: usize,
    pub(crate) site: &'a Site,
}

/// What a view gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ViewImages {
    /// `(H, W)` in pixels.
    pub(crate) size: (usize, usize),
    pub(crate) channels: usize,
}

impl ViewImages {
    pub(crate) fn of(view: &View) -> Self {
        Self { size: view.size, channels: view.channels }
    }

    pub(crate) fn n_pixels(self) -> usize {
        self.size.0 * self.size.1
    }
}

impl BuildPlan<'_> {
    /// The backbone of that id. Initial values depend on seed and name alone, so a second call gives an equal one.
    pub(crate) fn backbone(&self, id: BackboneId, images: ViewImages) -> Checked<Named<Box<dyn Backbone>>> {
        let name = &self.graph.backbones[id];
        let context = self.context(name, RowShape::features(images.channels), images.size);
        let module = self.checker.build::<dyn Backbone>(&["modules", name], &context)?;
        Ok(Named { name: name.clone(), module })
    }

    /// The head of that id, as [`backbone`](Self::backbone).
    pub(crate) fn head(&self, id: HeadId, inputs: RowShape) -> Checked<Named<Box<dyn Head>>> {
        let name = &self.graph.heads[id];
        let image_size = self.view_images.first().copied().unwrap_or_default().size;
        let build = |inputs| {
            let context = self.context(name, inputs, image_size);
            self.checker.build::<dyn Head>(&["modules", name], &context)
        };
        let n_features = inputs.n_features();
        // One that takes no map gets the features; one that does may refuse to be built for them.
        let on_features = match n_features {
            0 => Err(self.checker.fault(
                &["modules", name],
                format!("`{name}` takes features, and {inputs} comes in"),
                "start from a step that has features, or use a head that takes a map",
            )),
            n => build(RowShape::features(n)),
        };
        let module: Box<dyn Head> = match on_features {
            Ok(head) if head.takes_map() && inputs.map.is_some() => build(inputs)?,
            Ok(head) if head.takes_map() || !self.graph.has_maps() => head,
            Ok(head) => Box::new(OnFeatures { head, n_features }),
            Err(fault) if inputs.map.is_none() => return Err(fault),
            Err(fault) => Some(build(inputs)?).filter(|head| head.takes_map()).ok_or(fault)?,
        };
        Ok(Named { name: name.clone(), module })
    }

    fn context(&self, name: &str, inputs: RowShape, image_size: (usize, usize)) -> ModuleContext {
        ModuleContext {
            device: self.site.device.clone(),
            n_inputs: inputs.width,
            map: inputs.map,
            image_size,
            batch: self.config.data.batch,
            parts: self.n_parts,
            processes: Arc::clone(&self.site.processes),
            seed: self.config.seed,
            name: name.to_owned(),
        }
    }
}

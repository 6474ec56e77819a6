//! What all of a pipeline and its encoder alone have in outline.

use crate::build_plan::{BuildPlan, ViewImages};
use crate::check_graph::check_graph;
use crate::check_losses::check_weight_words;
use crate::check_names::check_letters;
use crate::check_numbers::check_numbers;
use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::Graph;
use crate::ids::{Table, ViewId};
use crate::kept::config_of;
use crate::measuring;
use crate::minimize;
use crate::modules;
use crate::moved::Moved;
use crate::parts::check_micro_batch;
use crate::site::Site;
use crate::views::{Needed, Views, check_views};
use pipeline_text::Checked;
use pipeline_text::PipelineText;
use plugin_api::{Dataset, DatasetContext, MAX_CHANNELS};

/// A pipeline whose names, numbers, views and graph are right, and of which no module is built.
pub(crate) struct Outline {
    pub(crate) checker: Checker,
    pub(crate) config: PipelineConfig,
    pub(crate) views: Views,
    pub(crate) graph: Graph,
    /// Where images come from, or why it cannot be told.
    pub(crate) dataset: Checked<Box<dyn Dataset>>,
    /// Parts in which a batch goes through a backbone.
    pub(crate) n_parts: usize,
}

impl Outline {
    pub(crate) fn check(mut text: PipelineText, needed: Needed, moved: &Moved) -> Checked<Self> {
        text.write_out_views()?;
        let mut checker = Checker::new(text);
        minimize::check_gone(&checker)?;
        let config = read_config(&checker)?;
        check_numbers(&checker, &config)?;
        if needed == Needed::All {
            check_letters(&checker, &config)?;
        }
        let dataset = read_dataset(&checker, &config, moved);
        let channels = dataset.as_ref().ok().map(|dataset| dataset.channels());
        let mut views = check_views(&checker, &config, channels, needed)?;
        let kinds = modules::kinds(&checker, &config, needed)?;
        let graph = check_graph(&checker, &config, &kinds)?;
        measuring::declare(&mut checker, &config, &mut views, channels, &graph)?;
        let n_parts = check_micro_batch(&checker, &config)?;
        Ok(Self { checker, config, views, graph, dataset, n_parts })
    }

    /// What the graph's views give.
    pub(crate) fn view_images(&self) -> Table<ViewId, ViewImages> {
        // A view that cannot be built is taken to be like one that can: that for measuring, which most often is.
        let known = |name: &String| self.views.get(name).or(self.views.built.first());
        let images = |name: &String| known(name).map(ViewImages::of).unwrap_or_default();
        self.graph.views.iter().map(images).collect()
    }

    pub(crate) fn build_plan<'a>(
        &'a self,
        view_images: &'a Table<ViewId, ViewImages>,
        site: &'a Site,
    ) -> BuildPlan<'a> {
        let Self { checker, config, graph, n_parts, .. } = self;
        BuildPlan { checker, config, graph, view_images, n_parts: *n_parts, site }
    }
}

fn read_dataset(checker: &Checker, config: &PipelineConfig, moved: &Moved) -> Checked<Box<dyn Dataset>> {
    let path = ["data", "source"];
    moved.check(&checker.text)?;
    let dataset = checker.build_moved::<dyn Dataset>(&path, &DatasetContext { seed: config.seed }, moved)?;
    match dataset.channels() {
        1..=MAX_CHANNELS => Ok(dataset),
        n => Err(checker.fault(
            &path,
            format!("the images have {n} channels, but they must have from 1 to {MAX_CHANNELS}"),
            "choose among the channels, if the dataset has a field for that",
        )),
    }
}

fn read_config(checker: &Checker) -> Checked<PipelineConfig> {
    check_weight_words(checker)?;
    config_of(&checker.text)
}

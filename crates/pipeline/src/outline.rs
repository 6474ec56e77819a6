//! What all of a pipeline and its encoder alone have in outline.

use crate::build::BuildPlan;
use crate::check_graph::check_graph;
use crate::check_losses::check_weight_words;
use crate::check_numbers::check_numbers;
use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::Graph;
use crate::ids::{Table, ViewId};
use crate::measuring;
use crate::minimize;
use crate::modules;
use crate::parts::check_micro_batch;
use crate::site::Site;
use crate::views::{Needed, Views, check_views};
use pipeline_text::Checked;
use pipeline_text::PipelineText;

/// A pipeline whose names, numbers, views and graph are right, and of which no module is built.
pub(crate) struct Outline {
    pub(crate) checker: Checker,
    pub(crate) config: PipelineConfig,
    pub(crate) views: Views,
    pub(crate) graph: Graph,
    /// Parts in which a batch goes through a backbone.
    pub(crate) n_parts: usize,
}

impl Outline {
    pub(crate) fn check(mut text: PipelineText, needed: Needed) -> Checked<Self> {
        text.write_out_views()?;
        let mut checker = Checker::new(text);
        minimize::check_gone(&checker)?;
        let config = read_config(&checker)?;
        check_numbers(&checker, &config)?;
        let mut views = check_views(&checker, &config, needed)?;
        let kinds = modules::kinds(&checker, &config, needed)?;
        let graph = check_graph(&checker, &config, &kinds)?;
        measuring::declare(&mut checker, &config, &mut views, &graph)?;
        let n_parts = check_micro_batch(&checker, &config)?;
        Ok(Self { checker, config, views, graph, n_parts })
    }

    /// `(H, W)` of the graph's views, in pixels.
    pub(crate) fn view_sizes(&self) -> Table<ViewId, (usize, usize)> {
        // All views of one encoder have one size, so that of a view that cannot be built is that of the others.
        let known = |name: &String| self.views.get(name).or(self.views.built.first());
        let size = |name: &String| known(name).map(|view| view.size).unwrap_or_default();
        self.graph.views.iter().map(size).collect()
    }

    pub(crate) fn build_plan<'a>(
        &'a self,
        view_sizes: &'a Table<ViewId, (usize, usize)>,
        site: &'a Site,
    ) -> BuildPlan<'a> {
        let Self { checker, config, graph, n_parts, .. } = self;
        BuildPlan { checker, config, graph, view_sizes, n_parts: *n_parts, site }
    }
}

fn read_config(checker: &Checker) -> Checked<PipelineConfig> {
    check_weight_words(checker)?;
    plugin_api::parse_ron(&checker.text.text).map_err(|error| match &error {
        plugin_api::ConfigError::Parse { span, message, hint } => {
            checker.text.fault(span.clone(), message.clone(), hint.clone())
        }
        other => checker.text.fault(0..0, other.to_string(), None),
    })
}

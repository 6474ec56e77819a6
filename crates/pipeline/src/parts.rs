//! How a step goes through a batch that is too large for memory: in parts, with the gradients of the whole.

use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::{Graph, Input, StepId};
use crate::ids::{Id as _, ViewId};
use crate::modules::Modules;
use pipeline_text::Checked;
use plugin_api::Rng;

/// The parts of a batch, and the passes over them.
///
/// Part `p` of `n` has the images `p`, `p + n`, `p + 2n`... of the batch, as group `p` of batch norm in `n` splits has: so
/// statistics within parts are those of split batch norm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// How many; 1 for a batch as a whole.
    pub n_parts: usize,
    /// What happens in them.
    pub method: PartsMethod,
    /// What is loaded, in this order: each pass has all parts.
    pub passes: Vec<Pass>,
}

/// How the gradients of a batch come from its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartsMethod {
    /// There is one part.
    Whole,
    /// All keys first; then the gradients of each part's loss are added up. Exact where the loss of a query depends on no
    /// other image of its batch.
    Accumulate,
    /// Features of all parts first, without gradients; heads and losses on the whole batch, which gives the gradients of
    /// the features; then each part goes through the backbone again, with these gradients.
    CacheFeatures,
}

/// One pass over the parts of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The views it needs, by index into [`Graph::views`].
    pub views: Vec<usize>,
    /// Whether the images come in the order of [`batch_shuffle`], and not in their own.
    pub is_shuffled: bool,
}

impl Parts {
    /// A batch as a whole.
    pub fn whole(graph: &Graph) -> Self {
        Self::whole_of(graph.views.len())
    }

    /// A batch of `n_views` views as a whole.
    pub fn whole_of(n_views: usize) -> Self {
        let views = (0..n_views).collect();
        Self { n_parts: 1, method: PartsMethod::Whole, passes: vec![Pass { views, is_shuffled: false }] }
    }

    /// The places in a batch of `n` images that part `part` has.
    pub fn places(&self, part: usize, n: usize) -> impl Iterator<Item = usize> + use<> {
        (part..n).step_by(self.n_parts)
    }
}

/// In which order step number `step` of a run, from 0, shuffles a batch of `n` images.
pub fn batch_shuffle(seed: u64, step: u64, n: usize) -> Vec<usize> {
    Rng::new(seed, "batch shuffle", &[step]).permutation(n)
}

/// The number of parts that `data.micro_batch` asks for.
pub(crate) fn check_micro_batch(checker: &Checker, config: &PipelineConfig) -> Checked<usize> {
    let batch = config.data.batch;
    let Some(micro_batch) = config.data.micro_batch else { return Ok(1) };
    if micro_batch == 0 || !batch.is_multiple_of(micro_batch) {
        let divisors: Vec<String> = (1..=batch)
            .filter(|divisor| batch.is_multiple_of(*divisor))
            .filter(|divisor| *divisor >= 8 || batch < 16)
            .map(|divisor| divisor.to_string())
            .collect();
        return Err(checker.fault(
            &["data", "micro_batch"],
            format!("a batch of {batch} images cannot be cut into parts of {micro_batch}"),
            format!("choose from {}", divisors.join(", ")),
        ));
    }
    Ok(batch / micro_batch)
}

/// How the graph is computed in `n_parts`.
pub(crate) fn check_parts(
    checker: &Checker,
    n_parts: usize,
    graph: &Graph,
    modules: &Modules,
) -> Checked<Parts> {
    if n_parts == 1 {
        return Ok(Parts::whole(graph));
    }
    // Heads take their statistics over whole batches.
    let accumulates = modules.encoders.heads.iter().all(|head| head.module.batch_norm_splits().is_none())
        && modules.losses.iter().all(|loss| loss.module.is_separable());
    let method = if accumulates { PartsMethod::Accumulate } else { PartsMethod::CacheFeatures };
    let mut keys = Pass { views: Vec::new(), is_shuffled: false };
    let mut queries = Pass { views: Vec::new(), is_shuffled: false };
    let mut first = None;
    for (i, step) in graph.steps.iter().enumerate() {
        match *step {
            StepId::Query(id) => {
                let Input::View { view, .. } = graph.queries[id].input else { continue };
                add(&mut queries.views, view);
                if method == PartsMethod::CacheFeatures {
                    add(&mut keys.views, view);
                    check_order(checker, &mut first, i, false)?;
                }
            }
            StepId::Key(id) => {
                let step = &graph.keys[id];
                let Input::View { view, .. } = step.encode.input else { continue };
                add(&mut keys.views, view);
                check_order(checker, &mut first, i, step.shuffle_batch)?;
            }
            StepId::Loss(_) => {}
        }
    }
    keys.is_shuffled = first == Some(true);
    Ok(Parts { n_parts, method, passes: vec![keys, queries] })
}

fn add(views: &mut Vec<usize>, view: ViewId) {
    let view = view.index();
    if !views.contains(&view) {
        views.push(view);
        views.sort_unstable();
    }
}

/// A pass loads its images in one order.
fn check_order(checker: &Checker, first: &mut Option<bool>, step: usize, is_shuffled: bool) -> Checked<()> {
    if *first.get_or_insert(is_shuffled) == is_shuffled {
        return Ok(());
    }
    Err(checker.fault(
        &["graph", &step.to_string(), "shuffle_batch"],
        "with `data.micro_batch`, images that go through the encoder together must all be shuffled or none",
        "give every step with `weights: Momentum` the same `shuffle_batch`; where the loss is over the whole batch \
         (`in-batch`), leave it out",
    ))
}

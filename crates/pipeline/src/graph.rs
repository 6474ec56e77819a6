//! The checked graph: what one training step computes.
//!
//! What the check has found stands in the types: queries are made of queries by trained modules, keys of keys by momentum
//! copies, each starts with a backbone on a view, a contrastive loss has queries and keys, and an objective any of them.

use std::collections::BTreeSet;

use crate::ids::{
    BackboneCopyId, BackboneId, HeadCopyId, HeadId, Id, KeyId, LossId, LossStepId, QueryId, Table, ViewId,
};
use plugin_api::Level;

/// The steps of a pipeline, each after what it uses.
///
/// A checked graph has at least one loss, and so at least one step that makes queries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Names of the views that the graph uses, in order of first use.
    pub views: Table<ViewId, String>,
    /// Names of the backbones, in order of first use.
    pub backbones: Table<BackboneId, String>,
    /// Names of the heads, in order of first use.
    pub heads: Table<HeadId, String>,
    /// Names of the losses, in order of first use.
    pub losses: Table<LossId, String>,
    /// All modules in order of first use: the order in which parameters are visited.
    pub modules: Vec<ModuleId>,
    /// The backbones that have a momentum copy.
    pub backbone_copies: Table<BackboneCopyId, BackboneId>,
    /// The heads that have a momentum copy.
    pub head_copies: Table<HeadCopyId, HeadId>,
    /// What makes queries.
    pub queries: Table<QueryId, QueryStep>,
    /// What makes keys.
    pub keys: Table<KeyId, KeyStep>,
    /// The steps on views that make queries and share a pass through the backbone with others, by pass.
    pub shared_query_passes: Vec<Vec<QueryId>>,
    /// The steps on views that make keys and share a pass through the backbone with others, by pass.
    pub shared_key_passes: Vec<Vec<KeyId>>,
    /// What is minimized: the sum of all, each times its weight.
    pub loss_steps: Table<LossStepId, LossStep>,
    /// In the order of the file.
    pub steps: Vec<StepId>,
}

/// A module of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleId {
    /// Images to features.
    Backbone(BackboneId),
    /// Features to embeddings.
    Head(HeadId),
    /// A loss.
    Loss(LossId),
}

/// A step of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepId {
    /// It makes queries.
    Query(QueryId),
    /// It makes keys.
    Key(KeyId),
    /// It compares them.
    Loss(LossStepId),
}

/// A step that encodes: with backbones `B` and heads `H` of one set of weights, from a view or a step `S` of this set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encode<B, H, S> {
    /// The step's name in the file.
    pub id: String,
    /// What goes in.
    pub input: Input<B, S>,
    /// What follows, in order.
    pub heads: Vec<H>,
    /// Whether gradients pass through it; through keys they never do.
    pub has_gradient: bool,
    /// Whether the backbone gives the map of its features as well. No head follows it then in this step.
    pub gives_map: bool,
}

impl<B, H, S> Encode<B, H, S> {
    /// Whether it starts from images.
    pub fn is_on_view(&self) -> bool {
        matches!(self.input, Input::View { .. })
    }
}

/// A step that makes queries.
pub type QueryStep = Encode<BackboneId, HeadId, QueryId>;

/// A step that makes keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStep {
    /// What it computes.
    pub encode: Encode<BackboneCopyId, HeadCopyId, KeyId>,
    /// Whether the images are shuffled over the parts of split batch norm, and the results put back in order.
    pub shuffle_batch: bool,
}

/// What a step that encodes starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<B, S> {
    /// Images.
    View {
        /// Which.
        view: ViewId,
        /// What makes features of them.
        backbone: B,
    },
    /// The features of an earlier step.
    Step(S),
}

/// A step that compares.
#[derive(Clone, Debug, PartialEq)]
pub struct LossStep {
    /// Its name in the file.
    pub id: String,
    /// The module.
    pub loss: LossId,
    /// What it compares.
    pub on: LossInputs,
    /// What the loss is multiplied by in the sum that is minimized.
    pub weight: f64,
}

/// What a loss is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LossInputs {
    /// Of a contrastive loss.
    Contrast {
        /// What gives queries.
        queries: QueryId,
        /// What gives keys.
        keys: KeyId,
    },
    /// Of an objective, in its order.
    Values(Vec<ValueId>),
}

/// The result of a step that encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueId {
    /// By trained weights.
    Query(QueryId),
    /// By momentum weights.
    Key(KeyId),
}

impl LossInputs {
    /// All of them, in order.
    pub fn values(&self) -> Vec<ValueId> {
        match self {
            Self::Contrast { queries, keys } => vec![ValueId::Query(*queries), ValueId::Key(*keys)],
            Self::Values(values) => values.clone(),
        }
    }

    /// Those made by trained weights, in order.
    pub fn queries(&self) -> impl Iterator<Item = QueryId> + use<> {
        self.values().into_iter().filter_map(|value| match value {
            ValueId::Query(id) => Some(id),
            ValueId::Key(_) => None,
        })
    }
}

/// Trained modules one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain<'a> {
    /// What they are on.
    pub view: ViewId,
    /// The first.
    pub backbone: BackboneId,
    /// Those after it.
    pub heads: &'a [HeadId],
}

impl Graph {
    /// The first trained modules on a view: the backbone, and all heads after it.
    pub fn encoder(&self) -> Chain<'_> {
        // A target may come before what is trained to be like it.
        let trained = self.queries.iter_with_ids().find(|(_, step)| step.has_gradient);
        self.encoder_of(trained.map_or(QueryId::at(0), |(id, _)| id))
    }

    fn encoder_of(&self, query: QueryId) -> Chain<'_> {
        let Encode { input, heads, .. } = &self.queries[query];
        match *input {
            Input::View { view, backbone } => Chain { view, backbone, heads },
            Input::Step(from) => self.encoder_of(from),
        }
    }

    /// What gives features of `level`: the backbone of [`encoder`](Self::encoder), and heads after it.
    ///
    /// The head is what follows the backbone as far as keys pass through it as well: a predictor, through
    /// which none passes, is no part of it.
    /// In a graph without keys it is all that follows in that step.
    /// Where the step gives a map, and so has no heads, those of the first trained step on it count.
    pub fn features(&self, level: Level) -> Chain<'_> {
        let chain = self.encoder();
        let heads = if chain.heads.is_empty() { self.heads_behind_map() } else { chain.heads };
        let n_heads = match level {
            Level::Head if self.keys.is_empty() => heads.len(),
            Level::Head if self.has_copy(ModuleId::Backbone(chain.backbone)) => {
                heads.iter().take_while(|head| self.has_copy(ModuleId::Head(**head))).count()
            }
            Level::Head | Level::Backbone => 0,
        };
        Chain { heads: &heads[..n_heads], ..chain }
    }

    /// The heads of the first trained step on the first trained step, if that gives a map.
    fn heads_behind_map(&self) -> &[HeadId] {
        let mut steps = self.queries.iter_with_ids().filter(|(_, step)| step.has_gradient);
        let Some((first, _)) = steps.next().filter(|(_, step)| step.gives_map) else { return &[] };
        let behind = steps.find(|(_, step)| step.input == Input::Step(first) && !step.heads.is_empty());
        behind.map_or(&[], |(_, step)| &step.heads)
    }

    /// Whether a step gives a map.
    pub(crate) fn has_maps(&self) -> bool {
        let of_queries = self.queries.iter().any(|step| step.gives_map);
        of_queries || self.keys.iter().any(|step| step.encode.gives_map)
    }

    /// The steps whose images go through the backbone together with those of `step`, itself included.
    pub fn query_pass(&self, step: QueryId) -> Vec<QueryId> {
        pass_of(step, &self.shared_query_passes)
    }

    /// As [`query_pass`](Self::query_pass), of keys.
    pub fn key_pass(&self, step: KeyId) -> Vec<KeyId> {
        pass_of(step, &self.shared_key_passes)
    }

    /// The passes of all steps on views that make queries, in the order of their first steps.
    pub fn query_passes(&self) -> Vec<Vec<QueryId>> {
        let on_views = self.queries.iter_with_ids().filter(|(_, step)| step.is_on_view());
        passes(on_views.map(|(id, _)| id), &self.shared_query_passes)
    }

    /// As [`query_passes`](Self::query_passes), of keys.
    pub fn key_passes(&self) -> Vec<Vec<KeyId>> {
        let on_views = self.keys.iter_with_ids().filter(|(_, step)| step.encode.is_on_view());
        passes(on_views.map(|(id, _)| id), &self.shared_key_passes)
    }

    /// Whether a module has a momentum copy.
    pub fn has_copy(&self, module: ModuleId) -> bool {
        match module {
            ModuleId::Backbone(id) => self.backbone_copies.contains(&id),
            ModuleId::Head(id) => self.head_copies.contains(&id),
            ModuleId::Loss(_) => false,
        }
    }

    /// The steps whose keys a contrastive loss takes: the sets of keys that arrive in one step of training.
    pub fn key_steps(&self, loss: LossId) -> Vec<KeyId> {
        let of_loss = self.loss_steps.iter().filter(|step| step.loss == loss);
        let mut steps: Vec<KeyId> = of_loss
            .filter_map(|step| match step.on {
                LossInputs::Contrast { keys, .. } => Some(keys),
                LossInputs::Values(_) => None,
            })
            .collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The steps whose keys arrive in one step of training where `loss` [keeps them](plugin_api::Objective::past_keys): those of a
    /// contrastive loss, or the one that an objective is on. None for an objective on several, whose order is its own.
    pub fn kept_key_steps(&self, loss: LossId) -> Vec<KeyId> {
        let mut of_loss = self.loss_steps.iter().filter(|step| step.loss == loss);
        let (Some(LossStep { on: LossInputs::Values(values), .. }), None) = (of_loss.next(), of_loss.next())
        else {
            return self.key_steps(loss);
        };
        let keys = values.iter().filter_map(|value| match value {
            ValueId::Key(key) => Some(*key),
            ValueId::Query(_) => None,
        });
        match keys.collect::<Vec<_>>()[..] {
            [only] => vec![only],
            _ => Vec::new(),
        }
    }

    /// The name of a module.
    pub fn module_name(&self, module: ModuleId) -> &str {
        match module {
            ModuleId::Backbone(id) => &self.backbones[id],
            ModuleId::Head(id) => &self.heads[id],
            ModuleId::Loss(id) => &self.losses[id],
        }
    }

    /// The name of the step that gives a value.
    pub fn value_name(&self, value: ValueId) -> &str {
        match value {
            ValueId::Query(id) => self.step_name(StepId::Query(id)),
            ValueId::Key(id) => self.step_name(StepId::Key(id)),
        }
    }

    /// Whether gradients pass to what has made a value.
    pub fn has_gradient(&self, value: ValueId) -> bool {
        match value {
            ValueId::Query(id) => self.queries[id].has_gradient,
            ValueId::Key(_) => false,
        }
    }

    /// The steps whose results a loss trains: those that it is on, and those that they start from, as far as gradients pass.
    pub fn trained(&self) -> BTreeSet<QueryId> {
        let has_gradient = |id: &QueryId| self.queries[*id].has_gradient;
        let on_losses = self.loss_steps.iter().flat_map(|step| step.on.queries());
        let mut trained: BTreeSet<QueryId> = on_losses.filter(has_gradient).collect();
        let steps: Vec<(QueryId, _)> = self.queries.iter_with_ids().collect();
        // Each step stands after what it starts from.
        for (id, step) in steps.into_iter().rev() {
            if let Input::Step(from) = step.input
                && trained.contains(&id)
                && has_gradient(&from)
            {
                trained.insert(from);
            }
        }
        trained
    }

    /// The names of the modules that a loss trains, and of the losses: what no gradient reaches besides is no fault of the graph.
    pub fn trained_modules(&self) -> BTreeSet<&str> {
        let mut names: BTreeSet<&str> = self.losses.iter().map(String::as_str).collect();
        for step in self.trained().into_iter().map(|id| &self.queries[id]) {
            if let Input::View { backbone, .. } = step.input {
                names.insert(&self.backbones[backbone]);
            }
            names.extend(step.heads.iter().map(|head| self.heads[*head].as_str()));
        }
        names
    }

    /// The view that a value is made of, and the backbone that has made it; that of a momentum copy has the name of what it
    /// follows.
    pub fn origin(&self, value: ValueId) -> (&str, &str) {
        match value {
            ValueId::Query(id) => match self.queries[id].input {
                Input::View { view, backbone } => (&self.views[view], &self.backbones[backbone]),
                Input::Step(from) => self.origin(ValueId::Query(from)),
            },
            ValueId::Key(id) => match self.keys[id].encode.input {
                Input::View { view, backbone } => {
                    (&self.views[view], &self.backbones[self.backbone_copies[backbone]])
                }
                Input::Step(from) => self.origin(ValueId::Key(from)),
            },
        }
    }

    /// The view on which [`encoder`](Self::encoder) is trained, by the sizes of views in pixels: the largest, of several the first.
    /// Small views beside large ones are for training alone.
    pub(crate) fn trained_view(&self, n_pixels: impl Fn(ViewId) -> usize) -> ViewId {
        let encoder = self.encoder();
        let of_encoder =
            self.queries.iter().filter(|step| step.has_gradient).filter_map(|step| match step.input {
                Input::View { view, backbone } if backbone == encoder.backbone => Some(view),
                Input::View { .. } | Input::Step(_) => None,
            });
        of_encoder.fold(encoder.view, |best, view| if n_pixels(view) > n_pixels(best) { view } else { best })
    }

    /// The name of a step.
    pub fn step_name(&self, step: StepId) -> &str {
        match step {
            StepId::Query(id) => &self.queries[id].id,
            StepId::Key(id) => &self.keys[id].encode.id,
            StepId::Loss(id) => &self.loss_steps[id].id,
        }
    }
}

fn pass_of<I: Copy + PartialEq>(step: I, shared: &[Vec<I>]) -> Vec<I> {
    let found = shared.iter().find(|steps| steps.contains(&step));
    found.cloned().unwrap_or_else(|| vec![step])
}

/// The pass of each of `steps`, each once.
fn passes<I: Copy + PartialEq>(steps: impl Iterator<Item = I>, shared: &[Vec<I>]) -> Vec<Vec<I>> {
    let each = steps.map(|step| (step, pass_of(step, shared)));
    each.filter(|(step, pass)| pass[0] == *step).map(|(_, pass)| pass).collect()
}

/// The place of `item`, which is added if it is not there yet.
pub(crate) fn intern<I: Id, T, Q>(table: &mut Table<I, T>, item: &Q) -> I
where
    T: std::borrow::Borrow<Q>,
    Q: Eq + ToOwned<Owned = T> + ?Sized,
{
    match table.find_id(|known| known.borrow() == item) {
        Some(id) => id,
        None => table.push(item.to_owned()),
    }
}

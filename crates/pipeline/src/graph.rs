//! The checked graph: what one training step computes.
//!
//! What the check has found stands in the types: queries are made of queries by trained modules, keys of keys by momentum
//! copies, each starts with a backbone on a view, a contrastive loss has queries and keys, and an objective any of them.

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
    /// The head is what follows the backbone as far as keys pass through it as well: MoCo v3's predictor is no part of it.
    /// In a graph without keys it is all that follows in that step.
    pub fn features(&self, level: Level) -> Chain<'_> {
        let chain = self.encoder();
        let n_heads = match level {
            Level::Head if self.keys.is_empty() => chain.heads.len(),
            Level::Head if self.has_copy(ModuleId::Backbone(chain.backbone)) => {
                chain.heads.iter().take_while(|head| self.has_copy(ModuleId::Head(**head))).count()
            }
            Level::Head | Level::Backbone => 0,
        };
        Chain { heads: &chain.heads[..n_heads], ..chain }
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

    /// The name of a step.
    pub fn step_name(&self, step: StepId) -> &str {
        match step {
            StepId::Query(id) => &self.queries[id].id,
            StepId::Key(id) => &self.keys[id].encode.id,
            StepId::Loss(id) => &self.loss_steps[id].id,
        }
    }
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

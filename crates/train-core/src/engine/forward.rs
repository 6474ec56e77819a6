//! The forward passes of a step, over the graph.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use dfdx::tensor::{PutTape as _, SplitTape as _};
use tensor_ops::{
    FeatureMap, Features, KeepLogits, Matrix, Mode, OpError, Recording, Rows, Scalar, concat_rows,
    select_rows, slice_rows,
};

use super::encode::{Gives, Pass, encode, run_heads};
use super::shared_pass::{apart, rows_of};
use super::step::times;
use super::{Engine, EngineError};
use pipeline::{
    BackboneCopyId, Encode, Graph, HeadCopyId, Id as _, Input, KeyId, LossId, LossInputs, LossModule,
    LossStepId, QueryId, Table, ValueId, ViewId, batch_shuffle,
};
use plugin_api::{Contrast, Evaluated, Input as ObjectiveInput, Keys, Objective, PassDraws};

/// One loss of the graph.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The step's `id`.
    pub id: String,
    /// In nats, averaged over the batch.
    pub value: f32,
    /// What it is multiplied by in the sum that is minimized.
    pub weight: f32,
    /// Share of queries that are nearest to their own key, 0–1; of a contrastive loss.
    pub top1: Option<f32>,
    /// The metrics of an objective, by name.
    pub metrics: Vec<(&'static str, f32)>,
    /// `(N, 1 + K)` row by row, if asked for, of a contrastive loss.
    pub logits: Option<Vec<f32>>,
}

/// The keys of a step, for each loss module.
pub struct StepKeys(Vec<(LossId, Matrix)>);

/// Images by view; not of all views, where a batch goes through in parts.
#[derive(Default)]
pub(super) struct Views {
    by_view: Vec<Option<FeatureMap>>,
    /// For each image, its place in the whole batch.
    places: Vec<usize>,
}

impl Views {
    /// Of the views `of` of the graph's list; `places` are those of the images in the whole batch.
    pub(super) fn new(graph: &Graph, of: &[usize], images: Vec<FeatureMap>, places: Vec<usize>) -> Self {
        let mut by_view: Vec<Option<FeatureMap>> = graph.views.iter().map(|_| None).collect();
        for (view, images) in of.iter().zip(images) {
            by_view[*view] = Some(images);
        }
        Self { by_view, places }
    }

    /// The places of the images, in the order that they go through in.
    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }

    /// The images of one view, without a recording.
    pub(super) fn of(&self, graph: &Graph, view: ViewId) -> Result<FeatureMap, EngineError> {
        match self.by_view.get(view.index()) {
            Some(Some(images)) => Ok(images.share()),
            Some(None) | None => Err(EngineError::NoView { view: graph.views[view].clone() }),
        }
    }
}

/// What steps start from: what the backbone has made of their views before, or else the views.
pub(super) struct Starts<'a, S> {
    pub(super) views: &'a Views,
    /// For the steps on views.
    pub(super) features: Table<S, Option<Matrix>>,
}

impl<'a, S: pipeline::Id> Starts<'a, S> {
    pub(super) fn views(views: &'a Views) -> Self {
        Self { views, features: Table::default() }
    }

    fn take(&mut self, step: S) -> Option<Matrix> {
        self.features.get_mut(step.index())?.take()
    }
}

/// The queries of a branch.
pub(super) struct Queries {
    of_steps: BTreeMap<QueryId, Recorded>,
    /// What passes that several steps share have made, by the first of those steps.
    of_shared_passes: BTreeMap<QueryId, Recorded>,
}

impl Queries {
    fn of(&self, step: QueryId) -> &Recorded {
        self.of_steps.get(&step).expect("a branch has what its steps start from, and in their order")
    }

    /// What made them.
    pub(super) fn into_recordings(self) -> impl Iterator<Item = Recording> {
        self.of_shared_passes.into_values().chain(self.of_steps.into_values()).map(Recorded::into_recording)
    }
}

/// Features with the recording of what made them, unless no gradient passes through them.
///
/// Every use of them begins a recording of its own. The tensor is the same, so their gradients add up, and it does not matter
/// which of the uses reach a loss: what made the features is joined to the losses at the end.
pub(super) struct Recorded(Features);

impl Recorded {
    /// The features for a use through which a gradient passes.
    fn trained(&self) -> Features {
        self.target().put_tape(Recording::start())
    }

    /// The features alone.
    fn target(&self) -> Matrix {
        self.0.retaped()
    }

    /// The rows of the step `id` among those of all steps `together` that share a pass.
    fn of_step(&self, id: QueryId, together: &[QueryId], recording: Recording) -> Result<Features, OpError> {
        let place = together.iter().position(|step| *step == id).expect("a step is in its own pass");
        let rows = rows_of(place, together.len(), Rows::n(&self.0));
        slice_rows(self.target().put_tape(recording), rows)
    }

    fn into_recording(self) -> Recording {
        self.0.split_tape().1
    }
}

impl Engine {
    /// Makes the queries of a branch, `steps`; only what makes those of `trained` is recorded.
    pub(super) fn queries(
        &mut self,
        graph: &Graph,
        steps: &[QueryId],
        trained: &BTreeSet<QueryId>,
        starts: &mut Starts<'_, QueryId>,
    ) -> Result<Queries, EngineError> {
        let mut queries = Queries { of_steps: BTreeMap::new(), of_shared_passes: BTreeMap::new() };
        for &id in steps {
            let step = &graph.queries[id];
            let failed = |source| EngineError::Step { step: step.id.clone(), source };
            let recording = |is_trained| if is_trained { Recording::start() } else { Recording::Off };
            let own = || recording(trained.contains(&id));
            let features = match (starts.take(id), step.input) {
                (Some(features), _) => features.put_tape(own()),
                (None, Input::Step(from)) => queries.of(from).target().put_tape(own()),
                (None, Input::View { .. }) => match &graph.query_pass(id)[..] {
                    [_] => self.query_features(graph, starts.views, &[id], own())?,
                    together => {
                        let shared = match queries.of_shared_passes.entry(together[0]) {
                            Entry::Occupied(made) => made.into_mut(),
                            Entry::Vacant(missing) => {
                                let is_trained = together.iter().any(|id| trained.contains(id));
                                let of = recording(is_trained);
                                missing.insert(Recorded(self.query_features(
                                    graph,
                                    starts.views,
                                    together,
                                    of,
                                )?))
                            }
                        };
                        shared.of_step(id, together, own()).map_err(failed)?
                    }
                },
            };
            let encoders = &mut self.modules.encoders;
            let features = run_heads(encoders, &step.heads, features, Mode::Train).map_err(failed)?;
            queries.of_steps.insert(id, Recorded(features));
        }
        Ok(queries)
    }

    /// Makes the keys of all steps.
    pub(super) fn keys(
        &mut self,
        graph: &Graph,
        mut starts: Starts<'_, KeyId>,
        shuffle: Shuffle,
    ) -> Result<Table<KeyId, Matrix>, EngineError> {
        let mut keys: Table<KeyId, Matrix> = Table::default();
        let mut of_shared_passes: BTreeMap<KeyId, Matrix> = BTreeMap::new();
        for (id, step) in graph.keys.iter_with_ids() {
            let heads = &step.encode.heads;
            let features = match (starts.take(id), step.encode.input) {
                (Some(features), _) => {
                    run_heads(&mut self.momentum_modules, heads, features.retaped(), Mode::Train)
                }
                (None, Input::Step(from)) => {
                    run_heads(&mut self.momentum_modules, heads, keys[from].retaped(), Mode::Train)
                }
                (None, Input::View { view, backbone }) => {
                    if step.shuffle_batch && shuffle == Shuffle::AsDeclared {
                        let images = starts.views.of(graph, view)?;
                        self.shuffled_keys(&step.encode, backbone, images)
                    } else {
                        if !of_shared_passes.contains_key(&id) {
                            let steps = graph.key_pass(id);
                            let made = self.key_features(graph, starts.views, &steps)?;
                            let of_steps = apart(made, steps.len())?;
                            of_shared_passes.extend(steps.into_iter().zip(of_steps));
                        }
                        let features = of_shared_passes.remove(&id).expect("its pass has made it");
                        run_heads(&mut self.momentum_modules, heads, features.retaped(), Mode::Train)
                    }
                }
            };
            let failed = |source| EngineError::Step { step: step.encode.id.clone(), source };
            keys.push(unrecorded(features.map_err(failed)?));
        }
        Ok(keys)
    }

    /// One loss of queries against keys: its value, and what its gradients come from.
    pub(super) fn compare(
        &mut self,
        graph: &Graph,
        id: LossStepId,
        queries: &Queries,
        keys: &Table<KeyId, Matrix>,
        keep: KeepLogits,
    ) -> Result<(Loss, Scalar), EngineError> {
        let step = &graph.loss_steps[id];
        let failed = |source| EngineError::Step { step: step.id.clone(), source };
        let weight = step.weight as f32;
        let id = step.id.clone();
        let (loss, scalar) = match (&mut self.modules.losses[step.loss].module, &step.on) {
            (LossModule::Contrast(module), LossInputs::Contrast { queries: from, keys: own }) => {
                let own = &keys[*own];
                let all = Keys { own, all: own, first: 0 };
                let contrast = module.loss(queries.of(*from).trained(), all, keep).map_err(failed)?;
                let Contrast { loss, value, top1, logits } = contrast;
                (Loss { id, value, weight, top1: Some(top1), metrics: Vec::new(), logits }, loss)
            }
            (LossModule::Objective(module), on) => {
                let input = |value| match value {
                    ValueId::Query(id) if graph.queries[id].has_gradient => {
                        ObjectiveInput::Trained(queries.of(id).trained())
                    }
                    ValueId::Query(id) => ObjectiveInput::Fixed(queries.of(id).target()),
                    ValueId::Key(id) => ObjectiveInput::Fixed(keys[id].clone()),
                };
                let inputs = on.values().into_iter().map(input).collect();
                let now = self.now.of_objective(self.seed);
                let evaluated = module.evaluate(inputs, now).map_err(failed)?;
                let Evaluated { loss, value, metrics } = evaluated;
                let metrics = named_metrics(&**module, value, metrics).map_err(failed)?;
                (Loss { id, value, weight, top1: None, metrics, logits: None }, loss)
            }
            (LossModule::Contrast(_), LossInputs::Values(_)) => {
                unreachable!("the check gives a contrastive loss queries and keys")
            }
        };
        Ok((loss, times(scalar, weight).map_err(failed)?))
    }

    /// Gives every contrastive loss the keys of a step, once, in the order of the graph's steps, and has every objective take
    /// in what it has put aside.
    ///
    /// # Errors
    /// If a module refuses them.
    pub fn enqueue(&mut self, keys: &StepKeys) -> Result<(), EngineError> {
        for (loss, keys) in &keys.0 {
            if let LossModule::Contrast(module) = &mut self.modules.losses[*loss].module {
                module.enqueue(keys)?;
            }
        }
        for named in self.modules.losses.iter_mut() {
            if let LossModule::Objective(module) = &mut named.module {
                module.end_step()?;
            }
        }
        Ok(())
    }

    pub(super) fn keys_by_loss(
        &self,
        graph: &Graph,
        keys: &Table<KeyId, Matrix>,
    ) -> Result<StepKeys, OpError> {
        let losses: BTreeSet<LossId> = graph.loss_steps.iter().map(|step| step.loss).collect();
        let of_loss = losses.into_iter().filter_map(|loss| {
            let steps = graph.key_steps(loss).into_iter();
            let keys: Vec<&Matrix> = steps.map(|step| &keys[step]).collect();
            match keys[..] {
                [] => None,
                [only] => Some(Ok((loss, only.clone()))),
                _ => Some(concat_rows(&keys).map(|keys| (loss, keys))),
            }
        });
        Ok(StepKeys(of_loss.collect::<Result<_, OpError>>()?))
    }

    /// Keys of a shuffled batch, back in order (He et al. 2020, §3.3).
    fn shuffled_keys(
        &mut self,
        step: &Encode<BackboneCopyId, HeadCopyId, KeyId>,
        backbone: BackboneCopyId,
        images: FeatureMap,
    ) -> Result<Features, OpError> {
        let order = batch_shuffle(self.seed, self.n_steps, images.n());
        let pass = (draws(self.seed, self.n_steps, &step.id, &order), Gives::of(step));
        let copies = &mut self.momentum_modules;
        let shuffled = images.select_images(&order)?;
        let keys = encode(copies, backbone, &step.heads, shuffled, pass, self.precision)?;
        let mut back = vec![0; order.len()];
        for (position, image) in order.iter().enumerate() {
            back[*image] = position;
        }
        Ok(select_rows(&unrecorded(keys), &back)?.retaped())
    }
}

/// Whether batches are shuffled here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shuffle {
    /// Where the graph says so.
    AsDeclared,
    /// What is given is shuffled already.
    Done,
}

/// What a pass of images at `places` of the batch draws, for the step `id` of the graph.
pub(super) fn draws(seed: u64, step: u64, id: &str, places: &[usize]) -> Pass {
    let places = places.iter().map(|&place| place as u64).collect();
    Pass::Train(PassDraws { seed, pass: id.to_owned(), step, places })
}

/// The metrics of an objective with their names. They are finite where the loss is.
fn named_metrics(
    module: &dyn Objective,
    loss: f32,
    values: Vec<f32>,
) -> Result<Vec<(&'static str, f32)>, OpError> {
    let names = module.metrics();
    if names.len() != values.len() {
        let (expected, got) = (names.len().to_string(), values.len().to_string());
        return Err(OpError::Shape { op: "objective", what: "number of metrics", expected, got });
    }
    if loss.is_finite()
        && let Some((name, value)) = names.iter().zip(&values).find(|(_, value)| !value.is_finite())
    {
        return Err(OpError::value("objective", name, value, "metrics must be finite where the loss is"));
    }
    Ok(names.iter().copied().zip(values).collect())
}

pub(super) fn unrecorded(features: Features) -> Matrix {
    features.split_tape().0
}

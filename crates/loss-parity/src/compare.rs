//! Runs an objective on a file's steps.

use plugin_api::{
    Config, Entry, EntryMut, Input, InputShape, Objective, ObjectiveContext, ObjectiveStep, Progress, build,
};
use serde_json::Value;
use tensor_ops::{
    Device, Matrix, OpError, Recording, Rows as _, backward, features_from_rows, gradient_of_rows,
};

use crate::ParityError;
use crate::file::{Floats, LossFile};
use crate::method::Method;

/// One compared group: a loss, all gradients of a step together, or what the objective keeps after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// `step0/loss`, `step0/grad`, `step0/center_after`.
    pub group: String,
    /// |ours - theirs| / |theirs|, over all values of the group.
    pub error: f64,
    /// The largest error that is right.
    pub limit: f64,
    /// The tensors of a group over its limit, those that are most off first.
    pub worst: Vec<String>,
}

/// How far a loss, and what is kept from step to step, may be off.
const VALUE_LIMIT: f64 = 1e-5;
/// How far the gradients of a step may be off.
const GRADIENT_LIMIT: f64 = 1e-4;
/// The end of the names of what an objective keeps, as it is after a step.
const AFTER: &str = "_after";

impl Compared {
    /// Whether the error is within its limit; one that is NaN is not.
    pub fn is_ok(&self) -> bool {
        self.error <= self.limit
    }

    fn new(group: String, limit: f64, pieces: &[Piece<'_>]) -> Self {
        let difference2: f64 = pieces.iter().map(Piece::difference2).sum();
        let scale2: f64 = pieces.iter().map(Piece::scale2).sum();
        let error = if difference2 == 0.0 { 0.0 } else { (difference2 / scale2).sqrt() };
        let mut compared = Self { group, error, limit, worst: Vec::new() };
        if !compared.is_ok() {
            let mut pieces: Vec<&Piece<'_>> = pieces.iter().collect();
            pieces.sort_by(|a, b| b.difference2().total_cmp(&a.difference2()));
            compared.worst = pieces.iter().take(3).map(ToString::to_string).collect();
        }
        compared
    }
}

/// One tensor of a group.
struct Piece<'a> {
    name: String,
    ours: Vec<f32>,
    theirs: &'a [f32],
}

impl Piece<'_> {
    fn difference2(&self) -> f64 {
        if self.ours.len() != self.theirs.len() {
            return f64::INFINITY;
        }
        self.ours.iter().zip(self.theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    }

    fn scale2(&self) -> f64 {
        self.theirs.iter().map(|value| f64::from(*value).powi(2)).sum()
    }
}

impl std::fmt::Display for Piece<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, ours, theirs } = self;
        if ours.len() != theirs.len() {
            return write!(f, "{name}: {} values, but {} in the reference", ours.len(), theirs.len());
        }
        write!(f, "{name}: off by {:.2e} of {:.2e}", self.difference2().sqrt(), self.scale2().sqrt())
    }
}

/// Runs the objective of the golden file `name` over its steps: a group for the loss of each, one for its gradients, and one
/// for each thing that it keeps and the file has.
///
/// # Errors
/// If `bytes` is no such file, its loss is not known or its plugin not linked in, or its values do not fit its settings.
pub fn compare(name: &str, bytes: &[u8], device: &Device) -> Result<Vec<Compared>, ParityError> {
    let file = LossFile::parse(name, bytes)?;
    let method = Method::of(&file)?;
    let n_steps = n_steps(&file)?;
    let epochs = epochs(&file, n_steps)?;
    let names = input_names(&file, method)?;
    let mut objective = objective(&file, method, &names, &epochs, device)?;
    let mut compared = Vec::new();
    for (step, epoch) in epochs.iter().enumerate() {
        restore(&file, step, &mut *objective)?;
        let at = Progress { epoch: *epoch, step: 0, steps_per_epoch: 1, epochs: n_epochs(&epochs) };
        compared.extend(run_step(&file, step, at, &names, &mut *objective, device)?);
    }
    Ok(compared)
}

/// The steps that the file has a loss of.
fn n_steps(file: &LossFile) -> Result<usize, ParityError> {
    let has_loss = |step: &usize| file.get(&format!("step{step}/loss")).is_some();
    let n = (0..).take_while(has_loss).count();
    let n_losses = file.names().filter(|name| name.starts_with("step") && name.ends_with("/loss")).count();
    match file.setting("steps").map(Value::as_u64) {
        _ if n == 0 => Err(file.wrong("it has no `step0/loss`")),
        _ if n != n_losses => Err(file.wrong(format!("it has {n_losses} losses, but no `step{n}/loss`"))),
        Some(said) if said != Some(n as u64) => {
            Err(file.wrong(format!("its setting `steps` is not {n}, the number of its losses")))
        }
        _ => Ok(n),
    }
}

/// The epoch of each step: what the file says, or one after another.
fn epochs(file: &LossFile, n_steps: usize) -> Result<Vec<usize>, ParityError> {
    let Some(setting) = file.setting("epochs") else { return Ok((0..n_steps).collect()) };
    let epoch = |value: &Value| value.as_u64().and_then(|epoch| usize::try_from(epoch).ok());
    let list: Option<Vec<usize>> = setting.as_array().and_then(|list| list.iter().map(epoch).collect());
    list.filter(|list| list.len() == n_steps).ok_or_else(|| {
        file.wrong(format!(
            "its setting `epochs` is {setting}, expected one whole number for each of {n_steps} steps"
        ))
    })
}

fn n_epochs(epochs: &[usize]) -> usize {
    epochs.iter().max().map_or(1, |last| last + 1)
}

/// The names of a step's inputs, without the step: those that are trained, then those that are fixed, by their numbers.
struct Names {
    trained: Vec<String>,
    fixed: Vec<String>,
}

fn input_names(file: &LossFile, method: &Method) -> Result<Names, ParityError> {
    let numbered = |prefix: &str| {
        let is_there = |number: &usize| file.get(&format!("step0/{prefix}{number}")).is_some();
        (0..).take_while(is_there).map(|number| format!("{prefix}{number}")).collect::<Vec<_>>()
    };
    let names = Names { trained: numbered(method.trained), fixed: method.fixed.map_or(Vec::new(), numbered) };
    if names.trained.is_empty() {
        return Err(file.wrong(format!("it has no `step0/{}0`", method.trained)));
    }
    Ok(names)
}

/// An input, `(N, D)`.
fn rows<'a>(file: &'a LossFile, name: &str) -> Result<((usize, usize), &'a [f32]), ParityError> {
    let Floats { shape, values } = file.floats(name)?;
    match shape[..] {
        [n, d] if n > 0 && d > 0 => Ok(((n, d), values)),
        _ => Err(file.wrong(format!("`{name}` is {shape:?}, expected (N, D)"))),
    }
}

fn objective(
    file: &LossFile,
    method: &Method,
    names: &Names,
    epochs: &[usize],
    device: &Device,
) -> Result<Box<dyn Objective>, ParityError> {
    let mut inputs = Vec::new();
    for (list, is_trained) in [(&names.trained, true), (&names.fixed, false)] {
        for name in list {
            let ((_, width), _) = rows(file, &format!("step0/{name}"))?;
            inputs.push(InputShape { name: name.clone(), width, map: None, is_trained });
        }
    }
    let ((batch, _), _) = rows(file, &format!("step0/{}", names.trained[0]))?;
    let context = ObjectiveContext {
        device: device.clone(),
        inputs,
        batch,
        epochs: n_epochs(epochs),
        seed: 0,
        name: method.plugin.into(),
    };
    let config = method.config(file)?;
    build::<dyn Objective>(method.plugin, Config::new(&config), &context).map_err(|error| {
        let hint = error.hint().map_or(String::new(), |hint| format!("; {hint}"));
        file.wrong(format!(
            "its settings and inputs are refused by `{}` {config}: {error}{hint}",
            method.plugin
        ))
    })
}

/// Sets what the objective keeps to what the file has of it before `step`.
fn restore(file: &LossFile, step: usize, objective: &mut dyn Objective) -> Result<(), ParityError> {
    let mut result = Ok(());
    objective.visit_mut(&mut |name, entry| {
        let EntryMut::Buffer(buffer) = entry else { return };
        let tensor = format!("step{step}/{name}");
        let Some(given) = file.get(&tensor) else { return };
        if given.values.len() != buffer.n_elements() {
            let (shape, expected) = (&given.shape, buffer.shape());
            result = Err(file.wrong(format!("`{tensor}` is {shape:?}, expected {expected:?}")));
        } else if let Err(error) = buffer.set(&given.values) {
            result = Err(file.wrong(error.to_string()));
        }
    });
    result
}

fn run_step(
    file: &LossFile,
    step: usize,
    at: Progress,
    names: &Names,
    objective: &mut dyn Objective,
    device: &Device,
) -> Result<Vec<Compared>, ParityError> {
    let failed = |error: OpError| file.wrong(format!("step {step}: {error}"));
    let mut inputs = Vec::new();
    let mut trained: Vec<(&str, Matrix)> = Vec::new();
    for name in &names.trained {
        let (shape, values) = rows(file, &format!("step{step}/{name}"))?;
        let input = features_from_rows(device, shape, values.to_vec(), Recording::start()).map_err(failed)?;
        let (matrix, recording) = input.split_recording();
        trained.push((name, matrix.clone()));
        inputs.push(Input::Trained(matrix.with_recording(recording)));
    }
    for name in &names.fixed {
        let (shape, values) = rows(file, &format!("step{step}/{name}"))?;
        let input = features_from_rows(device, shape, values.to_vec(), Recording::Off).map_err(failed)?;
        inputs.push(Input::Fixed(input.split_recording().0));
    }
    let n = trained[0].1.n();
    let indices: Vec<usize> = (0..n).collect();
    let evaluated = objective
        .evaluate(inputs, ObjectiveStep { seed: 0, at, indices: &indices, labels: None })
        .map_err(failed)?;
    let mut gradients = backward(evaluated.loss).map_err(failed)?;
    objective.end_step().map_err(failed)?;

    let loss_name = format!("step{step}/loss");
    let loss = Piece {
        name: loss_name.clone(),
        ours: vec![evaluated.value],
        theirs: &file.floats(&loss_name)?.values,
    };
    let mut pieces = Vec::new();
    for (name, matrix) in &trained {
        let theirs = format!("step{step}/grad/{name}");
        let ours = gradient_of_rows(matrix, &mut gradients).map_err(failed)?.rows();
        let Some(theirs) = file.get(&theirs) else {
            // What nothing reached has no gradient there, and zeros here.
            if ours.iter().any(|value| *value != 0.0) {
                return Err(file.wrong(format!("there is no `{theirs}`, and here that gradient is not 0")));
            }
            continue;
        };
        pieces.push(Piece { name: format!("grad/{name}"), ours, theirs: &theirs.values });
    }
    if pieces.is_empty() {
        return Err(
            file.wrong(format!("it has no gradients: there is no `step{step}/grad/{}`", trained[0].0))
        );
    }
    let mut compared = vec![
        Compared::new(loss_name, VALUE_LIMIT, &[loss]),
        Compared::new(format!("step{step}/grad"), GRADIENT_LIMIT, &pieces),
    ];
    compared.extend(kept(file, step, objective));
    Ok(compared)
}

/// What the objective keeps, where the file has it after `step`.
fn kept(file: &LossFile, step: usize, objective: &dyn Objective) -> Vec<Compared> {
    let mut compared = Vec::new();
    objective.visit(&mut |name, entry| {
        let Entry::Buffer(buffer) = entry else { return };
        let group = format!("step{step}/{name}{AFTER}");
        if let Some(theirs) = file.get(&group) {
            let piece = Piece { name: group.clone(), ours: buffer.to_vec(), theirs: &theirs.values };
            compared.push(Compared::new(group, VALUE_LIMIT, &[piece]));
        }
    });
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece<'a>(name: &str, ours: &[f32], theirs: &'a [f32]) -> Piece<'a> {
        Piece { name: name.into(), ours: ours.to_vec(), theirs }
    }

    #[test]
    fn the_error_is_relative_to_the_whole_group_and_tells_what_is_off() {
        let pieces = [piece("a", &[3.0, 4.0], &[3.0, 4.0]), piece("b", &[0.5], &[0.0])];
        let compared = Compared::new("g".into(), 0.2, &pieces);
        assert_eq!((compared.error, compared.is_ok(), compared.worst.len()), (0.1, true, 0));
        let compared = Compared::new("g".into(), 0.05, &pieces);
        assert!(!compared.is_ok());
        assert_eq!(compared.worst, ["b: off by 5.00e-1 of 0.00e0", "a: off by 0.00e0 of 5.00e0"]);
    }

    #[test]
    fn what_cannot_be_compared_is_off() {
        for ours in [&[1.0][..], &[f32::NAN, 2.0]] {
            assert!(!Compared::new("g".into(), 1e-4, &[piece("a", ours, &[1.0, 2.0])]).is_ok());
        }
        assert!(!Compared::new("g".into(), 1e-4, &[piece("a", &[1.0], &[0.0])]).is_ok());
    }
}

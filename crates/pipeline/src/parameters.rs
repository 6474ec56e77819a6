//! Parameters by name: which are frozen, watched, or in a group of their own.

use tensor_ops::ParameterKind;

use crate::checker::Checker;
use crate::config::{GroupConfig, MomentumConfig, PipelineConfig, Selection, Weights};
use crate::modules::{Modules, Named};
use crate::patterns::matches;
use crate::stability::OnSpike;
use pipeline_text::Checked;
use plugin_api::{ByName, EntryMut, NamesError, ParameterId, Progress, suggest};

/// What training does to one parameter, besides what the optimizer does to all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSettings {
    /// In place of the optimizer's.
    pub weight_decay: Option<f64>,
    /// A factor on the learning rate.
    pub learning_rate_factor: f64,
    /// Epochs before it is trained.
    pub frozen_epochs: usize,
    /// Steps of the run before it is trained.
    pub frozen_steps: usize,
    /// How far its momentum copy moves in a step, over how far the others do.
    pub momentum_factor: f64,
}

impl Default for ParameterSettings {
    fn default() -> Self {
        Self {
            weight_decay: None,
            learning_rate_factor: 1.0,
            frozen_epochs: 0,
            frozen_steps: 0,
            momentum_factor: 1.0,
        }
    }
}

impl ParameterSettings {
    /// Whether it is held still in the step at `at`.
    pub fn is_frozen(&self, at: Progress) -> bool {
        at.epoch < self.frozen_epochs || at.epoch * at.steps_per_epoch + at.step < self.frozen_steps
    }
}

/// The parameters of all modules, and what the patterns of a pipeline mean.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// By their names, `module.name`, in the order in which all modules are visited.
    pub settings: ByName<ParameterSettings>,
    /// What the stability monitor watches.
    pub watched: Vec<ParameterId>,
    /// What a spike freezes.
    pub frozen_by_spike: Vec<ParameterId>,
}

/// Freezes what the file freezes, and finds what its other patterns mean.
pub(crate) fn check_parameters(
    checker: &Checker,
    config: &PipelineConfig,
    modules: &mut Modules,
) -> Checked<Parameters> {
    let known =
        Known::of(modules).map_err(|error| checker.fault(&["modules"], error.to_string(), error.hint()))?;
    let finder = Finder { checker, known: &known };
    let frozen = finder.find_all(&config.freeze, &["freeze"])?;
    freeze(modules, &frozen, &known.all);
    let is_trained = |id: &ParameterId| known.all[*id].is_trainable && !frozen.contains(id);
    if !known.all.ids().any(|id| is_trained(&id)) {
        return Err(checker.fault(
            &["freeze"],
            "every parameter is frozen, so nothing would train",
            "freeze fewer of them",
        ));
    }
    let mut watched = finder.find_all(&config.stability.watch, &["stability", "watch"])?;
    if config.stability.watch.is_empty() {
        // The first layer's weights: spikes start there (Chen et al. 2021, figure 4).
        watched.extend(known.all.ids().find(|id| is_trained(id) && known.all[*id].is_weight));
    }
    watched.retain(is_trained);
    let mut frozen_by_spike = match &config.stability.on_spike {
        OnSpike::Freeze(patterns) => finder.find_all(patterns, &["stability", "on_spike"])?,
        OnSpike::Nothing | OnSpike::SkipStep => Vec::new(),
    };
    // What is frozen from the start stays so, whatever happens to the others.
    frozen_by_spike.retain(is_trained);
    let settings = group_settings(&finder, config)?;
    let moves = |id: &ParameterId| {
        let ParameterSettings { learning_rate_factor, frozen_epochs, .. } = settings[*id];
        is_trained(id) && learning_rate_factor > 0.0 && frozen_epochs < config.epochs
    };
    if !known.all.ids().any(|id| moves(&id)) {
        return Err(checker.fault(
            &["groups"],
            format!("no parameter would move in the {} epochs of the run", config.epochs),
            "give some of them a `learning_rate_factor` above 0, and fewer `frozen_epochs` than the run has epochs",
        ));
    }
    Ok(Parameters { settings, watched, frozen_by_spike })
}

fn group_settings(finder: &Finder<'_>, config: &PipelineConfig) -> Checked<ByName<ParameterSettings>> {
    let mut settings: ByName<Option<ParameterSettings>> = finder.known.all.clone().map(|_| None);
    for (i, group) in config.groups.iter().enumerate() {
        let number = i.to_string();
        let fault = |field, message: String, hint: &str| {
            Err(finder.checker.fault(&["groups", &number, field], message, hint))
        };
        if group.weight_decay.is_some_and(|decay| !(decay.is_finite() && decay >= 0.0)) {
            return fault(
                "weight_decay",
                "weight decay must be a number of 0 or more".into(),
                "0 is usual here",
            );
        }
        let factor = group.learning_rate_factor;
        if !(factor.is_finite() && factor >= 0.0) {
            return fault(
                "learning_rate_factor",
                format!("the factor is {factor}, but it must be a number of 0 or more"),
                "1 leaves the learning rate as it is",
            );
        }
        let members = match &group.parameters {
            Selection::Vectors => settings.ids().filter(|&id| finder.known.all[id].n_axes <= 1).collect(),
            Selection::Named(patterns) if patterns.is_empty() => {
                return fault(
                    "parameters",
                    "the group names no parameter".into(),
                    "name some, or write `Vectors`",
                );
            }
            Selection::Named(patterns) => finder.find_all(patterns, &["groups", &number, "parameters"])?,
        };
        let has_copy = |id: &ParameterId| is_copied(config, finder.known.all.name(*id));
        let momentum_factor = match momentum_factor(config, group) {
            Ok(_) if group.momentum.is_some() && !members.iter().any(has_copy) => {
                return fault(
                    "momentum",
                    "no parameter of this group has a momentum copy".into(),
                    "name parameters of modules that a step with `weights: Momentum` runs",
                );
            }
            Ok(factor) => factor,
            Err((message, hint)) => return fault("momentum", message, hint),
        };
        for member in members {
            settings[member].get_or_insert(ParameterSettings {
                weight_decay: group.weight_decay,
                learning_rate_factor: factor,
                frozen_epochs: group.frozen_epochs,
                frozen_steps: group.frozen_steps,
                momentum_factor,
            });
        }
    }
    Ok(settings.map(Option::unwrap_or_default))
}

/// How far copies of `group` move in a step, over how far the others do: a schedule shortens both alike. Or a message and a hint.
fn momentum_factor(config: &PipelineConfig, group: &GroupConfig) -> Result<f64, (String, &'static str)> {
    let Some(own) = group.momentum else { return Ok(1.0) };
    if !(0.0..=1.0).contains(&own) {
        let message = format!("the momentum coefficient is {own}, but it is a share from 0 to 1");
        return Err((message, "0 follows at once, and 1 not at all"));
    }
    match config.momentum {
        Some(MomentumConfig { start, .. }) if start < 1.0 => Ok((1.0 - own) / (1.0 - start)),
        Some(_) => Err((
            "the other copies do not move at all, since `momentum.start` is 1".into(),
            "give `momentum.start` another value",
        )),
        None => {
            Err(("the pipeline has no `momentum`".into(), "remove it, or add `momentum: (start: 0.999)`"))
        }
    }
}

/// Whether the parameter called `name` has a momentum copy.
fn is_copied(config: &PipelineConfig, name: &str) -> bool {
    let mut keys = config.graph.iter().filter(|step| step.weights == Weights::Momentum);
    let is_of =
        |module: &String| name.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('.'));
    keys.any(|step| step.run.iter().any(is_of))
}

/// Freezes the parameters `frozen` of `all`, which are those of `modules`.
fn freeze(modules: &mut Modules, frozen: &[ParameterId], all: &ByName<KnownParameter>) {
    for (module, part) in modules.named_mut() {
        part.visit_mut(&mut |name, entry| {
            let EntryMut::Parameter(parameter) = entry else { return };
            if all.id(&format!("{module}.{name}")).is_some_and(|id| frozen.contains(&id)) {
                parameter.set_trainable(false);
            }
        });
    }
}

#[derive(Clone)]
struct KnownParameter {
    n_axes: usize,
    /// Of a layer: a matrix or a kernel.
    is_weight: bool,
    is_trainable: bool,
}

/// The parameters of all modules, and the first layer of each module that has one.
struct Known {
    all: ByName<KnownParameter>,
    /// `module.stem`, and what it stands for.
    stems: Vec<(String, Vec<String>)>,
}

impl Known {
    fn of(modules: &Modules) -> Result<Self, NamesError> {
        let all = ByName::of(modules.named(), |_, parameter| KnownParameter {
            n_axes: parameter.shape().len(),
            is_weight: parameter.kind() != ParameterKind::Vector,
            is_trainable: parameter.is_trainable(),
        })?;
        let mut stems = Vec::new();
        for Named { name, module } in &modules.encoders.backbones {
            let stem: Vec<String> = module.stem().iter().map(|first| format!("{name}.{first}")).collect();
            if !stem.is_empty() {
                stems.push((format!("{name}.stem"), stem));
            }
        }
        Ok(Self { all, stems })
    }
}

struct Finder<'a> {
    checker: &'a Checker,
    known: &'a Known,
}

impl Finder<'_> {
    /// All that `patterns`, the list at `path`, match; a pattern that matches nothing is a fault.
    fn find_all(&self, patterns: &[String], path: &[&str]) -> Checked<Vec<ParameterId>> {
        let all = &self.known.all;
        let mut found = Vec::new();
        for (i, pattern) in patterns.iter().enumerate() {
            let stem = self.known.stems.iter().find(|(name, _)| name == pattern).map(|(_, names)| names);
            let meant = stem.map_or(std::slice::from_ref(pattern), Vec::as_slice);
            let ids: Vec<ParameterId> =
                all.ids().filter(|&id| meant.iter().any(|pattern| matches(pattern, all.name(id)))).collect();
            if ids.is_empty() {
                let mut path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
                path.push(i.to_string());
                return Err(self.checker.fault_at(
                    &path,
                    format!("no parameter is named `{pattern}`"),
                    self.hint(pattern),
                ));
            }
            found.extend(ids);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// What the pattern may have meant: a name, or the beginning of one.
    fn hint(&self, pattern: &str) -> String {
        let module = pattern.split('.').next().unwrap_or_default();
        let is_of_module = |name: &&str| name.split('.').next() == Some(module);
        if self.checker.tree().find(&["modules", module]).is_some()
            && !self.known.all.ids().any(|id| is_of_module(&self.known.all.name(id)))
        {
            return format!("the module `{module}` has no parameters");
        }
        let mut names: Vec<&str> = self.known.stems.iter().map(|(name, _)| name.as_str()).collect();
        let all = &self.known.all;
        for name in all.ids().map(|id| all.name(id)) {
            let ends = name.match_indices('.').map(|(end, _)| end).chain([name.len()]);
            for end in ends {
                let beginning = &name[..end];
                if !names.contains(&beginning) {
                    names.push(beginning);
                }
            }
        }
        let of_module: Vec<&str> = names.iter().copied().filter(is_of_module).collect();
        // Other modules most often have layers of the same names.
        if plugin_api::nearest(pattern, &of_module).is_some() {
            return suggest(pattern, &of_module);
        }
        match plugin_api::nearest(pattern, &names) {
            Some(_) => suggest(pattern, &names),
            None => {
                let some: Vec<String> = all.ids().take(3).map(|id| format!("`{}`", all.name(id))).collect();
                format!("parameters are named like {}; a `*` stands for any text", some.join(", "))
            }
        }
    }
}

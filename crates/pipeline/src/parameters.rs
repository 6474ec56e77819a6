//! Parameters by name: which are frozen, watched, or in a group of their own.

use tensor_ops::ParameterKind;

use crate::checker::{Checked, Checker};
use crate::config::{GroupConfig, PipelineConfig, Selection};
use crate::modules::NamedModule;
use crate::patterns::matches;
use crate::stability::OnSpike;
use plugin_api::suggest;
use plugin_api::{Entry, Module as _};

/// What training does to one parameter, besides what the optimizer does to all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSettings {
    /// In place of the optimizer's.
    pub weight_decay: Option<f64>,
    /// A factor on the learning rate.
    pub learning_rate_factor: f64,
}

impl Default for ParameterSettings {
    fn default() -> Self {
        Self { weight_decay: None, learning_rate_factor: 1.0 }
    }
}

/// Parameters by the patterns of a pipeline, as places in the order in which all modules are visited.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// `module.name`, PyTorch's names.
    pub names: Vec<String>,
    /// One for each name.
    pub settings: Vec<ParameterSettings>,
    /// What the stability monitor watches.
    pub watched: Vec<usize>,
    /// What a spike freezes.
    pub frozen_by_spike: Vec<usize>,
}

/// Freezes what the file freezes, and finds what its other patterns mean.
pub(crate) fn check_parameters(
    checker: &Checker,
    config: &PipelineConfig,
    modules: &mut [NamedModule],
) -> Checked<Parameters> {
    let known = Known::of(modules);
    let finder = Finder { checker, known: &known };
    let frozen = finder.find_all(&config.freeze, &["freeze"])?;
    set_trainable(modules, &frozen, false);
    let is_trained: Vec<bool> =
        known.list.iter().enumerate().map(|(i, known)| known.is_trainable && !frozen.contains(&i)).collect();
    if !is_trained.contains(&true) {
        return Err(checker.fault(
            &["freeze"],
            "every parameter is frozen, so nothing would train",
            "freeze fewer of them",
        ));
    }
    let mut watched = finder.find_all(&config.stability.watch, &["stability", "watch"])?;
    if config.stability.watch.is_empty() {
        // The first layer's weights: spikes start there (Chen et al. 2021, figure 4).
        watched.extend((0..is_trained.len()).find(|&i| is_trained[i] && known.list[i].is_weight));
    }
    watched.retain(|&i| is_trained[i]);
    let mut frozen_by_spike = match &config.stability.on_spike {
        OnSpike::Freeze(patterns) => finder.find_all(patterns, &["stability", "on_spike"])?,
        OnSpike::Nothing | OnSpike::SkipStep => Vec::new(),
    };
    // What is frozen from the start stays so, whatever happens to the others.
    frozen_by_spike.retain(|&i| is_trained[i]);
    let settings = group_settings(&finder, &config.groups)?;
    let names = known.list.into_iter().map(|known| known.name).collect();
    Ok(Parameters { names, settings, watched, frozen_by_spike })
}

fn group_settings(finder: &Finder<'_>, groups: &[GroupConfig]) -> Checked<Vec<ParameterSettings>> {
    let mut settings = vec![None; finder.known.list.len()];
    for (i, group) in groups.iter().enumerate() {
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
            Selection::Vectors => (0..settings.len()).filter(|&i| finder.known.list[i].n_axes <= 1).collect(),
            Selection::Named(patterns) if patterns.is_empty() => {
                return fault(
                    "parameters",
                    "the group names no parameter".into(),
                    "name some, or write `Vectors`",
                );
            }
            Selection::Named(patterns) => finder.find_all(patterns, &["groups", &number, "parameters"])?,
        };
        for member in members {
            settings[member].get_or_insert(ParameterSettings {
                weight_decay: group.weight_decay,
                learning_rate_factor: factor,
            });
        }
    }
    Ok(settings.into_iter().map(Option::unwrap_or_default).collect())
}

/// Freezes the parameters at `places` of the visiting order, or thaws them.
pub fn set_trainable(modules: &mut [NamedModule], places: &[usize], is_trainable: bool) {
    let mut place = 0;
    for named in modules {
        named.module.visit(&mut |_, entry| {
            let Entry::Parameter(parameter) = entry else { return };
            if places.contains(&place) {
                parameter.set_trainable(is_trainable);
            }
            place += 1;
        });
    }
}

struct KnownParameter {
    name: String,
    n_axes: usize,
    /// Of a layer: a matrix or a kernel.
    is_weight: bool,
    is_trainable: bool,
}

/// The parameters of all modules, in visiting order, and the first layer of each module that has one.
struct Known {
    list: Vec<KnownParameter>,
    /// `module.stem`, and what it stands for.
    stems: Vec<(String, Vec<String>)>,
}

impl Known {
    fn of(modules: &mut [NamedModule]) -> Self {
        let mut list = Vec::new();
        let mut stems = Vec::new();
        for named in modules {
            let module = &named.name;
            let stem = named.module.stem().iter().map(|name| format!("{module}.{name}")).collect::<Vec<_>>();
            if !stem.is_empty() {
                stems.push((format!("{module}.stem"), stem));
            }
            named.module.visit(&mut |name, entry| {
                let Entry::Parameter(parameter) = entry else { return };
                list.push(KnownParameter {
                    name: format!("{module}.{name}"),
                    n_axes: parameter.shape().len(),
                    is_weight: parameter.kind() != ParameterKind::Vector,
                    is_trainable: parameter.is_trainable(),
                });
            });
        }
        Self { list, stems }
    }
}

struct Finder<'a> {
    checker: &'a Checker,
    known: &'a Known,
}

impl Finder<'_> {
    /// The places of all that `patterns`, the list at `path`, match; a pattern that matches nothing is a fault.
    fn find_all(&self, patterns: &[String], path: &[&str]) -> Checked<Vec<usize>> {
        let mut found = Vec::new();
        for (i, pattern) in patterns.iter().enumerate() {
            let stem = self.known.stems.iter().find(|(name, _)| name == pattern).map(|(_, names)| names);
            let meant = stem.map_or(std::slice::from_ref(pattern), Vec::as_slice);
            let places: Vec<usize> = (0..self.known.list.len())
                .filter(|&i| meant.iter().any(|pattern| matches(pattern, &self.known.list[i].name)))
                .collect();
            if places.is_empty() {
                let mut path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
                path.push(i.to_string());
                return Err(self.checker.fault_at(
                    &path,
                    format!("no parameter is named `{pattern}`"),
                    self.hint(pattern),
                ));
            }
            found.extend(places);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// What the pattern may have meant: a name, or the beginning of one.
    fn hint(&self, pattern: &str) -> String {
        let mut names: Vec<&str> = self.known.stems.iter().map(|(name, _)| name.as_str()).collect();
        for known in &self.known.list {
            let ends = known.name.match_indices('.').map(|(end, _)| end).chain([known.name.len()]);
            for end in ends {
                let beginning = &known.name[..end];
                if !names.contains(&beginning) {
                    names.push(beginning);
                }
            }
        }
        match plugin_api::nearest(pattern, &names) {
            Some(_) => suggest(pattern, &names),
            None => {
                let some: Vec<String> =
                    self.known.list.iter().take(3).map(|known| format!("`{}`", known.name)).collect();
                format!("parameters are named like {}; a `*` stands for any text", some.join(", "))
            }
        }
    }
}

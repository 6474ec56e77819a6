//! Finding plugins by name.

use schemars::Schema;

use crate::{
    Augmentation, Backbone, Config, ConfigError, ContrastiveLoss, Dataset, Head, Monitor, Objective,
    Optimizer, Schedule, kinds,
};

/// What a plugin is a kind of: a trait object with a name.
pub trait Kind: 'static {
    /// How errors and listings call it.
    const NAME: &'static str;
    /// What `build` is told besides the config.
    type Context;
}

/// A registered plugin of kind `T`.
///
/// `build` neither loads data, nor prints, nor trains: `check` builds every plugin of a file.
pub struct Plugin<T: Kind + ?Sized> {
    /// What a pipeline file writes: kebab-case, unique among plugins of this kind.
    pub name: &'static str,
    /// One line for `cargo xtask plugins`.
    pub summary: &'static str,
    /// The paper or program it follows.
    pub source: &'static str,
    /// Of an objective: what it is evaluated on, in the order of `on`, for whoever writes a graph with it. Empty where it does not
    /// say, and for other kinds.
    pub on: &'static str,
    /// A config that builds; a test builds every one.
    pub example: &'static str,
    /// The config's fields: `|| schemars::schema_for!(MyConfig)`.
    pub schema: fn() -> Schema,
    /// The plugin from its config.
    pub build: fn(Config<'_>, &T::Context) -> Result<Box<T>, ConfigError>,
}

/// Registers a plugin: a [`Plugin`](crate::Plugin) whose schema and config come from the type that `build` takes.
///
/// An objective says after its `source` what it is on: `on: "the embeddings of two views, both trained",`.
///
/// ```
/// use plugin_api::schemars::JsonSchema;
/// use plugin_api::serde::Deserialize;
/// use plugin_api::{Augmentation, ConfigError, Image, ImageShape, Rng};
///
/// plugin_api::register! {
///     dyn Augmentation {
///         name: "nothing",
///         summary: "gives what it gets",
///         source: "an example",
///         example: "()",
///         build: |config: NothingConfig, _context| Ok(Nothing(config)),
///     }
/// }
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
/// #[schemars(crate = "plugin_api::schemars")]
/// struct NothingConfig {}
///
/// struct Nothing(NothingConfig);
///
/// impl Augmentation for Nothing {
///     fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
///         Ok(input)
///     }
///
///     fn apply(&self, image: Image, _rng: &mut Rng) -> Image {
///         image
///     }
/// }
///
/// assert!(plugin_api::find::<dyn Augmentation>("nothing").is_some());
/// ```
#[macro_export]
macro_rules! register {
    (dyn $kind:ident {
        name: $name:expr,
        summary: $summary:expr,
        source: $source:expr,
        $(on: $on:expr,)?
        example: $example:expr,
        build: |$config:ident: $config_type:ty, $context:pat_param| $build:expr $(,)?
    }) => {
        $crate::inventory::submit! {
            $crate::Plugin::<dyn $crate::$kind> {
                name: $name,
                summary: $summary,
                source: $source,
                on: [$($on,)? ""][0],
                example: $example,
                schema: || $crate::schemars::schema_for!($config_type),
                build: |text, $context| {
                    let $config: $config_type = text.parse()?;
                    let built: ::core::result::Result<_, $crate::ConfigError> = $build;
                    Ok(Box::new(built?))
                },
            }
        }
    };
}

macro_rules! kinds {
    ($($kind:ident $name:literal $context:ty;)*) => {
        $(
            impl Kind for dyn $kind {
                const NAME: &'static str = $name;
                type Context = $context;
            }
            inventory::collect!(Plugin<dyn $kind>);
        )*

        /// Every registered plugin, described, by kind and name.
        pub fn all_plugins() -> Vec<Described> {
            let mut list = Vec::new();
            $(list.extend(sorted::<dyn $kind>().into_iter().map(Described::of));)*
            list
        }

        /// Finds two plugins that a pipeline file could not tell apart: of one kind and name, or of one name and of kinds
        /// that stand in the same place, as all modules do.
        ///
        /// # Errors
        /// Names the first such pair.
        pub fn check_registry() -> Result<(), RegistryError> {
            $(unique(&named::<dyn $kind>())?;)*
            let modules = [
                named::<dyn Backbone>(),
                named::<dyn Head>(),
                named::<dyn ContrastiveLoss>(),
                named::<dyn Objective>(),
            ];
            unique(&modules.concat())
        }
    };
}

kinds! {
    Dataset "dataset" kinds::DatasetContext;
    Augmentation "augmentation" kinds::AugmentationContext;
    Backbone "backbone" kinds::ModuleContext;
    Head "head" kinds::ModuleContext;
    ContrastiveLoss "loss" kinds::LossContext;
    Objective "objective" kinds::ObjectiveContext;
    Optimizer "optimizer" kinds::OptimizerContext;
    Schedule "schedule" kinds::ScheduleContext;
    Monitor "monitor" kinds::MonitorContext;
}

/// Two plugins that a pipeline file could not tell apart.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// They are of one kind.
    #[error("two {kind} plugins are named `{name}`: unlink or rename one of them")]
    Kind {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: &'static str,
    },
    /// They are of two kinds, and a pipeline names both in the same place.
    #[error(
        "a {} plugin and a {} plugin are named `{name}`, and `modules` takes both: unlink or rename one of them", kinds[0], kinds[1]
    )]
    Place {
        /// The kinds.
        kinds: [&'static str; 2],
        /// The name.
        name: &'static str,
    },
}

/// The plugin of kind `T` named `name`.
pub fn find<T: Kind + ?Sized>(name: &str) -> Option<&'static Plugin<T>>
where
    Plugin<T>: inventory::Collect,
{
    inventory::iter::<Plugin<T>>.into_iter().find(|plugin| plugin.name == name)
}

/// Builds the plugin of kind `T` named `name`.
///
/// # Errors
/// If there is none of that name, or if it refuses the config.
pub fn build<T: Kind + ?Sized>(
    name: &str,
    config: Config<'_>,
    context: &T::Context,
) -> Result<Box<T>, ConfigError>
where
    Plugin<T>: inventory::Collect,
{
    match find::<T>(name) {
        Some(plugin) => (plugin.build)(config, context),
        None => {
            let plugins = sorted::<T>();
            let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name).collect();
            let known_as = plugins.iter().find(|plugin| mentions(plugin.summary, name));
            let hint = match known_as {
                _ if names.is_empty() => {
                    format!("no {} plugin is linked in: `crates/plugins` must name its crate", T::NAME)
                }
                Some(plugin) if crate::nearest(name, &names).is_none() => {
                    format!("did you mean `{}`: {}?", plugin.name, plugin.summary)
                }
                _ => crate::suggest_plugin(name, &names),
            };
            Err(ConfigError::unfit(format!("no {} plugin is named `{name}`", T::NAME), hint))
        }
    }
}

/// inventory visits in any order.
fn sorted<T: Kind + ?Sized>() -> Vec<&'static Plugin<T>>
where
    Plugin<T>: inventory::Collect,
{
    let mut list: Vec<_> = inventory::iter::<Plugin<T>>.into_iter().collect();
    list.sort_by_key(|plugin| plugin.name);
    list
}

/// The kind and name of each plugin of kind `T`.
fn named<T: Kind + ?Sized>() -> Vec<(&'static str, &'static str)>
where
    Plugin<T>: inventory::Collect,
{
    sorted::<T>().into_iter().map(|plugin| (T::NAME, plugin.name)).collect()
}

/// Fails if two of `plugins`, kinds and names, have one name.
fn unique(plugins: &[(&'static str, &'static str)]) -> Result<(), RegistryError> {
    for (i, &(kind, name)) in plugins.iter().enumerate() {
        match plugins[..i].iter().find(|(_, earlier)| *earlier == name) {
            Some(&(other, _)) if other == kind => return Err(RegistryError::Kind { kind, name }),
            Some(&(other, _)) => return Err(RegistryError::Place { kinds: [other, kind], name }),
            None => {}
        }
    }
    Ok(())
}

/// A plugin as `cargo xtask plugins` shows it.
#[derive(Clone, Debug)]
pub struct Described {
    /// The kind's name.
    pub kind: &'static str,
    /// The plugin's name.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The paper or program it follows.
    pub source: &'static str,
    /// What an objective is on; empty if it does not say.
    pub on: &'static str,
    /// A config that builds.
    pub example: &'static str,
    /// The config's fields.
    pub fields: Vec<Field>,
    /// The JSON schema of the config.
    pub schema: Schema,
}

/// One field of a plugin's config.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in the file.
    pub name: String,
    /// Its type, in words.
    pub type_name: String,
    /// The value it has when the file leaves it out; `None` if it must be given.
    pub default: Option<String>,
    /// Its documentation.
    pub help: String,
}

/// Whether `text` has the word `word`, in whatever case.
fn mentions(text: &str, word: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.any(|one| !one.is_empty() && one.eq_ignore_ascii_case(word))
}

impl Described {
    /// Whether its summary has this word, in whatever case: RankMe is what a plugin of another name measures.
    pub fn mentions(&self, word: &str) -> bool {
        mentions(self.summary, word)
    }

    fn of<T: Kind + ?Sized>(plugin: &'static Plugin<T>) -> Self {
        Self {
            kind: T::NAME,
            name: plugin.name,
            summary: plugin.summary,
            source: plugin.source,
            on: plugin.on,
            example: plugin.example,
            fields: fields(&(plugin.schema)()),
            schema: (plugin.schema)(),
        }
    }
}

fn fields(schema: &Schema) -> Vec<Field> {
    let schema = schema.as_value();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    properties
        .iter()
        .map(|(name, property)| Field {
            name: name.clone(),
            type_name: type_name(property, &schema["$defs"]),
            default: (!required.contains(&name.as_str())).then(|| default_text(property)),
            help: crate::plain_text(property["description"].as_str().unwrap_or_default()).replace('\n', " "),
        })
        .collect()
}

/// A default as the file would write it: names of choices stand without quotation marks in RON.
fn default_text(property: &serde_json::Value) -> String {
    match &property["default"] {
        serde_json::Value::Null => "none".into(),
        serde_json::Value::String(choice) if property["type"] != "string" => choice.clone(),
        serde_json::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(ToString::to_string).collect();
            format!("({})", items.join(", "))
        }
        value => value.to_string(),
    }
}

fn type_name(property: &serde_json::Value, definitions: &serde_json::Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return type_name(&definitions[name], definitions);
    }
    if let Some(choices) = property["enum"].as_array() {
        let names: Vec<&str> = choices.iter().filter_map(|choice| choice.as_str()).collect();
        return names.join(" | ");
    }
    for union in ["anyOf", "oneOf"] {
        if let Some(choices) = property[union].as_array() {
            let names: Vec<String> = choices
                .iter()
                .map(|choice| type_name(choice, definitions))
                .filter(|name| name != "null")
                .collect();
            return names.join(" | ");
        }
    }
    if let Some(constant) = property["const"].as_str() {
        return constant.into();
    }
    match &property["type"] {
        serde_json::Value::String(name) => match (name.as_str(), &property["required"][0]) {
            // A choice with fields of its own: `Custom(..)`.
            ("object", serde_json::Value::String(variant)) => format!("{variant}(..)"),
            _ => name.clone(),
        },
        serde_json::Value::Array(names) => {
            let names: Vec<&str> =
                names.iter().filter_map(|name| name.as_str()).filter(|name| *name != "null").collect();
            names.join(" | ")
        }
        _ => "value".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_mentions_whole_words_in_any_case() {
        let summary = "spread and effective rank (RankMe) of the features";
        assert!(mentions(summary, "rankme") && mentions(summary, "Spread"));
        assert!(!mentions(summary, "ran") && !mentions(summary, "effective rank") && !mentions(summary, ""));
    }

    #[test]
    fn two_plugins_of_one_name_in_one_place_are_an_error() {
        assert_eq!(unique(&[("head", "linear"), ("head", "mlp"), ("loss", "queue")]), Ok(()));
        let error = unique(&[("head", "linear"), ("head", "mlp"), ("head", "linear")]).unwrap_err();
        assert_eq!(error.to_string(), "two head plugins are named `linear`: unlink or rename one of them");
        let error = unique(&[("backbone", "linear"), ("head", "linear")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a backbone plugin and a head plugin are named `linear`, and `modules` takes both: unlink or rename one of \
             them"
        );
    }
}

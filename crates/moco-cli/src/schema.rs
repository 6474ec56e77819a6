//! `moco schema`: the JSON schema of pipeline files and of plugins' configs.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::plugins_list::unknown;

/// Print the JSON schema of pipeline files, or of a plugin's config.
///
/// The schema has every field with its type, default and documentation, for editors and for programs that write pipelines.
/// Without PLUGIN, it is that of a whole file, with all plugins that are linked in.
///
/// A pipeline file is RON, and the schema is of the same values in JSON: structs and maps are objects, tuples and lists are
/// arrays, `Name` is `"Name"`, and `Name(..)` is `{"Name": ..}`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Plugin.
    plugin: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco schema > pipeline.schema.json
  moco schema resnet";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let schema = match &arguments.plugin {
        None => pipeline::schema(),
        Some(name) => of_plugin(name)?,
    };
    writeln!(out, "{schema:#}")?;
    Ok(ExitCode::SUCCESS)
}

/// The schema of the config of the plugin called `name`, with all that it refers to: other plugins, for instance.
fn of_plugin(name: &str) -> Result<Value, Failure> {
    let all = plugin_api::all_plugins();
    let named = all.iter().filter(|plugin| plugin.name == name);
    let keys: Vec<String> = named.map(|plugin| format!("{}.{}", plugin.kind, plugin.name)).collect();
    let whole = pipeline::schema();
    let mut schema = match &keys[..] {
        [] => return Err(unknown(name, &all)),
        [key] => whole["$defs"][key].clone(),
        // Of several kinds.
        keys => json!({ "anyOf": keys.iter().map(|key| reference(key)).collect::<Vec<_>>() }),
    };
    let mut definitions = Map::new();
    add_referred(&schema, &whole["$defs"], &mut definitions);
    // A config of which nothing is known is `true`.
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("$schema".into(), whole["$schema"].clone());
        if !definitions.is_empty() {
            fields.insert("$defs".into(), definitions.into());
        }
    }
    Ok(schema)
}

/// How one definition refers to another.
const DEFINITIONS: &str = "#/$defs/";

fn reference(key: &str) -> Value {
    json!({ "$ref": format!("{DEFINITIONS}{key}") })
}

/// Adds to `definitions` those of `all` that `value` refers to, and those that these refer to.
fn add_referred(value: &Value, all: &Value, definitions: &mut Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            let referred =
                fields.get("$ref").and_then(|reference| reference.as_str()?.strip_prefix(DEFINITIONS));
            if let Some(key) = referred
                && !definitions.contains_key(key)
            {
                definitions.insert(key.to_owned(), all[key].clone());
                add_referred(&all[key], all, definitions);
            }
            fields.values().for_each(|inner| add_referred(inner, all, definitions));
        }
        Value::Array(items) => items.iter().for_each(|item| add_referred(item, all, definitions)),
        _ => {}
    }
}

//! `moco schema`: the JSON schema of pipeline files and of plugins' configs.

use std::io::Write;
use std::process::ExitCode;

use plugin_api::Described;
use serde_json::{Value, json};

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

fn of_plugin(name: &str) -> Result<Value, Failure> {
    let all = plugin_api::all_plugins();
    let named: Vec<&Described> = all.iter().filter(|plugin| plugin.name == name).collect();
    match &named[..] {
        [] => Err(unknown(name, &all)),
        [plugin] => Ok(plugin.schema.as_value().clone()),
        // Of several kinds.
        _ => Ok(json!({ "anyOf": named.iter().map(|plugin| plugin.schema.as_value()).collect::<Vec<_>>() })),
    }
}

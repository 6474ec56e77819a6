//! The JSON schema of pipeline files.

use plugin_api::{Described, all_plugins};
use schemars::schema_for;
use serde_json::{Map, Value, json};

use crate::config::PipelineConfig;

/// Kinds of plugins that stand in `modules`.
const MODULES: [&str; 4] = ["backbone", "head", "loss", "objective"];

/// The JSON schema of a pipeline file with the plugins that are linked in: fields, types, defaults and documentation.
///
/// A pipeline is RON, and the schema is of the same values in JSON: a struct and a map are objects, a tuple and a list are arrays,
/// `Name` is `"Name"`, and `Name(..)` is `{"Name": ..}`.
pub fn schema() -> Value {
    let mut schema = schema_for!(PipelineConfig).to_value();
    schema["title"] = "Pipeline".into();
    let plugins = all_plugins();
    let mut definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    for kind in kinds(&plugins) {
        let of_kind: Vec<Value> = plugins
            .iter()
            .filter(|plugin| plugin.kind == kind)
            .map(|plugin| {
                json!({
                    "description": plugin.summary,
                    "type": "array",
                    "prefixItems": [{ "const": plugin.name }, reference(&key(plugin))],
                    "minItems": 2,
                    "maxItems": 2,
                })
            })
            .collect();
        definitions.insert(kind.to_owned(), json!({ "oneOf": of_kind }));
    }
    for plugin in &plugins {
        add(&mut definitions, &key(plugin), plugin.schema.as_value());
    }
    let modules = MODULES.iter().filter(|kind| plugins.iter().any(|plugin| plugin.kind == **kind));
    let modules: Vec<Value> = modules.map(|kind| reference(kind)).collect();
    definitions.insert("module".into(), json!({ "anyOf": modules }));
    definitions.insert(
        "view".into(),
        json!({
            "anyOf": [
                { "type": "array", "items": reference("augmentation") },
                {
                    "description": "As another view, with changes of its own elsewhere.",
                    "type": "object",
                    "properties": { "Like": { "type": "string" } },
                    "required": ["Like"],
                    "additionalProperties": false,
                },
            ]
        }),
    );
    // Where a plugin stands says of which kind it is.
    let data = schema["properties"]["data"]["$ref"].as_str().and_then(|name| name.rsplit('/').next());
    if let Some(data) = data.and_then(|data| definitions.get_mut(data)) {
        put(&mut data["properties"]["source"], "dataset");
    }
    definitions.remove("plugin");
    let properties = &mut schema["properties"];
    put(&mut properties["optimizer"], "optimizer");
    put(&mut properties["schedule"], "schedule");
    put(&mut properties["monitor"]["items"], "monitor");
    put(&mut properties["modules"]["additionalProperties"], "module");
    put(&mut properties["views"]["additionalProperties"], "view");
    properties["base"] =
        json!({ "description": "The file that this one starts from, beside it.", "type": "string" });
    properties["set"] = json!({
        "description": "With `base`: values by their paths, as `--set` takes them.",
        "type": "object",
    });
    // A file that starts from another needs nothing else.
    let required = schema.as_object_mut().and_then(|schema| schema.remove("required"));
    schema["anyOf"] = json!([{ "required": required }, { "required": ["base"] }]);
    schema["$defs"] = definitions.into();
    schema
}

/// In the order in which they are listed.
fn kinds(plugins: &[Described]) -> Vec<&'static str> {
    let mut kinds: Vec<&str> = plugins.iter().map(|plugin| plugin.kind).collect();
    kinds.dedup();
    kinds
}

/// The name of a plugin's config among the definitions.
fn key(plugin: &Described) -> String {
    format!("{}.{}", plugin.kind, plugin.name)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Says at `place`, which keeps its documentation, that a value is as `name` says.
fn put(place: &mut Value, name: &str) {
    let description = place.get("description").cloned();
    *place = reference(name);
    if let Some(description) = description {
        place["description"] = description;
    }
}

/// Adds the schema of a config as `name`, and what it defines itself under names that begin with it.
fn add(definitions: &mut Map<String, Value>, name: &str, schema: &Value) {
    let mut schema = schema.clone();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(own)) = object.remove("$defs") {
            for (of, mut inner) in own {
                move_references(&mut inner, name);
                definitions.insert(format!("{name}.{of}"), inner);
            }
        }
    }
    move_references(&mut schema, name);
    definitions.insert(name.to_owned(), schema);
}

fn move_references(value: &mut Value, under: &str) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner {
                    Value::String(reference) if name == "$ref" => {
                        *reference = reference.replace("#/$defs/", &format!("#/$defs/{under}."));
                    }
                    _ => move_references(inner, under),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, under)),
        _ => {}
    }
}

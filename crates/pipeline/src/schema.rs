//! The JSON schema of pipeline files.

use plugin_api::{Described, all_plugins};
use schemars::schema_for;
use serde_json::{Map, Value, json};

use crate::config::PipelineConfig;
use crate::modules::MODULE_KINDS;

/// All kinds of plugins.
const KINDS: [&str; 9] =
    ["dataset", "augmentation", "backbone", "head", "loss", "objective", "optimizer", "schedule", "monitor"];

/// The types that JSON schema knows.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// The JSON schema of a pipeline file with the plugins that are linked in: fields, types, defaults and documentation.
///
/// A pipeline is RON, and the schema is of the same values in JSON: a struct and a map are objects, a tuple and a list are arrays,
/// `Name` is `"Name"`, and `Name(..)` is `{"Name": ..}`.
pub fn schema() -> Value {
    let mut schema = schema_for!(PipelineConfig).to_value();
    schema["title"] = "Pipeline".into();
    let plugins = all_plugins();
    let mut definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    for kind in KINDS {
        let of_kind = plugins.iter().filter(|plugin| plugin.kind == kind).map(|plugin| {
            json!({
                "description": plugin.summary,
                "type": "array",
                "prefixItems": [{ "const": plugin.name }, reference(&key(plugin))],
                "minItems": 2,
                "maxItems": 2,
            })
        });
        definitions.insert(kind.to_owned(), one_of("oneOf", of_kind.collect()));
    }
    for plugin in &plugins {
        add(&mut definitions, &key(plugin), plugin.schema.as_value());
    }
    let modules = MODULE_KINDS.iter().filter(|kind| plugins.iter().any(|plugin| plugin.kind == **kind));
    definitions.insert("module".into(), one_of("anyOf", modules.map(|kind| reference(kind)).collect()));
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
    if let Some(ramp) = definitions.get_mut("ramp") {
        put(&mut ramp["properties"]["schedule"], "schedule");
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
    refer_to_kinds(&mut schema);
    make_plain(&mut schema);
    schema
}

/// Takes what only rustdoc can show out of all descriptions: editors show them as they are.
fn make_plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner {
                    Value::String(text) if name == "description" => *text = plugin_api::plain_text(text),
                    _ => make_plain(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_plain),
        _ => {}
    }
}

/// One of `choices`; nothing if there are none, of which JSON schema has no empty list.
fn one_of(how: &str, choices: Vec<Value>) -> Value {
    if choices.is_empty() { false.into() } else { json!({ how: choices }) }
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

/// Makes references of the types that are no types of JSON schema: where a config holds a plugin, it has the kind of that plugin as
/// its type, since a plugin alone does not know the others.
fn refer_to_kinds(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(refer_to_kinds);
            let types: Vec<String> = match fields.get("type") {
                Some(Value::String(name)) => vec![name.clone()],
                Some(Value::Array(names)) => {
                    names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
                }
                // None, or a field of this name.
                _ => return,
            };
            let is_known = |name: &String| TYPES.contains(&name.as_str());
            if types.iter().all(is_known) {
                return;
            }
            fields.remove("type");
            match &types[..] {
                [kind] => fields.insert("$ref".into(), reference(kind)["$ref"].take()),
                types => {
                    let choice = |name: &String| {
                        if is_known(name) { json!({ "type": name }) } else { reference(name) }
                    };
                    fields.insert("anyOf".into(), types.iter().map(choice).collect())
                }
            };
        }
        Value::Array(items) => items.iter_mut().for_each(refer_to_kinds),
        _ => {}
    }
}

fn move_references(value: &mut Value, under: &str) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner {
                    // A config within itself.
                    Value::String(reference) if name == "$ref" && reference == "#" => {
                        *reference = format!("#/$defs/{under}");
                    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_in_a_config_is_a_reference_to_its_kind() {
        let mut schema = json!({ "properties": {
            "of": { "type": "dataset", "description": "The dataset." },
            "source": { "type": ["dataset", "null"], "default": null },
            "train": { "type": ["number", "null"] },
            "type": { "type": "string" },
        } });
        refer_to_kinds(&mut schema);
        let expected = json!({ "properties": {
            "of": { "$ref": "#/$defs/dataset", "description": "The dataset." },
            "source": { "anyOf": [{ "$ref": "#/$defs/dataset" }, { "type": "null" }], "default": null },
            "train": { "type": ["number", "null"] },
            "type": { "type": "string" },
        } });
        assert_eq!(schema, expected);
    }

    #[test]
    fn descriptions_have_no_links_of_rust_and_no_code() {
        let text = schema().to_string();
        for bad in ["](crate", "](Self", "```", "assert!("] {
            assert!(!text.contains(bad), "{bad}");
        }
        assert!(text.contains("A pipeline as a file has it."));
    }

    #[test]
    fn without_plugins_every_kind_is_defined_and_takes_nothing() {
        let schema = schema();
        // Another test registers a schedule.
        for kind in KINDS.into_iter().chain(["module"]).filter(|kind| *kind != "schedule") {
            assert_eq!(schema["$defs"][kind], false, "{kind}");
        }
    }
}

//! The JSON schema of pipeline files: that it is one, and that it describes pipelines.

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::xtask;

/// What `moco schema` prints, for a pipeline or for a plugin.
fn schema(plugin: &[&str]) -> Value {
    let root = tempdir().unwrap();
    serde_json::from_str(&xtask(root.path(), [&["schema"], plugin].concat()).done().stdout).unwrap()
}

/// Calls `look` with every object in `value`, and where it is.
fn walk(value: &Value, place: &str, look: &mut impl FnMut(&Value, &str)) {
    match value {
        Value::Object(fields) => {
            look(value, place);
            fields.iter().for_each(|(name, inner)| walk(inner, &format!("{place}/{name}"), look));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, inner)| walk(inner, &format!("{place}/{i}"), look));
        }
        _ => {}
    }
}

/// Every type in `schema` is one that JSON schema knows, every reference leads somewhere in it, and no choice is among nothing.
fn check(schema: &Value) {
    const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    walk(schema, "", &mut |object, place| {
        // A field of a config may be called `type`.
        let types = match &object["type"] {
            Value::String(_) => std::slice::from_ref(&object["type"]),
            Value::Array(types) => types,
            _ => &[],
        };
        for name in types {
            assert!(TYPES.contains(&name.as_str().unwrap()), "{place}: {name}");
        }
        if let Value::String(reference) = &object["$ref"] {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(schema.pointer(pointer).is_some(), "{place}: {reference} leads nowhere");
        }
        for choices in ["anyOf", "oneOf", "enum"].map(|how| &object[how]) {
            assert_ne!(choices.as_array().map(Vec::len), Some(0), "{place}");
        }
    });
}

/// Whether `value` is as `schema`, which is of `root`, says: of JSON schema as much as ours use.
fn fits(value: &Value, schema: &Value, root: &Value) -> bool {
    if let Value::Bool(fits_all) = schema {
        return *fits_all;
    }
    let refers = |key: &str| root.pointer(key.strip_prefix('#').unwrap()).unwrap();
    let is = |name: &Value| match name.as_str().unwrap() {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        _ => value.is_string(),
    };
    let all_of = |key: &str| schema[key].as_array().into_iter().flatten();
    let n_fitting = |key: &str| all_of(key).filter(|choice| fits(value, choice, root)).count();
    let is_typed = match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    };
    let is_chosen = (schema["anyOf"].is_null() || n_fitting("anyOf") > 0)
        && (schema["oneOf"].is_null() || n_fitting("oneOf") == 1)
        && (schema["enum"].is_null() || all_of("enum").any(|choice| choice == value))
        && schema.get("const").is_none_or(|constant| constant == value);
    let items_fit = value.as_array().is_none_or(|items| {
        let first: Vec<&Value> = all_of("prefixItems").collect();
        let of = |i: usize| first.get(i).copied().unwrap_or(&schema["items"]);
        let n = items.len() as u64;
        schema["minItems"].as_u64().is_none_or(|least| n >= least)
            && schema["maxItems"].as_u64().is_none_or(|most| n <= most)
            && items.iter().enumerate().all(|(i, item)| of(i).is_null() || fits(item, of(i), root))
    });
    let fields_fit = value.as_object().is_none_or(|fields| {
        let of = |name: &String| schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
        all_of("required").all(|name| fields.contains_key(name.as_str().unwrap()))
            && fields.iter().all(|(name, inner)| of(name).is_null() || fits(inner, of(name), root))
    });
    let is_as_referred = schema["$ref"].as_str().is_none_or(|key| fits(value, refers(key), root));
    is_typed && is_chosen && items_fit && fields_fit && is_as_referred
}

/// A pipeline with plugins within plugins, in JSON.
fn pipeline() -> Value {
    let view = json!([["resize", { "shorter": 32 }], ["normalize", { "statistics": "Cifar10" }]]);
    let labeled = json!(["class-folders", { "root": "labeled" }]);
    json!({
        "name": "within",
        "data": {
            "source": ["split", { "of": ["flat-folder", { "root": "photos" }], "test": 0.1 }],
            "batch": 16,
        },
        "views": { "query": view, "key": view, "eval": view },
        "modules": {
            "backbone": ["resnet", { "depth": 18, "stem": "Cifar" }],
            "head": ["linear", { "out": 16 }],
            "contrast": ["queue", { "len": 64, "temperature": 0.2 }],
        },
        "graph": [
            { "id": "q", "run": ["backbone", "head"], "on": ["query"] },
            { "id": "k", "run": ["backbone", "head"], "on": ["key"], "weights": "Momentum" },
            { "id": "loss", "run": ["contrast"], "on": ["q", "k"] },
        ],
        "momentum": { "start": 0.99 },
        "optimizer": ["sgd", { "momentum": 0.9 }],
        "learning_rate": { "base": 0.06, "scale": "Absolute" },
        "schedule": ["cosine", {}],
        "epochs": 2,
        "monitor": [["knn", { "source": labeled }], ["linear-probe", { "source": null }]],
    })
}

#[test]
fn the_schema_of_pipelines_and_that_of_each_plugin_is_a_json_schema() {
    let of_pipelines = schema(&[]);
    check(&of_pipelines);
    let plugins = plugins::all_plugins();
    for plugin in &plugins {
        let kind = &of_pipelines["$defs"][plugin.kind]["oneOf"];
        let is_named = |choice: &Value| choice["prefixItems"][0]["const"] == plugin.name;
        assert!(kind.as_array().unwrap().iter().any(is_named), "{} is in no list", plugin.name);
    }
    // Those with a plugin in their config, with definitions of their own, with the name of another one, and with nothing of this.
    let names = plugins.iter().map(|plugin| plugin.name);
    let twice = names.clone().find(|name| names.clone().filter(|other| other == name).count() > 1);
    for name in ["split", "knn", "linear-probe", "resnet", "sgd"].into_iter().chain(twice) {
        check(&schema(&[name]));
    }
}

#[test]
fn the_schema_describes_pipelines_with_plugins_within_plugins() {
    let schema_of_pipelines = schema(&[]);
    let is_described = |pipeline: &Value| fits(pipeline, &schema_of_pipelines, &schema_of_pipelines);
    assert!(is_described(&pipeline()));
    for (place, wrong) in [
        ("/data/source/1/of", json!("photos")),
        ("/data/source/1/of", json!(["flat-folder", { "rot": "photos" }])),
        ("/data/source/1/of", json!(["knn", {}])),
        ("/data/source/1/of", Value::Null),
        ("/monitor/0/1/source", json!("labeled")),
        ("/monitor/0/1/source/0", json!("class-folder")),
        ("/monitor/1/1/source", json!(["split", { "of": 3 }])),
    ] {
        let mut pipeline = pipeline();
        *pipeline.pointer_mut(place).unwrap() = wrong.clone();
        assert!(!is_described(&pipeline), "{place}: {wrong}");
    }
    let of_split = schema(&["split"]);
    let config = &pipeline()["data"]["source"][1];
    assert!(fits(config, &of_split, &of_split));
    assert!(!fits(&json!({ "of": ["flat-folder", {}] }), &of_split, &of_split), "`root` is missing");
}

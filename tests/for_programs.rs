//! What other programs read: JSON on standard output, schemas, completions and pages of the manual.

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{here, xtask};

/// The one object that a command prints.
fn object(stdout: &str) -> Value {
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let value: Value = serde_json::from_str(stdout).unwrap();
    assert!(value.is_object(), "{value}");
    value
}

#[test]
fn what_is_measured_is_one_object_of_json() {
    let root = tempdir().unwrap();
    let said = |arguments: &[&str]| object(&xtask(root.path(), arguments).done().stdout);
    xtask(root.path(), ["run", &here("small.ron")]).done();

    let knn = said(&["knn", "small-001", "--k", "5", "--k", "200", "--json"]);
    assert_eq!(
        (&knn["view"], &knn["train_images"], &knn["test_images"]),
        (&"eval".into(), &64.into(), &16.into())
    );
    let results = knn["results"].as_array().unwrap();
    assert_eq!(
        (&results[0]["k"], &results[1]["k"], &results[1]["k_used"]),
        (&5.into(), &200.into(), &64.into())
    );
    assert!(results.iter().all(|result| (0.0..=1.0).contains(&result["top1"].as_f64().unwrap())), "{knn}");

    let linear = said(&["linear", "small-001", "--cached", "--epochs", "2", "--lr", "1", "--json"]);
    let folder = root.path().join(linear["folder"].as_str().unwrap());
    let mut kept: Value =
        serde_json::from_slice(&std::fs::read(folder.join("result.json")).unwrap()).unwrap();
    kept["folder"] = linear["folder"].clone();
    assert_eq!(kept, linear);

    let tuned =
        said(&["finetune", "small-001", "--epochs", "1", "--warmup-epochs", "0", "--batch", "16", "--json"]);
    assert!(
        tuned["top1"].is_number() && tuned["folder"].as_str().unwrap().contains("finetune-001"),
        "{tuned}"
    );

    let arguments =
        ["neighbors", "small-001", "--split", "test", "-o", "a.png", "--count", "2", "-k", "3", "--json"];
    let neighbors = said(&arguments);
    let queries = neighbors["queries"].as_array().unwrap();
    assert_eq!((queries.len(), queries[0]["neighbors"].as_array().unwrap().len()), (2, 3));
    assert!(queries[0]["neighbors"][0]["similarity"].is_number(), "{neighbors}");

    let device = said(&["device", "--json"]);
    assert!(device["device"].as_str().unwrap().contains("CPU") && device["gpu"].is_null(), "{device}");
}

#[test]
fn a_sweep_gives_its_table_as_one_object() {
    let root = tempdir().unwrap();
    let vary = "momentum.start=0.9,0.99";
    let outcome =
        xtask(root.path(), ["sweep", &here("small.ron"), "--set", "epochs=1", "--vary", vary, "--json"])
            .done();
    let sweep = object(&outcome.stdout);
    assert!(outcome.stderr.contains("run 1 of 2"), "{outcome}");
    assert_eq!((&sweep["paths"][0], &sweep["stopped"]), (&"momentum.start".into(), &false.into()));
    let rows = sweep["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{sweep}");
    assert_eq!(rows[1]["values"]["momentum.start"], "0.99");
    assert!(rows[0]["results"]["knn_top1"]["mean"].is_number(), "{sweep}");
}

#[test]
fn a_check_tells_programs_where_a_fault_is() {
    let root = tempdir().unwrap();
    let text = std::fs::read_to_string(here("small.ron")).unwrap();
    std::fs::write(root.path().join("bad.ron"), text.replace("epochs: 2", "epochs: 0")).unwrap();
    let outcome = xtask(root.path(), ["check", &here("small.ron"), "bad.ron", "nothing.ron", "--json"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let checked = object(&outcome.stdout);
    let [good, bad, missing] = &checked["files"].as_array().unwrap()[..] else { panic!("{checked}") };
    assert_eq!(
        (&good["ok"], &good["train_images"], &good["classes"]),
        (&true.into(), &64.into(), &10.into())
    );
    assert!(good["notes"][0].as_str().unwrap().contains("8 steps in all"), "{good}");
    assert_eq!((&bad["ok"], &bad["error"]["origin"]), (&false.into(), &"bad.ron".into()));
    let line = text.lines().position(|line| line.contains("epochs: 2")).unwrap() + 1;
    assert_eq!((&bad["error"]["line"], &bad["error"]["column"]), (&line.into(), &13.into()), "{bad}");
    assert!(missing["error"]["message"].as_str().unwrap().contains("does not exist"), "{missing}");
    assert!(missing["error"]["line"].is_null());
}

#[test]
fn plugins_and_schemas_are_told_to_programs() {
    let root = tempdir().unwrap();
    let list = object(&xtask(root.path(), ["plugins", "--json"]).done().stdout);
    let plugins = list["plugins"].as_array().unwrap();
    assert_eq!(plugins.len(), plugins::all_plugins().len());
    let resnet = plugins.iter().find(|plugin| plugin["name"] == "resnet").unwrap();
    let width = resnet["fields"].as_array().unwrap().iter().find(|field| field["name"] == "width").unwrap();
    assert_eq!((&width["type"], &width["default"]), (&"integer".into(), &"64".into()));

    let schema: Value = serde_json::from_str(&xtask(root.path(), ["schema"]).done().stdout).unwrap();
    assert_eq!(schema["properties"]["optimizer"]["$ref"], "#/$defs/optimizer");
    assert_eq!(schema["$defs"]["backbone.resnet"]["properties"]["width"]["default"], 64);
    for plugin in plugins::all_plugins() {
        let key = format!("{}.{}", plugin.kind, plugin.name);
        assert!(schema["$defs"][&key].is_object(), "{key}");
    }
    check_references(&schema, &schema);
    let resnet: Value =
        serde_json::from_str(&xtask(root.path(), ["schema", "resnet"]).done().stdout).unwrap();
    assert_eq!(resnet["properties"]["width"]["default"], 64);
    assert!(xtask(root.path(), ["schema", "resnte"]).refused().contains("did you mean `resnet`?"));
}

/// Every reference in `value` leads somewhere in `schema`.
fn check_references(value: &Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(schema.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|inner| check_references(inner, schema));
        }
        Value::Array(items) => items.iter().for_each(|inner| check_references(inner, schema)),
        _ => {}
    }
}

#[test]
fn shells_and_manuals_know_every_command() {
    let root = tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = xtask(root.path(), ["completions", shell]).done().stdout;
        assert!(script.contains("finetune") && script.contains("moco"), "{shell}");
    }
    let outcome = xtask(root.path(), ["man", "pages"]).done();
    let page = |name: &str| std::fs::read_to_string(root.path().join("pages").join(name)).unwrap();
    assert!(page("moco.1").contains("MoCo") && page("moco-run.1").contains("resume"), "{outcome}");
    assert!(page("moco-runs-rm.1").contains("yes"));
    for entry in std::fs::read_dir(root.path().join("pages")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = page(&name);
        // Neither words nor lines of examples are cut at a terminal of 80 columns.
        assert!(text.contains("\n.nh\n.ad l\n.SH NAME\n") && !text.contains("SH EXTRA"), "{name}");
        let mut is_filled = true;
        for line in text.lines() {
            match line {
                ".nf" => is_filled = false,
                ".fi" => is_filled = true,
                line => {
                    let seen = line.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\\\", "\\");
                    assert!(is_filled || seen.chars().count() <= 71, "{name}: {seen}");
                }
            }
        }
        assert!(is_filled, "{name}");
    }
    let embed = page("moco-embed.1");
    let synopsis = embed.split(".SH ").find(|section| section.starts_with("SYNOPSIS")).unwrap();
    for part in ["\\ <FILE>", "\\ <SPLIT>", "<RUN>", "[IMAGES]..."] {
        assert!(synopsis.contains(part), "{part} is not in {synopsis}");
    }
    assert!(page("moco-run.1").contains(".SH EXAMPLES\n.nf\n  moco run pipelines/mocov2.ron\n"));
    let stderr = xtask(root.path(), ["man", "pages"]).refused();
    assert!(stderr.contains("already exists") && stderr.contains("`--force`"), "{stderr}");
    xtask(root.path(), ["man", "pages", "--force"]).done();
}

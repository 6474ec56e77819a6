use plugin_api::{Config, Dataset, DatasetContext, Plugin};

#[test]
fn every_example_builds_and_every_field_is_explained() {
    let mut names = Vec::new();
    for plugin in plugin_api::inventory::iter::<Plugin<dyn Dataset>> {
        let built = (plugin.build)(Config::new(plugin.example), &DatasetContext { seed: 1 });
        assert!(built.is_ok(), "{}: {}", plugin.name, built.err().unwrap());
        let schema = (plugin.schema)();
        let fields = schema.as_value()["properties"].as_object().unwrap();
        for (field, property) in fields {
            assert!(property["description"].is_string(), "{}: {field}", plugin.name);
        }
        names.push(plugin.name);
    }
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "archive",
            "cifar10",
            "cifar100",
            "class-folders",
            "flat-folder",
            "list-file",
            "pack",
            "parquet",
            "shapes",
            "split",
            "stl10",
            "tiny-imagenet"
        ]
    );
}

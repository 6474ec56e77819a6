//! Views of one encoder that do not have one normalization.

use pipeline::{BackboneId, Input, Pipeline, View};
use plugin_api::Normalization;

pub(super) fn advice(pipeline: &Pipeline) -> Vec<String> {
    let graph = &pipeline.network.graph;
    let queries = graph.queries.iter().map(|step| step.input);
    let queries = queries.filter_map(|input| match input {
        Input::View { view, backbone } => Some((view, backbone)),
        Input::Step(_) => None,
    });
    let keys = graph.keys.iter().map(|step| step.encode.input);
    let keys = keys.filter_map(|input| match input {
        Input::View { view, backbone } => Some((view, graph.backbone_copies[backbone])),
        Input::Step(_) => None,
    });
    let mut seen: Vec<(BackboneId, &str)> =
        queries.chain(keys).map(|(view, backbone)| (backbone, graph.views[view].as_str())).collect();
    // Those that no step is on are for measuring the encoder.
    let names = pipeline.views.iter().map(|view| view.name.as_str());
    let for_measuring: Vec<&str> =
        names.filter(|name| seen.iter().all(|(_, trained)| trained != name)).collect();
    seen.extend(for_measuring.into_iter().map(|name| (graph.encoder().backbone, name)));
    let of = |backbone: BackboneId| {
        let is_seen = |view: &&View| seen.contains(&(backbone, view.name.as_str()));
        let views: Vec<&View> = pipeline.views.iter().filter(is_seen).collect();
        difference(&graph.backbones[backbone], &views)
    };
    let mut backbones: Vec<BackboneId> = seen.iter().map(|(backbone, _)| *backbone).collect();
    backbones.sort_unstable();
    backbones.dedup();
    backbones.into_iter().filter_map(of).collect()
}

fn difference(backbone: &str, views: &[&View]) -> Option<String> {
    let mut kinds: Vec<(Option<Normalization>, Vec<&str>)> = Vec::new();
    for view in views {
        let normalization = view.transform.steps.iter().find_map(|step| step.normalization());
        match kinds.iter_mut().find(|(known, _)| *known == normalization) {
            Some((_, names)) => names.push(&view.name),
            None => kinds.push((normalization, vec![view.name.as_str()])),
        }
    }
    if kinds.len() < 2 {
        return None;
    }
    let told: Vec<String> = kinds
        .iter()
        .map(|(normalization, names)| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let names = names.join(" and ");
            match normalization {
                Some(Normalization { mean, std }) => {
                    format!("{names} with mean {} and std {}", list(mean), list(std))
                }
                None => format!("{names} not at all"),
            }
        })
        .collect();
    Some(format!(
        "the views of `{backbone}` are normalized differently: {}; give each the same `normalize`, or the encoder sees images of \
         different colors",
        told.join(", ")
    ))
}

fn list(values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value}")).collect();
    format!("({})", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::pipeline;
    use super::advice;

    #[test]
    fn views_that_are_normalized_differently_are_told_with_what_they_have() {
        let texts = advice(&pipeline(&["views.query.normalize.statistics=Cifar10"]));
        let [text] = &texts[..] else { panic!("{texts:?}") };
        assert!(
            text.contains("`query` and `eval` with mean (0.4914, 0.4822, 0.4465)")
                && text.contains("`backbone`"),
            "{text}"
        );
        // Of the trained view comes the one for measuring.
        assert!(text.contains("`key` with mean (0.485,"), "{text}");
    }

    #[test]
    fn one_normalization_in_several_ways_to_write_it_is_one() {
        let custom = "(statistics: Custom(mean: (0.485, 0.456, 0.406), std: (0.229, 0.224, 0.225)))";
        let change = format!("views.key.normalize=(\"normalize\", {custom})");
        assert_eq!(advice(&pipeline(&[&change])), Vec::<String>::new());
    }
}

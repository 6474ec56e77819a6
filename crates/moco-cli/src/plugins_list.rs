//! `moco plugins`: lists and explains plugins.

use std::io::Write;
use std::process::ExitCode;

use plugin_api::{self, Described, Field, nearest};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::json;
use crate::plugins_built::Built;
use crate::program::program;
use crate::text::{width, wrap};

/// List plugins, or explain one.
///
/// Without NAME, lists all linked plugins by kind. With NAME, explains that plugin: its source, the fields of its
/// config with their defaults, and an example to copy; of an objective also the values that it is on, in their order, and its
/// metrics.
///
/// NAME may also be a kind, such as `backbone`, to list the plugins of that kind.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Plugin, or kind of plugin.
    name: Option<String>,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `plugins`, each with `kind`, `name`, `summary`, `source` (`null` if there is none), `on` (what an
    /// objective is on; else `null`), `metrics` (of an objective), `example` and `fields`, each of these with `name`, `type`,
    /// `default` (`null` if it must be given; as a file would write it), `ramp` (whether it may have one) and `help`.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco plugins
  moco plugins resnet
  moco plugins augmentation
  moco plugins --json > plugins.json";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let all = plugin_api::all_plugins();
    let named = |is: &dyn Fn(&Described) -> bool| -> Vec<Described> {
        all.iter().filter(|plugin| is(plugin)).cloned().collect()
    };
    let (found, is_explained) = match &arguments.name {
        None => (all.clone(), false),
        Some(name) => match named(&|plugin| plugin.name == name) {
            of_kind if of_kind.is_empty() => (named(&|plugin| plugin.kind == name), false),
            of_name => (of_name, true),
        },
    };
    if let (true, Some(name)) = (found.is_empty(), &arguments.name) {
        return Err(unknown(name, &all));
    }
    if arguments.json {
        json::print(out, &json!({ "plugins": found.iter().map(as_json).collect::<Vec<_>>() }))?;
    } else if is_explained {
        out.write_all(found.iter().map(explained).collect::<Vec<_>>().join("\n").as_bytes())?;
    } else {
        out.write_all(listing(&found).as_bytes())?;
        if arguments.name.is_none() {
            let program = program();
            writeln!(
                out,
                "\nTo explain a plugin: {program} plugins NAME. The book shows how to write your own."
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(plugin: &Described) -> Value {
    let Built { metrics, ramps } = Built::of(plugin);
    let field = |field: &Field| {
        json!({
            "name": field.name,
            "type": field.type_name,
            "default": field.default,
            "ramp": ramps.contains(&field.name),
            "help": field.help,
        })
    };
    json!({
        "kind": plugin.kind,
        "name": plugin.name,
        "summary": plugin.summary,
        "source": Some(plugin.source).filter(|source| !source.is_empty()),
        "on": Some(plugin.on).filter(|on| !on.is_empty()),
        "metrics": metrics,
        "example": plugin.example,
        "fields": plugin.fields.iter().map(field).collect::<Vec<_>>(),
    })
}

pub(crate) fn unknown(name: &str, all: &[Described]) -> Failure {
    let names: Vec<&str> = all.iter().flat_map(|plugin| [plugin.name, plugin.kind]).collect();
    let hint = match (nearest(name, &names), all.iter().find(|plugin| plugin.mentions(name))) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, Some(plugin)) => format!("did you mean `{}`: {}?", plugin.name, plugin.summary),
        (None, None) => "`moco plugins` lists all plugins".into(),
    };
    Failure::new(format!("no plugin is named `{name}`"), hint)
}

fn listing(plugins: &[Described]) -> String {
    let mut out = String::new();
    let mut kinds: Vec<&str> = plugins.iter().map(|plugin| plugin.kind).collect();
    kinds.dedup();
    let widest = plugins.iter().map(|plugin| plugin.name.len()).max().unwrap_or(0);
    for kind in kinds {
        if !out.is_empty() {
            out.push('\n');
        }
        out += &format!("{kind}\n");
        for plugin in plugins.iter().filter(|plugin| plugin.kind == kind) {
            out += &entry(plugin.name, plugin.summary, widest, width());
        }
    }
    out
}

/// `name`, and beside it `summary` in as many lines as it takes.
fn entry(name: &str, summary: &str, widest: usize, width: usize) -> String {
    let indent = 2 + widest + 2;
    let lines = wrap(summary, indent, width.max(indent + 20));
    match lines.get(indent..) {
        Some(rest) => format!("  {name:<widest$}  {rest}"),
        None => format!("  {name}\n"),
    }
}

fn explained(plugin: &Described) -> String {
    let mut out = format!("{} ({})\n", plugin.name, plugin.kind);
    out += &wrap(plugin.summary, 2, width());
    if !plugin.source.is_empty() {
        out += &wrap(&format!("source: {}", plugin.source), 2, width());
    }
    let Built { metrics, ramps } = Built::of(plugin);
    if !plugin.on.is_empty() {
        out += &wrap(&format!("on: {}", plugin.on), 2, width());
    }
    if !metrics.is_empty() {
        out += &wrap(&format!("metrics, after the `id` of its step: {}", metrics.join(", ")), 2, width());
    }
    if plugin.fields.is_empty() {
        out += "\nIt has no fields.\n";
    } else {
        out += "\nfields\n";
        out.extend(plugin.fields.iter().map(|one| field(one, ramps.contains(&one.name))));
    }
    out += &format!("\nexample\n  (\"{}\", {})\n", plugin.name, plugin.example);
    out
}

fn field(field: &Field, has_ramp: bool) -> String {
    let default = match &field.default {
        Some(default) => format!("default {default}"),
        None => "required".into(),
    };
    let ramp = if has_ramp { ", may have a ramp" } else { "" };
    format!("  {}: {}, {default}{ramp}\n{}", field.name, field.type_name, wrap(&field.help, 6, width()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(kind: &'static str, name: &'static str) -> Described {
        let field = |name: &str, default: Option<&str>| Field {
            name: name.into(),
            type_name: "number".into(),
            default: default.map(str::to_owned),
            help: "Share of images.".into(),
        };
        Described {
            kind,
            name,
            summary: "does it",
            source: "a paper",
            on: "",
            example: "(p: 0.5)",
            fields: vec![field("p", None), field("q", Some("1"))],
            schema: plugin_api::schemars::Schema::default(),
        }
    }

    #[test]
    fn a_plugin_is_explained_with_its_fields_and_an_example() {
        let expected = "flip (augmentation)\n  does it\n  source: a paper\n\nfields\n  p: number, required\n      Share \
                        of images.\n  q: number, default 1\n      Share of images.\n\nexample\n  (\"flip\", (p: 0.5))\n";
        assert_eq!(explained(&described("augmentation", "flip")), expected);
    }

    #[test]
    fn an_objective_says_what_it_is_on_and_what_may_change() {
        let all = plugin_api::all_plugins();
        let plugin = all.iter().find(|plugin| plugin.name == "nt-xent").unwrap();
        let text = explained(plugin);
        assert!(text.contains("  on: the embeddings of two views, both trained\n"), "{text}");
        assert!(text.contains("  metrics, after the `id` of its step: top1\n"), "{text}");
        assert!(text.contains(", may have a ramp\n"), "{text}");
    }

    #[test]
    fn a_name_that_a_summary_has_leads_to_its_plugin() {
        let list = [
            described("dataset", "shapes"),
            Described { summary: "ranks (RankMe)", ..described("monitor", "m") },
        ];
        let hint = |name: &str| unknown(name, &list).hint().unwrap();
        assert_eq!(hint("rankme"), "did you mean `m`: ranks (RankMe)?");
        assert_eq!(hint("shape"), "did you mean `shapes`?");
        assert_eq!(hint("zebra"), "`moco plugins` lists all plugins");
    }

    #[test]
    fn a_long_summary_goes_on_below_itself_and_no_word_is_cut() {
        assert_eq!(
            entry("ab", "one two three four five", 4, 20),
            "  ab    one two three four five\n".replace("four five", "four\n        five")
        );
        assert_eq!(entry("ab", "one two three", 2, 10), "  ab  one two three\n");
        assert_eq!(entry("ab", "", 2, 80), "  ab\n");
    }

    #[test]
    fn a_plugin_without_a_source_has_no_empty_line_for_it() {
        let text = explained(&Described { source: "", ..described("dataset", "shapes") });
        assert!(!text.contains("source"), "{text}");
    }

    #[test]
    fn plugins_are_listed_by_kind() {
        let list = [described("dataset", "shapes"), described("head", "mlp"), described("head", "linear")];
        let expected = "dataset\n  shapes  does it\n\nhead\n  mlp     does it\n  linear  does it\n";
        assert_eq!(listing(&list), expected);
    }
}

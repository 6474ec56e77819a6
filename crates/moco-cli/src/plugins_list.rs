//! `moco plugins`: lists and explains plugins.

use std::io::Write;
use std::process::ExitCode;

use plugin_api::{self, Described, Field, nearest};

use crate::failure::Failure;
use crate::program::program;
use crate::text::{table, width, wrap};

/// List plugins, or explain one.
///
/// Without NAME, lists all linked plugins by kind. With NAME, explains that plugin: its source, the fields of its
/// config with their defaults, and an example to copy.
///
/// NAME may also be a kind, such as `backbone`, to list the plugins of that kind.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Plugin, or kind of plugin.
    name: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco plugins
  moco plugins resnet
  moco plugins augmentation";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let all = plugin_api::all_plugins();
    let text = match &arguments.name {
        None => {
            listing(&all)
                + &format!(
                    "\nTo explain a plugin: {} plugins NAME. The book shows how to write your own.\n",
                    program()
                )
        }
        Some(name) => {
            let named: Vec<&Described> = all.iter().filter(|plugin| plugin.name == name).collect();
            let of_kind: Vec<Described> = all.iter().filter(|plugin| plugin.kind == name).cloned().collect();
            if !named.is_empty() {
                named.iter().map(|plugin| explained(plugin)).collect::<Vec<_>>().join("\n")
            } else if !of_kind.is_empty() {
                listing(&of_kind)
            } else {
                return Err(unknown(name, &all));
            }
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str, all: &[Described]) -> Failure {
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
        let rows: Vec<Vec<String>> = plugins
            .iter()
            .filter(|plugin| plugin.kind == kind)
            .map(|plugin| vec![format!("  {:<widest$}", plugin.name), plugin.summary.to_owned()])
            .collect();
        out += &table(&rows);
    }
    out
}

fn explained(plugin: &Described) -> String {
    let mut out = format!("{} ({})\n", plugin.name, plugin.kind);
    out += &wrap(plugin.summary, 2, width());
    out += &wrap(&format!("source: {}", plugin.source), 2, width());
    if plugin.fields.is_empty() {
        out += "\nIt has no fields.\n";
    } else {
        out += "\nfields\n";
        out.extend(plugin.fields.iter().map(field));
    }
    out += &format!("\nexample\n  (\"{}\", {})\n", plugin.name, plugin.example);
    out
}

fn field(field: &Field) -> String {
    let default = match &field.default {
        Some(default) => format!("default {default}"),
        None => "required".into(),
    };
    format!("  {}: {}, {default}\n{}", field.name, field.type_name, wrap(&field.help, 6, width()))
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
    fn plugins_are_listed_by_kind() {
        let list = [described("dataset", "shapes"), described("head", "mlp"), described("head", "linear")];
        let expected = "dataset\n  shapes  does it\n\nhead\n  mlp     does it\n  linear  does it\n";
        assert_eq!(listing(&list), expected);
    }
}

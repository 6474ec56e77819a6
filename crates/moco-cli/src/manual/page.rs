//! One page of the manual.

use std::io;

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::examples::{Block, blocks, narrowed};

/// A space at which a line is not broken.
const FIXED_SPACE: char = '\u{a0}';

/// The page of `command`, which is called `name`, in roff; `program` is the program with its version.
///
/// `clap_mangen` knows how options and subcommands are laid out. What it has otherwise than readers need is written here: lines that
/// are even at the right, with words cut, a synopsis without the values of options, and examples run together to a paragraph.
pub(super) fn page(command: &Command, name: &str, program: &str) -> io::Result<String> {
    let man = Man::new(command.clone().display_name(name.to_owned()));
    let preamble = Roff::new().render();
    let section = |render: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
        let mut bytes = Vec::new();
        render(&mut bytes)?;
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        // Each section that is rendered alone begins with what a page has once.
        Ok::<String, io::Error>(text.strip_prefix(&preamble).unwrap_or(&text).to_owned())
    };
    let mut page = preamble.clone();
    page += &format!(".TH \"{name}\" 1 \"\" \"{program}\"\n.nh\n.ad l\n");
    page += &section(&|page| man.render_name_section(page))?;
    page += &section(&|page| synopsis(command).to_writer(page))?.replace(FIXED_SPACE, "\\ ");
    page += &section(&|page| man.render_description_section(page))?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        page += &section(&|page| man.render_options_section(page))?;
    }
    if command.get_subcommands().any(|inner| !inner.is_hide_set()) {
        page += &section(&|page| man.render_subcommands_section(page))?;
    }
    if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
        page += &section(&|page| examples(&text.to_string()).to_writer(page))?;
    }
    Ok(page)
}

fn synopsis(command: &Command) -> Roff {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut line = vec![bold(name.replace(' ', &FIXED_SPACE.to_string()))];
    let is_shown = |argument: &&Arg| {
        let is_of_clap = matches!(
            argument.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        !argument.is_hide_set() && !is_of_clap
    };
    for option in command.get_arguments().filter(|argument| !argument.is_positional()).filter(is_shown) {
        line.push(roman(" "));
        line.extend(option_words(option));
    }
    for positional in command.get_positionals().filter(is_shown) {
        line.extend([roman(" "), italic(positional.to_string().replace(' ', &FIXED_SPACE.to_string()))]);
    }
    if command.has_subcommands() {
        let word = if command.is_subcommand_required_set() { "<COMMAND>" } else { "[COMMAND]" };
        line.extend([roman(" "), italic(word)]);
    }
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]).control("HP", ["4n"]).text(line);
    section
}

/// `[--split <SPLIT>]`, `-o|--out <FILE>` of one that is required, `[--set <PATH=VALUE>]...` of one that may stand several times.
fn option_words(option: &Arg) -> Vec<Inline> {
    let long = option.get_long().map(|long| format!("--{long}"));
    let short = option.get_short().map(|short| format!("-{short}"));
    let written = option.to_string();
    // It begins with the name that it has, the long one if there are two.
    let named = long.as_ref().or(short.as_ref()).map_or("", String::as_str);
    let value = written.strip_prefix(named).unwrap_or_default().replace(' ', &FIXED_SPACE.to_string());
    let mut words = Vec::new();
    for name in [short, long].into_iter().flatten() {
        if !words.is_empty() {
            words.push(roman("|"));
        }
        words.push(bold(name));
    }
    if !value.is_empty() {
        words.push(italic(value));
    }
    if !option.is_required_set() {
        words.insert(0, roman("["));
        words.push(roman("]"));
    }
    if matches!(option.get_action(), ArgAction::Append) {
        words.push(roman("..."));
    }
    words
}

/// What stands below the help of a command: examples as they are typed, and other things in sections of their own.
fn examples(text: &str) -> Roff {
    let mut section = Roff::new();
    let mut others = Vec::new();
    let mut has_examples = false;
    for block in blocks(text) {
        match block {
            Block::Examples { title, lines } => {
                section
                    .control(if has_examples { "PP" } else { "SH" }, (!has_examples).then_some("EXAMPLES"));
                has_examples = true;
                if title != "Examples:" {
                    section.text([roman(title)]);
                }
                section.control("nf", []);
                for line in lines.into_iter().flat_map(narrowed) {
                    section.text([roman(line)]);
                }
                section.control("fi", []);
            }
            Block::Paragraph { title, text } => others.push((title.to_uppercase(), text)),
        }
    }
    for (title, text) in others {
        section.control("SH", [title.as_str()]).text([roman(text)]);
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let option = |name: &'static str| Arg::new(name).long(name).help("What it is");
        let mut command = Command::new("embed")
            .bin_name("moco embed")
            .about("Writes features")
            .arg(option("split").value_name("SPLIT"))
            .arg(option("out").short('o').value_name("FILE").required(true))
            .arg(option("set").value_name("PATH=VALUE").action(ArgAction::Append))
            .arg(option("resume").value_name("RUN").num_args(0..=1))
            .arg(option("force").action(ArgAction::SetTrue))
            .arg(Arg::new("RUN").required(true))
            .arg(Arg::new("IMAGES").num_args(0..))
            .after_help(
                "Examples:\n  moco embed it's\n\nOthers:\n  .start --query-with-a-name 'a b'\n\nExit codes: 0 success.",
            );
        command.build();
        command
    }

    #[test]
    fn a_synopsis_has_the_values_of_options_and_says_what_may_stand_several_times() {
        let page = page(&command(), "moco-embed", "moco 1.2.3").unwrap();
        let line = page.lines().skip_while(|line| *line != ".SH SYNOPSIS").nth(2).unwrap();
        let plain =
            ["\\fB", "\\fI", "\\fR"].iter().fold(line.to_owned(), |line, font| line.replace(font, ""));
        assert_eq!(
            plain.replace("\\ ", " ").replace("\\-", "-"),
            "moco embed [--split <SPLIT>] -o|--out <FILE> [--set <PATH=VALUE>]... [--resume [<RUN>]] [--force] <RUN> \
             [IMAGES]..."
        );
    }

    #[test]
    fn examples_stay_as_they_are_typed_and_no_word_is_cut() {
        let page = page(&command(), "moco-embed", "moco 1.2.3").unwrap();
        let expected = ".SH EXAMPLES\n.nf\n  moco embed it\\*(Aqs\n.fi\n.PP\nOthers:\n.nf\n  .start \
                        \\-\\-query\\-with\\-a\\-name \\*(Aqa b\\*(Aq\n.fi\n.SH \"EXIT CODES\"\n0 success.\n";
        assert!(page.ends_with(expected), "{page}");
        let head: Vec<&str> = page.lines().take(5).collect();
        let expected = [".TH \"moco-embed\" 1 \"\" \"moco 1.2.3\"", ".nh", ".ad l"];
        assert_eq!(head[2..], expected, "{page}");
        assert_eq!(page.matches(".ds Aq").count(), 2, "one preamble of two lines\n{page}");
    }
}

//! Numbers on the command line: ones below 0, and what is said of those that are not taken.

use std::error::Error as _;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// `command` with options that take numbers below 0 for values, and not for options: what is wrong with one is then that it is
/// below 0.
pub(crate) fn may_be_negative(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let mut command = command.mut_args(|argument| {
        let takes_values = argument.get_action().takes_values() && !argument.is_positional();
        if takes_values { argument.allow_negative_numbers(true) } else { argument }
    });
    for name in names {
        command = command.mut_subcommand(name, may_be_negative);
    }
    command
}

/// `error` in words of the reader, where a number was wanted: the parser's own words are about types.
pub(crate) fn worded(error: clap::Error) -> clap::Error {
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (Some(argument), Some(value), Some(reason)) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue), reason(&error))
    else {
        return error;
    };
    let text = format!(
        "invalid value '{value}' for '{argument}': {reason}\n\nFor more information, try '--help'.\n"
    );
    clap::Error::raw(ErrorKind::ValueValidation, text)
}

fn reason(error: &clap::Error) -> Option<&'static str> {
    let source = error.source()?;
    if source.is::<ParseFloatError>() {
        return Some("it must be a number");
    }
    Some(match source.downcast_ref::<ParseIntError>()?.kind() {
        IntErrorKind::Zero => "it must be at least 1",
        IntErrorKind::PosOverflow => "it is too large",
        IntErrorKind::NegOverflow => "it is too small",
        _ => "it must be a whole number of 0 or more",
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Example {
        #[arg(long)]
        threads: Option<NonZeroUsize>,
        #[arg(long)]
        count: Option<usize>,
        #[arg(long)]
        rate: Option<f64>,
    }

    fn said(arguments: &[&str]) -> String {
        let command = may_be_negative(<Example as clap::CommandFactory>::command());
        let arguments = std::iter::once("it").chain(arguments.iter().copied());
        let error = command.try_get_matches_from(arguments).unwrap_err();
        worded(error).to_string().lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_number_that_is_not_taken_is_told_with_what_it_must_be() {
        for (arguments, reason) in [
            (["--threads", "0"], "error: invalid value '0' for '--threads <THREADS>': it must be at least 1"),
            (
                ["--threads", "-1"],
                "error: invalid value '-1' for '--threads <THREADS>': it must be a whole number of 0 or more",
            ),
            (
                ["--count", "x"],
                "error: invalid value 'x' for '--count <COUNT>': it must be a whole number of 0 or more",
            ),
            (
                ["--count", "99999999999999999999999"],
                "error: invalid value '99999999999999999999999' for '--count <COUNT>': it is too large",
            ),
            (["--rate", "x"], "error: invalid value 'x' for '--rate <RATE>': it must be a number"),
        ] {
            assert_eq!(said(&arguments), reason);
        }
        assert!(said(&["--cuont", "1"]).contains("unexpected argument"));
    }

    #[test]
    fn a_number_below_0_is_a_value() {
        let command = may_be_negative(<Example as clap::CommandFactory>::command());
        let matches = command.try_get_matches_from(["it", "--rate", "-1"]).unwrap();
        assert_eq!(matches.get_one::<f64>("rate"), Some(&-1.0));
        assert!(Example::try_parse_from(["it"]).is_ok());
    }
}

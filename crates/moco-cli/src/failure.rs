//! How a command fails: one error, what to do about it, and an exit code.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use pipeline::{Color, Fault, PipelineError};
use run_store::shown;

use crate::hint::Hint;
use crate::output::is_terminal_gone;
use crate::program::{named, program};

/// The exit code of a run that was stopped, as shells give it to a command that Ctrl-C ended.
pub const STOPPED: u8 = 130;

/// The exit code of a run whose time is up and that is to go on: that of a failure that passes (`EX_TEMPFAIL`).
pub const GO_ON: u8 = 75;

/// The exit code for arguments that make no sense, which is clap's.
const USAGE: u8 = 2;

/// Why a command has failed: any error that has a [`Hint`], and the exit code.
#[derive(Debug)]
pub struct Failure {
    cause: Box<dyn Hint>,
    code: u8,
}

/// Something wrong that the command line itself finds.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Told {
    message: String,
    hint: Option<String>,
}

impl Hint for Told {
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl Failure {
    /// `message` without a stop, and what to do about it.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Told { message: message.into(), hint: Some(hint.into()) }.into()
    }

    /// Where there is nothing that the reader can do, or the message says it.
    pub fn plain(message: impl Into<String>) -> Self {
        Told { message: message.into(), hint: None }.into()
    }

    /// Arguments that do not go together.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: USAGE, ..Self::new(message, hint) }
    }

    /// The error, if it is an `E`.
    pub(crate) fn cause<E: Error + 'static>(&self) -> Option<&E> {
        let cause: &(dyn Error + 'static) = &*self.cause;
        cause.downcast_ref()
    }

    /// What the reader can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        self.cause.hint().filter(|hint| !hint.is_empty())
    }
}

impl<E: Hint> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { cause: Box::new(error), code: 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

/// Prints `failure` on standard error, once, and gives the exit code.
///
/// A reader of standard output that has seen enough, as `head`, is no failure.
pub fn report(failure: &Failure) -> ExitCode {
    if is_closed_pipe(failure) {
        return ExitCode::SUCCESS;
    }
    // As the signal that comes with it.
    if failure.cause::<io::Error>().is_some_and(is_terminal_gone) {
        return ExitCode::from(STOPPED);
    }
    // If even this cannot be written, the exit code still tells.
    let _ = io::stderr().write_all(rendered_in(failure, color()).as_bytes());
    ExitCode::from(failure.code)
}

/// `failure` as standard error shows it.
pub(crate) fn rendered(failure: &Failure) -> String {
    rendered_in(failure, color())
}

/// `failure` as text without colors.
pub(crate) fn plain(failure: &Failure) -> String {
    rendered_in(failure, Color::No)
}

/// A fault as standard error shows it.
pub fn print_fault(fault: &Fault) {
    let _ = writeln!(io::stderr(), "{}\n", harmless(fault).render(color()));
}

/// `fault` without what would do something to the terminal that shows it.
fn harmless(fault: &Fault) -> Fault {
    let shown = |text: &str| shown(text).into_owned();
    // Others than these are replaced when the line is drawn. Places in the text stay: both take two bytes.
    let is_command = |letter: char| ('\u{80}'..='\u{9f}').contains(&letter);
    Fault {
        origin: shown(&fault.origin),
        text: fault.text.replace(is_command, "\u{b7}"),
        span: fault.span.clone(),
        message: shown(&fault.message),
        hint: fault.hint.as_deref().map(shown),
    }
}

fn is_closed_pipe(failure: &Failure) -> bool {
    failure.cause::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn rendered_in(failure: &Failure, color: Color) -> String {
    if let Some(PipelineError::Fault(fault)) = failure.cause() {
        return harmless(fault).render(color) + "\n";
    }
    let (red, bold, end) = match color {
        Color::Yes => ("\x1b[1;31m", "\x1b[1m", "\x1b[0m"),
        Color::No => ("", "", ""),
    };
    let mut text = format!("{red}error:{end} {}\n", shown(&named(&failure.to_string(), program())));
    if let Some(hint) = failure.hint() {
        text += &format!("{bold}hint:{end} {}\n", shown(&named(&hint, program())));
    }
    text
}

fn color() -> Color {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !no_color { Color::Yes } else { Color::No }
}

#[cfg(test)]
mod tests {
    use loader::LoaderError;
    use tensor_ops::OpError;
    use train_core::trainer::{DeviceMemory, Fit, TrainError};

    use super::*;

    #[test]
    fn an_error_is_told_once_with_its_hint() {
        let failure = Failure::new("no run is here", "start one");
        assert_eq!(rendered_in(&failure, Color::No), "error: no run is here\nhint: start one\n");
        let error = Failure::from(TrainError::from(LoaderError::TooFewImages { n_images: 3, batch: 8 }));
        assert_eq!(
            rendered_in(&error, Color::No),
            "error: there are 3 images, and a batch takes 8\nhint: make the batch smaller, or add images\n"
        );
    }

    #[test]
    fn want_of_memory_comes_with_what_fits() {
        const GIB: u64 = 1 << 30;
        let memory = DeviceMemory { own: 15 * GIB, free: 0, total: 16 * GIB };
        let fit = Fit { micro_batch: Some(64), batch: Some(64), refused: None };
        let error = TrainError::OutOfMemory { batch: 256, at_once: 256, memory, fit };
        assert_eq!(
            rendered_in(&error.into(), Color::No),
            "error: the batch of 256 images needs more than the 16.0 GiB of the device\n\
             hint: `data.micro_batch: 64` would fit, or a batch of at most 64\n"
        );
        let memory = DeviceMemory { own: GIB, free: GIB, total: 16 * GIB };
        let error = TrainError::OutOfMemory { batch: 256, at_once: 8, memory, fit: Fit::default() };
        assert_eq!(
            rendered_in(&error.into(), Color::No),
            "error: the batch of 256 images, 8 at a time, needs more than the 16.0 GiB of the device, of which other \
             programs have 14.0 GiB\nhint: nothing would fit, down to the smallest batch: take a smaller network, \
             smaller images or another device; `nvidia-smi` lists the other programs\n"
        );
        let error = OpError::OutOfMemory { own: GIB, free: GIB, total: 2 * GIB };
        let text = rendered_in(&error.into(), Color::No);
        assert!(text.starts_with("error: the device is out of memory: this program has 1.0 GiB"), "{text}");
        assert!(text.contains("\nhint: take fewer"), "{text}");
    }

    #[test]
    fn a_name_in_an_error_does_nothing_to_the_terminal() {
        let failure = Failure::new("`a\x1b[2J.jpg` is damaged", "remove `a\x1b[2J.jpg`");
        let text = rendered_in(&failure, Color::Yes);
        assert!(!text.contains("\x1b[2J") && text.contains("a\\u{1b}[2J.jpg"), "{text}");
    }

    #[test]
    fn a_line_of_a_pipeline_does_nothing_to_the_terminal() {
        let text = "name: \"a\u{9b}2J\u{202e}\x1b[2Jb\", epoch: 3";
        let place = text.find("epoch").unwrap();
        let fault = Fault {
            origin: "a\x1b[2J.ron".into(),
            text: text.into(),
            span: place..place + 5,
            message: "no `\u{9b}2J`".into(),
            hint: Some("write `\u{202e}`".into()),
        };
        let drawn = harmless(&fault).render(Color::No);
        let is_harmful = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!drawn.contains(is_harmful), "{drawn:?}");
        assert!(drawn.contains("^^^^^") && drawn.contains("a\\u{1b}[2J.ron"), "{drawn}");
        assert_eq!(harmless(&fault).position(), fault.position());
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert!(is_closed_pipe(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_closed_pipe(&io::Error::from(io::ErrorKind::StorageFull).into()));
    }
}

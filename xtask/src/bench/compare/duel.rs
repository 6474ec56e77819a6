//! Runs the two programs in turn.

use std::io::Write;

use super::{
    child::{Measured, Program},
    mode::Mode,
    row::Row,
};
use crate::bench::Precision;
use moco_cli::Failure;

/// What is compared, and how.
pub(super) struct Duel<'a> {
    pub(super) ours: &'a Program,
    pub(super) peer: &'a Program,
    /// The modes of the peer to choose from.
    pub(super) modes: &'a [Mode],
    pub(super) n_rounds: usize,
    /// Arguments for both, after those of the row.
    pub(super) options: Vec<String>,
    /// The precision of both.
    pub(super) precision: Precision,
}

/// The result of a row.
pub(super) struct Fought {
    /// The peer's fastest mode.
    pub(super) mode: Mode,
    /// One entry per round.
    pub(super) ours: Vec<Measured>,
    /// One entry per round.
    pub(super) peer: Vec<Measured>,
}

impl Duel<'_> {
    /// Runs all rounds of a row, and reports each to `progress`.
    ///
    /// # Errors
    /// If a program fails; one of the peer's modes may.
    pub(super) fn fight(&self, row: &Row, progress: &mut dyn Write) -> Result<Fought, Failure> {
        let shared: Vec<String> = row.arguments().chain(self.options.iter().cloned()).collect();
        let (mut arguments, mut peer_arguments) = (shared.clone(), shared);
        // Each program has its own option for the precision.
        if self.precision == Precision::Bf16 {
            arguments.extend(["--precision".into(), self.precision.name().into()]);
            peer_arguments.push("--bf16".into());
        }
        let mode = self.fastest_mode(row.name, &peer_arguments, progress)?;
        let peer_arguments = in_mode(&peer_arguments, mode);
        let mut fought = Fought { mode, ours: Vec::new(), peer: Vec::new() };
        for round in 0..self.n_rounds {
            // The second program finds a warmer machine.
            let ours_first = round.is_multiple_of(2);
            for is_ours in [ours_first, !ours_first] {
                if is_ours {
                    fought.ours.push(self.ours.measure(&arguments)?);
                } else {
                    fought.peer.push(self.peer.measure(&peer_arguments)?);
                }
            }
            let (ours, peer) = (fought.ours[round].images_per_s, fought.peer[round].images_per_s);
            let (number, of) = (round + 1, self.n_rounds);
            print_line(progress, &format!("{}: round {number} of {of}: ours {ours}, peer {peer}", row.name));
        }
        Ok(fought)
    }

    /// One run in each mode. These results only decide which mode to use, because the best of several runs is biased.
    fn fastest_mode(
        &self,
        name: &str,
        arguments: &[String],
        progress: &mut dyn Write,
    ) -> Result<Mode, Failure> {
        if let [only] = self.modes {
            return Ok(*only);
        }
        let mut fastest: Option<(Mode, f64)> = None;
        let mut first_failure = None;
        for &mode in self.modes {
            match self.peer.measure(&in_mode(arguments, mode)) {
                Ok(Measured { images_per_s, .. }) => {
                    print_line(progress, &format!("{name}: peer in mode {mode}: {images_per_s} images/s"));
                    if fastest.is_none_or(|(_, best)| images_per_s > best) {
                        fastest = Some((mode, images_per_s));
                    }
                }
                Err(failure) => {
                    print_line(progress, &format!("{name}: peer in mode {mode}: {failure}"));
                    first_failure.get_or_insert(failure);
                }
            }
        }
        match (fastest, first_failure) {
            (Some((mode, _)), _) => Ok(mode),
            (None, Some(failure)) => Err(failure),
            (None, None) => unreachable!("clap wants at least one mode"),
        }
    }
}

fn in_mode(arguments: &[String], mode: Mode) -> Vec<String> {
    arguments.iter().cloned().chain(mode.arguments().iter().map(|&argument| argument.to_owned())).collect()
}

/// Ignores errors, because progress is optional.
fn print_line(progress: &mut dyn Write, line: &str) {
    let _ = writeln!(progress, "{line}");
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;

    use tempfile::tempdir;

    use super::*;

    const ROW: Row = Row { name: "row", arguments: "--arch vit" };

    /// A shell script that says so many images per second in each mode, and notes what it was asked.
    fn script(folder: &Path, name: &str, body: &str) -> Program {
        let path = folder.join(name);
        let log = folder.join("log").display().to_string();
        let text = format!(
            "echo \"{name} $*\" >> '{log}'\n\
             say() {{ echo \"{{\\\"system\\\": \\\"{name}\\\", \\\"images_per_s\\\": $1, \\\"peak_mib\\\": 7}}\"; }}\n\
             {body}\n"
        );
        std::fs::write(&path, text).unwrap();
        Program::new("sh", [path.into_os_string()])
    }

    fn fight(folder: &Path, modes: &[Mode], body: &str) -> (Result<Fought, Failure>, String, Vec<String>) {
        let (ours, peer) = (script(folder, "ours", "say 30"), script(folder, "peer", body));
        let options = vec!["--threads".into(), "2".into()];
        let duel = Duel { ours: &ours, peer: &peer, modes, n_rounds: 2, options, precision: Precision::Bf16 };
        let mut progress = Vec::new();
        let fought = duel.fight(&ROW, &mut progress);
        let log = std::fs::read_to_string(folder.join("log")).unwrap();
        (fought, String::from_utf8(progress).unwrap(), log.lines().map(str::to_owned).collect())
    }

    #[test]
    fn the_peer_runs_in_its_fastest_mode_and_the_sides_take_turns() {
        let folder = tempdir().unwrap();
        let body = "case \"$*\" in *--compile) say 20;; *) say 10;; esac";
        let (fought, progress, log) = fight(folder.path(), &[Mode::Plain, Mode::Compile], body);
        let fought = fought.unwrap();
        assert_eq!(fought.mode, Mode::Compile);
        let speeds = |runs: &[Measured]| runs.iter().map(|run| run.images_per_s).collect::<Vec<_>>();
        assert_eq!((speeds(&fought.ours), speeds(&fought.peer)), (vec![30.0; 2], vec![20.0; 2]));
        assert_eq!(
            log,
            [
                "peer --arch vit --threads 2 --bf16",
                "peer --arch vit --threads 2 --bf16 --compile",
                "ours --arch vit --threads 2 --precision bf16",
                "peer --arch vit --threads 2 --bf16 --compile",
                "peer --arch vit --threads 2 --bf16 --compile",
                "ours --arch vit --threads 2 --precision bf16",
            ]
        );
        assert!(progress.contains("row: peer in mode compile: 20 images/s\n"), "{progress}");
        assert!(progress.ends_with("row: round 2 of 2: ours 30, peer 20\n"), "{progress}");
    }

    #[test]
    fn a_mode_that_fails_is_told_and_left_out() {
        let folder = tempdir().unwrap();
        let body = "case \"$*\" in *--compile) echo 'no compiler' >&2; exit 1;; *) say 10;; esac";
        let (fought, progress, _) = fight(folder.path(), &[Mode::Compile, Mode::Plain], body);
        assert_eq!(fought.unwrap().mode, Mode::Plain);
        assert!(progress.contains("--compile` failed: no compiler\n"), "{progress}");
    }

    #[test]
    fn a_peer_that_always_fails_says_why() {
        let folder = tempdir().unwrap();
        let body = "echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1";
        let (fought, _, _) = fight(folder.path(), &Mode::ALL, body);
        let error = fought.err().unwrap().to_string();
        assert!(error.ends_with("failed: ModuleNotFoundError: No module named 'torch'"), "{error}");
    }
}

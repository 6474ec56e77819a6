//! A run in several processes, which a launcher has started or `--ranks` starts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use moco::processes::{Alone, Launcher, Processes, Wire, launcher};

use crate::failure::{self, Failure};
use crate::program::program;
use crate::{cores, ranks, text};

/// How long a process that is not the first keeps an error to itself. Most errors are the same in all processes, and the first
/// one tells it for all.
const PATIENCE: Duration = Duration::from_secs(2);

/// How processes train together.
#[derive(clap::Args)]
pub struct Arguments {
    /// Train in N processes on this machine, which `mpirun` starts. Each takes its share of every batch. Over several
    /// machines, start this program by `mpirun` or `srun` instead. Needs a build with `--features mpi`.
    #[arg(long, value_name = "N")]
    ranks: Option<NonZeroUsize>,
    /// Seconds that a process waits for the others in one exchange before it gives up.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    time_out: u64,
    /// How gradients travel between processes: `f32`, or `bf16`, which halves what travels and rounds gradients.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = wire)]
    wire: Wire,
}

fn wire(text: &str) -> Result<Wire, String> {
    match text {
        "f32" => Ok(Wire::Single),
        "bf16" => Ok(Wire::Bf16),
        _ => Err("choose `f32` or `bf16`".into()),
    }
}

/// The processes of a run.
pub struct Together {
    /// All of them, as this one sees them.
    pub processes: Arc<dyn Processes>,
    /// Where each is.
    places: Vec<Place>,
}

/// Where a process is.
struct Place {
    /// Its machine.
    host: String,
    /// The cores that it is bound to, as the system lists them.
    cores: String,
}

impl Together {
    /// This process alone, for a command that trains in no more.
    pub(crate) fn alone() -> Self {
        let place = Place { host: String::new(), cores: cores::bound_to() };
        Self { processes: Arc::new(Alone), places: vec![place] }
    }

    /// The processes that a launcher has started, or this one alone.
    ///
    /// # Errors
    /// If this build cannot work with the others, or they cannot be reached.
    pub fn join(arguments: &Arguments) -> Result<Self, Failure> {
        match launcher() {
            Some(launcher) if launcher.n != Some(1) => several(launcher, arguments),
            _ => Ok(Self::alone()),
        }
    }

    /// Threads of this process, if nobody has asked for a number: its share of the cores of its machine.
    pub fn threads(&self, asked: Option<NonZeroUsize>) -> Option<NonZeroUsize> {
        if asked.is_some() || self.processes.n() == 1 {
            return asked;
        }
        // A launcher that binds each process to cores of its own has divided them already.
        let own = &self.places[self.processes.rank()];
        let n_sharing = self.here().filter(|place| place.cores == own.cores).count();
        NonZeroUsize::new((cores::usable().get() / n_sharing.max(1)).max(1))
    }

    /// One line on the processes; `None` of one.
    pub fn describe(&self) -> Option<String> {
        let n = self.processes.n();
        if n == 1 {
            return None;
        }
        let mut machines: BTreeMap<&str, usize> = BTreeMap::new();
        self.places.iter().for_each(|place| *machines.entry(&place.host).or_default() += 1);
        let listed: Vec<String> = machines.iter().map(|(host, n)| format!("{host}: {n}")).collect();
        let threads = text::count(rayon::current_num_threads(), "thread");
        let mut line = format!(
            "{n} on {} ({}), {threads} each",
            text::count(machines.len(), "machine"),
            listed.join(", ")
        );
        // Processes that are all bound to the same cores are in a container that has no others.
        let bindings: BTreeSet<&str> = self.here().map(|place| &*place.cores).collect();
        let used: BTreeSet<usize> = bindings.iter().flat_map(|list| cores::parse(list)).collect();
        let n_cores = cores::online().len();
        if bindings.len() > 1 && used.len() < n_cores {
            line += &format!(
                "; those of one machine are bound to {} of {n_cores}: start with `--bind-to none` to use all",
                text::count(used.len(), "core")
            );
        }
        Some(line)
    }

    /// Ends all processes after an error of this one.
    pub fn fail(&self, error: &Failure) {
        if self.processes.n() > 1 {
            if !self.processes.is_first() {
                std::thread::sleep(PATIENCE);
            }
            self.processes.abort(&failure::rendered(error));
        }
    }

    /// The processes on this machine.
    fn here(&self) -> impl Iterator<Item = &Place> {
        let own = &self.places[self.processes.rank()];
        self.places.iter().filter(|place| place.host == own.host)
    }
}

#[cfg(feature = "mpi")]
fn several(_launcher: Launcher, arguments: &Arguments) -> Result<Together, Failure> {
    let options = processes_mpi::MpiOptions {
        wire: arguments.wire,
        time_out: Some(Duration::from_secs(arguments.time_out)),
        tell: |words| {
            use std::io::Write as _;
            // In one piece, or the launcher mixes it with what other processes print.
            let _ = std::io::stderr().write_all(format!("{words}\n").as_bytes());
        },
    };
    let processes = processes_mpi::MpiProcesses::start(options)?;
    processes.abort_on_panic();
    let hosts = processes.hosts();
    // A GPU for each process of a machine, unless `--device` says otherwise.
    moco::prefer_gpu(hosts[..processes.rank()].iter().filter(|host| *host == processes.host()).count());
    let bindings = processes.gather_bytes(cores::bound_to().as_bytes())?;
    let place = |(host, cores): (&String, &Vec<u8>)| Place {
        host: host.clone(),
        cores: String::from_utf8_lossy(cores).into_owned(),
    };
    let places = hosts.iter().zip(&bindings).map(place).collect();
    Ok(Together { processes: Arc::new(processes), places })
}

#[cfg(not(feature = "mpi"))]
fn several(launcher: Launcher, _arguments: &Arguments) -> Result<Together, Failure> {
    Err(Failure::usage(
        format!("{} has started this program {}, which is built without MPI", launcher.name, times(launcher)),
        "build it with `--features mpi`, or start it once",
    ))
}

/// Refuses a command that runs in one process, if a launcher has started several.
///
/// # Errors
/// If it has.
pub fn refuse_several(command: &str) -> Result<(), Failure> {
    match launcher() {
        Some(launcher) if launcher.n != Some(1) => Err(Failure::usage(
            format!(
                "{} has started this program {}, and `{command}` runs in one process",
                launcher.name,
                times(launcher)
            ),
            format!("start `{} {command}` without a launcher", program()),
        )),
        _ => Ok(()),
    }
}

fn times(launcher: Launcher) -> String {
    match launcher.n {
        None => "several times".into(),
        Some(1) => "once".into(),
        Some(n) => format!("{n} times"),
    }
}

/// Starts this command again in as many processes as `--ranks` asks for, and gives their exit code; `None` if nobody asks, or if
/// they have been started.
///
/// # Errors
/// If a launcher has started another number of them, there is no `mpirun`, or this build cannot work with it.
pub fn start_ranks(arguments: &Arguments) -> Result<Option<ExitCode>, Failure> {
    let Some(ranks) = arguments.ranks else { return Ok(None) };
    if let Some(launcher) = launcher() {
        return check_started(launcher, ranks).map(|()| None);
    }
    if ranks > cores::most() {
        return Err(Failure::usage(
            format!("`--ranks {ranks}` is more than this machine can use"),
            format!(
                "at most {}; over several machines, start this program by `mpirun` or `srun`",
                cores::most()
            ),
        ));
    }
    if cfg!(not(feature = "mpi")) {
        return Err(Failure::usage(
            format!("`--ranks {ranks}` needs MPI, and this program is built without it"),
            "build it with `--features mpi`",
        ));
    }
    let this = std::env::current_exe()?;
    let rest: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut mpirun = Command::new("mpirun");
    mpirun.args(["-n", &ranks.to_string(), "--bind-to", "none"]);
    if ranks.get() > cores::usable().get() && is_open_mpi() {
        // Otherwise it refuses more processes than cores.
        mpirun.arg("--oversubscribe");
    }
    let code = ranks::run(mpirun.arg(this).args(rest)).map_err(|error| {
        Failure::new(
            format!("`mpirun` cannot be started: {error}"),
            "install Open MPI or MPICH, the one that this program was built with",
        )
    })?;
    Ok(Some(code))
}

/// Checks that a launcher has started as many processes as `--ranks` asks for: this program does, or a user has said both.
fn check_started(launcher: Launcher, ranks: NonZeroUsize) -> Result<(), Failure> {
    if launcher.n.is_none_or(|n| n == ranks.get()) {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "{} has started this program {}, and `--ranks {ranks}` asks for another number",
            launcher.name,
            times(launcher)
        ),
        "omit `--ranks`: a launcher says how many processes there are",
    ))
}

/// Lets the first process that a launcher has started tell an error that all have. Then the launcher ends this one.
pub fn let_the_first_speak() {
    if launcher().and_then(|launcher| launcher.rank).is_some_and(|rank| rank > 0) {
        std::thread::sleep(PATIENCE);
    }
}

fn is_open_mpi() -> bool {
    let version = Command::new("mpirun").arg("--version").stderr(Stdio::null()).output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("Open MPI"))
}

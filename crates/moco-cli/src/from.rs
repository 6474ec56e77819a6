//! `moco run --from`: a new run that starts from an earlier one, or from weights.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use moco::exchange::{Choice, ExchangeError, ForeignWeights, ImportNote};
use moco::{Changes, ModuleStart, Origin, OriginError, OwnCheckpoint, Run, RunError, RunOptions};
use pipeline::Pipeline;
use run_store::checkpoint::CheckpointError;
use train_core::trainer::TrainError;

use crate::export::with_options;
use crate::failure::Failure;
use crate::import::{print_note, print_resized};
use crate::run::unwrapped;
use crate::{moved, shell};

/// What a new run starts from.
#[derive(clap::Args)]
pub(crate) struct FromArguments {
    /// Start a new run from an earlier one, given by its folder or by a checkpoint in it, or from weights of another program.
    /// With FILE, the pipeline in it starts at its first epoch with these weights. Without FILE, the earlier run goes on in a
    /// new folder, with all of its state, for `--epochs` in all or with other changes.
    #[arg(long, value_name = "RUN|FILE", conflicts_with = "resume")]
    pub(crate) from: Option<PathBuf>,
    /// With `--from` and FILE: leave heads and queue at their random initial values.
    #[arg(long, requires_all = ["from", "file"])]
    pub(crate) backbone_only: bool,
}

/// The run or file that `path` means, which must be there.
fn checked(path: &Path) -> Result<PathBuf, Failure> {
    let path = moco::find_run(path);
    if !path.exists() {
        return Err(RunError::Missing { path }.into());
    }
    Ok(path)
}

/// What is at `path`; `choice` says which of its weights, if it is a file of another program.
pub(crate) fn choose(path: &Path, choice: &Choice) -> Result<Origin, Failure> {
    Origin::choose(&checked(path)?, choice).map_err(unwrapped_origin)
}

/// The error with its options, which `import` has.
fn with_import(error: ExchangeError) -> Failure {
    let failure = with_options(error);
    match failure.hint() {
        Some(hint) if hint.contains("--") => Failure::new(
            failure.to_string(),
            format!(
                "{hint}; these are options of `moco import FILE --pipeline PIPELINE`, whose run is then resumed"
            ),
        ),
        _ => failure,
    }
}

/// A run of `pipeline` with the weights of `from`.
pub(crate) fn start(
    from: &Path,
    pipeline: Pipeline,
    backbone_only: bool,
    options: &RunOptions,
    out: &mut dyn Write,
) -> Result<Run, Failure> {
    let origin = Origin::open(&checked(from)?).map_err(|error| match error {
        OriginError::Exchange(error) => with_import(error),
        error => unwrapped_origin(error),
    })?;
    match origin {
        Origin::Checkpoint(checkpoint) => start_from_own(&checkpoint, pipeline, backbone_only, options, out),
        Origin::Weights(weights) => {
            writeln!(out, "from      {}: {}", from.display(), weights.encoders.convention)?;
            start_from_weights(*weights, pipeline, backbone_only, options, with_import, out)
        }
    }
}

/// A run of `pipeline` with the weights of another program; `refused` words what does not fit.
pub(crate) fn start_from_weights(
    weights: ForeignWeights,
    pipeline: Pipeline,
    backbone_only: bool,
    options: &RunOptions,
    refused: fn(ExchangeError) -> Failure,
    out: &mut dyn Write,
) -> Result<Run, Failure> {
    let mut printed = Ok(());
    let mut note = |note: ImportNote<'_>| {
        if printed.is_ok() {
            printed = print_note(out, note);
        }
    };
    let run = weights.create_run(pipeline, backbone_only, options, &mut note).map_err(refused)?;
    printed?;
    Ok(run)
}

/// A run of `pipeline` with the weights of a checkpoint of this program.
pub(crate) fn start_from_own(
    checkpoint: &OwnCheckpoint,
    pipeline: Pipeline,
    backbone_only: bool,
    options: &RunOptions,
    out: &mut dyn Write,
) -> Result<Run, Failure> {
    let (run, modules) = checkpoint.start(pipeline, backbone_only, options).map_err(unwrapped_origin)?;
    print_modules(checkpoint, &modules, out)?;
    Ok(run)
}

fn print_modules(checkpoint: &OwnCheckpoint, modules: &[ModuleStart], out: &mut dyn Write) -> io::Result<()> {
    let after = checkpoint.reached().map(|reached| format!(", after {reached}")).unwrap_or_default();
    writeln!(out, "from      {}{after}", checkpoint.path().display())?;
    for (name, resized) in modules.iter().flat_map(|module| &module.resized) {
        print_resized(out, name, resized)?;
    }
    let taken: Vec<&str> = modules
        .iter()
        .filter(|module| module.random.is_none())
        .map(|module| module.module.as_str())
        .collect();
    writeln!(out, "weights   {}", taken.join(", "))?;
    for ModuleStart { module, random, .. } in modules {
        if let Some(why) = random {
            writeln!(out, "random    {module}: {why}")?;
        }
    }
    Ok(())
}

/// The run at `from`, going on in a new folder with `changes` to its pipeline.
pub(crate) fn go_on(
    from: &Path,
    changes: &Changes,
    options: &RunOptions,
    out: &mut dyn Write,
) -> Result<Run, Failure> {
    let checkpoint = match choose(from, &Choice::default())? {
        Origin::Checkpoint(checkpoint) => checkpoint,
        Origin::Weights(_) => {
            return Err(Failure::usage(
                format!("`{}` has weights of another program, which belong to no pipeline", from.display()),
                "give the pipeline to start from them: `moco run FILE --from WEIGHTS`",
            ));
        }
    };
    let (run, goes_on) = checkpoint.go_on(changes, options).map_err(|error| match error {
        OriginError::Create(moco::Error::Train(TrainError::State(error))) => Failure::new(
            format!("the state of this run does not fit the changed pipeline: {error}"),
            format!(
                "start it from these weights, as a pipeline of its own: `moco run FILE --from {}`",
                shell::path(from)
            ),
        ),
        error => unwrapped_origin(error),
    })?;
    writeln!(out, "from      {}\ngoes on   {goes_on}", checkpoint.path().display())?;
    Ok(run)
}

/// The inner error, with the options that help.
pub(crate) fn unwrapped_origin(error: OriginError) -> Failure {
    let message = error.to_string();
    match error {
        OriginError::Exchange(error) => with_options(error),
        OriginError::Create(moco::Error::Run(RunError::Checkpoint(CheckpointError::Newest {
            previous: Some(path),
            ..
        }))) => {
            Failure::new(message, format!("the one before it is intact: `--from {}`", shell::path(&path)))
        }
        OriginError::Create(moco::Error::Dataset(error)) => moved::with_way_out(&error),
        OriginError::Create(error) => unwrapped(error),
        OriginError::NothingLeft { done, .. } => Failure::new(
            message,
            format!("say how many it is to have in all, more than {done}, with `--epochs`"),
        ),
        OriginError::NoPipeline { path } | OriginError::NoState { path } => Failure::new(
            message,
            format!(
                "give a pipeline to start from its weights: `moco run FILE --from {}`",
                shell::path(&path)
            ),
        ),
        OriginError::WithinEpoch { checkpoint: Some(path), .. } => {
            Failure::new(message, format!("start between two epochs: `--from {}`", shell::path(&path)))
        }
        error => match error.hint() {
            Some(hint) => Failure::new(message, hint),
            None => Failure::plain(message),
        },
    }
}

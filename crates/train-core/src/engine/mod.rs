//! One training step: the graph, the momentum encoder, the optimizer.
//!
//! Start at [`Engine`]. It knows no files, no images and no clock: give it views, and it computes.

mod anew;
mod batch;
mod branch;
mod embed;
mod encode;
mod exchange;
mod forward;
mod frozen;
mod gradient_sum;
mod in_parts;
mod momentum;
mod moving;
mod norms;
mod running;
mod shared_pass;
mod state;
mod step;
mod update;

use std::ops::Range;
use std::sync::Arc;

use processes::{Processes, ProcessesError};
use tensor_ops::{Device, OpError, Precision};

pub use self::anew::KeptKeys;
pub use self::batch::Images;
pub use self::forward::{Loss, StepKeys};
pub use self::frozen::FrozenEncoder;
pub use self::norms::{GradientNorms, NonFinite};
pub use self::state::{Left, StateError, all, load_module, save_module, take_f32};
pub use self::step::Computed;

use pipeline::{
    Graph, LossInputs, LossModule, Modules, MomentumModules, Network, ParameterSettings, Parts, Ramp,
};
use plugin_api::{ByName, ConfigError, LossRange, NamesError, Optimizer, Slots};

/// The modules of a pipeline, and what trains them.
pub struct Engine {
    device: Device,
    seed: u64,
    graph: Graph,
    modules: Modules,
    momentum_modules: MomentumModules,
    optimizer: Box<dyn Optimizer>,
    /// Every parameter of `modules`.
    parameters: ByName<Trained>,
    /// Those that have a momentum copy, and how far that moves over how far others do.
    followed: ByName<f64>,
    /// Optimizer steps made.
    n_updates: u64,
    /// Steps made, those that changed no weights included.
    n_steps: u64,
    /// How a step goes through its batch.
    parts: Parts,
    /// How values between the layers of a backbone are kept.
    precision: Precision,
    /// The processes that train this network together.
    processes: Arc<dyn Processes>,
    /// What objectives are told of the step under way.
    now: batch::Now,
    /// Numbers that change from step to step.
    ramps: Vec<Ramp>,
}

/// What the engine knows of a parameter.
struct Trained {
    settings: ParameterSettings,
    slots: Slots,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A step of the graph refused its input.
    #[error("step `{step}` of the graph: {source}")]
    Step {
        /// The step's `id`.
        step: String,
        /// What happened.
        source: OpError,
    },
    /// The images of a view that the graph uses were not given.
    #[error("there are no images of the view `{view}`")]
    NoView {
        /// The view.
        view: String,
    },
    /// The backward pass, the momentum encoder or the optimizer failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// A module has not the parameters that it was built with.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// The parts of a batch do not come out even over the processes.
    #[error("a batch in {n_parts} parts cannot be dealt to {n_processes} processes")]
    Parts {
        /// Parts of a batch.
        n_parts: usize,
        /// Processes that train together.
        n_processes: usize,
    },
    /// A plugin refused a value of the ramp of one of its numbers.
    #[error("`{what}`: {source}")]
    Ramp {
        /// Which number.
        what: String,
        /// Why.
        source: ConfigError,
    },
    /// An exchange with other processes failed.
    #[error(transparent)]
    Processes(#[from] ProcessesError),
}

impl EngineError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Step { source, .. } | Self::Op(source) => source.hint().map(str::to_owned),
            Self::Ramp { source, .. } => source.hint().map(str::to_owned),
            Self::Names(error) => Some(error.hint().to_owned()),
            Self::NoView { .. } => Some("give images of every view of the graph".into()),
            Self::Parts { n_processes, .. } => Some(format!(
                "choose `data.micro_batch` so that the number of parts, `data.batch` over `data.micro_batch`, is a multiple \
                 of {n_processes}"
            )),
            Self::Processes(error) => Some(error.hint().to_owned()),
        }
    }
}

impl Engine {
    /// The engine of a checked pipeline's network. Momentum copies start equal to what they follow.
    ///
    /// # Errors
    /// If the modules have other parameters than the pipeline has found, a momentum copy cannot be set, or the parts of a batch
    /// cannot be dealt to the processes.
    pub fn new(
        network: Network,
        seed: u64,
        device: Device,
        processes: Arc<dyn Processes>,
    ) -> Result<Self, EngineError> {
        let Network { graph, modules, momentum_modules, optimizer, parts, precision, parameters, ramps } =
            network;
        let (n_parts, n_processes) = (parts.n_parts, processes.n());
        if !n_parts.is_multiple_of(n_processes) {
            return Err(EngineError::Parts { n_parts, n_processes });
        }
        let settings = &parameters.settings;
        let followed = ByName::of(momentum_modules.named(), |name, _| {
            settings.id(name).map_or(1.0, |id| settings[id].momentum_factor)
        })?;
        let slots = parameters
            .settings
            .collect(modules.named(), |_, parameter| Slots::zeros(&*optimizer, parameter.shape()))?;
        let parameters = parameters.settings.with(slots, |settings, slots| Trained { settings, slots });
        let mut engine = Self {
            device,
            seed,
            graph,
            modules,
            momentum_modules,
            optimizer,
            parameters,
            followed,
            n_updates: 0,
            n_steps: 0,
            parts,
            precision: precision.into(),
            processes,
            now: batch::Now::default(),
            ramps,
        };
        engine.copy_momentum()?;
        Ok(engine)
    }

    /// What a step computes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where the parameters live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Chance and floor of the sum of all losses, each times its weight, for batches of `n` images, if all are known.
    pub fn loss_range(&self, n: usize) -> Option<LossRange> {
        pipeline::loss_range(&self.graph, &self.modules, n)
    }

    /// Whether an objective must be told the images' classes.
    pub fn needs_labels(&self) -> bool {
        self.modules.losses.iter().any(|loss| loss.module.needs_labels())
    }

    /// Whether a loss is on the values of any steps, and may ask for the images that they are of.
    fn has_objectives(&self) -> bool {
        self.modules.losses.iter().any(|loss| matches!(loss.module, LossModule::Objective(_)))
    }

    /// Whether there is a loss of queries against keys, which has a share of right ones.
    pub fn has_contrast(&self) -> bool {
        let mut losses = self.graph.loss_steps.iter();
        losses.any(|step| matches!(step.on, LossInputs::Contrast { .. }))
    }

    /// How a step goes through its batch.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Those of [`parts`](Self::parts) that go through this process.
    pub fn own_parts(&self) -> Range<usize> {
        processes::share(self.parts.n_parts, self.processes.rank(), self.processes.n())
    }

    /// The processes that train this network together.
    pub fn processes(&self) -> &dyn Processes {
        &*self.processes
    }

    /// Optimizer steps made.
    pub fn n_updates(&self) -> u64 {
        self.n_updates
    }
}

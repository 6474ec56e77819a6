//! Imports weights of other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline::{Modules, Pipeline};
use plugin_api::Resized;
use run_store::checkpoint::{Snapshot, Stored};
use train_core::trainer;
use weights::{Architecture, Choice, Encoders, Report, Shape, Tensors, Vit, WeightFile, adapt_channels};

use super::ExchangeError;
use super::comparison::{check, layout_of_module, other_channels};
use super::error::Counterpart;
use super::line::{BackboneLine, usual_heads};
use super::parts::{self, Parts};
use super::positions;
use crate::origin::NewRun;
use crate::{Error, Run, RunOptions, device};

/// Weights of another program, and the encoder that they belong to.
pub struct ForeignWeights {
    path: PathBuf,
    /// The encoders in the file.
    pub encoders: Encoders,
    /// The architecture of the query encoder.
    pub architecture: Architecture,
}

/// The result for a part of the weights while a run is created from them.
#[derive(Clone, Copy, Debug)]
pub enum ImportNote<'a> {
    /// These names and shapes were compared with those of the pipeline. The result of the import shows whether they
    /// match.
    Compared {
        /// `backbone`, `head` or `predictor`.
        part: &'static str,
        /// The comparison.
        report: &'a Report,
    },
    /// These modules keep their random initial values.
    Random {
        /// `head` or `predictor`.
        part: &'static str,
        /// The modules.
        modules: &'a [String],
    },
    /// The first layer was made for images of as many channels as the pipeline has, from one for RGB: see
    /// [`adapt_channels`](weights::adapt_channels).
    Adapted {
        /// Channels of the pipeline's images.
        channels: usize,
    },
    /// The attention of the pipeline's ViT has this many heads, which no shape of a weight tells.
    Heads {
        /// Heads of the pipeline's.
        heads: usize,
        /// What timm, DeiT and DINO have for this width: one for each 64 features.
        usual: usize,
        /// The backbone's config in the pipeline that trained it, as the file says it; only files that this program has exported do.
        config: Option<&'a str>,
    },
    /// This parameter was made for images of another size, in query and momentum encoder: positions.
    Resized {
        /// Its name.
        name: &'a str,
        /// From what, and how.
        resized: &'a Resized,
    },
    /// The queue of keys was imported.
    Queue,
    /// The queue of this module keeps its random initial values, because its size differs.
    RandomQueue {
        /// The module.
        module: &'a str,
    },
}

impl ForeignWeights {
    /// Reads safetensors, or files of PyTorch's `torch.save`. Pickles are parsed without executing code.
    ///
    /// Where the file has a query and a momentum encoder, both are read: see [`choose`](Self::choose).
    ///
    /// # Errors
    /// If the file cannot be read, or its weights belong to an unknown encoder or to several.
    pub fn read(path: &Path) -> Result<Self, ExchangeError> {
        Self::choose(path, &Choice::default())
    }

    /// As [`read`](Self::read), of a file that has several things: `choice` says which are wanted.
    ///
    /// # Errors
    /// As [`read`](Self::read); also if nothing in the file is what the choice says.
    pub fn choose(path: &Path, choice: &Choice) -> Result<Self, ExchangeError> {
        let mut file = WeightFile::open(path)?;
        if file.names().any(|(key, name)| key.is_empty() && name.starts_with("query.")) {
            return Err(ExchangeError::OwnCheckpoint { path: path.into() });
        }
        let encoders = file.encoders(choice).map_err(ExchangeError::of_file(path))?;
        let architecture = weights::detect(&encoders.query.backbone)
            .map_err(|reason| ExchangeError::Unrecognized { path: path.into(), reason })?;
        Ok(Self { path: path.into(), encoders, architecture })
    }

    /// What to write in a pipeline for this encoder.
    pub fn backbone_line(&self) -> BackboneLine {
        BackboneLine::of(&self.encoders, &self.architecture)
    }

    /// Compares the backbone with a complete encoder of its kind.
    pub fn report(&self) -> Report {
        let layout = weights::layout(&self.architecture).into_iter().collect();
        Report::new(&layout, &self.encoders.query.backbone)
    }

    /// Checks that the backbone is a complete encoder of its kind.
    ///
    /// # Errors
    /// The first mismatch.
    pub fn check(&self) -> Result<(), ExchangeError> {
        check(&self.path, "backbone", &self.report(), &Counterpart::Kind)
    }

    /// Creates a run of `pipeline` at step 0 whose query and momentum encoders have these weights; the heads too,
    /// unless `backbone_only`. `note` gets the result for each part.
    ///
    /// # Errors
    /// If the weights do not match the pipeline, or the run folder cannot be created. Weights for RGB match a pipeline of
    /// images of other channels: their first layer is adapted.
    pub fn create_run(
        self,
        pipeline: Pipeline,
        backbone_only: bool,
        options: &RunOptions,
        note: &mut dyn FnMut(ImportNote<'_>),
    ) -> Result<Run, ExchangeError> {
        let origin = format!("weights of {}", self.path.display());
        let imported = self.fit(&pipeline, backbone_only, note)?;
        let (text, name, keep) = (pipeline.text.clone(), pipeline.name.clone(), pipeline.checkpoint.keep);
        let set = |snapshot: &mut Snapshot| {
            for (name, stored) in imported {
                // Without a momentum encoder in the pipeline, there is nothing to set.
                if let Some(place) = snapshot.tensors.get_mut(&name) {
                    *place = stored;
                }
            }
        };
        let snapshot = trainer::started_with(pipeline, &device()?, set).map_err(Error::from)?;
        let new = NewRun { text: &text, name: &name, keep, moved: &[], origin: &origin };
        Ok(new.create(&snapshot, 0, options)?)
    }

    /// The weights under the names of a checkpoint of `pipeline`, if they match.
    fn fit(
        self,
        pipeline: &Pipeline,
        backbone_only: bool,
        note: &mut dyn FnMut(ImportNote<'_>),
    ) -> Result<Tensors, ExchangeError> {
        let of = Counterpart::Pipeline(pipeline.name.clone());
        let parts = Parts::of(&pipeline.network.graph);
        let modules = &pipeline.network.modules;
        let architecture = &self.architecture;
        let mut place = Place { path: &self.path, of: &of, architecture, modules, taken: Tensors::new() };
        let takes_heads = self.encoders.convention.has_projection_heads() && !backbone_only;
        let Encoders { mut query, momentum, predictor, queue, .. } = self.encoders;
        let mut momentum = momentum.map_or_else(|| query.clone(), |(weights, _)| weights);
        let ours = parts::architecture(pipeline, &parts.backbone);
        if let (Some(Architecture::Vit(Vit { heads: Some(heads), dim, .. })), Architecture::Vit(_)) =
            (&ours, architecture)
        {
            let (heads, usual) = (*heads, usual_heads(*dim));
            note(ImportNote::Heads { heads, usual, config: self.encoders.backbone.as_deref() });
        }
        if let Some(channels) = ours.map(|ours| ours.channels()) {
            let adapt = |backbone| adapt_channels(backbone, architecture, channels);
            if [&mut query.backbone, &mut momentum.backbone].map(adapt).contains(&true) {
                note(ImportNote::Adapted { channels });
            }
        }
        if let Some(backbone) = parts::backbone(pipeline, &parts.backbone) {
            let size = self.encoders.image_size;
            let resized = positions::resize(backbone, &mut query.backbone, "", size);
            positions::resize(backbone, &mut momentum.backbone, "", size);
            resized.iter().for_each(|(name, resized)| note(ImportNote::Resized { name, resized }));
        }
        place.put("backbone", &parts.backbone, query.backbone, note)?;
        place.put_copy("backbone", &parts.backbone, momentum.backbone)?;
        match parts.heads.as_slice() {
            [head] if takes_heads && !query.head.is_empty() => {
                place.put("head", head, query.head, note)?;
                place.put_copy("head", head, momentum.head)?;
            }
            [] => {}
            modules => note(ImportNote::Random { part: "head", modules }),
        }
        match parts.predictors.as_slice() {
            [name] if takes_heads && !predictor.is_empty() => {
                place.put("predictor", name, predictor, note)?
            }
            [] => {}
            modules => note(ImportNote::Random { part: "predictor", modules }),
        }
        if takes_heads && !queue.is_empty() {
            place.put_queue(queue, note);
        }
        Ok(place.taken)
    }
}

/// Where weights go in a pipeline.
struct Place<'a> {
    path: &'a Path,
    of: &'a Counterpart,
    /// What the weights are of.
    architecture: &'a Architecture,
    modules: &'a Modules,
    /// What matches, under the names of a checkpoint.
    taken: Tensors,
}

impl Place<'_> {
    /// Stores `found` for the query module called `name`.
    fn put(
        &mut self,
        part: &'static str,
        name: &str,
        found: Tensors,
        note: &mut dyn FnMut(ImportNote<'_>),
    ) -> Result<(), ExchangeError> {
        let report = Report::new(&self.layout(name), &found);
        note(ImportNote::Compared { part, report: &report });
        self.check(part, &report)?;
        self.take(name, found, "query");
        Ok(())
    }

    /// Stores `found` for the momentum copy of the module called `name`.
    fn put_copy(&mut self, part: &'static str, name: &str, found: Tensors) -> Result<(), ExchangeError> {
        self.check(part, &Report::new(&self.layout(name), &found))?;
        self.take(name, found, "momentum");
        Ok(())
    }

    /// Fails with the first mismatch. Other channels come before the rest: no config of a backbone changes them.
    fn check(&self, part: &'static str, report: &Report) -> Result<(), ExchangeError> {
        match other_channels(report, self.architecture.first_weight()) {
            Some(mismatch) => {
                Err(ExchangeError::Mismatch { part, path: self.path.into(), of: self.of.clone(), mismatch })
            }
            None => check(self.path, part, report, self.of),
        }
    }

    /// Imports the queue if the pipeline has one of this size.
    fn put_queue(&mut self, found: Tensors, note: &mut dyn FnMut(ImportNote<'_>)) {
        let Some(name) = self.modules.losses.first().map(|named| named.name.clone()) else { return };
        let layout = self.layout(&name);
        let next = match found.get("pointer") {
            Some(Stored::U64(next)) => next.first().copied(),
            _ => None,
        };
        let len = match layout.get("queue") {
            Some(Shape::Floats(shape)) => shape.first().copied(),
            _ => None,
        };
        let points_into_it = next.zip(len).is_some_and(|(next, len)| next < len as u64);
        if Report::new(&layout, &found).fits() && points_into_it {
            self.take(&name, found, "query");
            note(ImportNote::Queue);
        } else {
            note(ImportNote::RandomQueue { module: &name });
        }
    }

    fn layout(&self, name: &str) -> BTreeMap<String, Shape> {
        let modules = self.modules.named();
        modules
            .into_iter()
            .find(|(own, _)| *own == name)
            .map(|(_, module)| layout_of_module(module))
            .unwrap_or_default()
    }

    fn take(&mut self, name: &str, found: Tensors, side: &str) {
        self.taken.extend(found.into_iter().map(|(part, stored)| (format!("{side}.{name}.{part}"), stored)));
    }
}

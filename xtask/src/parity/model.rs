//! Compares training steps of MoCo v1, v2 and v3 with a golden file.

use std::collections::BTreeMap;

use plugin_api::Level;
use processes::Alone;
use run_store::checkpoint::{Snapshot, Stored};
use tensor_ops::{Device, FeatureMap, KeepLogits, Recording};
use train_core::engine::Engine;

use super::golden::{Golden, Kind, Tensor, Values};
use super::measure::Group;
use super::report::Line;
use super::{names, settings};
use crate::reference_pipeline::Moco;
use moco_cli::Failure;

/// One line per group in the file.
pub(super) fn compare(golden: &Golden, kind: Kind, device: &Device) -> Result<Vec<Line>, Failure> {
    let moco = settings::read(golden, kind)?;
    let Names { views, eval } = Names::of(kind);
    let n_steps: usize = golden.setting("steps")?;
    let torch: BTreeMap<String, f64> = serde_json::from_str(golden.setting_text("torch_f32_error")?)
        .map_err(|error| golden.wrong(format!("its setting `torch_f32_error` is invalid: {error}")))?;
    let torch = |group: &str| {
        torch.get(group).copied().ok_or_else(|| golden.wrong(format!("`torch_f32_error` has no `{group}`")))
    };
    let pipeline = moco.build(golden.name(), device)?;
    let mut engine = Engine::new(pipeline.network, moco.seed, device.clone(), std::sync::Arc::new(Alone))?;
    engine
        .load_modules(&initial(golden)?)
        .map_err(|error| golden.wrong(format!("`init` does not match the model in its settings: {error}")))?;

    let mut lines = Vec::new();
    for step in 0..n_steps {
        let views = views.map(|view| images(golden, &moco, &format!("step{step}/{view}"), device));
        let views = views.into_iter().collect::<Result<Vec<_>, Failure>>()?;
        let momentum = match kind {
            // It moves, and the file has its initial position.
            Kind::MocoV3 => golden.floats(&format!("step{step}/m"))?.1.first().copied().unwrap_or(f32::NAN),
            Kind::Moco | Kind::Augmentations | Kind::Loss => moco.momentum as f32,
        };
        let mut computed = engine.compute_whole(views, momentum, KeepLogits::Yes)?;
        let total = [computed.total()];
        let mut results: Vec<(&str, &[f32])> = vec![("loss", &total)];
        // With several losses, the file only has their sum.
        if let [only] = &computed.losses[..] {
            results.insert(0, ("logits", only.logits.as_deref().unwrap_or_default()));
        }
        for (what, ours) in results {
            let name = format!("step{step}/{what}");
            let mut group = Group::default();
            group.add(&name, ours, golden.floats(&name)?.1);
            lines.push(group.line(&name, torch(&name)?));
        }
        engine.enqueue(&computed.keys)?;
        if step == 0 {
            let mut ours = BTreeMap::new();
            engine.visit_gradients(&mut computed.gradients, |name, _, values| {
                ours.insert(name.to_owned(), values.to_vec());
            })?;
            lines.push(gradient_group(golden, kind, &ours)?.line("step0/grad", torch("step0/grad")?));
        }
        engine.update(&mut computed.gradients, moco.lr)?;
    }
    let mut snapshot = Snapshot::default();
    engine.save(&mut snapshot)?;
    lines.push(final_group(golden, &snapshot)?.line("final", torch("final")?));

    let (ours, _) = engine.embed(images(golden, &moco, "eval/x", device)?, Level::Head)?;
    let mut group = Group::default();
    group.add(eval, &ours, golden.floats(eval)?.1);
    lines.push(group.line("eval", torch("eval")?));
    Ok(lines)
}

/// The names of inputs and outputs in a kind of file.
struct Names {
    /// The images of a step, in the engine's order.
    views: [&'static str; 2],
    /// The embeddings of an evaluation.
    eval: &'static str,
}

impl Names {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::MocoV3 => Self { views: ["x1", "x2"], eval: "eval/z" },
            Kind::Moco | Kind::Augmentations | Kind::Loss => Self { views: ["x_q", "x_k"], eval: "eval/q" },
        }
    }
}

/// The state before the first step.
fn initial(golden: &Golden) -> Result<Snapshot, Failure> {
    let mut snapshot = Snapshot::default();
    for (name, tensor) in golden.under("init/") {
        let ours = names::of_state(name)
            .ok_or_else(|| golden.wrong(format!("`init/{name}` is not in our model")))?;
        snapshot.tensors.insert(ours, names::to_stored(golden, name, tensor)?);
    }
    Ok(snapshot)
}

/// Images `(N, 3, H, W)` from the file, of the size in its settings.
fn images(golden: &Golden, moco: &Moco, name: &str, device: &Device) -> Result<FeatureMap, Failure> {
    let (shape, values) = golden.floats(name)?;
    let size = moco.size;
    match shape {
        &[n, 3, h, w] if h == size && w == size => {
            let values = names::to_nhwc(values, [n, 3, h, w]);
            Ok(FeatureMap::from_nhwc(device, [n, h, w, 3], &values, Recording::Off)?)
        }
        _ => Err(golden.wrong(format!("`{name}` is {shape:?}, expected [N, 3, {size}, {size}]"))),
    }
}

fn gradient_group(golden: &Golden, kind: Kind, ours: &BTreeMap<String, Vec<f32>>) -> Result<Group, Failure> {
    let mut group = Group::default();
    let mut n = 0;
    for (name, tensor) in golden.under("step0/grad/") {
        let Values::Floats(theirs) = &tensor.values else {
            return Err(golden.wrong(format!("`step0/grad/{name}` has no floats")));
        };
        // A missing gradient counts as wrong.
        let ours = ours.get(&names::of_gradient(kind, name)).map_or(&[][..], Vec::as_slice);
        group.add(name, ours, theirs);
        n += 1;
    }
    if n == ours.len() {
        Ok(group)
    } else {
        Err(golden.wrong(format!("it has {n} gradients, but the model has {}", ours.len())))
    }
}

fn final_group(golden: &Golden, snapshot: &Snapshot) -> Result<Group, Failure> {
    let initial: BTreeMap<&str, &Tensor> = golden.under("init/").collect();
    let mut group = Group::default();
    let mut n = 0;
    for (name, tensor) in golden.under("final/") {
        let start = initial.get(name).ok_or_else(|| golden.wrong(format!("it has no `init/{name}`")))?;
        let ours = names::of_state(name).and_then(|ours| snapshot.tensors.get(&ours));
        let ours = ours.ok_or_else(|| golden.wrong(format!("`final/{name}` is not in our model")))?;
        let (theirs, start) =
            (names::to_stored(golden, name, tensor)?, names::to_stored(golden, name, start)?);
        match (ours, &theirs, &start) {
            (
                Stored::F32 { values: ours, .. },
                Stored::F32 { values: theirs, .. },
                Stored::F32 { values: start, .. },
            ) => {
                group.add_moved(name, ours, theirs, Some(start));
            }
            (Stored::U64(ours), Stored::U64(theirs), _) if ours.len() == 1 && theirs.len() == 1 => {
                group.add_count(name, ours[0], theirs[0] as i64);
            }
            _ => return Err(golden.wrong(format!("`final/{name}` has another type than in our model"))),
        }
        n += 1;
    }
    let n_ours = snapshot.tensors.keys().filter(|name| !name.starts_with("optimizer.")).count();
    if n == n_ours {
        Ok(group)
    } else {
        Err(golden.wrong(format!("`final` has {n} tensors, but the model has {n_ours}")))
    }
}

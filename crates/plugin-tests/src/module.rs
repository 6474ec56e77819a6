//! What holds for everything that has parameters.

use plugin_api::EntryMut;
use tensor_ops::{Mode, is_on_device};

use crate::calm::calm;
use crate::differences;
use crate::entries::{Entries, check_visits};
use crate::fault::{Checked, ensure, wrong};
use crate::numbers::{all_finite, apart, distance, norm, same_bits};
use crate::subject::{Backward, Factory, Made, Subject};
use crate::threads::with_threads;

/// How far apart two ways to compute the same may be, as a share.
const CLOSE: f64 = 1e-4;
/// How large the rounding errors of a gradient that is 0 may be, as a share of the largest gradient: that of a bias before batch
/// norm is nothing else.
const ROUNDING: f64 = 1e-4;

/// Checks everything that does not depend on what kind of module it is.
pub(crate) fn check<F: Factory>(factory: &F, finite_differences: bool) -> Checked {
    let inputs = factory.inputs(0);
    let mut subject = factory.build(0)?;
    let entries = check_visits(subject.module())?;
    let unrecorded = pass::<F>(&mut factory.build(0)?, &inputs, Mode::Train, false)?;
    ensure!(
        !unrecorded.is_recorded,
        "`{}` gives what is recorded for an input that is not: it starts a recording of its own",
        F::METHOD
    );
    let trained = check_recorded::<F>(&mut subject, &inputs, &entries)?;
    check_repeated(factory, &inputs)?;
    check_unrecorded(factory, &inputs, &unrecorded)?;
    if F::HAS_MODES {
        check_evaluation::<F>(&mut subject, &inputs)?;
    } else {
        check_unmoved::<F>(factory, &inputs)?;
    }
    check_saved(factory, &inputs)?;
    check_frozen(factory, &inputs, &trained)?;
    if finite_differences {
        check_gradients(factory, &inputs)?;
    }
    Ok(())
}

/// A pass that is not expected to fail.
pub(crate) fn pass<F: Factory>(
    subject: &mut F::Subject,
    inputs: &[Vec<f32>],
    mode: Mode,
    is_recorded: bool,
) -> Checked<Made> {
    let mode_name = match mode {
        _ if !F::HAS_MODES => "",
        Mode::Train => " in training mode",
        Mode::Eval => " in evaluation mode",
    };
    let made = calm(&format!("in `{}`{mode_name}", F::METHOD), || subject.pass(inputs, mode, is_recorded))?;
    made.map_err(|error| wrong!("`{}` fails{mode_name}: {error}", F::METHOD))
}

/// A recorded pass in training: what it makes, and its gradients.
fn check_recorded<F: Factory>(
    subject: &mut F::Subject,
    inputs: &[Vec<f32>],
    before: &Entries,
) -> Checked<Backward> {
    let made = pass::<F>(subject, inputs, Mode::Train, true)?;
    check_made::<F>(&made, subject.declared())?;
    let after = Entries::of(subject.module());
    after.check_names(before, &format!("after `{}`", F::METHOD))?;
    after.check_finite(&format!("after `{}`", F::METHOD))?;
    ensure!(
        made.is_recorded,
        "`{}` gives what is not recorded for an input that is: nothing would be trained",
        F::METHOD
    );
    let Some(gradients) = made.gradients else { return Err(wrong!("there are no gradients")) };
    check_gradients_arrive::<F>(&gradients)?;
    Ok(gradients)
}

fn check_made<F: Factory>(made: &Made, (n, d): (usize, usize)) -> Checked {
    ensure!(
        made.shape.0 == n,
        "`{}` makes {} rows of {n}: each must stay at its place",
        F::METHOD,
        made.shape.0
    );
    ensure!(made.shape.1 == d, "`{}` makes rows of {} values, and {d} are declared", F::METHOD, made.shape.1);
    ensure!(all_finite(&made.values), "`{}` makes a value that is infinite or not a number", F::METHOD);
    Ok(())
}

fn check_gradients_arrive<F: Factory>(gradients: &Backward) -> Checked {
    ensure!(
        gradients.inputs.iter().any(Option::is_some),
        "no gradient reaches the input of `{}`: what comes before it would not be trained",
        F::METHOD
    );
    for (place, gradient) in gradients.inputs.iter().enumerate() {
        ensure!(
            gradient.as_deref().is_none_or(all_finite),
            "the gradient of input {place} is infinite or not a number"
        );
    }
    for parameter in &gradients.parameters {
        let name = &parameter.name;
        match (&parameter.gradient, parameter.is_trainable) {
            (None, true) => {
                return Err(wrong!("no gradient reaches the trainable parameter `{name}`"));
            }
            (Some(_), false) => return Err(wrong!("the frozen parameter `{name}` gets a gradient")),
            (Some(gradient), true) => ensure!(
                all_finite(gradient),
                "the gradient of the parameter `{name}` is infinite or not a number"
            ),
            (None, false) => {}
        }
    }
    match gradients.n_unclaimed {
        0 => Ok(()),
        n => Err(wrong!(
            "{} a gradient, and `visit` does not come to {}: it would be neither trained nor saved",
            if n == 1 { "a parameter gets".into() } else { format!("{n} parameters get") },
            if n == 1 { "it" } else { "them" },
        )),
    }
}

/// Without a recording, values are the same.
fn check_unrecorded<F: Factory>(factory: &F, inputs: &[Vec<f32>], made: &Made) -> Checked {
    let recorded = pass::<F>(&mut factory.build(0)?, inputs, Mode::Train, true)?;
    let distance = distance(&made.values, &recorded.values);
    ensure!(
        distance < CLOSE,
        "`{}` makes other values where nothing is recorded: they differ by {distance:.1e} of their size",
        F::METHOD
    );
    Ok(())
}

/// In evaluation, nothing changes, and rows do not depend on each other.
fn check_evaluation<F: Factory>(subject: &mut F::Subject, inputs: &[Vec<f32>]) -> Checked {
    let before = Entries::of(subject.module());
    let first = pass::<F>(subject, inputs, Mode::Eval, false)?;
    check_made::<F>(&first, subject.declared())?;
    ensure!(!first.is_recorded, "`{}` starts a recording of its own in evaluation mode", F::METHOD);
    let after = Entries::of(subject.module());
    after.check_names(&before, "after a pass in evaluation mode")?;
    if let Some(name) = after.first_changed(&before) {
        return Err(wrong!("`{name}` changes in evaluation mode, where nothing may"));
    }
    let second = pass::<F>(subject, inputs, Mode::Eval, false)?;
    ensure!(
        same_bits(&first.values, &second.values),
        "`{}` makes other values of the same input in evaluation mode the second time",
        F::METHOD
    );
    let recorded = pass::<F>(subject, inputs, Mode::Eval, true)?;
    ensure!(
        recorded.is_recorded,
        "`{}` gives what is not recorded for an input that is, in evaluation mode: a probe could not train through it",
        F::METHOD
    );
    let distance = distance(&first.values, &recorded.values);
    ensure!(
        distance < CLOSE,
        "`{}` makes other values in evaluation mode where something is recorded: they differ by {distance:.1e} of their size",
        F::METHOD
    );
    if let Some(gradients) = recorded.gradients {
        check_gradients_arrive::<F>(&gradients)?;
    }
    Ok(())
}

/// A loss changes nothing by being computed.
fn check_unmoved<F: Factory>(factory: &F, inputs: &[Vec<f32>]) -> Checked {
    let mut subject = factory.build(0)?;
    subject_advances::<F>(&mut subject, inputs)?;
    let before = Entries::of(subject.module());
    let first = pass::<F>(&mut subject, inputs, Mode::Train, true)?;
    let after = Entries::of(subject.module());
    if let Some(name) = after.first_changed(&before) {
        return Err(wrong!(
            "`{}` changes `{name}`: several losses of a step must see the same state",
            F::METHOD
        ));
    }
    let second = pass::<F>(&mut subject, inputs, Mode::Train, true)?;
    ensure!(
        same_bits(&first.values, &second.values),
        "`{}` gives {} and then {} for the same input: several losses of a step must see the same state",
        F::METHOD,
        first.values[0],
        second.values[0]
    );
    Ok(())
}

fn subject_advances<F: Factory>(subject: &mut F::Subject, inputs: &[Vec<f32>]) -> Checked {
    let names = Entries::of(subject.module());
    calm("at the end of a step", || subject.advance(inputs))?
        .map_err(|error| wrong!("the end of a step fails: {error}"))?;
    let after = Entries::of(subject.module());
    after.check_names(&names, "after a step")?;
    after.check_finite("after a step")
}

/// What two steps leave and make, in bits.
struct Trace {
    values: Vec<Vec<f32>>,
    entries: Entries,
}

fn trace<F: Factory>(factory: &F, inputs: &[Vec<f32>]) -> Checked<Trace> {
    let mut subject = factory.build(0)?;
    let mut values = Vec::new();
    for _ in 0..2 {
        let made = pass::<F>(&mut subject, inputs, Mode::Train, true)?;
        values.push(made.values);
        if let Some(gradients) = made.gradients {
            values.extend(gradients.inputs.into_iter().flatten());
            values.extend(gradients.parameters.into_iter().filter_map(|parameter| parameter.gradient));
        }
        subject_advances::<F>(&mut subject, inputs)?;
    }
    Ok(Trace { values, entries: Entries::of(subject.module()) })
}

fn check_same(a: &Trace, b: &Trace, when: &str) -> Checked {
    let is_same = a.values.len() == b.values.len()
        && a.values.iter().zip(&b.values).all(|(a, b)| same_bits(a, b))
        && a.entries.first_changed(&b.entries).is_none();
    ensure!(
        is_same,
        "values, gradients or state are other bits {when}: draws must come from the context's `rng` or from `set_draws`, and \
         sums be taken in an order of their own"
    );
    Ok(())
}

/// The same bits when all is done again, and with other numbers of threads.
fn check_repeated<F: Factory>(factory: &F, inputs: &[Vec<f32>]) -> Checked {
    let first = trace(factory, inputs)?;
    check_same(&first, &trace(factory, inputs)?, "the second time, with the same seed")?;
    // On a device there is nothing to cut among threads, and its values stay on this one.
    if !is_on_device() {
        for n in [1, 3] {
            let other = with_threads(n, || trace(factory, inputs))??;
            check_same(&first, &other, &format!("with {n} thread{}", if n == 1 { "" } else { "s" }))?;
        }
    }
    Ok(())
}

/// What is saved and loaded back into another one makes the same.
fn check_saved<F: Factory>(factory: &F, inputs: &[Vec<f32>]) -> Checked {
    let mut saved = factory.build(0)?;
    for set in 1..3 {
        let other = factory.inputs(set);
        pass::<F>(&mut saved, &other, Mode::Train, false)?;
        subject_advances::<F>(&mut saved, &other)?;
    }
    let entries = Entries::of(saved.module());
    let mut loaded = factory.build(1)?;
    check_visits(loaded.module())?;
    entries.put_into(loaded.module())?;
    if let Some(name) = Entries::of(loaded.module()).first_changed(&entries) {
        return Err(wrong!(
            "`{name}` is another one after it was loaded: what `visit_mut` changes is not what `visit` shows"
        ));
    }
    let modes: &[Mode] = if F::HAS_MODES { &[Mode::Eval, Mode::Train] } else { &[Mode::Train] };
    for mode in modes {
        let before = pass::<F>(&mut saved, inputs, *mode, false)?;
        let after = pass::<F>(&mut loaded, inputs, *mode, false)?;
        ensure!(
            same_bits(&before.values, &after.values),
            "it makes other values after it was saved and loaded: something that is drawn or learned is not visited"
        );
    }
    Ok(())
}

/// Frozen parameters get no gradient, and the others the same as before.
fn check_frozen<F: Factory>(factory: &F, inputs: &[Vec<f32>], before: &Backward) -> Checked {
    let mut subject = factory.build(0)?;
    let mut place = 0;
    subject.module().visit_mut(&mut |_, entry| {
        if let EntryMut::Parameter(parameter) = entry
            && parameter.is_trainable()
        {
            parameter.set_trainable(place % 2 == 1);
            place += 1;
        }
    });
    if place == 0 {
        return Ok(());
    }
    let made = pass::<F>(&mut subject, inputs, Mode::Train, true)?;
    let Some(gradients) = made.gradients else {
        return Err(wrong!("nothing is recorded where some of its parameters are frozen"));
    };
    let largest = before.parameters.iter().filter_map(|parameter| parameter.gradient.as_deref());
    let largest = largest.map(norm).fold(0.0, f64::max);
    for parameter in &gradients.parameters {
        let name = &parameter.name;
        let unfrozen = before.parameter(name).and_then(|parameter| parameter.gradient.as_deref());
        match (parameter.is_trainable, parameter.gradient.as_deref(), unfrozen) {
            (false, Some(_), _) => {
                return Err(wrong!("the parameter `{name}` gets a gradient where it is frozen"));
            }
            (true, None, Some(_)) => {
                return Err(wrong!("the parameter `{name}` gets no gradient where others are frozen"));
            }
            (true, Some(gradient), Some(unfrozen)) => ensure!(
                apart(gradient, unfrozen) <= CLOSE * norm(unfrozen) + ROUNDING * largest,
                "the parameter `{name}` gets another gradient where others are frozen"
            ),
            _ => {}
        }
    }
    Ok(())
}

/// Gradients are those of what is computed.
fn check_gradients<F: Factory>(factory: &F, inputs: &[Vec<f32>]) -> Checked {
    let modes: &[Mode] = if F::HAS_MODES { &[Mode::Eval, Mode::Train] } else { &[Mode::Train] };
    for mode in modes {
        let mut subject = factory.build(0)?;
        if F::HAS_MODES {
            // Running statistics that are of such inputs, so that no layer saturates.
            pass::<F>(&mut subject, &factory.inputs(1), Mode::Train, false)?;
        } else {
            subject_advances::<F>(&mut subject, &factory.inputs(1))?;
        }
        let made = pass::<F>(&mut subject, inputs, *mode, true)?;
        differences::check(&mut subject, inputs, *mode, &made, F::METHOD)?;
    }
    Ok(())
}

//! What a page says first.

use maud::{Markup, html};

use super::course::{Course, Measured, at_epoch};
use super::{Difference, Report};
use crate::colors;
use crate::number::{Unit, shown};

impl Report {
    pub(super) fn headline(&self) -> Markup {
        match &self.courses[..] {
            [course] => of_one(&self.title, course),
            courses => of_several(&self.title, courses, &self.differences),
        }
    }
}

fn of_one(title: &str, course: &Course) -> Markup {
    let facts = course.facts.iter().map(|fact| format!("{} {}", fact.name, fact.value));
    let facts = facts.chain(course.origin.iter().map(|origin| format!("started from {origin}")));
    html! {
        h1 { (title) }
        p class="soft" { (facts.collect::<Vec<_>>().join(" · ")) }
        @for told in course.end() { p class="alert" { (told) } }
        dl class="tiles" {
            @for metric in course.metrics.iter().take(4) { (metric_tile(metric, course.before_training())) }
            @if let Some((epoch, loss)) = course.loss.last() {
                (tile("loss", &shown(*loss, Unit::Plain), &loss_words(course, *epoch)))
            }
            (tile("epochs", &course.reach.epochs_done.to_string(), &course.reach.words()))
            @if let Some(speed) = median(&course.images_per_s) {
                (tile("images per second", &shown(speed, Unit::Plain), &wait_words(course)))
            }
            @if !course.spikes.is_empty() {
                @let n: usize = course.spikes.iter().map(|(_, n)| n).sum();
                (tile("gradient spikes", &n.to_string(), "steps whose gradient jumped"))
            }
        }
    }
}

fn tile(name: &str, value: &str, more: &str) -> Markup {
    // A number and its sign stay together.
    let [value, more] = [value, more].map(|text| text.replace(" %", "\u{a0}%"));
    html! {
        div { dt { (name) } dd class="value" { (value) } dd { (more) } }
    }
}

/// `start` is what the encoder was before the first step.
fn metric_tile(metric: &Measured, start: &str) -> Markup {
    let before =
        metric.before().map(|value| format!("; {start} {}", metric.shown(value))).unwrap_or_default();
    let role = if metric.decides_best { "; decides the best checkpoint" } else { "" };
    match (metric.best(), metric.last()) {
        // Of what is no accuracy, more is not better without end: the last value counts, but where the best was looked for.
        (Some((epoch, best)), Some((last_epoch, last))) if metric.is_accuracy() || metric.decides_best => {
            let more = match epoch == last_epoch {
                true => format!("best and last, {}{before}{role}", at_epoch(epoch)),
                false => format!("best, {}; last {}{before}{role}", at_epoch(epoch), metric.shown(last)),
            };
            tile(&metric.name, &metric.shown(best), &more)
        }
        (_, Some((epoch, last))) if epoch > 0.0 => {
            tile(&metric.name, &metric.shown(last), &format!("{}{before}{role}", at_epoch(epoch)))
        }
        (_, Some((_, last))) => tile(&metric.name, &metric.shown(last), &format!("{start}{role}")),
        (_, None) => html! {},
    }
}

fn loss_words(course: &Course, epoch: f64) -> String {
    let mut words = format!("mean of {}", at_epoch(epoch));
    if let Some([chance, floor]) = course.loss_levels {
        words += &format!("; chance {}, floor {}", shown(chance, Unit::Plain), shown(floor, Unit::Plain));
    }
    words
}

fn wait_words(course: &Course) -> String {
    let wait =
        median(&course.data_wait).map(|share| format!(", waiting for images {}", shown(share, Unit::Share)));
    format!("median of the epochs{}", wait.unwrap_or_default())
}

fn median(points: &[(f64, f64)]) -> Option<f64> {
    let mut values: Vec<f64> = points.iter().map(|point| point.1).filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn of_several(title: &str, courses: &[Course], differences: &[Difference]) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for metric in courses.iter().flat_map(|course| &course.metrics) {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    let decides = |name: &str| {
        courses
            .iter()
            .flat_map(|course| &course.metrics)
            .any(|metric| metric.name == name && metric.decides_best)
    };
    let deciding: Vec<&str> = names.iter().copied().filter(|name| decides(name)).collect();
    let cell = |course: &Course, name: &str| {
        let metric = course.metrics.iter().find(|metric| metric.name == name)?;
        let is_best = metric.is_accuracy() || metric.decides_best;
        let (epoch, value) = if is_best { metric.best()? } else { metric.last()? };
        Some((metric.shown(value), at_epoch(epoch)))
    };
    html! {
        h1 { (title) }
        p class="soft" {
            "Each run has one color in all charts. Accuracies are the best of a run, "
            @if deciding.is_empty() { "everything else is of its end." } @else {
                "and so is what decides its best checkpoint (" (deciding.join(", ")) "); everything else is of its end."
            }
        }
        div class="wide" {
            table {
                thead {
                    tr {
                        th { "run" } th { "epochs" }
                        @for name in &names { th { (name) } }
                        th { "loss" }
                    }
                }
                tbody {
                    @for (number, course) in courses.iter().enumerate() {
                        tr {
                            td { span class=(colors::class(number)) { span class="swatch" {} } (course.name) }
                            td { (course.reach.words()) }
                            @for name in &names {
                                td {
                                    @if let Some((value, epoch)) = cell(course, name) {
                                        b { (value) } " " span class="soft" { (epoch) }
                                    }
                                }
                            }
                            td { @if let Some((_, loss)) = course.loss.last() { (shown(*loss, Unit::Plain)) } }
                        }
                    }
                }
            }
        }
        @for course in courses {
            @for told in course.end() { p class="alert" { b { (course.name) ": " } (told) } }
        }
        h2 { "What differs" }
        @if differences.is_empty() {
            p class="soft" { "The pipelines say the same, but for names." }
        } @else {
            p class="soft" { "Values of the pipelines that are not the same in all runs." }
            div class="wide" {
                table {
                    thead { tr { th { "value" } @for course in courses { th { (course.name) } } } }
                    tbody {
                        @for Difference { path, values } in differences {
                            tr {
                                td { code { (path) } }
                                @for value in values {
                                    td { @match value { Some(value) => code { (value) }, None => span class="soft" { "absent" } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

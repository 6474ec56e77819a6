//! What a page shows of a run's images.

use maud::{Markup, html};

use super::{ImagePart, Report, WeakClass};
use crate::number::{Unit, shown};

const VIEWS: &str = "Each row is one image: as it is, and as the encoder sees it in each view, with other random draws each epoch. The \
    encoder learns nothing from crops that miss the object, or from colors that are beyond recognition.";
const NEIGHBORS: &str = "The first image of each row is the query, the others are those whose features are most alike, with their \
    cosine similarity. A good encoder shows the same thing from other sides; one that looks at colors only, or that has collapsed, \
    is known at a glance.";
const MAP: &str = "Each point is an image, and images whose features are alike lie near each other. These are the two directions in \
    which the features differ most (PCA), which is a small part of what they say.";
const MAP_IMAGES: &str = "The same map, with images where there is room.";
const CLASSES: &str = "A vote of the nearest images among those drawn here, without the image itself. It says which classes the \
    features mix up, and is no measure to compare runs by: see the accuracy above.";

impl Report {
    pub(super) fn images(&self) -> Markup {
        html! {
            @if let Some(part) = &self.views {
                h2 { "What the encoder sees" }
                (told(part, |rows| html! { p class="soft" { (VIEWS) } (rows.drawn()) }))
            }
            @if let Some(part) = &self.neighbors {
                h2 { "Nearest neighbors" }
                (told(part, |rows| html! { p class="soft" { (NEIGHBORS) } (rows.drawn()) }))
            }
            @if let Some(part) = &self.map {
                h2 { "Map of the features" }
                (told(part, |map| html! {
                    div class="pair" {
                        (map.figure("By class or cluster", MAP))
                        @if let Some(images) = map.image_figure("By image", MAP_IMAGES) { (images) }
                    }
                }))
            }
            @if let Some(part) = &self.weak_classes {
                h2 { "Worst classes" }
                (told(part, |classes| html! { p class="soft" { (CLASSES) } (table(classes)) }))
            }
            @for note in &self.image_notes { p class="note" { (note) } }
        }
    }
}

fn told<T>(part: &ImagePart<T>, draw: impl FnOnce(&T) -> Markup) -> Markup {
    match part {
        Ok(part) => draw(part),
        Err(why) => html! { p class="note" { "Not drawn: " (why) } },
    }
}

fn table(classes: &[WeakClass]) -> Markup {
    html! {
        div class="wide" {
            table {
                thead { tr { th { "class" } th { "found" } th { "most often taken for" } } }
                tbody {
                    @for WeakClass { name, n, right, confused } in classes {
                        @let share = *right as f64 / (*n).max(1) as f64;
                        tr {
                            td { (name) }
                            td {
                                span class="bar" style=(format!("width: {:.1}rem", 4.0 * share)) {}
                                (shown(share, Unit::Share)) " " span class="soft" { "of " (n) }
                            }
                            td {
                                @for (i, other) in confused.iter().enumerate() {
                                    @if i > 0 { ", " }
                                    (other.name) " " span class="soft" { (shown(other.n as f64 / (*n).max(1) as f64, Unit::Share)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

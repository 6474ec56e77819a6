//! The map as an HTML page.

use maud::html;
use pages::FeatureMap;

const POINTS: &str = "Each point is an image; where the pointer rests, it is shown. Images whose features are alike lie near each other.";
const IMAGES: &str = "The same map, with images where there is room.";

/// The page; `said` says how it was made.
pub(super) fn page(map: &FeatureMap, said: &str, has_classes: bool) -> String {
    let title = if has_classes { "By class" } else { "By cluster" };
    let content = html! {
        h1 { "Map of the features" }
        p class="soft" { (map.points.len()) " images; " (said) }
        div class="pair" {
            (map.figure(title, POINTS))
            @if let Some(images) = map.image_figure("By image", IMAGES) { (images) }
        }
        (map.hover_script())
    };
    pages::page("Map of the features", &content)
}

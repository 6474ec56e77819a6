//! Rows of images with captions: neighbors, and views of an image.

use maud::{Markup, html};

use crate::captions::short_name;
use crate::thumbnail::Thumbnail;

/// An image narrower than this is drawn with its pixels as squares.
const SMALL_PX: u32 = 64;

/// What an image is to the first of its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relation {
    /// Nothing is said: without a frame.
    #[default]
    Unknown,
    /// It is the first, the query.
    Query,
    /// Of the same class.
    Same,
    /// Of another class.
    Other,
}

/// What stands below an image.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    /// In bold: a similarity, the name of a view.
    pub head: Option<String>,
    /// The class, where there are labels.
    pub class: Option<String>,
    /// The image's name, of which the last part is shown, and all where the pointer rests.
    pub name: Option<String>,
}

/// An image of a row.
#[derive(Clone, Debug)]
pub struct ImageTile {
    /// The image.
    pub thumbnail: Thumbnail,
    /// What stands below it.
    pub caption: Caption,
    /// Its frame.
    pub relation: Relation,
}

/// How large images are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TileSize {
    /// As thumbnails.
    #[default]
    Small,
    /// To look at closely.
    Large,
}

/// Rows of images.
#[derive(Clone, Debug, Default)]
pub struct ImageRows {
    /// The rows, each of which breaks where the page is narrow.
    pub rows: Vec<Vec<ImageTile>>,
    /// How large its images are.
    pub size: TileSize,
}

impl ImageRows {
    /// The rows, and what their frames mean if there are any.
    pub fn drawn(&self) -> Markup {
        html! {
            (self.legend())
            div class=(if self.size == TileSize::Large { "rows large" } else { "rows" }) {
                @for row in &self.rows { div class="row" { @for tile in row { (tile.drawn()) } } }
            }
        }
    }

    fn legend(&self) -> Markup {
        let has = |relation| self.rows.iter().flatten().any(|tile| tile.relation == relation);
        html! {
            @if has(Relation::Same) || has(Relation::Other) {
                ul class="legend" {
                    li { span class="frame" {} "the query" }
                    li { span class="c0" { span class="frame" {} } "its class" }
                    li { span class="c1" { span class="frame" {} } "another class" }
                }
            }
        }
    }
}

impl ImageTile {
    fn drawn(&self) -> Markup {
        let class = match self.relation {
            Relation::Unknown => "tile",
            Relation::Query => "tile query",
            Relation::Same => "tile same",
            Relation::Other => "tile other",
        };
        let Caption { head, class: of, name } = &self.caption;
        let alt = name.as_deref().or(head.as_deref()).unwrap_or("image");
        let size = (self.thumbnail.longer < SMALL_PX).then_some("small");
        html! {
            div class=(class) {
                img class=[size] src=(self.thumbnail.uri) alt=(alt);
                @if let Some(head) = head { b { (head) } }
                @if let Some(of) = of { span class="class" { (of) } }
                @if let Some(name) = name { span class="name" title=(name) { (short_name(name)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    fn tile(name: &str, relation: Relation) -> ImageTile {
        let caption =
            Caption { head: Some("0.750".into()), class: Some("<b>".into()), name: Some(name.into()) };
        ImageTile { thumbnail: Thumbnail::new(&RgbImage::new(8, 8)), caption, relation }
    }

    #[test]
    fn names_are_text_and_never_markup() {
        let row = vec![
            tile(r#"folder/"><script>alert(1)<script>.png"#, Relation::Query),
            tile("some/where/a & b.png", Relation::Same),
        ];
        let text = ImageRows { rows: vec![row], ..ImageRows::default() }.drawn().into_string();
        assert!(!text.contains("<script>") && !text.contains("<b><"), "{text}");
        for piece in [
            "&lt;script&gt;alert(1)",
            ">a &amp; b.png<",
            "title=\"some/where/a &amp; b.png\"",
            "0.750",
            "tile same",
        ] {
            assert!(text.contains(piece), "{piece} is not in\n{text}");
        }
        assert_eq!(text.matches("src=\"data:image/jpeg;base64,/9j/").count(), 2, "{text}");
    }

    #[test]
    fn frames_are_explained_where_there_are_some() {
        let rows = |relation| {
            let rows = vec![vec![tile("a", Relation::Query), tile("b", relation)]];
            ImageRows { rows, ..ImageRows::default() }
        };
        assert!(rows(Relation::Other).drawn().into_string().contains("another class"));
        assert!(!rows(Relation::Unknown).drawn().into_string().contains("another class"));
    }
}

//! The maps as an HTML page with embedded pictures.

use maud::html;
use pages::{Caption, ImageRows, ImageTile, Relation, Thumbnail, TileSize};

use super::Drawn;

/// The longer side of a map in a page; the files beside it have more.
const MAP_PX: u32 = 224;

/// A page with one row per image: the image as the encoder sees it, and its maps. `what` says what these are.
pub(super) fn page(drawn: &[Drawn], what: &str, title: &str) -> String {
    let rows = ImageRows { rows: drawn.iter().map(row).collect(), size: TileSize::Large };
    let content = html! {
        h1 { "Where the encoder looks" }
        p { "Dark is the least value of a map, bright the largest; both are below it. A bright place says that the encoder takes \
             its features from there, and not that it is right to do so." }
        p class="soft" { (what) "; " (title) }
        (rows.drawn())
    };
    pages::page("Where the encoder looks", &content)
}

fn row(drawn: &Drawn) -> Vec<ImageTile> {
    let image = ImageTile {
        thumbnail: Thumbnail::within(&drawn.seen, MAP_PX),
        caption: Caption { head: Some("image".into()), name: Some(drawn.name.clone()), class: None },
        relation: Relation::Query,
    };
    let maps = drawn.maps.iter().map(|(name, picture, [least, largest])| ImageTile {
        thumbnail: Thumbnail::within(picture, MAP_PX),
        caption: Caption {
            head: Some(name.clone()),
            class: Some(format!("{least:.4} to {largest:.4}")),
            name: None,
        },
        relation: Relation::Unknown,
    });
    [image].into_iter().chain(maps).collect()
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    #[test]
    fn names_are_text_and_the_page_asks_for_nothing() {
        let drawn = Drawn {
            name: r#""><script>alert(1)<script>.png"#.into(),
            seen: RgbImage::new(2, 2),
            maps: vec![("head 1".into(), RgbImage::new(2, 2), [0.125, 0.5])],
        };
        let page = page(&[drawn], "attention", "runs/<b>");
        assert!(!page.contains("<script>") && !page.contains("<b><") && !page.contains("http"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("0.1250 to 0.5000"), "{page}");
        assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 2, "{page}");
    }
}

//! The sheet as an HTML page with embedded images.

use std::io::{self, Write};

use maud::html;
use pages::{Caption, ImageRows, ImageTile, Thumbnail};

use super::{Row, Shown};

const HOW_TO_READ: &str = "The first image of each row is the query, the others are its nearest neighbors, nearest first, with the \
    cosine similarity of their features. A good encoder shows the same thing from other sides; one that looks at colors only, or \
    that has collapsed, is known at a glance.";

/// Writes a page with one row per query.
pub(super) fn write(mut file: impl Write, rows: &[Row], features: &str) -> io::Result<()> {
    let rows = ImageRows { rows: rows.iter().map(tiles).collect(), ..ImageRows::default() };
    let content = html! {
        h1 { "Nearest neighbors" }
        p { (HOW_TO_READ) }
        p class="soft" { (features) }
        (rows.drawn())
    };
    file.write_all(pages::page("Nearest neighbors", &content).as_bytes())
}

fn tiles(row: &Row) -> Vec<ImageTile> {
    row.all().map(tile).collect()
}

fn tile(shown: &Shown) -> ImageTile {
    let head = shown.similarity.map_or_else(|| "query".into(), |similarity| format!("{similarity:.3}"));
    ImageTile {
        thumbnail: Thumbnail::new(&shown.image),
        caption: Caption { head: Some(head), class: shown.class.clone(), name: Some(shown.name.clone()) },
        relation: shown.relation,
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use pages::Relation;

    use super::*;

    #[test]
    fn a_page_has_names_and_similarities_as_text_and_asks_for_nothing() {
        let shown = |name: &str, similarity, relation| Shown {
            name: name.into(),
            class: Some("<b>".into()),
            similarity,
            relation,
            image: RgbImage::new(2, 2),
        };
        let row = Row {
            query: shown("folder/\"><script>alert(1)<script>.png", None, Relation::Query),
            neighbors: vec![shown("some/a & b.png", Some(0.75), Relation::Same)],
        };
        let mut page = Vec::new();
        write(&mut page, &[row], "backbone features").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(!page.contains("<script>") && !page.contains("<b><"), "{page}");
        for piece in ["&lt;script&gt;alert(1)", ">a &amp; b.png<", "0.750", "tile same", "another class"] {
            assert!(page.contains(piece), "{piece} is not in\n{page}");
        }
        assert!(!page.contains("http"), "the page asks for nothing: {page}");
    }
}

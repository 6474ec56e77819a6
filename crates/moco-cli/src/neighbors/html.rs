//! The sheet as an HTML page with embedded images.

use std::io::{self, Write};

use maud::{Markup, html};

use super::{Row, Shown};
use crate::html_page::{self, data_uri};

const STYLE: &str = "\
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff }
table { border-spacing: 6px }
td { vertical-align: top; width: 136px; overflow-wrap: anywhere; font-size: 12px }
img { display: block; border: 4px solid #ddd }
.query img { border-color: #000 }
.same img { border-color: #0072b2 }
.other img { border-color: #d55e00 }
.similarity { font-weight: bold }";

/// Writes a page with one row per query.
pub(super) fn write(mut file: impl Write, rows: &[Row], features: &str) -> io::Result<()> {
    let rows = rows.iter().map(drawn).collect::<io::Result<Vec<Markup>>>()?;
    let above = html! { p { (features) ", cosine similarity" } };
    file.write_all(html_page::page("Nearest neighbors", STYLE, &above, &rows).as_bytes())
}

fn drawn(row: &Row) -> io::Result<Markup> {
    let query = cell(&row.query)?;
    let neighbors = row.neighbors.iter().map(cell).collect::<io::Result<Vec<Markup>>>()?;
    Ok(html! { (query) @for neighbor in &neighbors { (neighbor) } })
}

fn cell(shown: &Shown) -> io::Result<Markup> {
    let uri = data_uri(&shown.cell)?;
    let class = match (shown.similarity, shown.agrees) {
        (None, _) => "query",
        (Some(_), Some(true)) => "same",
        (Some(_), Some(false)) => "other",
        (Some(_), None) => "unknown",
    };
    Ok(html! {
        td class=(class) {
            img src=(uri) alt=(shown.name) title=(shown.name);
            @if let Some(similarity) = shown.similarity {
                div class="similarity" { (format!("{similarity:.3}")) }
            }
            @if let Some(class) = &shown.class { div { (class) } }
            div { (shown.name) }
        }
    })
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    #[test]
    fn names_are_text_and_never_markup() {
        let shown = |name: &str, similarity| Shown {
            name: name.into(),
            class: Some("<b>".into()),
            similarity,
            agrees: similarity.map(|_| true),
            cell: RgbImage::new(2, 2),
        };
        let row = Row {
            query: shown(r#""><script>alert(1)</script>.png"#, None),
            neighbors: vec![shown("a & b.png", Some(0.75))],
        };
        let mut page = Vec::new();
        write(&mut page, &[row], "backbone features").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
        for piece in ["&lt;script&gt;alert(1)", "a &amp; b.png", "0.750", "class=\"same\""] {
            assert!(page.contains(piece), "{piece} is not in\n{page}");
        }
        assert_eq!(page.matches("src=\"data:image/png;base64,iVBOR").count(), 2, "{page}");
        assert!(!page.contains("http"), "the page asks for nothing: {page}");
    }
}

//! The maps as an HTML page with embedded pictures.

use std::io;

use maud::{Markup, html};

use super::Drawn;
use crate::html_page::{self, data_uri};

const STYLE: &str = "\
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff }
table { border-spacing: 6px }
td { vertical-align: top; width: 168px; overflow-wrap: anywhere; font-size: 12px }
img { display: block; width: 160px }";

/// A page with one row per image: the image as the encoder sees it, and its maps. `what` says what these are.
pub(super) fn page(drawn: &[Drawn], what: &str, title: &str) -> io::Result<String> {
    let rows = drawn.iter().map(row).collect::<io::Result<Vec<Markup>>>()?;
    let above = html! {
        p { (what) "; " (title) }
        p { "Dark is the least value of a map, bright the largest; both are below it." }
    };
    Ok(html_page::page("Where the encoder looks", STYLE, &above, &rows))
}

fn row(drawn: &Drawn) -> io::Result<Markup> {
    let seen = data_uri(&drawn.seen)?;
    let maps = drawn
        .maps
        .iter()
        .map(|(name, picture, [least, largest])| {
            let uri = data_uri(picture)?;
            Ok(html! {
                td {
                    img src=(uri) alt=(name) title=(name);
                    div { (name) }
                    div { (format!("{least:.4} to {largest:.4}")) }
                }
            })
        })
        .collect::<io::Result<Vec<Markup>>>()?;
    Ok(html! {
        td { img src=(seen) alt=(drawn.name) title=(drawn.name); div { (drawn.name) } }
        @for map in &maps { (map) }
    })
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    #[test]
    fn names_are_text_and_the_page_asks_for_nothing() {
        let drawn = Drawn {
            name: r#""><script>alert(1)</script>.png"#.into(),
            seen: RgbImage::new(2, 2),
            maps: vec![("head 1".into(), RgbImage::new(2, 2), [0.125, 0.5])],
        };
        let page = page(&[drawn], "attention", "runs/<b>").unwrap();
        assert!(!page.contains("<script>") && !page.contains("<b>") && !page.contains("http"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("0.1250 to 0.5000"), "{page}");
        assert_eq!(page.matches("src=\"data:image/png;base64,iVBOR").count(), 2, "{page}");
    }
}

//! HTML pages with embedded pictures, which ask for nothing elsewhere.

use std::io::{self, Cursor};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use maud::{DOCTYPE, Markup, html};

/// A page called `title` with a table of `rows` under what `above` says.
pub(crate) fn page(title: &str, style: &str, above: &Markup, rows: &[Markup]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                style { (maud::PreEscaped(style)) }
            }
            body {
                h1 { (title) }
                (above)
                table { @for row in rows { tr { (row) } } }
            }
        }
    };
    page.into_string()
}

/// `picture` as a PNG file.
pub(crate) fn png(picture: &RgbImage) -> io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    moco::write_picture(&mut bytes, picture)?;
    Ok(bytes.into_inner())
}

/// `picture` as the source of an `img`.
pub(crate) fn data_uri(picture: &RgbImage) -> io::Result<String> {
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png(picture)?)))
}

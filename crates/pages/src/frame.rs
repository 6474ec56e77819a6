//! What every page has around its content.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// What a page that is served asks again and again, to show itself anew when it has changed: the number of this version.
pub const LIVE_CHECK: &str = "/version";

/// A page called `title` with `content`, as one file that asks for nothing elsewhere.
pub fn page(title: &str, content: &Markup) -> String {
    page_with(title, content, None)
}

/// As [`page`]; with the number of its `version`, a page that shows itself anew once its server has another one.
pub fn page_with(title: &str, content: &Markup, version: Option<u64>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="moco";
                title { (title) }
                // Without it, a browser asks the server for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (content)
                @if let Some(version) = version { script { (PreEscaped(live(version))) } }
            }
        }
    };
    page.into_string()
}

/// Asks the server every second, and after a silence too, for it may have been started again.
fn live(version: u64) -> String {
    format!(
        "setInterval(() => fetch('{LIVE_CHECK}').then(answer => answer.text()).then(now => {{ \
         if (now !== '{version}') location.reload() }}).catch(() => {{}}), 1000)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_small_screens_and_dark_ones_and_asks_for_nothing() {
        let page = page("a <b> & c", &html! { p { "text" } });
        assert!(page.contains("<title>a &lt;b&gt; &amp; c</title>"), "{page}");
        for part in [
            "name=\"viewport\"",
            "prefers-color-scheme: dark",
            "@media print",
            "details:not([open]) > summary::after",
            "color-scheme: light dark",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for part in ["http", "<script", "@import", "src="] {
            assert!(!page.contains(part), "{part}");
        }
    }

    #[test]
    fn only_a_page_that_is_served_has_a_script() {
        let page = page_with("a", &html! {}, Some(7));
        assert!(page.contains("<script>") && page.contains("'7'") && page.contains(LIVE_CHECK), "{page}");
    }
}

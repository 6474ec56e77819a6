//! A headless Chromium, where there is one: `MOCO_CHROMIUM`, or `chromium` on the path.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a page says of itself once it is drawn.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// The width of its content and of the window, in pixels.
    pub(crate) widths: [u32; 2],
    /// Images that could not be drawn.
    pub(crate) n_broken: u32,
    /// Images.
    pub(crate) n_images: u32,
    /// Text of charts whose letters are smaller than 8 pixels.
    pub(crate) n_tiny: u32,
    /// Tables and texts that are wider than their place: these scroll, and are cut on paper.
    pub(crate) n_cut: u32,
    /// What was written to the console.
    pub(crate) console: Vec<String>,
}

/// The browser, or a word on standard error that there is none.
pub(crate) fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MOCO_CHROMIUM") {
        return Some(path.into());
    }
    let on_path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&on_path).map(|folder| folder.join("chromium")).find(|path| path.is_file());
    if found.is_none() {
        // Past the test harness, which keeps to itself what a passing test prints.
        let told =
            "\nSKIPPED: no page is looked at: there is no chromium on the path, and no MOCO_CHROMIUM\n";
        let mut terminal = std::io::stderr();
        writeln!(terminal, "{told}").unwrap();
    }
    found
}

/// What a page says once it is drawn: appended to a copy, so that pages need no script of their own.
const ASK: &str = "<script>
addEventListener('load', () => {
  const images = [...document.querySelectorAll('img')];
  const broken = images.filter(image => !image.complete || image.naturalWidth === 0);
  const texts = [...document.querySelectorAll('svg text')].filter(text => text.textContent);
  const tiny = texts.filter(text => text.getBoundingClientRect().height < 8);
  const cut = [...document.querySelectorAll('.wide, pre')].filter(part => part.scrollWidth > part.clientWidth);
  const width = document.scrollingElement.scrollWidth;
  const counts = [broken, images, tiny, cut].map(list => list.length);
  parent.postMessage([width, innerWidth, ...counts].join(' '), '*');
});
</script>";

/// A page around it, since a window is never narrower than 500 pixels.
fn around(width: u32) -> String {
    format!(
        "<!DOCTYPE html><body style='margin: 0'><script>
addEventListener('message', event => document.documentElement.dataset.said = event.data)
</script><iframe src='page.html' style='border: 0; width: {width}px; height: 900px'></iframe></body>"
    )
}

/// Shows the page at `path` in a window of `width` pixels.
pub(crate) fn show(chromium: &Path, path: &Path, width: u32) -> Drawn {
    draw(chromium, &std::fs::read_to_string(path).unwrap(), width)
}

/// Shows the page at `path` as it is printed on paper of `width` pixels.
pub(crate) fn printed(chromium: &Path, path: &Path, width: u32) -> Drawn {
    let page = std::fs::read_to_string(path).unwrap();
    draw(chromium, &page.replace("@media print", "@media all"), width)
}

fn draw(chromium: &Path, page: &str, width: u32) -> Drawn {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), page.replace("</body>", &format!("{ASK}</body>")))
        .unwrap();
    let around_it = folder.path().join("around.html");
    std::fs::write(&around_it, around(width)).unwrap();
    let output = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=60000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--window-size={},1000", width.max(500)))
        .arg(format!("file://{}", around_it.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = dom.split("data-said=\"").nth(1).and_then(|rest| rest.split('"').next());
    let said = said.unwrap_or_else(|| panic!("the page was not drawn: {log}"));
    let numbers: Vec<u32> = said.split(' ').map(|number| number.parse().unwrap()).collect();
    let [content, window, n_broken, n_images, n_tiny, n_cut] = numbers[..] else { panic!("{said}") };
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Drawn { widths: [content, window], n_broken, n_images, n_tiny, n_cut, console }
}

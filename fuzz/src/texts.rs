//! Texts that people write.

use pipeline_text::{Checked, Color, Node, PipelineText};

/// A pipeline and, behind zeros, arguments of `--set`: a text whose tree is its own, or a fault that can be drawn.
pub fn pipeline(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.split('\0');
    let Some(text) = parts.next() else { return };
    if let Err(fault) = judge(text, parts) {
        assert!(!fault.message.is_empty() && fault.span.end <= fault.text.len());
        let (line, column) = fault.position();
        assert!(line > 0 && column > 0 && !fault.render(Color::No).is_empty());
    }
}

fn judge<'a>(text: &str, arguments: impl Iterator<Item = &'a str>) -> Checked<()> {
    let mut whole = PipelineText::new("a.ron", text)?;
    for argument in arguments {
        whole.set(argument)?;
    }
    whole.write_out_views()?;
    let again =
        Node::parse(&whole.text).map_err(|error| whole.fault(error.span, error.message, error.hint))?;
    assert_eq!(format!("{:?}", whole.tree), format!("{again:?}"));
    Ok(())
}

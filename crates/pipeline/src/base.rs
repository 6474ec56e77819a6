//! Files that start from others: `base: "other.ron"`, and what is changed of it.

use std::path::{Path, PathBuf};

use crate::error::PipelineError;
use pipeline_text::Checked;
use pipeline_text::Fault;
use pipeline_text::{Change, Source};
use pipeline_text::{Field, FieldStyle, Node, NodeKind};
use pipeline_text::{Fragment, MAX_BYTES, PipelineText};

const BASE: &str = "base";
const SET: &str = "set";

/// Files that each start from the next.
const MOST_LINKS: usize = 32;
/// Values that a file changes in what it starts from. Each change goes through the whole text.
const MOST_CHANGES: usize = 1000;

/// A file on the way from one to its base.
struct Link {
    /// Where it is, however its path was written.
    place: PathBuf,
    /// How messages call it.
    name: String,
}

/// The file at `path`, with what it starts from in it.
///
/// # Errors
/// If it cannot be read, is not RON, or has a base that cannot be used.
pub(crate) fn read(path: &Path) -> Result<PipelineText, PipelineError> {
    let name = path.display().to_string();
    let text = match regular_files::read_text(path, MAX_BYTES as u64) {
        Ok(text) => text,
        Err(reason) => return Err(PipelineError::Unreadable { path: name, reason }),
    };
    let link = Link { place: place(path), name };
    Ok(with_base(path, &text, &mut vec![link])?)
}

/// The text called `origin`, which is in no file, and so has no base.
///
/// # Errors
/// If it is not RON, or has a base.
pub(crate) fn without_file(origin: &str, text: &str) -> Checked<PipelineText> {
    let text = PipelineText::new(origin, text)?;
    match text.tree.find(&[BASE]) {
        None => {
            check_no_changes(&text)?;
            Ok(text)
        }
        Some(base) => Err(text.fault(
            base.span.clone(),
            "a base is looked for beside the file that names it, and this text is in no file",
            Some("read it as a file".into()),
        )),
    }
}

/// The text of the file at `path`, the last of `way`, with its base.
fn with_base(path: &Path, text: &str, way: &mut Vec<Link>) -> Checked<PipelineText> {
    let origin = path.display().to_string();
    let own = PipelineText::new(&origin, text)?;
    let NodeKind::Fields { fields, style: FieldStyle::Struct } = &own.tree.kind else { return Ok(own) };
    let Some(base) = own.tree.find(&[BASE]) else {
        check_no_changes(&own)?;
        return Ok(own);
    };
    check_struct(&own)?;
    let mut whole = read_base(path, &own, base, way)?;
    let origin = whole.add_origin(&origin, text);
    let start = own.tree.span.start;
    // Its comments are those of the run.
    if ![&text[..start], &whole.text[..whole.tree.span.start]].concat().contains("#![") {
        whole.replace_head(Fragment { text: text[..start].to_owned(), origin, from: 0..start });
    }
    let (set, others): (Vec<&Field>, Vec<&Field>) =
        fields.iter().filter(|field| field.name != BASE).partition(|field| field.name == SET);
    for field in others {
        let (path, path_at) = (field.name.as_str(), field.name_span.start);
        whole.change(&Change { origin, path, path_at, value: field.value.clone(), source: Source::File })?;
    }
    for Field { value, .. } in set {
        let NodeKind::Fields { fields, style: FieldStyle::Map } = &value.kind else {
            return Err(own.fault(
                value.span.clone(),
                "`set` takes paths and their values",
                Some("for instance `set: {\"data.batch\": 64}`".into()),
            ));
        };
        if let Some(beyond) = fields.get(MOST_CHANGES) {
            return Err(own.fault(
                beyond.name_span.clone(),
                format!("`set` changes {} values, and may change {MOST_CHANGES}", fields.len()),
                Some("write a pipeline of its own".into()),
            ));
        }
        for Field { name, name_span, value } in fields {
            let quotation_mark = usize::from(text[name_span.start..].starts_with('"'));
            let path_at = name_span.start + quotation_mark;
            let value = value.clone();
            whole.change(&Change { origin, path: name, path_at, value, source: Source::File })?;
        }
    }
    Ok(whole)
}

/// The file that `base` names, with its own base.
fn read_base(path: &Path, own: &PipelineText, base: &Node, way: &mut Vec<Link>) -> Checked<PipelineText> {
    let fault = |message: String, hint: String| own.fault(base.span.clone(), message, Some(hint));
    let NodeKind::Text(name) = &base.kind else {
        return Err(fault(
            "`base` is the path of a file".into(),
            "for instance `base: \"mocov2.ron\"`".into(),
        ));
    };
    let other = path.with_file_name("").join(name);
    let shown = other.display().to_string();
    let text = regular_files::read_text(&other, MAX_BYTES as u64).map_err(|reason| match reason.kind() {
        std::io::ErrorKind::NotFound => {
            fault(format!("there is no `{shown}` to start from"), nearest(&other))
        }
        _ => {
            fault(format!("the base `{shown}` cannot be read: {reason}"), "a base is a pipeline file".into())
        }
    })?;
    let link = Link { place: place(&other), name: shown };
    if let Some(first) = way.iter().position(|earlier| earlier.place == link.place) {
        let names: Vec<&str> = way[first..].iter().chain([&link]).map(|link| link.name.as_str()).collect();
        return Err(fault(
            format!("the files start from each other in a circle: {}", names.join(" → ")),
            "one of them must say everything itself".into(),
        ));
    }
    if way.len() == MOST_LINKS {
        return Err(fault(
            format!("more than {MOST_LINKS} files each start from the next"),
            "one of them must say everything itself".into(),
        ));
    }
    way.push(link);
    let text = with_base(&other, &text, way)?;
    way.pop();
    Ok(text)
}

fn place(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The file that a path which leads nowhere may have meant.
fn nearest(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    match plugin_api::nearest(&name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "the path starts in the folder of the file that names it".into(),
    }
}

/// Without a base there is nothing to change.
fn check_no_changes(text: &PipelineText) -> Checked<()> {
    match text.tree.find_name(&[SET]) {
        None => Ok(()),
        Some(span) => Err(text.fault(
            span,
            "`set` changes what a file starts from, and this one has no `base`",
            Some("write the values where they belong, or add `base: \"OTHER.ron\"`".into()),
        )),
    }
}

/// A pipeline is called `Pipeline`, or nothing.
fn check_struct(text: &PipelineText) -> Checked<()> {
    let start = text.tree.span.start;
    let name = text.text[start..].split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next();
    match name {
        Some("" | "Pipeline") | None => Ok(()),
        Some(name) => Err(wrong_struct(text, start, name)),
    }
}

fn wrong_struct(text: &PipelineText, start: usize, name: &str) -> Box<Fault> {
    text.fault(
        start..start + name.len(),
        format!("expected `Pipeline`, found `{name}`"),
        Some("a pipeline file starts with `Pipeline(`".into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOTHER: &str = "// The mother.\nPipeline(name: \"mother\", data: (batch: 64),\n  epochs: 5)\n";

    /// The file `child` in a folder of `files`, read.
    fn child(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<PipelineText, PipelineError>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let text = read(&folder.path().join("child.ron"));
        (folder, text)
    }

    fn fault(files: &[(&str, &str)]) -> Fault {
        match child(files).1 {
            Err(PipelineError::Fault(fault)) => *fault,
            Err(error) => panic!("{error}"),
            Ok(text) => panic!("{}", text.text),
        }
    }

    #[test]
    fn a_file_has_what_its_base_has_but_for_its_changes() {
        let text = "// The child.\nPipeline(base: \"mother.ron\", name: \"child\", seed: 3, set: {\"data.batch\": 32, \"data.max_unreadable\": 0.5})";
        let (_folder, text) = child(&[("mother.ron", MOTHER), ("child.ron", text)]);
        let text = text.unwrap();
        assert_eq!(
            text.text,
            "// The child.\nPipeline(seed: 3, name: \"child\", data: (max_unreadable: 0.5, batch: 32),\n  epochs: 5)\n"
        );
        assert_eq!(format!("{:?}", text.tree), format!("{:?}", Node::parse(&text.text).unwrap()));
    }

    #[test]
    fn a_base_may_have_a_base_and_lie_in_another_folder() {
        let (folder, text) = child(&[
            ("mother.ron", MOTHER),
            ("in/between.ron", "(base: \"../mother.ron\", epochs: 7)"),
            ("child.ron", "(base: \"in/between.ron\", set: {\"data.batch\": 2})"),
        ]);
        let mut text = text.unwrap();
        assert_eq!(text.text, "Pipeline(name: \"mother\", data: (batch: 2),\n  epochs: 7)\n");
        text.set("name=\"x\"").unwrap();
        // Each piece is found where it is written.
        for (piece, origin) in [
            ("data", "in/../mother.ron"),
            ("7", "in/between.ron"),
            ("2", "child.ron"),
            ("\"x\"", "the command line"),
        ] {
            let at = text.text.find(piece).unwrap();
            let fault = text.fault(at..at + piece.len(), "x", None);
            let origin = match origin.ends_with("ron") {
                true => folder.path().join(origin).display().to_string(),
                false => origin.to_owned(),
            };
            assert_eq!((fault.origin, &fault.text[fault.span]), (origin, piece));
        }
    }

    #[test]
    fn a_base_that_cannot_be_used_is_told_in_the_file_that_names_it() {
        let mother = ("mother.ron", MOTHER);
        let with = |text: &'static str| fault(&[mother, ("child.ron", text)]);
        for (text, message, hint, place) in [
            ("(base: \"mothr.ron\")", "mothr.ron` to start from", "did you mean `mother.ron`?", (1, 8)),
            ("(base: \"x/y.ron\")", "x/y.ron` to start from", "starts in the folder", (1, 8)),
            ("(base: mother)", "`base` is the path of a file", "base: \"", (1, 8)),
            ("(set: {\"epochs\": 1})", "this one has no `base`", "add `base", (1, 2)),
            ("(base: \"mother.ron\", set: (epochs: 1))", "`set` takes paths", "data.batch", (1, 27)),
            (
                "(base: \"mother.ron\",\n set: {\"dta.batch\": 1})",
                "no `dta` here",
                "did you mean `data`?",
                (2, 9),
            ),
            (
                "(base: \"mother.ron\",\n set: {\"checkpoint.keep\": 1})",
                "no `checkpoint` here",
                "write `\"checkpoint\": (keep: 1)`",
                (2, 9),
            ),
            ("Model(base: \"mother.ron\")", "expected `Pipeline`, found `Model`", "", (1, 1)),
            ("(base: \".\")", "cannot be read", "a pipeline file", (1, 8)),
        ] {
            let fault = with(text);
            assert!(fault.origin.ends_with("child.ron"), "{fault}");
            assert!(fault.message.contains(message), "{text}: {fault}");
            assert!(fault.hint.clone().unwrap_or_default().contains(hint), "{text}: {fault}");
            assert_eq!(fault.position(), place, "{text}");
        }
    }

    #[test]
    fn a_base_that_is_broken_is_told_at_its_own_line() {
        let fault = fault(&[("mother.ron", "(\n  epochs 5)"), ("child.ron", "(base: \"mother.ron\")")]);
        assert!(fault.origin.ends_with("mother.ron"), "{fault}");
        assert_eq!(fault.position(), (2, 9));
    }

    #[test]
    fn files_that_start_from_each_other_are_told_with_their_names() {
        let fault = fault(&[("a.ron", "(base: \"./child.ron\")"), ("child.ron", "(\n base: \"a.ron\")")]);
        let names: Vec<&str> = fault.message.rsplit(": ").next().unwrap().split(" → ").collect();
        assert_eq!(names.len(), 3, "{fault}");
        assert!(names[0].ends_with("child.ron") && names[1].ends_with("a.ron"), "{fault}");
        assert!(fault.origin.ends_with("a.ron"), "{fault}");
    }

    #[test]
    fn a_mark_of_utf_8_is_no_part_of_a_file() {
        let marked = format!("\u{feff}{MOTHER}");
        let (_folder, text) =
            child(&[("mother.ron", &marked), ("child.ron", "\u{feff}(base: \"mother.ron\")")]);
        // The comments of the first file go.
        assert_eq!(text.unwrap().text, MOTHER.split_once('\n').unwrap().1);
    }

    #[test]
    fn what_is_too_much_is_told_soon() {
        let large = format!("Pipeline(name: \"{}", "x".repeat(2 << 20));
        let told = child(&[("child.ron", &large)]).1.unwrap_err().to_string();
        assert!(told.contains("more than the limit of 1048576"), "{told}");
        let set: String = (0..1001).map(|i| format!("\"data.n{i}\": 1, ")).collect();
        let fault = fault(&[
            ("mother.ron", MOTHER),
            ("child.ron", &format!("(base: \"mother.ron\", set: {{{set}}})")),
        ]);
        assert!(fault.message.contains("changes 1001 values, and may change 1000"), "{fault}");
        let files: Vec<(String, String)> =
            (0..40).map(|i| (format!("{i}.ron"), format!("(base: \"{}.ron\")", i + 1))).collect();
        let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        files.push(("child.ron", "(base: \"0.ron\")"));
        let fault = self::fault(&files);
        assert!(fault.message.contains("more than 32 files each start"), "{fault}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_no_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.ron");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero")] {
            let told = read(path).unwrap_err().to_string();
            assert!(told.contains("a pipe or a device, not a regular file"), "{told}");
        }
        let child = folder.path().join("child.ron");
        std::fs::write(&child, "(base: \"pipe.ron\")").unwrap();
        assert!(read(&child).unwrap_err().to_string().contains("a pipe or a device"));
    }

    #[test]
    fn a_text_in_no_file_has_no_base() {
        assert!(without_file("x", "(base: \"a.ron\")").unwrap_err().message.contains("in no file"));
        assert!(without_file("x", "(set: {})").unwrap_err().message.contains("no `base`"));
    }
}

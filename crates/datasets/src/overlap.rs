//! Places inside of one another, of which no image is taken twice.

use std::path::{Component, Path, PathBuf};

use plugin_api::DatasetError;

use crate::listing::{SEPARATOR, bytes_of, shown_path};
use crate::places::error;
use crate::root::Found;

/// `path` without `.` in it, so that `./a/` and `a` are the same.
pub(crate) fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Leaves out of the training images what is in a folder of test images, and of the test images what is in a folder of
/// training images. What was left out is told, one sentence each.
///
/// # Errors
/// If both are the same folder.
pub(crate) fn keep_apart(train: &mut [Found], test: &mut [Found]) -> Result<Vec<String>, DatasetError> {
    // Each place is looked up once, not once for each pair of them.
    let places =
        |found: &[Found]| -> Vec<Place> { found.iter().map(|found| Place::of(&found.part.place)).collect() };
    let (of_train, of_test) = (places(train), places(test));
    let mut notes = Vec::new();
    for (train, place) in train.iter_mut().zip(&of_train) {
        for (test, of_test) in test.iter_mut().zip(&of_test) {
            if place.real == of_test.real {
                let reason =
                    format!("this is the folder of the training images, too: {}", shown_path(&place.given));
                return Err(error(&of_test.given, reason, "name another folder for `test`, or none"));
            }
            let what = [
                (train.leave_out(&of_test.below(place)), place, of_test, "measured on", "training"),
                (test.leave_out(&place.below(of_test)), of_test, place, "trained on", "measuring"),
            ];
            for (n, outer, inner, used, left_out) in what {
                if n > 0 {
                    let images = if n == 1 { "1 image".into() } else { format!("{n} images") };
                    notes.push(format!(
                        "{}: {images} in {}, {used}, {} left out of {left_out}",
                        shown_path(&outer.given),
                        shown_path(&inner.given),
                        if n == 1 { "is" } else { "are" },
                    ));
                }
            }
        }
    }
    Ok(notes)
}

/// # Errors
/// If one place is in another, so that its images would be there twice.
pub(crate) fn check_apart(found: &[Found]) -> Result<(), DatasetError> {
    let places: Vec<&Path> = found.iter().map(|found| &*found.part.place).collect();
    match nested(&places) {
        None => Ok(()),
        Some((outer, inner)) => {
            let reason = format!("it is in {}, so that its images would be there twice", shown_path(outer));
            Err(error(inner, reason, "name only one of both"))
        }
    }
}

/// Two of `places` of which the second is in the first, or the same.
pub fn nested<'a>(places: &[&'a Path]) -> Option<(&'a Path, &'a Path)> {
    let mut all: Vec<(PathBuf, &Path)> = places.iter().map(|place| (real(place), *place)).collect();
    // What is in a folder comes behind it, and before all others.
    all.sort();
    let mut outer: Option<&(PathBuf, &Path)> = None;
    for place in &all {
        match outer {
            Some((real, written)) if place.0.starts_with(real) => return Some((written, place.1)),
            _ => outer = Some(place),
        }
    }
    None
}

/// Where `inner` is below `outer`: by the paths as they are written, and without links.
pub(crate) fn inside(outer: &Path, inner: &Path) -> Vec<Vec<u8>> {
    Place::of(inner).below(&Place::of(outer))
}

/// A place in all the ways in which it is compared with others.
struct Place {
    given: PathBuf,
    written: PathBuf,
    real: PathBuf,
}

impl Place {
    fn of(given: &Path) -> Self {
        Self { given: given.to_owned(), written: written(given), real: real(given) }
    }

    /// Where it is below `outer`: by the paths as they are written, and without links.
    fn below(&self, outer: &Self) -> Vec<Vec<u8>> {
        let below = |outer: &Path, inner: &Path| {
            let rest = inner.strip_prefix(outer).ok()?;
            let names: Option<Vec<&[u8]>> =
                rest.components().map(|part| bytes_of(part.as_os_str())).collect();
            Some(names?.join(&SEPARATOR)).filter(|path| !path.is_empty())
        };
        let mut found: Vec<Vec<u8>> = below(&outer.written, &self.written).into_iter().collect();
        found.extend(below(&outer.real, &self.real));
        found.dedup();
        found
    }
}

/// `path` from the root on, without `.` and `..`.
fn written(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    whole
}

/// Where `path` really is; what is below an archive is below where that is.
pub(crate) fn real(path: &Path) -> PathBuf {
    let whole = written(path);
    for above in whole.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), whole.strip_prefix(above)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_another_is_found_whatever_is_between_them() {
        let places = ["/no/a", "/no/a-b", "/no/c", "/no/c/../a/x", "/no/d"].map(Path::new);
        assert_eq!(nested(&places), Some((places[0], places[3])));
        assert_eq!(nested(&places[..3]), None);
        assert_eq!(
            nested(&[Path::new("/no/a"), Path::new("/no/./a/")]).map(|(outer, _)| outer),
            Some(places[0])
        );
        assert_eq!(inside(Path::new("/no/a"), Path::new("/no/./a/x/y/")), [b"x/y"]);
        assert!(inside(Path::new("/no/a"), Path::new("/no/ab")).is_empty());
        let outer = Place::of(Path::new("/no/a"));
        let below = |path: &str| Place::of(Path::new(path)).below(&outer);
        assert_eq!([below("/no/a/x"), below("/no/a/y/../z")], [[b"x"], [b"z"]]);
        assert!(below("/no/a").is_empty());
    }
}

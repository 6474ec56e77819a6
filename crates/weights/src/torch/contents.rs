//! What a pickle has, by name, in all of its dictionaries.

use std::path::Path;
use std::rc::Rc;

use super::kind::unsupported_kind;
use super::value::{Arena, Id, Tensor, Value};
use crate::ReadError;

/// Dictionaries inside of one another. Those of libraries are three deep at most.
const MOST_DEPTH: usize = 8;
/// Names in all dictionaries. A large ViT has a thousand; one dictionary can be found in many places.
const MOST_ITEMS: usize = 1 << 18;
/// Letters of the keys that lead to a dictionary.
const MOST_LETTERS: usize = 1024;

/// A tensor, or what stands in the place of one.
#[derive(Debug)]
pub(super) enum Found {
    Tensor(Rc<Tensor>),
    /// What Python would make by calling this name.
    Inert(Rc<str>),
}

/// A named value.
#[derive(Debug)]
pub(super) struct Item {
    /// The keys that lead to its dictionary, with dots between them; empty at the top.
    pub(super) place: Rc<str>,
    pub(super) name: Rc<str>,
    pub(super) found: Found,
}

/// The named tensors in a file's pickle, and the inert values.
pub(super) fn contents(path: &Path, arena: &Arena, root: Id) -> Result<Vec<Item>, ReadError> {
    match &arena[root] {
        Value::Dict(top) => {
            let mut walk = Walk { path, arena, items: Vec::new(), n_seen: 0 };
            walk.enter(top, &"".into(), 0)?;
            Ok(walk.items)
        }
        Value::Inert(global) if unsupported_kind(global).is_none() => {
            Err(ReadError::Code { path: path.into(), global: (**global).into() })
        }
        _ => Err(ReadError::NoWeights { path: path.into(), reason: "it is not a dictionary".into() }),
    }
}

struct Walk<'a> {
    path: &'a Path,
    arena: &'a Arena,
    items: Vec<Item>,
    n_seen: usize,
}

impl Walk<'_> {
    fn enter(&mut self, dictionary: &[(Id, Id)], place: &Rc<str>, depth: usize) -> Result<(), ReadError> {
        for (key, value) in dictionary {
            self.n_seen += 1;
            if self.n_seen > MOST_ITEMS {
                let what = format!("its dictionaries have more than {MOST_ITEMS} names");
                return Err(ReadError::TooLarge { path: self.path.into(), what });
            }
            // The state of an optimizer is under numbers.
            let Value::Text(name) = &self.arena[*key] else { continue };
            let found = match &self.arena[*value] {
                Value::Tensor(tensor) => Found::Tensor(tensor.clone()),
                Value::Inert(global) => Found::Inert(global.clone()),
                Value::Dict(inner) if depth < MOST_DEPTH && place.len() + name.len() < MOST_LETTERS => {
                    let place =
                        if place.is_empty() { name.clone() } else { format!("{place}.{name}").into() };
                    self.enter(inner, &place, depth + 1)?;
                    continue;
                }
                _ => continue,
            };
            self.items.push(Item { place: place.clone(), name: name.clone(), found });
        }
        Ok(())
    }
}

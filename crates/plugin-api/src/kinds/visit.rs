//! Going through the parameters and the state of a module, by name.

use tensor_ops::{BatchNorm, Buffer, LayerNorm, Parameter};

use super::Module;

/// A named piece of a [`Module`], to read.
pub enum Entry<'a> {
    /// What the optimizer moves, and the momentum encoder follows.
    Parameter(&'a Parameter),
    /// State that is saved, but neither trained nor averaged: running statistics, the queue.
    Buffer(&'a Buffer),
    /// A saved count, for instance of batches seen.
    Counter(u64),
}

/// A named piece of a [`Module`], to change.
pub enum EntryMut<'a> {
    /// As [`Entry::Parameter`].
    Parameter(&'a mut Parameter),
    /// As [`Entry::Buffer`].
    Buffer(&'a mut Buffer),
    /// As [`Entry::Counter`].
    Counter(&'a mut u64),
}

/// What is called with each name and entry to read.
pub type Visitor<'a> = dyn FnMut(&str, Entry<'_>) + 'a;

/// What is called with each name and entry to change.
pub type VisitorMut<'a> = dyn FnMut(&str, EntryMut<'_>) + 'a;

/// What a field of a module may be, so that [`visit!`](crate::visit) can go through it: a parameter, a buffer, a count,
/// a module, an `Option` of one of these, or a `Vec` or an array of them.
pub trait Part {
    /// Visits what is in it; `name` is its own name, empty for a part that adds nothing to the names of what it holds.
    fn visit_part(&self, name: &str, visitor: &mut Visitor<'_>);

    /// As [`visit_part`](Self::visit_part), to change it.
    fn visit_part_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>);
}

/// The two visits of a [`Module`](crate::Module), from a list of its parts in the order of PyTorch's `state_dict`.
///
/// ```
/// use plugin_api::Module;
/// use tensor_ops::{BatchNorm, Parameter};
///
/// struct Layer {
///     weight: Parameter,
///     bias: Option<Parameter>,
///     norm: BatchNorm,
/// }
///
/// impl Module for Layer {
///     plugin_api::visit! { self;
///         "weight" => self.weight,
///         "bias" => self.bias,
///         "norm" => self.norm,
///     }
/// }
/// ```
///
/// A name may be any expression of a text. A part is a field that is a [`Part`](crate::Part).
#[macro_export]
macro_rules! visit {
    ($self:ident; $($name:expr => $part:expr),* $(,)?) => {
        fn visit(&$self, visitor: &mut $crate::Visitor<'_>) {
            let _ = &visitor;
            $($crate::Part::visit_part(&$part, &*$name, visitor);)*
        }

        fn visit_mut(&mut $self, visitor: &mut $crate::VisitorMut<'_>) {
            let _ = &visitor;
            $($crate::Part::visit_part_mut(&mut $part, &*$name, visitor);)*
        }
    };
}

/// `prefix.name`, or the one that is not empty.
fn joined(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", one) | (one, "") => one.to_owned(),
        _ => format!("{prefix}.{name}"),
    }
}

impl Part for Parameter {
    fn visit_part(&self, name: &str, visitor: &mut Visitor<'_>) {
        visitor(name, Entry::Parameter(self));
    }

    fn visit_part_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>) {
        visitor(name, EntryMut::Parameter(self));
    }
}

impl Part for Buffer {
    fn visit_part(&self, name: &str, visitor: &mut Visitor<'_>) {
        visitor(name, Entry::Buffer(self));
    }

    fn visit_part_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>) {
        visitor(name, EntryMut::Buffer(self));
    }
}

impl Part for u64 {
    fn visit_part(&self, name: &str, visitor: &mut Visitor<'_>) {
        visitor(name, Entry::Counter(*self));
    }

    fn visit_part_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>) {
        visitor(name, EntryMut::Counter(self));
    }
}

impl<M: Module + ?Sized> Part for M {
    fn visit_part(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.visit(&mut |name, entry| visitor(&joined(prefix, name), entry));
    }

    fn visit_part_mut(&mut self, prefix: &str, visitor: &mut VisitorMut<'_>) {
        self.visit_mut(&mut |name, entry| visitor(&joined(prefix, name), entry));
    }
}

impl<P: Part> Part for Option<P> {
    fn visit_part(&self, name: &str, visitor: &mut Visitor<'_>) {
        if let Some(part) = self {
            part.visit_part(name, visitor);
        }
    }

    fn visit_part_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>) {
        if let Some(part) = self {
            part.visit_part_mut(name, visitor);
        }
    }
}

/// Named by their places, from 0.
impl<P: Part, const N: usize> Part for [P; N] {
    fn visit_part(&self, name: &str, visitor: &mut Visitor<'_>) {
        for (place, part) in self.iter().enumerate() {
            part.visit_part(&joined(name, &place.to_string()), visitor);
        }
    }

    fn visit_part_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>) {
        for (place, part) in self.iter_mut().enumerate() {
            part.visit_part_mut(&joined(name, &place.to_string()), visitor);
        }
    }
}

/// Named by their places, from 0.
impl<P: Part> Part for Vec<P> {
    fn visit_part(&self, name: &str, visitor: &mut Visitor<'_>) {
        for (place, part) in self.iter().enumerate() {
            part.visit_part(&joined(name, &place.to_string()), visitor);
        }
    }

    fn visit_part_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>) {
        for (place, part) in self.iter_mut().enumerate() {
            part.visit_part_mut(&joined(name, &place.to_string()), visitor);
        }
    }
}

impl Module for BatchNorm {
    crate::visit! { self;
        "weight" => self.scale,
        "bias" => self.shift,
        "running_mean" => self.running_mean,
        "running_var" => self.running_var,
        "num_batches_tracked" => self.n_batches,
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        Some(self.splits)
    }
}

impl Module for LayerNorm {
    crate::visit! { self;
        "weight" => self.scale,
        "bias" => self.shift,
    }
}

#[cfg(test)]
mod tests {
    use tensor_ops::{Device, ParameterKind};

    use super::*;

    struct Whole {
        token: Option<Parameter>,
        blocks: Vec<BatchNorm>,
        rest: LayerNorm,
        n_seen: u64,
    }

    impl Module for Whole {
        crate::visit! { self;
            "token" => self.token,
            "blocks" => self.blocks,
            "" => self.rest,
            format!("n_{}", "seen") => self.n_seen,
        }
    }

    #[test]
    fn both_visits_have_the_same_names_in_the_same_order() {
        let device = Device::default();
        let mut whole = Whole {
            token: None,
            blocks: vec![BatchNorm::without_affine(2), BatchNorm::without_affine(2)],
            rest: LayerNorm::new(&device, 2, 1e-6).unwrap(),
            n_seen: 3,
        };
        let names = |whole: &Whole| {
            let mut names = Vec::new();
            whole.visit(&mut |name, _| names.push(name.to_owned()));
            names
        };
        let norm =
            |i| ["running_mean", "running_var", "num_batches_tracked"].map(|n| format!("blocks.{i}.{n}"));
        let mut expected: Vec<String> = norm(0).into_iter().chain(norm(1)).collect();
        expected.extend(["weight", "bias", "n_seen"].map(str::to_owned));
        assert_eq!(names(&whole), expected);
        whole.token = Some(Parameter::new(&device, ParameterKind::Vector, &[1], vec![0.5]).unwrap());
        assert_eq!(names(&whole)[0], "token");
        let mut changed = Vec::new();
        whole.visit_mut(&mut |name, entry| {
            changed.push(name.to_owned());
            if let EntryMut::Counter(count) = entry {
                *count += 1;
            }
        });
        assert_eq!(changed, names(&whole));
        assert_eq!(whole.n_seen, 4);
    }
}

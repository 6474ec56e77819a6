//! Places in the lists of a graph, one type for each list.
//!
//! An id is made by the check that puts something into its list, so what an id names is there.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Index, IndexMut};

/// A place in a [`Table`].
pub trait Id: Copy + Eq + Ord {
    /// The id of the place `index`, counted from 0.
    fn at(index: usize) -> Self;

    /// The place, counted from 0.
    fn index(self) -> usize;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub struct $name(usize);

            impl Id for $name {
                fn at(index: usize) -> Self {
                    Self(index)
                }

                fn index(self) -> usize {
                    self.0
                }
            }
        )*
    };
}

ids! {
    /// A view that the graph uses.
    ViewId;
    /// A trained backbone.
    BackboneId;
    /// A trained head.
    HeadId;
    /// A loss module, which several steps may run.
    LossId;
    /// The momentum copy of a backbone.
    BackboneCopyId;
    /// The momentum copy of a head.
    HeadCopyId;
    /// A step that makes queries, with trained weights.
    QueryId;
    /// A step that makes keys, with momentum weights.
    KeyId;
    /// A step that compares queries and keys.
    LossStepId;
}

/// A list whose places are of type `I`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<I, T> {
    items: Vec<T>,
    ids: PhantomData<fn() -> I>,
}

impl<I: Id, T> Table<I, T> {
    /// Adds `item` at the end, and gives its place.
    pub fn push(&mut self, item: T) -> I {
        self.items.push(item);
        I::at(self.items.len() - 1)
    }

    /// What is at `id`; the rest is dropped.
    pub fn take(mut self, id: I) -> T {
        self.items.swap_remove(id.index())
    }

    /// Each place with what is there.
    pub fn iter_with_ids(&self) -> impl Iterator<Item = (I, &T)> {
        self.items.iter().enumerate().map(|(index, item)| (I::at(index), item))
    }

    /// The first place whose item `is_wanted`.
    pub fn find_id(&self, is_wanted: impl FnMut(&T) -> bool) -> Option<I> {
        self.items.iter().position(is_wanted).map(I::at)
    }
}

impl<I, T> Default for Table<I, T> {
    fn default() -> Self {
        Self { items: Vec::new(), ids: PhantomData }
    }
}

impl<I: Id, T> FromIterator<T> for Table<I, T> {
    fn from_iter<Items: IntoIterator<Item = T>>(items: Items) -> Self {
        Self { items: items.into_iter().collect(), ids: PhantomData }
    }
}

impl<I: Id, T> Index<I> for Table<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        &self.items[id.index()]
    }
}

impl<I: Id, T> IndexMut<I> for Table<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.index()]
    }
}

impl<I, T> Deref for Table<I, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<I, T> DerefMut for Table<I, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<'a, I, T> IntoIterator for &'a Table<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<'a, I, T> IntoIterator for &'a mut Table<I, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter_mut()
    }
}

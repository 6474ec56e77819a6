//! Many paths in one block of memory.

use std::collections::HashSet;

/// What separates the folders of a path, on every system.
pub(crate) const SEPARATOR: u8 = b'/';

/// Paths below some place, each with a number that means something to that place.
///
/// A path takes 12 bytes besides its own, so that a listing of millions fits into memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    text: Vec<u8>,
    /// Where each path ends in `text`.
    ends: Vec<u64>,
    numbers: Vec<u32>,
}

impl Entries {
    /// Adds the path that `parts` make together.
    pub(crate) fn push(&mut self, parts: &[&[u8]], number: u32) {
        parts.iter().for_each(|part| self.text.extend_from_slice(part));
        self.ends.push(self.text.len() as u64);
        self.numbers.push(number);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn path(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }

    pub(crate) fn number(&self, index: usize) -> u32 {
        self.numbers[index]
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.path(index))
    }

    /// The entries of `parts`, each of which is sorted, in one order: that of [`sorted`](Self::sorted).
    pub(crate) fn merged(mut parts: Vec<Self>) -> Self {
        parts.iter_mut().for_each(|part| part.replace(SEPARATOR, 0));
        let mut all = Self::with_room_for(parts.iter());
        let mut next = vec![0; parts.len()];
        // The parts are few: there is one per thread of a search.
        while let Some((part, index)) = (0..parts.len())
            .map(|part| (part, next[part]))
            .filter(|&(part, index)| index < parts[part].len())
            .min_by_key(|&(part, index)| parts[part].key(index))
        {
            all.push(&[parts[part].path(index)], parts[part].number(index));
            next[part] += 1;
        }
        all.replace(0, SEPARATOR);
        all
    }

    fn with_room_for<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let n = parts.clone().map(Self::len).sum();
        Self {
            text: Vec::with_capacity(parts.map(|part| part.text.len()).sum()),
            ends: Vec::with_capacity(n),
            numbers: Vec::with_capacity(n),
        }
    }

    /// By what entries are sorted.
    fn key(&self, index: usize) -> (&[u8], u32) {
        (self.path(index), self.numbers[index])
    }

    pub(crate) fn append(&mut self, other: &Self) {
        let offset = self.text.len() as u64;
        self.text.extend_from_slice(&other.text);
        self.ends.extend(other.ends.iter().map(|end| end + offset));
        self.numbers.extend_from_slice(&other.numbers);
    }

    /// Those entries of which `keep` is true.
    pub(crate) fn filtered(&self, mut keep: impl FnMut(&[u8]) -> bool) -> Self {
        self.taken((0..self.len()).filter(|&index| keep(self.path(index))))
    }

    /// All but those at `indices`.
    pub(crate) fn without(&self, indices: &[usize]) -> Self {
        let left_out: HashSet<usize> = indices.iter().copied().collect();
        self.taken((0..self.len()).filter(|index| !left_out.contains(index)))
    }

    /// In the order of the bytes of their paths, folder by folder: a folder's entries stay together. Entries of the
    /// same path are in the order of their numbers.
    pub(crate) fn sorted(mut self) -> Self {
        // A separator that is smaller than all other bytes compares folder by folder.
        self.replace(SEPARATOR, 0);
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        if !order.is_sorted_by_key(|&index| self.key(index as usize)) {
            order.sort_unstable_by(|&a, &b| self.key(a as usize).cmp(&self.key(b as usize)));
            self = self.taken(order.into_iter().map(|index| index as usize));
        }
        self.replace(0, SEPARATOR);
        self
    }

    /// What is below `folder`, with paths that start there.
    pub(crate) fn below(&self, folder: &[u8]) -> Self {
        let mut below = Self::default();
        for index in 0..self.len() {
            if let Some((first, rest)) = split_first(self.path(index))
                && first == folder
            {
                below.push(&[rest], self.number(index));
            }
        }
        below
    }

    /// Of sorted entries those that come last under their path, and how many do not.
    pub(crate) fn last_of_each(self) -> (Self, usize) {
        let is_last = |index: usize| index + 1 == self.len() || self.path(index) != self.path(index + 1);
        let n_repeated = (0..self.len()).filter(|&index| !is_last(index)).count();
        match n_repeated {
            0 => (self, 0),
            n => (self.taken((0..self.len()).filter(|&index| is_last(index))), n),
        }
    }

    fn taken(&self, indices: impl Iterator<Item = usize>) -> Self {
        let mut taken = Self::default();
        indices.for_each(|index| taken.push(&[self.path(index)], self.number(index)));
        taken.text.shrink_to_fit();
        taken.ends.shrink_to_fit();
        taken.numbers.shrink_to_fit();
        taken
    }

    fn replace(&mut self, old: u8, new: u8) {
        self.text.iter_mut().filter(|byte| **byte == old).for_each(|byte| *byte = new);
    }
}

/// The first folder of `path`, and the rest; `None` for a file in no folder.
pub(crate) fn split_first(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().position(|&byte| byte == SEPARATOR)?;
    Some((&path[..at], &path[at + 1..]))
}

/// The last part of `path`.
pub(crate) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == SEPARATOR).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_folder_by_folder() {
        let mut entries = Entries::default();
        for (number, path) in ["a-b/1", "b", "a/2", "a/1/x", "a", "a/10", "a/2"].iter().enumerate() {
            entries.push(&[path.as_bytes()], number as u32);
        }
        let sorted = entries.sorted();
        let paths: Vec<&str> = sorted.paths().map(|path| std::str::from_utf8(path).unwrap()).collect();
        assert_eq!(paths, ["a", "a/1/x", "a/10", "a/2", "a/2", "a-b/1", "b"]);
        assert_eq!((0..7).map(|i| sorted.number(i)).collect::<Vec<_>>(), [4, 3, 5, 2, 6, 0, 1]);
    }

    #[test]
    fn sorted_parts_make_one_sorted_whole() {
        let part = |paths: &[&str]| {
            let mut entries = Entries::default();
            paths.iter().for_each(|path| entries.push(&[path.as_bytes()], 0));
            entries.sorted()
        };
        let merged = Entries::merged(vec![part(&["a/2", "b"]), part(&[]), part(&["a-b/1", "a/1", "c"])]);
        let paths: Vec<&str> = merged.paths().map(|path| std::str::from_utf8(path).unwrap()).collect();
        assert_eq!(paths, ["a/1", "a/2", "a-b/1", "b", "c"]);
    }

    #[test]
    fn a_path_is_what_its_parts_make() {
        let mut entries = Entries::default();
        entries.push(&[b"a", b"/", b"1.png"], 7);
        let mut more = Entries::default();
        more.push(&[b""], 8);
        more.push(&[b"b"], 9);
        entries.append(&more);
        assert_eq!(entries.paths().collect::<Vec<_>>(), [&b"a/1.png"[..], b"", b"b"]);
        let kept = entries.filtered(|path| path.len() == 1);
        assert_eq!((kept.len(), kept.path(0), kept.number(0)), (1, &b"b"[..], 9));
        assert_eq!(entries.without(&[2, 0]).paths().collect::<Vec<_>>(), [b""]);
        assert_eq!(split_first(b"a/b/c"), Some((&b"a"[..], &b"b/c"[..])));
        assert_eq!((split_first(b"c"), file_name(b"a/b/c"), file_name(b"c")), (None, &b"c"[..], &b"c"[..]));
    }
}

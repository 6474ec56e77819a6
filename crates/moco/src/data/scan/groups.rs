//! Groups of images that are the same, or look the same.

use std::collections::HashMap;

use super::image::Look;

/// Bits in which the hashes of two images that look the same may differ, of 63.
const MOST_BITS: u32 = 4;

/// Two hashes that differ in `MOST_BITS` bits are equal in at least one of so many parts.
const N_PARTS: u32 = MOST_BITS + 1;

/// Bits of a part.
const PART_BITS: u32 = 64_u32.div_ceil(N_PARTS);

/// Hashes with one part in common that each is compared with. Photographs come nowhere near; it bounds the time for
/// pictures made to collide.
const MOST_COMPARED: usize = 1 << 14;

/// Images with the same bytes: groups of two or more, in order.
pub(super) fn identical(looks: &[Look]) -> Vec<Vec<usize>> {
    let mut groups: HashMap<[u8; 16], Vec<usize>> = HashMap::new();
    for (i, look) in looks.iter().enumerate() {
        if let Some(hash) = look.hash {
            groups.entry(hash).or_default().push(i);
        }
    }
    in_order(groups.into_values())
}

/// Images that look the same and do not have the same bytes.
pub(super) fn alike(looks: &[Look], identical: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut is_first = vec![true; looks.len()];
    for &image in identical.iter().flat_map(|group| &group[1..]) {
        is_first[image] = false;
    }
    let mut by_appearance: HashMap<u64, Vec<usize>> = HashMap::new();
    for (i, look) in looks.iter().enumerate().filter(|(i, _)| is_first[*i]) {
        if let Some(appearance) = look.seen.as_ref().ok().and_then(|seen| seen.appearance) {
            by_appearance.entry(appearance).or_default().push(i);
        }
    }
    let mut hashes: Vec<u64> = by_appearance.keys().copied().collect();
    hashes.sort_unstable();
    let mut sets = Sets::new(hashes.len());
    for part in 0..N_PARTS {
        let of = |hash: u64| hash >> (part * PART_BITS) & ((1 << PART_BITS) - 1);
        let mut ordered: Vec<usize> = (0..hashes.len()).collect();
        ordered.sort_by_key(|&i| of(hashes[i]));
        for same in ordered.chunk_by(|&a, &b| of(hashes[a]) == of(hashes[b])) {
            for (n, &a) in same.iter().enumerate() {
                for &b in same[n + 1..].iter().take(MOST_COMPARED) {
                    if (hashes[a] ^ hashes[b]).count_ones() <= MOST_BITS {
                        sets.join(a, b);
                    }
                }
            }
        }
    }
    let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
    for (i, hash) in hashes.iter().enumerate() {
        groups.entry(sets.root(i)).or_default().extend(&by_appearance[hash]);
    }
    in_order(groups.into_values())
}

fn in_order(groups: impl Iterator<Item = Vec<usize>>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = groups
        .filter(|group| group.len() > 1)
        .map(|mut group| {
            group.sort_unstable();
            group
        })
        .collect();
    groups.sort_unstable();
    groups
}

/// Disjoint sets.
struct Sets {
    /// The one above each; a root is its own.
    above: Vec<usize>,
}

impl Sets {
    fn new(n: usize) -> Self {
        Self { above: (0..n).collect() }
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.above[i] != i {
            self.above[i] = self.above[self.above[i]];
            i = self.above[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.above[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::UnreadableImage;

    use super::super::image::Seen;
    use super::*;

    fn look(hash: u8, appearance: Option<u64>) -> Look {
        let seen = Seen { size: (1, 1), moments: vec![], appearance };
        Look { n_bytes: 1, format: String::new(), hash: Some([hash; 16]), seen: Ok(seen) }
    }

    #[test]
    fn the_first_of_identical_images_stands_for_all() {
        let flipped = 0b1_0000_0000_0001_0000_0000_0001_u64;
        let looks = [
            look(1, Some(0)),
            look(2, None),
            look(1, Some(0)),
            look(3, Some(flipped)),
            look(4, Some(u64::MAX >> 1)),
            look(2, None),
        ];
        let same = identical(&looks);
        assert_eq!(same, [vec![0, 2], vec![1, 5]]);
        assert_eq!(alike(&looks, &same), [vec![0, 3]]);
    }

    #[test]
    fn any_four_bits_may_differ_and_no_five() {
        for i in 0..59 {
            let four = 1_u64 << i | 1 << (i + 1) | 1 << (i + 3) | 1 << ((i + 31) % 63);
            assert_eq!(
                alike(&[look(1, Some(0)), look(2, Some(four))], &[]).len(),
                usize::from(four.count_ones() <= 4)
            );
        }
        assert!(alike(&[look(1, Some(0)), look(2, Some(0b11111))], &[]).is_empty());
    }

    #[test]
    fn unreadable_images_are_alone() {
        let seen = || Err(UnreadableImage { name: "x".into(), reason: "y".into() });
        let looks: Vec<Look> =
            (0..2).map(|_| Look { n_bytes: 0, format: String::new(), hash: None, seen: seen() }).collect();
        assert!(identical(&looks).is_empty() && alike(&looks, &[]).is_empty());
    }
}

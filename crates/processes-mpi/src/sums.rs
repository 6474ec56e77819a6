//! Sums over all processes: each adds its share of the values, and gives the sums to all.

use processes::{ProcessesError, Wire, share, sum_in_order};

use crate::announcement::{Kind, N_INLINE};
use crate::lane::{Lane, STRIP, narrow, widen};
use crate::link::{Link, Messages, tag};

/// Values of the pieces that are on their way to one process at a time.
const WINDOW: usize = 1 << 20;
/// Values of a piece, at least: smaller messages cost more than what they carry.
const MIN_PIECE: usize = 16 << 10;

/// Memory that one sum leaves to the next.
#[derive(Default)]
pub(crate) struct Room {
    /// What others give, before it is added.
    single: Vec<f32>,
    bf16: Vec<u16>,
    /// All values as they travel.
    narrow: Vec<u16>,
}

/// The sum of what all processes give, value by value, in the order of [`processes::Tree`].
pub(crate) fn sum(
    link: &mut Link,
    mut values: Vec<f32>,
    wire: Wire,
    room: &mut Room,
) -> Result<Vec<f32>, ProcessesError> {
    if values.len() <= N_INLINE / wire.width() {
        return sum_small(link, values, wire);
    }
    link.announce_sum(Kind::Sum(wire), values.len(), &[])?;
    match wire {
        _ if link.n() == 1 => {}
        Wire::Single => sum_shares(link, &mut values, &mut room.single),
        Wire::Bf16 => {
            room.narrow.resize(values.len(), 0);
            narrow(&values, &mut room.narrow);
            sum_shares(link, &mut room.narrow, &mut room.bf16);
            widen(&room.narrow, &mut values);
        }
    }
    Ok(values)
}

/// The same where all values travel in one message: each process adds all of them.
fn sum_small(link: &mut Link, values: Vec<f32>, wire: Wire) -> Result<Vec<f32>, ProcessesError> {
    let own = wire.pack(&values);
    let inline = link.announce_sum(Kind::Sum(wire), values.len(), &own)?;
    if link.n() == 1 {
        return Ok(values);
    }
    let rank = link.rank();
    let mut of_ranks: Vec<Vec<f32>> = inline
        .iter()
        .enumerate()
        .map(|(of, bytes)| wire.unpack(if of == rank { &own } else { bytes }))
        .collect();
    sum_in_order(&mut of_ranks);
    let sum = of_ranks.swap_remove(0);
    Ok(match wire {
        Wire::Single => sum,
        Wire::Bf16 => wire.unpack(&wire.pack(&sum)),
    })
}

/// Replaces the values by the sums.
///
/// Values are cut in a share for each process, and shares in pieces. In a round, one piece of each share travels to the process
/// whose share it is, the pieces of the round before are added, and the sums of the one before that travel to all.
fn sum_shares<T: Lane>(link: &Link, values: &mut [T], incoming: &mut Vec<T>) {
    let (n, rank) = (link.n(), link.rank());
    let piece = (WINDOW / (n - 1)).max(MIN_PIECE);
    let mut shares = cut(values, n, piece);
    let n_rounds = shares[0].len() + 2;
    incoming.resize(2 * (n - 1) * piece, T::default());
    let (mut arriving, mut arrived) = incoming.split_at_mut((n - 1) * piece);

    for round in 0..n_rounds {
        let mut messages = Messages::new();
        let mut added: Vec<&mut [T]> = Vec::new();
        let mut rooms = arriving.chunks_mut(piece);
        for (owner, pieces) in shares.iter_mut().enumerate() {
            let under_way = pieces.iter_mut().enumerate().take(round + 1).skip(round.saturating_sub(2));
            for (i, values) in under_way {
                let len = values.len();
                match (round - i, owner == rank) {
                    (0, false) => messages.send(owner, tag::GIVEN, values),
                    (0, true) => {
                        for (other, room) in link.others().zip(rooms.by_ref()) {
                            messages.receive(other, tag::GIVEN, &mut room[..len]);
                        }
                    }
                    (1, true) => {
                        added = arrived.chunks_mut(piece).map(|room| &mut room[..len]).collect();
                        added.insert(rank, values);
                    }
                    (2, false) => messages.receive(owner, tag::ADDED, values),
                    (2, true) => link.others().for_each(|other| messages.send(other, tag::ADDED, values)),
                    // Its owner adds it.
                    _ => {}
                }
            }
        }
        link.transfer(messages, || add_strip(&mut added, rank));
        (arriving, arrived) = (arrived, arriving);
    }
}

/// The share of each of `n` processes in pieces.
fn cut<T>(mut values: &mut [T], n: usize, piece: usize) -> Vec<Vec<&mut [T]>> {
    let len = values.len();
    (0..n)
        .map(|rank| {
            let of_rank = values.split_off_mut(..share(len, rank, n).len()).unwrap_or_default();
            of_rank.chunks_mut(piece).collect()
        })
        .collect()
}

/// Adds the next values of all processes, and takes them off. Says whether there were any.
fn add_strip<T: Lane>(of_ranks: &mut [&mut [T]], rank: usize) -> bool {
    let len = of_ranks.first().map_or(0, |values| values.len().min(STRIP));
    if len == 0 {
        return false;
    }
    let mut strips: Vec<&mut [T]> =
        of_ranks.iter_mut().filter_map(|values| values.split_off_mut(..len)).collect();
    T::add(&mut strips, rank);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_cut_without_a_gap() {
        let mut values: Vec<usize> = (0..23).collect();
        let shares = cut(&mut values, 4, 4);
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2]);
        assert_eq!(shares[3][1], [22]);
        assert_eq!(
            shares.iter().flatten().flat_map(|piece| piece.to_vec()).collect::<Vec<_>>(),
            (0..23).collect::<Vec<_>>()
        );
    }
}

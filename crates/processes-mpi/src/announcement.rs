//! What a process says before it exchanges something, so that processes out of step are found.

use processes::{ProcessesError, Wire};

/// Bytes of an announcement.
pub(crate) const LEN: usize = 24;
/// What is at most as long travels with its announcement, in one message.
pub(crate) const N_INLINE: usize = 16 * 1024;

/// What a process exchanges next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) kind: Kind,
    /// How many exchanges came before.
    pub(crate) number: u64,
    /// Bytes, or values of a sum.
    pub(crate) len: usize,
}

/// The kinds of exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All give bytes.
    Gather,
    /// Process 0 gives bytes.
    Broadcast,
    /// All give values.
    Sum(Wire),
    /// The process ends.
    Leave,
}

impl Announcement {
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let kind: u64 = match self.kind {
            Kind::Gather => 1,
            Kind::Broadcast => 2,
            Kind::Sum(Wire::Single) => 3,
            Kind::Sum(Wire::Bf16) => 4,
            Kind::Leave => 5,
        };
        let mut bytes = [0; LEN];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip([kind, self.number, self.len as u64]) {
            *to = word.to_le_bytes();
        }
        bytes
    }

    /// The announcement at the start of a message; `None` where there is none.
    pub(crate) fn from_bytes(message: &[u8]) -> Option<Self> {
        let (words, _) = message.get(..LEN)?.as_chunks();
        let [kind, number, len] = *words else { return None };
        let kind = match u64::from_le_bytes(kind) {
            1 => Kind::Gather,
            2 => Kind::Broadcast,
            3 => Kind::Sum(Wire::Single),
            4 => Kind::Sum(Wire::Bf16),
            5 => Kind::Leave,
            _ => return None,
        };
        Some(Self {
            kind,
            number: u64::from_le_bytes(number),
            len: usize::try_from(u64::from_le_bytes(len)).ok()?,
        })
    }

    /// How many bytes travel with it.
    pub(crate) fn n_inline(self) -> usize {
        match self.kind {
            Kind::Gather | Kind::Broadcast => self.len.min(N_INLINE),
            Kind::Sum(wire) if self.len <= N_INLINE / wire.width() => self.len * wire.width(),
            Kind::Sum(_) | Kind::Leave => 0,
        }
    }

    /// Whether process `rank` may announce `theirs` where process `own_rank` announces this.
    ///
    /// # Errors
    /// If it may not.
    pub(crate) fn check(self, own_rank: usize, rank: usize, theirs: Self) -> Result<(), ProcessesError> {
        let same_len = self.len == theirs.len || !matches!(self.kind, Kind::Sum(_));
        if self.kind == theirs.kind && self.number == theirs.number && same_len {
            return Ok(());
        }
        if theirs.kind == Kind::Leave {
            return Err(ProcessesError::Ended { rank, why: None });
        }
        let numbered = |announcement: Self| match self.number == theirs.number {
            true => announcement.describe(),
            false => format!("{} as number {}", announcement.describe(), announcement.number),
        };
        Err(ProcessesError::OutOfStep { own_rank, own: numbered(self), rank, theirs: numbered(theirs) })
    }

    fn describe(self) -> String {
        match self.kind {
            Kind::Gather => "bytes".into(),
            Kind::Broadcast => "what process 0 has".into(),
            Kind::Sum(Wire::Single) => format!("{} values", self.len),
            Kind::Sum(Wire::Bf16) => format!("{} values in bfloat16", self.len),
            Kind::Leave => "nothing more".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 5] =
        [Kind::Gather, Kind::Broadcast, Kind::Sum(Wire::Single), Kind::Sum(Wire::Bf16), Kind::Leave];

    #[test]
    fn an_announcement_comes_back_from_its_bytes() {
        for (number, kind) in (1 << 40..).zip(KINDS) {
            let announcement = Announcement { kind, number, len: usize::MAX - 7 };
            let mut message = announcement.to_bytes().to_vec();
            message.push(1);
            assert_eq!(Announcement::from_bytes(&message), Some(announcement));
            assert_eq!(
                Announcement::from_bytes(&message[1..]),
                None,
                "what is no announcement is told from one"
            );
            assert_eq!(Announcement::from_bytes(&message[..LEN - 1]), None);
        }
    }

    #[test]
    fn what_differs_is_said() {
        let sum = Announcement { kind: Kind::Sum(Wire::Single), number: 3, len: 7 };
        let gather = Announcement { kind: Kind::Gather, ..sum };
        let message = |own: Announcement, theirs| own.check(0, 1, theirs).unwrap_err().to_string();
        assert!(gather.check(0, 1, Announcement { len: 9, ..gather }).is_ok(), "bytes may differ in length");
        assert_eq!(message(sum, gather), "process 1 exchanges bytes where process 0 exchanges 7 values");
        assert_eq!(
            message(sum, Announcement { len: 8, ..sum }),
            "process 1 exchanges 8 values where process 0 exchanges 7 values"
        );
        assert_eq!(
            message(sum, Announcement { number: 4, ..sum }),
            "process 1 exchanges 7 values as number 4 where process 0 exchanges 7 values as number 3"
        );
        assert_eq!(message(sum, Announcement { kind: Kind::Leave, ..sum }), "process 1 has ended");
    }
}

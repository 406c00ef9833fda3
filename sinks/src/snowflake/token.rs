//! The offset token of a channel: how far its rows have come.
//!
//! ```text
//! w1:<batch, 19 digits>:<row, 10 digits>:<e if the batch ends there, else m>:<base, 19 digits>:<errors>
//! ```
//!
//! All rows of the channel up to `batch` and `row` are in the channel, in order. It has every row
//! of the whole batches from `base` on; what lies below `base`, and pieces of batches that were
//! cut, may have gaps. `errors` are the channel's rejected rows that were settled when the rows
//! were sent, so that one who opens the channel sees whether there were more. Tokens of one
//! channel sort as texts in the order of their rows.

use std::fmt;
use std::str::FromStr;

/// A row's place among those of one node and dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    /// The batch's number.
    pub(super) batch: i64,
    /// The row in it, from 0.
    pub(super) row: i32,
}

/// How far a channel is; see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetToken {
    /// The last row.
    pub(super) at: Position,
    /// Whether it is the last row that its batch has for the channel.
    pub(super) ends: bool,
    /// From which batch on nothing is missing.
    pub(super) base: i64,
    /// The rejected rows that were settled before.
    pub(super) errors: u64,
}

/// The text is no token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not an offset token of weir")]
pub(super) struct ForeignToken;

impl fmt::Display for OffsetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { batch, row } = self.at;
        let end = if self.ends { 'e' } else { 'm' };
        let Self { base, errors, .. } = self;
        write!(f, "w1:{batch:019}:{row:010}:{end}:{base:019}:{errors}")
    }
}

impl FromStr for OffsetToken {
    type Err = ForeignToken;

    fn from_str(text: &str) -> Result<Self, ForeignToken> {
        fn number<T: FromStr>(part: &str) -> Result<T, ForeignToken> {
            part.parse().map_err(|_| ForeignToken)
        }
        let parts: Vec<&str> = text.split(':').collect();
        let ["w1", batch, row, end, base, errors] = parts.as_slice() else {
            return Err(ForeignToken);
        };
        let ends = match *end {
            "e" => true,
            "m" => false,
            _ => return Err(ForeignToken),
        };
        Ok(Self {
            at: Position {
                batch: number(batch)?,
                row: number(row)?,
            },
            ends,
            base: number(base)?,
            errors: number(errors)?,
        })
    }
}

impl OffsetToken {
    /// The last batch that is there whole; `None` where there is none.
    pub(super) fn last_whole(&self) -> Option<i64> {
        let last = self.at.batch - i64::from(!self.ends);
        (last >= self.base).then_some(last)
    }

    /// The base of rows that begin with `batch` and follow this token.
    pub(super) fn base_for(&self, batch: i64) -> i64 {
        let follows = batch == self.at.batch || (batch == self.at.batch + 1 && self.ends);
        if follows { self.base } else { batch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(batch: i64, row: i32, ends: bool) -> OffsetToken {
        OffsetToken {
            at: Position { batch, row },
            ends,
            base: 3,
            errors: 0,
        }
    }

    #[test]
    fn tokens_are_read_as_written_and_sort_as_their_rows() {
        let all = [
            token(3, 0, false),
            token(3, 9, true),
            token(10, 2, false),
            token(i64::MAX, i32::MAX, true),
        ];
        let texts = all.map(|t| t.to_string());
        assert!(texts.is_sorted(), "{texts:?}");
        for (token, text) in all.iter().zip(&texts) {
            assert_eq!(text.parse(), Ok(*token));
        }
        for foreign in [
            "",
            "5",
            "b0:3",
            "w2:1:1:e:1:0",
            "w1:1:1:x:1:0",
            "w1:1:1:e:1:0:",
        ] {
            assert_eq!(
                foreign.parse::<OffsetToken>(),
                Err(ForeignToken),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_gap_moves_the_base_and_an_unfinished_batch_is_not_held() {
        let done = token(5, 9, true);
        assert_eq!(
            (done.base_for(6), done.base_for(5), done.base_for(7)),
            (3, 3, 7)
        );
        let open = token(5, 4, false);
        assert_eq!((open.base_for(5), open.base_for(6)), (3, 6));
        assert_eq!((done.last_whole(), open.last_whole()), (Some(5), Some(4)));
        assert_eq!(token(3, 4, false).last_whole(), None);
    }
}

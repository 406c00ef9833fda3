//! A row of the ledger as bytes: fixed fields, then what is there, behind masks of bits.

use std::sync::Arc;

use weir_transforms::trace::{
    Attribution, Booking, BookingFlags, ContentKey, CostStatus, OpKind, Sign, SpanId, Usage,
};

use super::{COUNTS, Row};

/// The layout that is written; the store with another one is made anew.
const VERSION: u8 = 1;
/// How many texts a booking may have.
const TEXTS: usize = 19;
/// How many numbers: counts, amounts, the duration.
const NUMBERS: usize = COUNTS.len() + 4;

/// The texts, in the order in which they are written.
fn texts(booking: &Booking) -> [Option<&str>; TEXTS] {
    [
        booking.skill.as_deref(),
        booking.skill_version.as_deref(),
        booking.agent_name.as_deref(),
        booking.agent_id.as_deref(),
        booking.provider.as_deref(),
        booking.model.as_deref(),
        booking.session_id.as_deref(),
        booking.user_id.as_deref(),
        booking.team_id.as_deref(),
        booking.project.as_deref(),
        booking.cost_center.as_deref(),
        booking.workflow_name.as_deref(),
        booking.environment.as_deref(),
        booking.price_ref.as_deref(),
        booking.error_type.as_deref(),
        Some(booking.kind.name()),
        Some(booking.attribution.name()),
        Some(booking.status.name()),
        booking.disagrees.map(|yes| if yes { "1" } else { "0" }),
    ]
}

fn numbers(booking: &Booking) -> [Option<i128>; NUMBERS] {
    let mut all = [None; NUMBERS];
    let counts = COUNTS.map(|count| booking.usage.get(count).map(i128::from));
    let rest = [
        booking.reported,
        booking.computed,
        booking.cost,
        booking.duration_nanos.map(i128::from),
    ];
    for (slot, number) in all.iter_mut().zip(counts.into_iter().chain(rest)) {
        *slot = number;
    }
    all
}

fn mask<T>(all: &[Option<T>]) -> u32 {
    let bits = all.iter().enumerate();
    bits.fold(0, |mask, (at, one)| mask | u32::from(one.is_some()) << at)
}

/// Appends `row` to `out`.
pub(super) fn write(row: &Row, out: &mut Vec<u8>) {
    let booking = &row.booking;
    let flags = booking.flags;
    let flags = [
        row.sign == Sign::Plus,
        flags.conflict,
        flags.twin_merged,
        flags.cycle,
    ];
    out.push(VERSION);
    out.push(
        flags
            .iter()
            .rev()
            .fold(0, |mask, set| mask << 1 | u8::from(*set)),
    );
    out.extend_from_slice(&row.batch.to_le_bytes());
    out.extend_from_slice(&row.row.to_le_bytes());
    out.extend_from_slice(&row.part_date.to_le_bytes());
    out.extend_from_slice(&booking.start.to_le_bytes());
    out.extend_from_slice(&booking.span.0.to_le_bytes());
    out.extend_from_slice(&booking.content_key.0.to_le_bytes());
    let texts = texts(booking);
    out.extend_from_slice(&mask(&texts).to_le_bytes());
    for text in texts.into_iter().flatten() {
        out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    let numbers = numbers(booking);
    out.extend_from_slice(&mask(&numbers).to_le_bytes());
    for number in numbers.into_iter().flatten() {
        let bytes = number.to_le_bytes();
        // Nearly all fit into eight bytes; a first byte says how many there are.
        match i64::try_from(number) {
            Ok(short) => {
                out.push(8);
                out.extend_from_slice(&short.to_le_bytes());
            }
            Err(_) => {
                out.push(16);
                out.extend_from_slice(&bytes);
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let length = usize::try_from(u32::from_le_bytes(self.take()?)).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Arc::from)
    }

    fn number(&mut self) -> Option<i128> {
        match self.take::<1>()? {
            [8] => Some(i64::from_le_bytes(self.take()?).into()),
            [16] => Some(i128::from_le_bytes(self.take()?)),
            _ => None,
        }
    }

    fn many<T, const N: usize>(
        &mut self,
        one: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<[Option<T>; N]> {
        let mask = u32::from_le_bytes(self.take()?);
        let mut all = [const { None }; N];
        for (at, slot) in all.iter_mut().enumerate() {
            if mask >> at & 1 == 1 {
                *slot = Some(one(self)?);
            }
        }
        Some(all)
    }
}

/// Reads what [`write`] wrote; `None` where it is something else.
pub(super) fn read(bytes: &[u8]) -> Option<Row> {
    let mut from = Reader(bytes);
    let [version, flags] = from.take()?;
    if version != VERSION {
        return None;
    }
    let row = Row {
        batch: i64::from_le_bytes(from.take()?),
        row: u32::from_le_bytes(from.take()?),
        sign: if flags & 1 == 1 {
            Sign::Plus
        } else {
            Sign::Minus
        },
        part_date: i32::from_le_bytes(from.take()?),
        booking: booking(&mut from, flags)?,
    };
    from.0.is_empty().then_some(row)
}

fn booking(from: &mut Reader<'_>, flags: u8) -> Option<Booking> {
    let start = i64::from_le_bytes(from.take()?);
    let span = SpanId(u64::from_le_bytes(from.take()?));
    let content_key = ContentKey(u128::from_le_bytes(from.take()?));
    let texts: [Option<Arc<str>>; TEXTS] = from.many(Reader::text)?;
    let mut texts = texts.into_iter();
    let mut text = || texts.next().flatten();
    let numbers: [Option<i128>; NUMBERS] = from.many(Reader::number)?;
    let (counts, rest) = numbers.split_at_checked(COUNTS.len())?;
    let [reported, computed, cost, duration] = *rest else {
        return None;
    };
    let mut usage = Usage::default();
    for (which, count) in COUNTS.into_iter().zip(counts) {
        usage.set(which, count.map(i64::try_from).transpose().ok()?);
    }
    // In the order of `texts`.
    Some(Booking {
        start,
        span,
        content_key,
        duration_nanos: duration.map(i64::try_from).transpose().ok()?,
        usage,
        reported,
        computed,
        cost,
        flags: BookingFlags {
            conflict: flags & 2 != 0,
            twin_merged: flags & 4 != 0,
            cycle: flags & 8 != 0,
        },
        skill: text(),
        skill_version: text(),
        agent_name: text(),
        agent_id: text(),
        provider: text(),
        model: text(),
        session_id: text(),
        user_id: text(),
        team_id: text(),
        project: text(),
        cost_center: text(),
        workflow_name: text(),
        environment: text(),
        price_ref: text(),
        error_type: text(),
        kind: OpKind::from_name(&text()?)?,
        attribution: Attribution::from_name(&text()?)?,
        status: CostStatus::from_name(&text()?)?,
        disagrees: text().map(|yes| &*yes == "1"),
    })
}

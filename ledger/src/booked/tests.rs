use weir_model::{Batch, BatchId, Dataset, NodeId, TenantId};
use weir_transforms::trace::{
    Attribution, BookingFlags, ContentKey, CostStatus, OpKind, SpanId, TraceId,
};

use super::*;

fn booking(span: u64) -> Booking {
    let mut usage = Usage::default();
    usage.set(UsageCount::Input, Some(12));
    usage.set(UsageCount::CacheRead, Some(0));
    usage.set(UsageCount::AudioInput, Some(3));
    Booking {
        start: 1_790_000_000_123_456_789,
        span: SpanId(span),
        content_key: ContentKey(u128::MAX - 5),
        duration_nanos: Some(1_234_567_891),
        kind: OpKind::Llm,
        skill: Some("review".into()),
        skill_version: None,
        attribution: Attribution::Ancestor,
        agent_name: Some("agent".into()),
        agent_id: None,
        provider: Some("openai".into()),
        model: Some("gpt-5".into()),
        session_id: None,
        user_id: Some("u".into()),
        team_id: None,
        project: None,
        cost_center: Some("".into()),
        workflow_name: None,
        environment: Some("prod".into()),
        usage,
        reported: Some(-7),
        computed: Some(123_456_789_012_345_678_901),
        cost: Some(5),
        status: CostStatus::Reported,
        disagrees: Some(false),
        price_ref: Some("list:entry".into()),
        error_type: None,
        flags: BookingFlags {
            twin_merged: true,
            ..BookingFlags::default()
        },
    }
}

fn signed(span: u64, sign: Sign) -> Signed {
    Signed {
        key: TraceKey {
            tenant: TenantId::new("acme").unwrap(),
            trace: TraceId(9),
        },
        sign,
        part_date: 20_454,
        booking: in_columns(booking(span)),
    }
}

#[test]
fn rows_and_bytes_give_back_what_was_booked() {
    let all = [signed(1, Sign::Minus), signed(2, Sign::Plus)];
    let accepted = to_rows(&all, 77, 3).unwrap();
    let id = BatchId {
        node: NodeId::from_bits(1),
        dataset: Dataset::CostLedger,
        number: 3,
    };
    let batch = Batch::seal(id, &accepted).unwrap();
    let back: Vec<_> = from_rows(batch.rows()).collect();
    assert_eq!(back.len(), 2);
    for (n, (key, row)) in back.into_iter().enumerate() {
        assert_eq!(key, all[n].key);
        assert_eq!(row.booking, all[n].booking, "as the columns have it");
        assert_eq!((row.batch, row.row as usize, row.sign), (3, n, all[n].sign));
        let mut bytes = Vec::new();
        bytes::write(&row, &mut bytes);
        assert_eq!(bytes::read(&bytes), Some(row));
        for cut in 0..bytes.len() {
            assert_eq!(bytes::read(&bytes[..cut]), None);
        }
    }
    assert!(rows::kinds().iter().all(|(_, kind)| kind.is_some()));
}

#[test]
fn a_row_that_is_read_twice_counts_once() {
    let mut entry = Entry::default();
    let row = |batch, sign, span| Row {
        batch,
        row: 0,
        sign,
        part_date: 1,
        booking: in_columns(booking(span)),
    };
    for row in [
        row(1, Sign::Plus, 1),
        row(2, Sign::Plus, 2),
        row(1, Sign::Plus, 1),
    ] {
        push(&row, &mut entry.bookings);
    }
    let booked = Booked::of(&entry).unwrap();
    assert_eq!(booked.standing().len(), 2);
    push(&row(3, Sign::Minus, 1), &mut entry.bookings);
    let booked = Booked::of(&entry).unwrap();
    let standing = booked.standing();
    assert_eq!(standing.len(), 1);
    assert_eq!(standing[0].1.span, SpanId(2));
    let mut again = Entry::default();
    booked.write(&mut again.bookings);
    assert_eq!(Booked::of(&again).unwrap().standing().len(), 1);
}

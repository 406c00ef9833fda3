//! What every decoder is told about a request besides its body.

use weir_model::TenantId;

use super::ocsf::Policy;

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;

/// How far an event may lie in the past and still choose its partition.
const PAST_MAX_US: i64 = 30 * DAY_US;

/// How far an event may lie in the future and still choose its partition.
const FUTURE_MAX_US: i64 = 10 * 60 * 1_000_000;

/// What the body cannot be trusted to say.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Whose rows these are, by the credential.
    pub tenant: TenantId,
    /// When this node accepted the request, in microseconds since the epoch.
    pub received_at_us: i64,
}

/// How much of a body is taken; see each field for what happens beyond it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Attributes of one span, event, link, scope or resource; the rest is cut and flagged.
    pub attributes_max: usize,
    /// Events of one span; the rest is cut and flagged.
    pub events_max: usize,
    /// Links of one span; the rest is cut and flagged.
    pub links_max: usize,
    /// Bytes of one value as text; the rest is cut at a character boundary and flagged.
    pub value_bytes_max: usize,
    /// Rows of one request; one more refuses the request as too large.
    pub rows_max: usize,
    /// How deep JSON may nest; deeper refuses the request.
    pub json_depth_max: usize,
    /// Values of a JSON body that is parsed as a whole (audit and OCSF); one more refuses it as too
    /// large. Parsed, two bytes become seventy.
    pub json_values_max: usize,
    /// How deep an attribute's value may nest; deeper refuses the request.
    pub value_depth_max: usize,
    /// Bytes of the decoded rows, whose resources repeat for each span; more refuses the request
    /// as too large.
    pub decoded_bytes_max: usize,
    /// Events of one request to the OCSF receiver; one more refuses it.
    pub ocsf_events_max: usize,
    /// What such an event must hold to; what does not is refused alone, or flagged.
    pub ocsf: Policy,
    /// Canonical gateway events of one audit request; one more refuses it.
    pub canonical_events_max: usize,
    /// Telemetry events of one batch; one more refuses it.
    pub telemetry_events_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attributes_max: 256,
            events_max: 1024,
            links_max: 1024,
            value_bytes_max: 64 << 10,
            rows_max: 100_000,
            json_depth_max: 64,
            json_values_max: 2_000_000,
            value_depth_max: 32,
            decoded_bytes_max: 512 << 20,
            ocsf_events_max: 1000,
            ocsf: Policy::default(),
            canonical_events_max: 500,
            telemetry_events_max: 1000,
        }
    }
}

impl Acceptance {
    /// The partition of an event at `event_us`, in days since the epoch, and whether the time of
    /// receipt had to be taken: where the event names no time, or one too far away.
    pub(super) fn part_date(&self, event_us: Option<i64>) -> (i32, bool) {
        let from = self.received_at_us.saturating_sub(PAST_MAX_US);
        let to = self.received_at_us.saturating_add(FUTURE_MAX_US);
        match event_us.filter(|us| (from..=to).contains(us)) {
            Some(us) => (day(us), false),
            None => (day(self.received_at_us), true),
        }
    }
}

fn day(us: i64) -> i32 {
    i32::try_from(us.div_euclid(DAY_US)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_near_their_receipt_choose_their_partition() {
        let noon = 20_000 * DAY_US + DAY_US / 2;
        let at = Acceptance {
            tenant: TenantId::local(),
            received_at_us: noon,
        };
        assert_eq!(at.part_date(Some(noon)), (20_000, false));
        assert_eq!(at.part_date(Some(noon - 30 * DAY_US)), (19_970, false));
        assert_eq!(at.part_date(Some(noon - 30 * DAY_US - 1)), (20_000, true));
        assert_eq!(at.part_date(Some(noon + 600_000_000)), (20_000, false));
        assert_eq!(at.part_date(Some(noon + 600_000_001)), (20_000, true));
        assert_eq!(at.part_date(Some(i64::MIN)), (20_000, true));
        assert_eq!(at.part_date(None), (20_000, true));
    }
}

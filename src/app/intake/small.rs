//! The way of small trace requests, which are decoded together.

use bytes::Bytes;
use weir_ingest::decode::otlp::count_spans;
use weir_ingest::log::Route;
use weir_model::Dataset;

use super::{Arrived, Intake, Taken};
use crate::app::resends::{Standing, digest};
use crate::app::together::{Outcome, Small};
use crate::http::refusal::Refusal;

impl Intake {
    /// Takes a small trace request together with others; `None` where it must go alone, its spans
    /// charged already.
    pub(super) async fn small_traces(&self, arrived: &Arrived) -> Result<Option<Taken>, Refusal> {
        let Arrived { caller, body } = arrived;
        let bytes = &body.bytes;
        let Some(spans) = count_spans(bytes).filter(|spans| *spans > 0) else {
            return Ok(None);
        };
        let at = self.acceptance(&caller.tenant);
        let digest = digest(&at.tenant, Route::Traces, bytes);
        let ticket = loop {
            match self.bodies.begin(digest, digest, at.received_at_us) {
                Standing::First(ticket) => break ticket,
                Standing::Repeat(answer) => return Ok(Some(self.folded(Route::Traces, answer))),
                // Its end is told by an error, as nothing is ever sent.
                Standing::Wait(mut done) => drop(done.changed().await),
                Standing::Conflict => return Err(Refusal::internal()),
            }
        };
        self.budget.check()?;
        caller.charge_rows(spans)?;
        let small = Small {
            bytes: bytes.clone(),
            at,
            digest,
            ticket,
        };
        match self.together.take(small).await {
            Outcome::Alone => Ok(None),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Stored {
                at_us,
                rows,
                from,
                count,
            } => {
                if self.arrivals.is_watched() {
                    let rows = vec![(Dataset::Spans, rows.slice(from, count))];
                    self.arrivals.tell(&caller.tenant, &rows, at_us);
                }
                let (request, rows) = ((Route::Traces, bytes.len()), (count, 0));
                self.count(caller, request, rows, at_us);
                Ok(Some(Taken {
                    answer: Bytes::new(),
                    repeated: false,
                    rows: count,
                }))
            }
        }
    }
}

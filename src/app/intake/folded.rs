//! Requests of which a byte-identical resend gets the first answer.

use bytes::Bytes;
use weir_ingest::decode::Acceptance;
use weir_ingest::decode::otlp::OtlpEncoding;
use weir_ingest::decode::telemetry::TelemetryForm;
use weir_ingest::log::Route;

use super::{Arrived, Intake, Record, Taken};
use crate::app::prepare::{self, Prepared};
use crate::app::resends::{Standing, Ticket, digest};
use crate::http::refusal::Refusal;

/// What came of looking at a body.
enum Look {
    /// New: here is what to log.
    New(Ticket, Prepared),
    /// Answered before.
    Known(Bytes),
    /// In flight: look again when it ends.
    Wait(tokio::sync::watch::Receiver<()>),
}

impl Intake {
    /// Takes telemetry events that carry their own cost.
    ///
    /// # Errors
    ///
    /// As [`Intake::traces`].
    pub(crate) async fn telemetry(
        &self,
        arrived: Arrived,
        form: TelemetryForm,
    ) -> Result<Taken, Refusal> {
        let prepare = move |intake: &Self, bytes: &[u8], at: &Acceptance| {
            let tariff = intake.prices.current(&at.tenant);
            let terms = (&*intake.enricher, &*tariff);
            prepare::telemetry(bytes, form, at, &intake.limits, terms)
        };
        self.folded_by_body(arrived, (Route::TelemetryEvents, false), prepare)
            .await
    }

    /// Takes an OTLP log request: what tells of calls of models is stored.
    ///
    /// # Errors
    ///
    /// As [`Intake::traces`].
    pub(crate) async fn logs(
        &self,
        arrived: Arrived,
        encoding: OtlpEncoding,
    ) -> Result<Taken, Refusal> {
        let prepare = move |intake: &Self, bytes: &[u8], at: &Acceptance| {
            let tariff = intake.prices.current(&at.tenant);
            let terms = (&*intake.enricher, &*tariff);
            prepare::logs(bytes, encoding, at, &intake.limits, terms)
        };
        self.folded_by_body(arrived, (Route::Logs, false), prepare)
            .await
    }

    /// Takes a request of a route, made ready by `prepare` unless it was answered before; `charged`
    /// says that its rows were charged already.
    pub(super) async fn folded_by_body<P>(
        &self,
        arrived: Arrived,
        (route, charged): (Route, bool),
        prepare: P,
    ) -> Result<Taken, Refusal>
    where
        P: Fn(&Self, &[u8], &Acceptance) -> Result<Prepared, Refusal> + Clone + Send + 'static,
    {
        let Arrived { caller, body } = arrived;
        let length = body.bytes.len();
        let (ticket, prepared, digest) = loop {
            let (intake, prepare) = (self.clone(), prepare.clone());
            let (bytes, at) = (body.bytes.clone(), self.acceptance(&caller.tenant));
            let look = self.beside(length, move || {
                let digest = digest(&at.tenant, route, &bytes);
                let look = match intake.bodies.begin(digest, digest, at.received_at_us) {
                    Standing::First(ticket) => Look::New(ticket, prepare(&intake, &bytes, &at)?),
                    Standing::Repeat(answer) => Look::Known(answer),
                    Standing::Wait(done) => Look::Wait(done),
                    Standing::Conflict => return Err(Refusal::internal()),
                };
                Ok((look, digest))
            });
            match look.await? {
                (Look::New(ticket, prepared), digest) => break (ticket, prepared, digest),
                (Look::Known(answer), _) => return Ok(self.folded(route, answer)),
                (Look::Wait(mut done), _) => {
                    // Its end is told by an error, as nothing is ever sent.
                    let _ = done.changed().await;
                }
            }
        };
        // Of logs most requests store nothing: remembered, they would drive out those that do.
        let remembered = route != Route::Logs || !prepared.rows.is_empty();
        let record = Record {
            caller,
            route,
            digest: Some(digest),
            key: None,
            length,
            charged,
        };
        let ticket = Some(ticket).filter(|_| remembered);
        self.commit(record, prepared, ticket).await
    }
}

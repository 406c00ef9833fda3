//! Telemetry events and log records made ready: both carry their own cost, and are priced as spans
//! are.

use arrow_schema::ArrowError;
use weir_ingest::decode::otlp::{OtlpEncoding, decode_logs};
use weir_ingest::decode::telemetry::{self, TelemetryForm};
use weir_ingest::decode::{Acceptance, Limits};
use weir_model::Dataset;
use weir_transforms::{Enricher, Tariff};

use super::{Prepared, stored};
use crate::http::refusal::Refusal;
use crate::http::unstored::{self, Signal};

/// Makes the rows and the answer of a request of telemetry events.
///
/// # Errors
///
/// Where the body as a whole is refused; nothing of it is kept then.
pub(crate) fn telemetry(
    body: &[u8],
    form: TelemetryForm,
    at: &Acceptance,
    limits: &Limits,
    (enricher, tariff): (&Enricher, &Tariff),
) -> Result<Prepared, Refusal> {
    let decoded = telemetry::decode(body, form, at, limits)?;
    let answer = decoded.answer().to_string().into();
    let accepted = decoded.rows.num_rows();
    let rows = enricher.enrich_telemetry_at(&decoded.rows, tariff);
    let rows = (Dataset::TelemetryEvents, rows.map_err(failed)?);
    Ok(Prepared {
        rows: stored(rows, decoded.rejected),
        answer,
        accepted,
        rejected: decoded.rejected_count,
        ..Prepared::default()
    })
}

/// Makes the rows and the answer of an OTLP log request.
///
/// # Errors
///
/// Where the body as a whole is refused; nothing of it is kept then.
pub(crate) fn logs(
    body: &[u8],
    encoding: OtlpEncoding,
    at: &Acceptance,
    limits: &Limits,
    (enricher, tariff): (&Enricher, &Tariff),
) -> Result<Prepared, Refusal> {
    let decoded = decode_logs(body, encoding, at, limits)?;
    let accepted = decoded.rows.num_rows();
    let mut datasets = Vec::new();
    if accepted > 0 {
        let rows = enricher.enrich_spans_at(decoded.rows, tariff);
        datasets.push((Dataset::LogEvents, rows.map_err(failed)?));
    }
    Ok(Prepared {
        rows: datasets,
        answer: unstored::export(decoded.unstored, encoding, Signal::Logs),
        accepted,
        unstored: decoded.unstored,
        ..Prepared::default()
    })
}

fn failed(error: ArrowError) -> Refusal {
    tracing::error!(%error, "enrich.failed");
    Refusal::internal()
}

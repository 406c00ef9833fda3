//! What is told of a measurement.

use std::time::Duration;

use serde_json::{Value, json};

use super::drain::WholeRun;
use super::load::Measured;

/// The figures of one run.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    spans: u64,
    spans_per_second: f64,
    megabytes_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    cpu_seconds_per_million: Option<f64>,
    peak_mib: Option<f64>,
    requests: u64,
    refused: u64,
    unhinted: u64,
    /// How long the lake went on after the load.
    behind: Option<Duration>,
    /// Spans a second taken before the overload, and the part of them taken in it.
    capacity: Option<(f64, f64)>,
}

impl Figures {
    /// Works them out.
    #[expect(
        clippy::cast_precision_loss,
        reason = "figures for people, of a few digits"
    )]
    ///
    /// With the lake on, the processor's time is that of the whole run up to its last row.
    pub(super) fn of(measured: &Measured, whole: Option<WholeRun>) -> Self {
        let seconds = measured.elapsed.as_secs_f64();
        let spans = measured.spans as f64;
        let usage = measured.usage.as_ref();
        let window = usage.map(|u| (u.cpu, measured.spans));
        let cpu = whole.map(|w| (w.cpu, w.spans)).or(window);
        let cpu = cpu.filter(|(_, spans)| *spans > 0);
        Self {
            spans: measured.spans,
            spans_per_second: spans / seconds,
            megabytes_per_second: measured.bytes as f64 / seconds / 1e6,
            p50_ms: quantile(&measured.waits, 500),
            p99_ms: quantile(&measured.waits, 990),
            p999_ms: quantile(&measured.waits, 999),
            cpu_seconds_per_million: cpu.map(|(cpu, spans)| cpu.as_secs_f64() * 1e6 / spans as f64),
            peak_mib: usage.map(|u| u.peak_bytes as f64 / f64::from(1 << 20)),
            requests: u64::try_from(measured.waits.len()).unwrap_or(u64::MAX),
            refused: measured.refused,
            unhinted: measured.unhinted,
            behind: whole.map(|w| w.behind),
            capacity: measured.capacity.map(|c| (c, measured.rate() / c.max(1.0))),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let of_server = |figure: Option<f64>, unit: &str| {
            figure.map_or_else(
                || "not known of another's process".to_owned(),
                |f| format!("{f:.2} {unit}"),
            )
        };
        let overload = self.capacity.map_or_else(String::new, |(capacity, goodput)| {
            format!(
                "\ncapacity before     {capacity:.0} spans/s, of which {:.0} % were taken under overload",
                goodput * 100.0
            )
        });
        format!(
            "spans accepted      {} in {} requests\n\
             requests shed       {}, {} of them without a time to come again\n\
             rate                {:.0} spans/s, {:.1} MB/s\n\
             answered after      p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms\n\
             server CPU          {}\n\
             server peak memory  {}{}{overload}",
            self.spans,
            self.requests,
            self.refused,
            self.unhinted,
            self.spans_per_second,
            self.megabytes_per_second,
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            of_server(
                self.cpu_seconds_per_million,
                "CPU-seconds per million spans"
            ),
            of_server(self.peak_mib, "MiB"),
            self.behind.map_or_else(String::new, |behind| format!(
                "\nlake                had all rows {:.1} s after the load; its work is in the CPU",
                behind.as_secs_f64()
            )),
        )
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "spans": self.spans,
            "requests": self.requests,
            "requests_shed": self.refused,
            "requests_shed_without_hint": self.unhinted,
            "spans_per_second": self.spans_per_second,
            "megabytes_per_second": self.megabytes_per_second,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "p999_ms": self.p999_ms,
            "cpu_seconds_per_million": self.cpu_seconds_per_million,
            "peak_mib": self.peak_mib,
            "lake_behind_seconds": self.behind.map(|b| b.as_secs_f64()),
            "capacity_spans_per_second": self.capacity.map(|(capacity, _)| capacity),
            "goodput_of_capacity": self.capacity.map(|(_, goodput)| goodput),
        })
    }
}

/// The wait that `per_mille` of a thousand do not exceed, in milliseconds; the list is ascending.
fn quantile(waits: &[Duration], per_mille: usize) -> f64 {
    let rank = (waits.len() * per_mille).div_ceil(1000).max(1);
    waits.get(rank - 1).map_or(0.0, |w| w.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_waits_that_were_measured() {
        let waits: Vec<Duration> = (1..=1000).map(Duration::from_millis).collect();
        let told = [500, 990, 999, 1000].map(|q| quantile(&waits, q));
        assert_eq!(told, [500.0, 990.0, 999.0, 1000.0]);
        assert_eq!(quantile(&waits[..1], 999), 1.0);
        assert_eq!(quantile(&[], 500), 0.0);
    }
}

//! Prometheus' text format, written family by family.

use std::fmt::Write as _;

use crate::app::histogram::Shown;
use crate::http::metrics::families::{Family, Kind};

/// The text of one scrape.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// Counts are shown as Prometheus keeps them, in floating point.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus samples are 64-bit floats"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// The same for a size in memory.
pub(super) fn float_of(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

impl Text {
    /// A family with one value that has no label.
    pub(super) fn one(&mut self, family: Family, value: f64) {
        self.head(family);
        self.sample(family.name, "", &[], value);
    }

    /// A family with a value for each set of labels.
    pub(super) fn many<const N: usize>(
        &mut self,
        family: Family,
        samples: impl IntoIterator<Item = ([String; N], f64)>,
    ) {
        self.head(family);
        for (values, value) in samples {
            self.sample(family.name, "", &labelled(family, &values), value);
        }
    }

    /// A family of histograms.
    pub(super) fn histograms<const N: usize>(
        &mut self,
        family: Family,
        samples: impl IntoIterator<Item = ([String; N], Shown)>,
    ) {
        debug_assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
        self.head(family);
        for (values, shown) in samples {
            let labels = labelled(family, &values);
            for (bound, count) in &shown.upto {
                let mut with = labels.clone();
                with.push(("le", bound.to_string()));
                self.sample(family.name, "_bucket", &with, float(*count));
            }
            let mut with = labels.clone();
            with.push(("le", "+Inf".to_owned()));
            self.sample(family.name, "_bucket", &with, float(shown.count));
            self.sample(family.name, "_sum", &labels, shown.sum);
            self.sample(family.name, "_count", &labels, float(shown.count));
        }
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, family: Family) {
        let (name, kind) = (family.name, family.kind.word());
        // Writing to a string does not fail.
        let _ = writeln!(
            self.0,
            "# HELP {name} {}\n# TYPE {name} {kind}",
            family.help
        );
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, String)], value: f64) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

fn labelled<'a>(family: Family, values: &[String]) -> Vec<(&'a str, String)> {
    debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
    let names = family.labels.iter().copied();
    names.zip(values.iter().cloned()).collect()
}

/// A label's value as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::histogram::{BYTES, Histogram};
    use crate::http::metrics::families;

    #[test]
    fn a_histogram_has_classes_that_grow_a_sum_and_a_count() {
        let sizes = Histogram::new(BYTES);
        sizes.measured(100);
        sizes.measured(1 << 30);
        let mut text = Text::default();
        let route = [String::from("a\"b")];
        text.histograms(families::REQUEST_BYTES, [(route, sizes.shown())]);
        let text = text.finish();
        assert!(text.contains("weir_request_bytes_bucket{route=\"a\\\"b\",le=\"1024\"} 1\n"));
        assert!(text.contains("le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.contains("weir_request_bytes_sum{route=\"a\\\"b\"} 1073741924\n"));
    }
}

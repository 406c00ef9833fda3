//! The parameters of a rollup.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use weir_queries::{Dimension, RollupQuestion};

use super::page::Place;
use crate::http::query::Format;
use crate::http::refusal::Refusal;

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;
/// What is asked for where nothing is said.
const SINCE_DEFAULT: &str = "30d";
/// Groups of one page where nothing is said.
const LIMIT_DEFAULT: usize = 1_000;
/// The most groups of one page.
const LIMIT_MAX: usize = 10_000;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) question: RollupQuestion,
    /// Only so many of the most expensive groups.
    pub(crate) top: Option<usize>,
    /// Groups of one page.
    pub(crate) limit: usize,
    /// After which group the page begins.
    pub(crate) after: Option<Place>,
    pub(crate) format: Format,
}

impl Asked {
    /// Reads the parameters of `uri`; relative times are before `now_us`.
    ///
    /// # Errors
    ///
    /// 400 where one is not known or cannot be read.
    pub(crate) fn read(uri: &Uri, now_us: i64) -> Result<Self, Refusal> {
        let mut asked = Self {
            question: RollupQuestion {
                by: vec![Dimension::Skill],
                ..RollupQuestion::default()
            },
            top: None,
            limit: LIMIT_DEFAULT,
            after: None,
            format: Format::Json,
        };
        let mut since = SINCE_DEFAULT.to_owned();
        for (name, value) in parameters(uri)? {
            match name.as_str() {
                "since" => since = value,
                "until" => asked.question.until_us = time(&value, now_us, "until")?,
                "by" => asked.question.by = dimensions(&value)?,
                "top" => asked.top = Some(count(&value, "top", usize::MAX)?),
                "limit" => asked.limit = count(&value, "limit", LIMIT_MAX)?,
                "cursor" => {
                    let place = Place::read(&value);
                    asked.after = Some(place.ok_or_else(|| bad("`cursor` is none of ours"))?);
                }
                "format" | "output" => {
                    let format = Format::of_name(&value);
                    let text = "`format` must be json, csv, arrow or parquet";
                    asked.format = format.ok_or_else(|| bad(text))?;
                }
                name => {
                    let dimension = Dimension::from_name(name).filter(|d| !d.is_time());
                    let dimension = dimension.ok_or_else(|| bad(KNOWN))?;
                    asked.question.only.push((dimension, value));
                }
            }
        }
        asked.question.since_us = time(&since, now_us, "since")?;
        Ok(asked)
    }
}

const KNOWN: &str = "the parameters are since, until, by, top, limit, cursor, format, and any of \
                     the dimensions of `by` but day and hour to keep one value of it";

/// The parameters of a query string, decoded.
///
/// # Errors
///
/// 400 where it is not one.
pub(crate) fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    let read = Query::<Vec<(String, String)>>::try_from_uri(uri);
    read.map(|Query(all)| all)
        .map_err(|_| bad("the query string cannot be read"))
}

/// The refusal of a question that cannot be understood.
pub(crate) fn bad(text: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_rollup", text)
}

fn dimensions(text: &str) -> Result<Vec<Dimension>, Refusal> {
    let mut all = Vec::new();
    for name in text.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let known = || {
            let names: Vec<&str> = Dimension::ALL.iter().map(|d| d.name()).collect();
            bad(&format!("`by` is a list of {}", names.join(", ")))
        };
        let dimension = Dimension::from_name(name).ok_or_else(known)?;
        if !all.contains(&dimension) {
            all.push(dimension);
        }
    }
    Ok(all)
}

pub(crate) fn count(text: &str, name: &str, most: usize) -> Result<usize, Refusal> {
    let count = text
        .parse::<usize>()
        .ok()
        .filter(|n| (1..=most).contains(n));
    count.ok_or_else(|| {
        let beyond = if most == usize::MAX {
            String::new()
        } else {
            format!(" up to {most}")
        };
        bad(&format!("`{name}` must be a whole number from 1{beyond}"))
    })
}

/// A time in microseconds: RFC 3339, a day, a day and time in UTC, `all` for no bound; or `30d`,
/// `12h`, `15m` ago, rounded down to the whole day, hour or minute.
///
/// # Errors
///
/// 400 where it is none of these.
pub(crate) fn time(text: &str, now_us: i64, name: &str) -> Result<Option<i64>, Refusal> {
    if matches!(text, "all" | "") {
        return Ok(None);
    }
    let read = relative(text, now_us).or_else(|| absolute(text));
    let read = read.ok_or_else(|| {
        bad(&format!(
            "`{name}` must be a time (2026-11-21, 2026-11-21T10:00:00Z), a span before now (30d, \
             12h, 15m), or `all`"
        ))
    })?;
    Ok(Some(read))
}

fn relative(text: &str, now_us: i64) -> Option<i64> {
    let units = [("d", DAY_US), ("h", HOUR_US), ("m", MINUTE_US)];
    units.into_iter().find_map(|(unit, us)| {
        let count: i64 = text.strip_suffix(unit)?.parse().ok()?;
        let back = count.checked_mul(us).filter(|_| count >= 0)?;
        let at = now_us.checked_sub(back)?;
        Some(at - at.rem_euclid(us))
    })
}

fn absolute(text: &str) -> Option<i64> {
    // A plus sign in a query string reads as a space where it was not escaped.
    let text = text.replace(' ', "+");
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Some(time.timestamp_micros());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
    let plain = forms
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok());
    let day = || {
        NaiveDate::parse_from_str(&text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    };
    let time = plain.or_else(day)?;
    Some(time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T13:45:10Z.
    const NOW_US: i64 = 1_795_268_710_000_000;

    #[test]
    fn times_are_absolute_or_before_now_in_whole_units() {
        let at = |text| time(text, NOW_US, "since").unwrap();
        let day = at("2026-11-21").unwrap();
        assert_eq!(at("0d"), Some(day));
        assert_eq!(at("1d"), Some(day - DAY_US));
        assert_eq!(at("1h"), Some(day + 12 * HOUR_US));
        assert_eq!(at("2026-11-21T12:00"), at("1h"));
        assert_eq!(at("2026-11-21T12:45:00Z"), at("60m"));
        assert_eq!(at("2026-11-21T14:45:00+02:00"), at("60m"));
        assert_eq!(at("2026-11-21T14:45:00 02:00"), at("60m"));
        assert_eq!(at("all"), None);
        for odd in ["yesterday", "-1d", "2026-13-01", "9999999999999999999d"] {
            assert!(time(odd, NOW_US, "since").is_err(), "{odd}");
        }
    }

    #[test]
    fn parameters_are_read_and_unknown_ones_refused() {
        let read = |query: &str| {
            let uri: Uri = format!("/v1/rollups/cost-per-skill?{query}")
                .parse()
                .unwrap();
            Asked::read(&uri, NOW_US)
        };
        let asked = read("by=skill,day&skill=pdf%20forms&top=3&format=csv&since=all").unwrap();
        assert_eq!(asked.question.by, [Dimension::Skill, Dimension::Day]);
        let only = vec![(Dimension::Skill, "pdf forms".to_owned())];
        assert_eq!(asked.question.only, only);
        assert_eq!((asked.top, asked.format), (Some(3), Format::Csv));
        assert_eq!(asked.question.since_us, None);
        let plain = read("").unwrap();
        assert_eq!(plain.question.by, [Dimension::Skill]);
        assert!(plain.question.since_us.is_some());
        for odd in [
            "by=cost",
            "top=0",
            "limit=10001",
            "hour=3",
            "cursor=x",
            "format=png",
            "q=1",
        ] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}

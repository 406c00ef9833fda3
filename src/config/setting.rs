//! One setting: its name, how its text is read, and where it lies in [`Config`].
//!
//! The file, the environment and the flags all give text, so one reading serves the three, and
//! the same table makes the reference page, the JSON Schema and the unknown-name hints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Config;

/// How a setting's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A whole number, at least 1.
    Count,
    /// Bytes: a number with `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB` or nothing.
    Size,
    /// A time: a number with `us`, `ms`, `s`, `m`, `h` or `d`; several may follow one another.
    Span,
    /// `HOST:PORT`, the host as an IP address or `localhost`; port 0 takes a free one.
    Address,
    /// A number above 0, or `unlimited`.
    Ceiling,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Names and texts.
    Map,
    /// Texts, one after the other.
    List,
}

/// A setting's value, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// See [`Kind::Text`] and [`Kind::OneOf`].
    Text(String),
    /// See [`Kind::Switch`].
    Switch(bool),
    /// See [`Kind::Count`] and [`Kind::Size`], in bytes.
    Count(u64),
    /// See [`Kind::Span`].
    Span(Duration),
    /// See [`Kind::Address`].
    Address(SocketAddr),
    /// See [`Kind::Ceiling`]; `None` is unlimited.
    Ceiling(Option<u64>),
    /// See [`Kind::Map`].
    Map(BTreeMap<String, String>),
    /// See [`Kind::List`].
    List(Vec<String>),
}

/// What a source gives for a setting, before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// One text, as everywhere but in files.
    Text(String),
    /// Texts, one after the other.
    List(Vec<String>),
    /// Names and texts.
    Map(BTreeMap<String, String>),
}

/// One row of a table of settings of `C`.
pub(crate) struct Setting<C: 'static = Config> {
    /// The name with dots, as `wal.segment_size`.
    pub(crate) path: &'static str,
    /// How its text is read.
    pub(crate) kind: Kind,
    /// Whether its value is masked wherever it is shown.
    pub(crate) secret: bool,
    /// What it does, in a sentence, for the reference page.
    pub(crate) help: &'static str,
    /// Reads it from a config.
    pub(crate) get: fn(&C) -> Value,
    /// Puts it into a config; a value of another kind changes nothing.
    pub(crate) set: fn(&mut C, Value),
}

impl<C> Clone for Setting<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Setting<C> {}

impl<C> std::fmt::Debug for Setting<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("path", &self.path).finish()
    }
}

impl Setting {
    /// The environment variable that sets it: `WEIR_` and the name in capitals.
    pub(crate) fn env(&self) -> String {
        format!("WEIR_{}", self.path.replace('.', "_").to_uppercase())
    }
}

impl Kind {
    /// Reads `text`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wanted instead; it does not repeat the text, which may be a
    /// secret.
    pub(crate) fn read(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self {
            Self::Text if text.is_empty() => Err("it is empty".into()),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Switch => match text {
                "true" | "yes" | "on" | "1" => Ok(Value::Switch(true)),
                "false" | "no" | "off" | "0" => Ok(Value::Switch(false)),
                _ => Err("`true` or `false` is wanted".into()),
            },
            Self::Count => match text.replace('_', "").parse::<u64>() {
                Ok(n) if n > 0 => Ok(Value::Count(n)),
                _ => Err("a whole number of at least 1 is wanted".into()),
            },
            Self::Size => size(text).map(Value::Count),
            Self::Span => span(text).map(Value::Span),
            Self::Address => address(text).map(Value::Address),
            Self::OneOf(words) => match words.iter().find(|w| **w == text) {
                Some(word) => Ok(Value::Text((*word).to_owned())),
                None => Err(format!("one of {} is wanted", words.join(", "))),
            },
            Self::Ceiling if text == "unlimited" => Ok(Value::Ceiling(None)),
            Self::Ceiling => match size(text) {
                Ok(most) => Ok(Value::Ceiling(Some(most))),
                Err(_) => Err("a number as `5000` or `10MiB`, or `unlimited`, is wanted".into()),
            },
            Self::Map => pairs(text).map(Value::Map),
            Self::List => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Ok(Value::List(items.map(str::to_owned).collect()))
            }
        }
    }

    /// Takes what a source gives.
    ///
    /// # Errors
    ///
    /// As [`Kind::read`].
    pub(crate) fn take(self, given: Given) -> Result<Value, String> {
        match (self, given) {
            (Self::Map, Given::Map(map)) => Ok(Value::Map(map)),
            (Self::List, Given::List(items)) => Ok(Value::List(items)),
            (kind, Given::Text(text)) => kind.read(&text),
            (Self::Map, Given::List(_)) => Err("names and texts are wanted, one a line".into()),
            (Self::List, Given::Map(_)) => Err("a list of texts is wanted".into()),
            (kind, Given::List(_) | Given::Map(_)) => Err(format!("one {} is wanted", kind.name())),
        }
    }

    /// How the reference page names it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Switch => "true or false".into(),
            Self::Count => "number".into(),
            Self::Size => "size".into(),
            Self::Span => "time".into(),
            Self::Address => "address".into(),
            Self::Ceiling => "number or unlimited".into(),
            Self::OneOf(words) => words.join(" or "),
            Self::Map => "map of texts".into(),
            Self::List => "list of texts".into(),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Count(n) => write!(f, "{n}"),
            Self::Span(time) => f.write_str(&span_text(*time)),
            Self::Address(address) => write!(f, "{address}"),
            Self::Ceiling(None) => f.write_str("unlimited"),
            Self::Ceiling(Some(most)) => write!(f, "{most}"),
            Self::Map(map) => {
                let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
                f.write_str(&pairs.join(","))
            }
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// A size as a person writes it: the largest unit that divides it.
pub(crate) fn size_text(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// A time as a person writes it: the largest unit that divides it.
fn span_text(time: Duration) -> String {
    let us = time.as_micros();
    let units = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
    ];
    for (unit, name) in units {
        if us >= unit && us.is_multiple_of(unit) {
            return format!("{}{name}", us / unit);
        }
    }
    format!("{us}us")
}

/// Splits a number from the unit behind it.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

fn size(text: &str) -> Result<u64, String> {
    let wanted = || "a size as `64MiB`, `2GiB` or `4096` (bytes) is wanted".to_owned();
    let text = text.replace(['_', ' '], "");
    let (number, unit) = number_and_unit(&text).ok_or_else(wanted)?;
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wanted()),
    };
    match number.checked_mul(unit) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        Some(_) => Err("a size above 0 is wanted".into()),
        None => Err("the size is beyond 16 EiB".into()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let wanted = || "a time as `500ms`, `10s`, `5m` or `1h30m` is wanted".to_owned();
    let mut rest = text.replace(['_', ' '], "");
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wanted());
    }
    while !rest.is_empty() {
        let (number, tail) = number_and_unit(&rest).ok_or_else(wanted)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = tail.split_at_checked(letters).ok_or_else(wanted)?;
        let us: u64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(wanted()),
        };
        let part = number.checked_mul(us).map(Duration::from_micros);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or("the time is too long")?;
        rest = next.to_owned();
    }
    Ok(total)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        "an address as `127.0.0.1:8080`, `[::1]:8080` or `0.0.0.0:8080` is wanted".to_owned()
    })
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let one = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| one(pair).ok_or_else(|| "pairs as `name=text,name=text` are wanted".to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_as_people_write_them() {
        for (text, bytes) in [("4096", 4096), ("64MiB", 64 << 20), ("1 GB", 1_000_000_000)] {
            assert_eq!(Kind::Size.read(text), Ok(Value::Count(bytes)), "{text}");
        }
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000)] {
            let time = Duration::from_millis(ms);
            assert_eq!(Kind::Span.read(text), Ok(Value::Span(time)), "{text}");
        }
        for bad in ["", "-1", "10", "s", "1 fortnight", "99999999999999999d"] {
            assert!(Kind::Span.read(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "-5", "64 MiBs", "1.5GiB", "99999999999TiB"] {
            assert!(Kind::Size.read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_value() {
        let span = Duration::from_millis(1_500);
        assert_eq!(Kind::Span.read(&span_text(span)), Ok(Value::Span(span)));
        assert_eq!(size_text(64 << 20), "64MiB");
        assert_eq!(Kind::Size.read(&size_text(4097)), Ok(Value::Count(4097)));
    }

    #[test]
    fn a_ceiling_is_a_number_or_none_at_all() {
        for (text, most) in [
            ("5000", Some(5_000)),
            ("10MiB", Some(10 << 20)),
            ("unlimited", None),
        ] {
            assert_eq!(Kind::Ceiling.read(text), Ok(Value::Ceiling(most)), "{text}");
            let shown = Value::Ceiling(most).to_string();
            assert_eq!(Kind::Ceiling.read(&shown), Ok(Value::Ceiling(most)));
        }
        for bad in ["0", "", "none", "-1"] {
            assert!(Kind::Ceiling.read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn localhost_is_loopback() {
        let expected = Value::Address(([127, 0, 0, 1], 8080).into());
        assert_eq!(Kind::Address.read("localhost:8080"), Ok(expected));
        assert!(Kind::Address.read("example.com:80").is_err());
    }
}

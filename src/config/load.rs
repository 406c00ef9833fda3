//! The sources in their order, and all their faults.

use std::fmt;
use std::path::{Path, PathBuf};

use weir_model::TenantId;

use crate::config::setting::{Kind, Value};
use crate::config::sinks::{self, SinkEntry};
use crate::config::table::{self, SETTINGS};
use crate::config::{Config, file};

/// Where settings come from, the weakest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The YAML file, where one is named.
    pub(crate) file: Option<PathBuf>,
    /// Environment variables; only `WEIR_*` are looked at.
    pub(crate) environment: Vec<(String, String)>,
    /// Flags, as (setting, text).
    pub(crate) flags: Vec<(String, String)>,
}

impl Sources {
    /// A file and flags, with the process's environment.
    pub(crate) fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            file,
            environment: std::env::vars_os().filter_map(utf8).collect(),
            flags,
        }
    }
}

/// Everything that is wrong with the configuration; nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Faults(pub(crate) Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        write!(f, "the configuration has {count} fault{s}:")?;
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

/// The variables that begin with `WEIR_` and are not settings.
const OTHER_VARIABLES: [&str; 6] = [
    "WEIR_CONFIG",
    "WEIR_URL",
    "WEIR_KEY",
    "WEIR_CA_FILE",
    "WEIR_CERT_FILE",
    "WEIR_KEY_FILE",
];

/// Reads every source; the later wins.
///
/// # Errors
///
/// [`Faults`], with all faults of all sources.
pub(crate) fn load(sources: &Sources) -> Result<Config, Faults> {
    let mut config = Config::default();
    let mut faults = Vec::new();
    let mut of_sinks = Vec::new();
    if let Some(path) = &sources.file {
        of_sinks = read_file(path, &mut config, &mut faults);
    }
    for (name, text) in &sources.environment {
        if name.starts_with(sinks::VARIABLES) {
            continue;
        }
        let found = SETTINGS.iter().find(|s| s.env() == *name);
        match found {
            Some(setting) => match setting.kind.read(text) {
                Ok(value) => (setting.set)(&mut config, value),
                Err(why) => faults.push(format!("environment {name}: {why}")),
            },
            None => faults.extend(unknown_variable(name)),
        }
    }
    let flags = sources.flags.iter();
    let flags = flags.filter_map(|(name, text)| SinkEntry::of_flag(name, text));
    let of_flags: Vec<SinkEntry> = flags.collect();
    let of_variables = sinks::of_variables(&sources.environment, &of_sinks, &mut faults);
    of_sinks.extend(of_variables.into_iter().chain(of_flags));
    config.sinks = sinks::assemble(of_sinks, &mut faults);
    for (name, text) in &sources.flags {
        if SinkEntry::of_flag(name, text).is_some() {
            continue;
        }
        let Some(setting) = table::find(name) else {
            let hint = table::nearest(name, SETTINGS.iter().map(|s| s.path));
            let hint = hint.map_or_else(String::new, |h| format!("; did you mean `{h}`?"));
            faults.push(format!("flag --set {name}: unknown setting{hint}"));
            continue;
        };
        match setting.kind.read(text) {
            Ok(value) => (setting.set)(&mut config, value),
            Err(why) => faults.push(format!("flag {name}: {why}")),
        }
    }
    contradictions(&config, &mut faults);
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(Faults(faults))
    }
}

/// Reads the file into `config`, and gives its settings of sinks.
fn read_file(path: &Path, config: &mut Config, faults: &mut Vec<String>) -> Vec<SinkEntry> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            faults.push(format!("{shown}: {error}"));
            return Vec::new();
        }
    };
    let reading = file::read(&text);
    for (place, why) in reading.faults {
        faults.push(format!("{shown}:{place}: {why}"));
    }
    for (index, value) in reading.values {
        if let Some(setting) = SETTINGS.get(index) {
            (setting.set)(config, value);
        }
    }
    let of_sinks = reading.sinks.into_iter();
    of_sinks
        .map(|(place, entry)| entry.at(format!("{shown}:{place}")))
        .collect()
}

/// A variable that is nearly a setting is a slip; others may be anybody's.
fn unknown_variable(name: &str) -> Option<String> {
    if !name.starts_with("WEIR_") || OTHER_VARIABLES.contains(&name) {
        return None;
    }
    let known: Vec<String> = SETTINGS.iter().map(|s| s.env()).collect();
    let near = table::nearest(name, known.iter().map(String::as_str))?;
    Some(format!("environment {name}: unknown; did you mean {near}?"))
}

/// What no single setting can tell.
fn contradictions(config: &Config, faults: &mut Vec<String>) {
    let limits = &config.limits;
    let mut refuse = |wrong: bool, text: &str| {
        if wrong {
            faults.push(text.to_owned());
        }
    };
    refuse(
        limits.body_compressed > limits.body_decompressed,
        "`limits.body_compressed` is above `limits.body_decompressed`; a plain body would pass \
         the one and fail the other",
    );
    refuse(
        limits
            .body_compressed
            .saturating_add(limits.body_decompressed)
            > limits.in_flight,
        "`limits.in_flight` is too small for one request of the largest size; raise it to at \
         least `limits.body_compressed` + `limits.body_decompressed`",
    );
    transport(config, &mut refuse);
    for (tenant, word) in &config.cost.prefer_by_tenant {
        refuse(
            TenantId::new(tenant).is_err() || !matches!(word.as_str(), "reported" | "computed"),
            "`cost.prefer_by_tenant` wants names of tenants with `reported` or `computed`",
        );
    }
    refuse(
        config.wal.budget < config.wal.segment_size.saturating_mul(4),
        "`wal.budget` is below four segments; raise it, or lower `wal.segment_size`",
    );
    refuse(
        config.query.timeout >= limits.request_timeout,
        "`query.timeout` must be below `limits.request_timeout`, which ends every request",
    );
    refuse(
        config.quota.storage.is_some() && config.lake.partition != "tenant_date",
        "`quota.storage` needs `lake.partition: tenant_date`: in tables by date alone the files of \
         tenants are not apart",
    );
    refuse(
        config.quota.burst.is_zero(),
        "`quota.burst` must be above 0: nothing could ever be taken",
    );
    let addresses = [
        ("listen.http", config.listen.http),
        ("listen.otlp_http", config.listen.otlp_http),
        ("listen.otlp_grpc", config.listen.otlp_grpc),
    ];
    for (i, (name, address)) in addresses.iter().enumerate() {
        for (other, second) in addresses.iter().skip(i + 1) {
            if address == second && address.port() != 0 {
                faults.push(format!("`{name}` and `{other}` are both {address}"));
            }
        }
    }
}

/// What contradicts itself in timers, depths and certificates.
fn transport(config: &Config, refuse: &mut impl FnMut(bool, &str)) {
    let (limits, tls) = (&config.limits, &config.tls);
    refuse(
        tls.cert_file.is_empty() != tls.key_file.is_empty(),
        "`tls.cert_file` and `tls.key_file` go together; set both, or none for plain HTTP",
    );
    refuse(
        tls.cert_file.is_empty() && !tls.client_ca_file.is_empty(),
        "`tls.client_ca_file` needs TLS; set `tls.cert_file` and `tls.key_file` too",
    );
    refuse(
        limits.json_depth > 100 || limits.value_depth > 64,
        "`limits.json_depth` is at most 100 and `limits.value_depth` at most 64: what nests \
         deeper takes more stack than a thread has to spare",
    );
    refuse(
        !limits.zstd_window.is_power_of_two() || !(1 << 10..=1 << 27).contains(&limits.zstd_window),
        "`limits.zstd_window` must be a power of two between 1KiB and 128MiB",
    );
    refuse(
        !(8 << 10..=1 << 20).contains(&limits.header_size),
        "`limits.header_size` must lie between 8KiB and 1MiB",
    );
    refuse(
        limits.drain_timeout > std::time::Duration::from_secs(60),
        "`limits.drain_timeout` is above a minute, which no supervisor waits for",
    );
}

/// One setting's value as text that [`Kind::read`] takes.
pub(crate) fn shown(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Size, Value::Count(bytes)) => crate::config::setting::size_text(*bytes),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        list.iter().map(own).collect()
    }

    fn file_with(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.yaml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn flags_win_over_the_environment_which_wins_over_the_file() {
        let (_dir, path) = file_with("query: {rows: 1}\nwal: {batch_rows: 1}\nlimits: {rows: 1}");
        let sources = Sources {
            file: Some(path),
            environment: pairs(&[("WEIR_QUERY_ROWS", "2"), ("WEIR_WAL_BATCH_ROWS", "2")]),
            flags: pairs(&[("query.rows", "3")]),
        };
        let config = load(&sources).unwrap();
        assert_eq!(
            (config.query.rows, config.wal.batch_rows, config.limits.rows),
            (3, 2, 1)
        );
    }

    #[test]
    fn faults_of_all_sources_are_reported_together() {
        let (_dir, path) = file_with("wal: {batch_rows: 0}\n");
        let sources = Sources {
            file: Some(path),
            environment: pairs(&[
                ("WEIR_QUERY_TIMEOUT", "soon"),
                ("WEIR_WAL_BUDGETS", "1GiB"),
                ("WEIR_SOMETHING_ELSE_ENTIRELY", "1"),
                ("HOME", "/root"),
            ]),
            flags: pairs(&[("listen.http", "x"), ("listen.htp", "x")]),
        };
        let Faults(faults) = load(&sources).unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:#?}");
        assert!(faults[0].contains("weir.yaml:1:"), "{faults:#?}");
        assert!(
            faults[2].contains("did you mean WEIR_WAL_BUDGET?"),
            "{faults:#?}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let sources = Sources {
            file: Some("/nonexistent/weir.yaml".into()),
            ..Sources::default()
        };
        let Faults(faults) = load(&sources).unwrap_err();
        assert!(
            faults[0].starts_with("/nonexistent/weir.yaml: "),
            "{faults:#?}"
        );
    }

    #[test]
    fn two_listeners_on_one_address_are_refused_but_not_two_free_ports() {
        let same = [("listen.http", "127.0.0.1:4318")];
        let free = [
            ("listen.http", "127.0.0.1:0"),
            ("listen.otlp_http", "127.0.0.1:0"),
        ];
        let with = |flags: &[(&str, &str)]| {
            load(&Sources {
                flags: pairs(flags),
                ..Sources::default()
            })
        };
        assert!(with(&same).is_err());
        assert!(with(&free).is_ok());
    }
}

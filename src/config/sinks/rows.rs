//! Rows of the tables of sinks.

/// A row of the table of a kind: reads and writes one field of its configuration.
///
/// ```text
/// of_kind!(Webhook: "timeout", Kind::Span, Span, timeout, "How long one call may take.")
/// ```
macro_rules! of_kind {
    ($target:ident: $path:literal, $kind:expr, $variant:ident, $field:ident, $help:literal) => {
        crate::config::setting::Setting {
            path: $path,
            kind: $kind,
            secret: false,
            help: $help,
            get: |sink: &crate::config::SinkConfig| {
                if let crate::config::Target::$target(config) = &sink.target {
                    crate::config::setting::Value::$variant(config.$field.clone())
                } else {
                    crate::config::setting::Value::Text(String::new())
                }
            },
            set: |sink: &mut crate::config::SinkConfig, value| {
                if let (
                    crate::config::Target::$target(config),
                    crate::config::setting::Value::$variant(value),
                ) = (&mut sink.target, value)
                {
                    config.$field = value;
                }
            },
        }
    };
}

/// As `of_kind`, for a text that is never shown: a field of type [`weir_sinks::Secret`].
macro_rules! secret_of_kind {
    ($target:ident: $path:literal, $field:ident, $help:literal) => {
        crate::config::setting::Setting {
            path: $path,
            kind: crate::config::setting::Kind::Text,
            secret: true,
            help: $help,
            get: |sink: &crate::config::SinkConfig| {
                if let crate::config::Target::$target(config) = &sink.target {
                    crate::config::setting::Value::Text(config.$field.expose().to_owned())
                } else {
                    crate::config::setting::Value::Text(String::new())
                }
            },
            set: |sink: &mut crate::config::SinkConfig, value| {
                if let (
                    crate::config::Target::$target(config),
                    crate::config::setting::Value::Text(value),
                ) = (&mut sink.target, value)
                {
                    config.$field = value.into();
                }
            },
        }
    };
}

/// As `of_kind`, for names and texts that are never shown: a map of [`weir_sinks::Secret`].
macro_rules! secrets_of_kind {
    ($target:ident: $path:literal, $field:ident, $help:literal) => {
        crate::config::setting::Setting {
            path: $path,
            kind: crate::config::setting::Kind::Map,
            secret: true,
            help: $help,
            get: |sink: &crate::config::SinkConfig| {
                let mut map = std::collections::BTreeMap::new();
                if let crate::config::Target::$target(config) = &sink.target {
                    let pairs = config.$field.iter();
                    map.extend(pairs.map(|(k, v)| (k.clone(), v.expose().to_owned())));
                }
                crate::config::setting::Value::Map(map)
            },
            set: |sink: &mut crate::config::SinkConfig, value| {
                if let (
                    crate::config::Target::$target(config),
                    crate::config::setting::Value::Map(map),
                ) = (&mut sink.target, value)
                {
                    config.$field = map.into_iter().map(|(k, v)| (k, v.into())).collect();
                }
            },
        }
    };
}

//! The settings of what attributes mean and what calls cost.

use crate::config::setting::{Kind, Setting, Value};

/// In the order of the reference page.
pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "mapping.file",
        Kind::Text,
        Text,
        mapping.file,
        "A YAML file of additions to the mapping of attributes to columns: sources before or after the built-in ones, other names of providers and operations, tools that load skills. Read at the start; `weir explain span` shows its effect. Its form is in docs/mapping.md."
    ),
    setting!(
        "prices.file",
        Kind::Text,
        Text,
        prices.file,
        "A YAML file of prices of your own, before those of the list: negotiated, self-hosted, discounted, for all tenants or one, dated. A changed file is taken up without a restart; a bad one is reported with all its faults, and the one from before stays in effect. Its form is in docs/prices.md."
    ),
    setting!(
        "prices.reload_interval",
        Kind::Span,
        Span,
        prices.reload_interval,
        "How often `prices.file` is looked at for changes; SIGHUP looks at once."
    ),
    setting!(
        "cost.prefer",
        Kind::OneOf(&["reported", "computed"]),
        Text,
        cost.prefer,
        "Which cost is charged (`cost_usd`) where the sender reported one and one was computed. `computed` is for senders that are not trusted with money."
    ),
    Setting {
        path: "cost.prefer_by_tenant",
        kind: Kind::Map,
        secret: false,
        help: "The same for single tenants, as `acme: computed`.",
        get: |config| Value::Map(config.cost.prefer_by_tenant.clone()),
        set: |config, value| {
            if let Value::Map(value) = value {
                config.cost.prefer_by_tenant = value;
            }
        },
    },
];

//! The settings of what faces the network: listeners, TLS, limits and timers.

use crate::config::setting::{Kind, Setting, Value};

/// In the order of the reference page.
pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "listen.http",
        Kind::Address,
        Address,
        listen.http,
        "The HTTP API: all routes, also OTLP."
    ),
    setting!(
        "listen.otlp_http",
        Kind::Address,
        Address,
        listen.otlp_http,
        "OTLP over HTTP."
    ),
    setting!(
        "listen.otlp_grpc",
        Kind::Address,
        Address,
        listen.otlp_grpc,
        "OTLP over gRPC."
    ),
    setting!(
        "listen.insecure_http",
        Kind::Switch,
        Switch,
        listen.insecure_http,
        "Serve without TLS also on addresses that other machines can reach, with keys travelling unencrypted; for a private network or behind a proxy that ends TLS."
    ),
    setting!(
        "tls.cert_file",
        Kind::Text,
        Text,
        tls.cert_file,
        "The certificate chain in PEM, the server's own first. With it all three listeners speak TLS 1.2 and 1.3 only. A changed file is taken up without a restart; a bad one is reported and the old stays in use."
    ),
    setting!(
        "tls.key_file",
        Kind::Text,
        Text,
        tls.key_file,
        "The private key of the certificate, in PEM."
    ),
    setting!(
        "tls.client_ca_file",
        Kind::Text,
        Text,
        tls.client_ca_file,
        "The authorities that sign clients' certificates, in PEM. Set, a client without a certificate of theirs is turned away in the handshake (mTLS); keys are still needed to tell tenants apart."
    ),
    setting!(
        "tls.handshake_timeout",
        Kind::Span,
        Span,
        tls.handshake_timeout,
        "How long a TLS handshake may take, from the first moment of the connection."
    ),
    setting!(
        "tls.reload_interval",
        Kind::Span,
        Span,
        tls.reload_interval,
        "How often the three files are looked at for changes; SIGHUP looks at once."
    ),
    setting!(
        "limits.body_compressed",
        Kind::Size,
        Count,
        limits.body_compressed,
        "The largest request body as sent; a larger one is answered with 413."
    ),
    setting!(
        "limits.body_decompressed",
        Kind::Size,
        Count,
        limits.body_decompressed,
        "The largest request body once decompressed; a larger one is answered with 413."
    ),
    setting!(
        "limits.zstd_window",
        Kind::Size,
        Count,
        limits.zstd_window,
        "The largest window that a zstd body may ask for: what decompressing it takes in memory beside the body. A power of two; a larger one is answered with 400."
    ),
    setting!(
        "limits.in_flight",
        Kind::Size,
        Count,
        limits.in_flight,
        "The memory that all rows on their way may take together: requests in flight, rows that are being written to the lake, and, as far as it is free of these, recent rows (`wal.recent_memory`). Requests beyond it are turned away with 503 and `Retry-After`."
    ),
    setting!(
        "limits.decoded",
        Kind::Size,
        Count,
        limits.decoded,
        "The largest that the rows of one request may become in memory, with what they share written out for each; beyond it the request is answered with 413."
    ),
    setting!(
        "limits.connections",
        Kind::Count,
        Count,
        limits.connections,
        "Connections open at once, over all listeners; further ones wait."
    ),
    setting!(
        "limits.connections_per_peer",
        Kind::Count,
        Count,
        limits.connections_per_peer,
        "Connections open at once from one address (of IPv6, one /64 network); further ones are closed at once. Raise it where all clients come through one proxy."
    ),
    setting!(
        "limits.streams",
        Kind::Count,
        Count,
        limits.streams,
        "Requests at once on one HTTP/2 connection."
    ),
    setting!(
        "limits.resets",
        Kind::Count,
        Count,
        limits.resets,
        "Requests that an HTTP/2 client may withdraw before they were looked at; one that withdraws more is cut off."
    ),
    setting!(
        "limits.headers",
        Kind::Count,
        Count,
        limits.headers,
        "The most headers of one HTTP/1 request; more are answered with 431."
    ),
    setting!(
        "limits.header_size",
        Kind::Size,
        Count,
        limits.header_size,
        "The largest headers of one request; larger ones are answered with 431."
    ),
    setting!(
        "limits.rows",
        Kind::Count,
        Count,
        limits.rows,
        "The most spans or events of one request."
    ),
    setting!(
        "limits.attributes",
        Kind::Count,
        Count,
        limits.attributes,
        "The most attributes of one item; further ones are cut and the row is flagged."
    ),
    setting!(
        "limits.events",
        Kind::Count,
        Count,
        limits.events,
        "The most events of one span; further ones are cut and the row is flagged."
    ),
    setting!(
        "limits.links",
        Kind::Count,
        Count,
        limits.links,
        "The most links of one span; further ones are cut and the row is flagged."
    ),
    setting!(
        "limits.value",
        Kind::Size,
        Count,
        limits.value,
        "The longest attribute value; a longer one is cut and the row is flagged."
    ),
    setting!(
        "limits.json_depth",
        Kind::Count,
        Count,
        limits.json_depth,
        "How deep JSON may nest; deeper is answered with 400. At most 100."
    ),
    setting!(
        "limits.json_values",
        Kind::Count,
        Count,
        limits.json_values,
        "The most JSON values of one body of audit or OCSF events, which are parsed as a whole; more are answered with 413."
    ),
    setting!(
        "limits.value_depth",
        Kind::Count,
        Count,
        limits.value_depth,
        "How deep the value of an attribute may nest; deeper is answered with 400. At most 64."
    ),
    setting!(
        "limits.first_byte_timeout",
        Kind::Span,
        Span,
        limits.first_byte_timeout,
        "How long a new connection may say nothing."
    ),
    setting!(
        "limits.header_timeout",
        Kind::Span,
        Span,
        limits.header_timeout,
        "How long the headers of a request may take, from their first byte on; of each request on a connection."
    ),
    setting!(
        "limits.keep_alive",
        Kind::Span,
        Span,
        limits.keep_alive,
        "How long a connection may rest between requests."
    ),
    setting!(
        "limits.idle_timeout",
        Kind::Span,
        Span,
        limits.idle_timeout,
        "How long a request body may pause, and how long a client may leave an answer untaken."
    ),
    setting!(
        "limits.request_timeout",
        Kind::Span,
        Span,
        limits.request_timeout,
        "How long a whole request may take, its body included."
    ),
    setting!(
        "limits.drain_timeout",
        Kind::Span,
        Span,
        limits.drain_timeout,
        "How long open requests have to finish when the node stops; then their connections are cut."
    ),
];

//! Keys, tenants and quotas as an operator handles them: the command line beside running servers.

#![cfg(test)]

#[path = "keys/own_lakes.rs"]
mod own_lakes;
#[path = "../store/tests/server/mod.rs"]
mod postgres;
mod support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::keys::{create, send, tool};
use support::server::{Settings, Weir, weir};
use support::{http, wait_for};

/// Within which a change must count on every server.
const EFFECTIVE: Duration = Duration::from_secs(5);

fn started() -> (tempfile::TempDir, Settings, Weir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::plain(&folder.path().join("data"));
    let server = settings.start();
    (folder, settings, server)
}

/// Waits until sending with `key` is answered with `status`; how long that took.
fn until(server: &Weir, key: &str, status: u16) -> Duration {
    let began = Instant::now();
    let mut first = 0;
    wait_for(&format!("{status} for a key"), EFFECTIVE, || {
        first += 10;
        (send(server, ("x-api-key", key), first).status == status).then_some(())
    });
    began.elapsed()
}

/// Waits until a key is wanted, after the first was made; how long that took.
fn closed(server: &Weir) -> Duration {
    let began = Instant::now();
    let mut first = 1_000;
    wait_for("keys are wanted", EFFECTIVE, || {
        first += 10;
        (send(server, ("x-other", ""), first).status == 401).then_some(())
    });
    began.elapsed()
}

#[test]
fn keys_are_wanted_once_one_exists_and_changes_count_within_five_seconds() {
    let (_folder, settings, server) = started();
    let open = send(&server, ("x-other", ""), 0);
    assert_eq!(
        open.status,
        200,
        "without keys loopback is open: {}",
        open.text()
    );

    let (id, key) = create(&settings, "acme", &[]);
    println!("created: keys are wanted after {:?}", closed(&server));
    until(&server, &key, 200);
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    for header in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", basic(format!("pk-lf-1:{key}"))),
        ("x-api-key", key.clone()),
    ] {
        let answer = send(&server, (header.0, &header.1), 2);
        assert_eq!(answer.status, 200, "{header:?}: {}", answer.text());
    }
    let refused = send(&server, ("authorization", "Bearer wk_wrong"), 3);
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");

    let second = tool(&settings, &["keys", "rotate", &id, "--overlap", "1h"]);
    let second = second["key"].as_str().unwrap();
    println!(
        "rotated: the new secret counts after {:?}",
        until(&server, second, 200)
    );
    assert_eq!(
        send(&server, ("x-api-key", &key), 4).status,
        200,
        "the old one holds too"
    );
    let third = tool(&settings, &["keys", "rotate", &id, "--overlap", "0s"]);
    println!(
        "rotated: the old secrets end after {:?}",
        until(&server, second, 401)
    );
    assert_eq!(send(&server, ("x-api-key", &key), 5).status, 401);
    let third = third["key"].as_str().unwrap();
    until(&server, third, 200);
    tool(&settings, &["keys", "revoke", &id]);
    println!("revoked: ends after {:?}", until(&server, third, 401));
}

#[test]
fn a_key_is_for_its_scopes_and_its_time() {
    let (_folder, settings, server) = started();
    let (_, ingest) = create(&settings, "acme", &["--scopes", "ingest"]);
    let (_, brief) = create(&settings, "acme", &["--expires-in", "3s"]);
    closed(&server);
    until(&server, &ingest, 200);
    let ask = |key: &str| {
        let headers = [("content-type", "application/sql"), ("x-api-key", key)];
        let mut connection = http::Connection::open(server.http).unwrap();
        connection
            .send("POST", "/v1/query", &headers, b"SELECT 1")
            .unwrap()
    };
    let refused = ask(&ingest);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("--scopes query"),
        "{}",
        refused.text()
    );
    until(&server, &brief, 401);
    let expired = ask(&brief);
    assert_eq!(expired.json()["code"], "expired_key", "{}", expired.text());
}

#[test]
fn a_quota_set_beside_a_running_server_counts_within_five_seconds() {
    let (_folder, settings, server) = started();
    let (_, key) = create(&settings, "acme", &[]);
    let (_, other) = create(&settings, "other", &["--rows-per-second", "1000000"]);
    closed(&server);
    until(&server, &key, 200);
    let set = tool(
        &settings,
        &["tenants", "set", "acme", "--bytes-per-second", "1"],
    );
    assert_eq!(set["quotas"]["bytes_per_second"], 1);
    until(&server, &key, 429);
    let refused = send(&server, ("x-api-key", &key), 7);
    assert!(
        refused
            .header("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 1
    );
    assert!(refused.header("x-ratelimit-limit").is_some());
    assert_eq!(send(&server, ("x-api-key", &other), 7).status, 200);
    tool(
        &settings,
        &["tenants", "set", "acme", "--bytes-per-second", "unlimited"],
    );
    until(&server, &key, 200);
    let listed = tool(&settings, &["tenants", "list"]);
    let expected = serde_json::json!([["acme", 1, "unlimited"], ["other", 1, null]]);
    let shown: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| {
            serde_json::json!([
                tenant["tenant"],
                tenant["keys"],
                tenant["quotas"]["bytes_per_second"]
            ])
        })
        .collect();
    assert_eq!(serde_json::json!(shown), expected);
}

/// Two nodes, one Postgres, one pepper: a key is made once and counts on both.
#[test]
fn nodes_that_share_postgres_share_keys() {
    let cluster = match postgres::Postgres::start() {
        Ok(cluster) => cluster,
        Err(why) => return postgres::not_run(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let pepper = folder.path().join("pepper");
    let url = format!("{} password=hunter2", cluster.database());
    let node = |name: &str| {
        Settings::plain(&folder.path().join(name))
            .with("WEIR_STATE_POSTGRES_URL", &url)
            .with("WEIR_STATE_PEPPER_FILE", pepper.to_str().unwrap())
    };
    let (one, two) = (node("one"), node("two"));
    let servers = [one.start(), two.start()];
    let (id, key) = create(&one, "acme", &[]);
    for server in &servers {
        closed(server);
        until(server, &key, 200);
    }
    tool(&two, &["keys", "revoke", &id]);
    for server in &servers {
        until(server, &key, 401);
    }
    let printed = weir()
        .args(["config", "print"])
        .envs(one.environment())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.contains("postgres_url: \"***\""), "{printed}");
    for server in &servers {
        let log = server.process.log();
        assert!(!log.contains("hunter2"), "{log}");
    }
}

#[test]
fn an_address_that_others_can_reach_is_opened_once_there_is_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings::plain(&folder.path().join("data")).with("WEIR_LISTEN_INSECURE_HTTP", "true");
    let start = || settings.launch_at("0.0.0.0:0");
    let (status, log) = start().try_ready().unwrap_err();
    assert_eq!(status.and_then(|status| status.code()), Some(2), "{log}");
    assert!(log.contains("weir keys create"), "{log}");
    create(&settings, "acme", &[]);
    let server = start().wait_ready();
    let port = server.http.port();
    let answer = http::get(([127, 0, 0, 1], port).into(), "/v1/status").unwrap();
    assert_eq!(answer.status, 401);
}

#[test]
fn what_is_wrong_with_a_command_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let list = ["keys", "list", "--data-dir", dir];
    let empty = weir().args(list).output().unwrap();
    let said = String::from_utf8_lossy(&empty.stderr);
    assert_eq!(empty.status.code(), Some(1), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
    assert!(
        !folder.path().join("state.db").try_exists().unwrap(),
        "nothing is made"
    );
    create(&Settings::plain(folder.path()), "a", &[]);
    let cases: [(&[&str], i32, &str); 7] = [
        (&["keys", "revoke", "nobody"], 1, "weir keys list"),
        (&["keys", "revoke", "wk_0123_secret"], 1, "text of a key"),
        (&["keys", "create", "--tenant", "Not A Tenant"], 1, "a-z"),
        (
            &["keys", "create", "--tenant", "a", "--scopes", "root"],
            2,
            "ingest, query and admin",
        ),
        (
            &["keys", "create", "--tenant", "a", "--expires-in", "soon"],
            2,
            "never",
        ),
        (&["tenants", "set", "a"], 1, "--rows-per-second"),
        (
            &["tenants", "set", "a", "--rows-per-second", "many"],
            2,
            "unlimited",
        ),
    ];
    for (arguments, code, text) in cases {
        let output = weir()
            .args(arguments)
            .args(["--data-dir", dir])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
        assert!(!said.contains("secret"), "{arguments:?}: {said}");
    }
}

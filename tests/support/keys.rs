//! Keys of a real server: made and used by the command line.

use super::http::{Answer, Connection};
use super::server::{Settings, Weir, weir};
use super::traffic::Kind;

/// Runs `weir` on the state of `settings`; its answer as JSON. Panics where it fails.
pub(crate) fn tool(settings: &Settings, arguments: &[&str]) -> serde_json::Value {
    let output = weir()
        .args(arguments)
        .args(["--format", "json", "--data-dir"])
        .arg(settings.data_dir())
        .envs(settings.environment())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A new key: its id and its text.
pub(crate) fn create(settings: &Settings, tenant: &str, more: &[&str]) -> (String, String) {
    let arguments = [&["keys", "create", "--tenant", tenant], more].concat();
    let made = tool(settings, &arguments);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// Sends spans from number `first` on with a header that carries the key.
pub(crate) fn send(server: &Weir, (name, value): (&str, &str), first: u64) -> Answer {
    let kind = Kind::SpansJson;
    let headers = [("content-type", kind.content_type()), (name, value)];
    let mut connection = Connection::open(server.http).unwrap();
    connection
        .send("POST", kind.path(), &headers, &kind.body(first, 2))
        .unwrap()
}

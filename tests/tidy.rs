//! The rules about the tree that no compiler knows: who may import whom, what must be there once,
//! how long a file may get, and that nothing refers to a place outside the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Which of our crates a crate may depend on; a crate that is not named may depend on none.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("lake", &["model"]),
    ("postgres", &[]),
    ("store", &["model", "postgres"]),
    ("transforms", &["model"]),
    ("ledger", &["model", "lake", "transforms"]),
    ("ingest", &["model", "ocsf"]),
    ("sinks", &["model", "lake", "postgres"]),
    ("queries", &["model", "lake"]),
    (
        "benches",
        &["model", "ingest", "transforms", "lake", "queries"],
    ),
    ("traffic", &[]),
    ("ocsf", &[]),
    ("xtask", &[]),
    (
        ".",
        &[
            "model",
            "lake",
            "store",
            "ingest",
            "transforms",
            "ledger",
            "sinks",
            "queries",
            "traffic",
            "ocsf",
        ],
    ),
];

/// Outside crates that have one home; names are compared by prefix.
const ONE_HOME: &[(&str, &[&str])] = &[
    ("datafusion", &["queries"]),
    ("deltalake", &["lake"]),
    ("rusqlite", &["store", "sinks"]),
    ("tokio-postgres", &["store", "sinks", "postgres"]),
    ("axum", &["."]),
    ("clap", &[".", "xtask"]),
    ("tonic", &["."]),
    ("tracing-subscriber", &["."]),
    ("anyhow", &[".", "xtask"]),
];

/// What `model`, `transforms` and `ocsf` must stay free of, since they are pure.
const NOT_IN_PURE: &[&str] = &["tokio", "object_store", "reqwest", "hyper", "rusqlite"];

/// Crates of which two versions in one program do not understand each other.
const ONE_VERSION: &[&str] = &[
    "arrow-array",
    "arrow-buffer",
    "arrow-data",
    "arrow-schema",
    "datafusion",
    "deltalake-core",
    "object_store",
    "opentelemetry-proto",
    "parquet",
    "prost",
    "rustls",
    "tokio",
    "tonic",
];

/// TLS is rustls; these would bring a second stack or a need beyond libc.
const NEVER: &[&str] = &[
    "boring",
    "native-tls",
    "openssl",
    "openssl-sys",
    "s2n-tls",
    "tokio-native-tls",
];

const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What git knows of, and what it would add: deleted files are left out.
fn tracked() -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root())
        .output()
        .context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files: {}", output.status);
    let names = String::from_utf8(output.stdout)?;
    let files: Vec<PathBuf> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|name| root().join(name).is_file())
        .collect();
    ensure!(files.len() > 50, "git lists only {} files", files.len());
    Ok(files)
}

fn with_extension(extension: &str) -> Result<Vec<(PathBuf, String)>> {
    tracked()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == extension))
        .map(|path| read(&path).map(|text| (path, text)))
        .collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.display().to_string())
}

fn manifest(folder: &str) -> Result<toml::Table> {
    let text = read(&Path::new(folder).join("Cargo.toml"))?;
    text.parse().with_context(|| folder.to_owned())
}

/// Names of all that a crate depends on, in programs and tests alike.
fn dependencies(folder: &str) -> Result<BTreeSet<String>> {
    let manifest = manifest(folder)?;
    let mut names = BTreeSet::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        if let Some(table) = manifest.get(section).and_then(toml::Value::as_table) {
            names.extend(table.keys().cloned());
        }
    }
    Ok(names)
}

fn fail_with(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_crate_uses_only_the_crates_that_the_table_allows() -> Result<()> {
    let mut faults = Vec::new();
    for (folder, allowed) in MAY_USE {
        for name in dependencies(folder)? {
            let Some(ours) = name.strip_prefix("weir-") else {
                continue;
            };
            // A crate may name itself to switch on a feature in its tests.
            if ours != *folder && !allowed.contains(&ours) {
                faults.push(format!("{folder} may not use {ours}"));
            }
        }
    }
    fail_with(&faults);
    Ok(())
}

#[test]
fn every_member_of_the_workspace_is_in_the_table() -> Result<()> {
    let manifest = manifest(".")?;
    let members: BTreeSet<&str> = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("members"))
        .and_then(toml::Value::as_array)
        .context("workspace.members")?
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let table: BTreeSet<&str> = MAY_USE
        .iter()
        .map(|(folder, _)| *folder)
        .filter(|folder| *folder != ".")
        .collect();
    assert_eq!(members, table);
    Ok(())
}

#[test]
fn outside_crates_stay_in_their_one_home() -> Result<()> {
    let mut faults = Vec::new();
    for (folder, _) in MAY_USE {
        for name in dependencies(folder)? {
            for (prefix, homes) in ONE_HOME {
                if name.starts_with(prefix) && !homes.contains(folder) {
                    faults.push(format!("{name} belongs in {homes:?}, not in {folder}"));
                }
            }
        }
    }
    for folder in ["model", "transforms", "ocsf"] {
        for name in dependencies(folder)? {
            if NOT_IN_PURE.contains(&name.as_str()) {
                faults.push(format!("{folder} is pure and may not use {name}"));
            }
        }
    }
    fail_with(&faults);
    Ok(())
}

#[test]
fn every_crate_takes_the_lints_and_the_edition_of_the_workspace() -> Result<()> {
    for (folder, _) in MAY_USE {
        let manifest = manifest(folder)?;
        let lints = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        assert_eq!(lints, Some(&toml::Value::Boolean(true)), "{folder}");
        let publish = manifest
            .get("package")
            .and_then(|package| package.get("edition"))
            .and_then(|edition| edition.get("workspace"));
        assert_eq!(publish, Some(&toml::Value::Boolean(true)), "{folder}");
    }
    Ok(())
}

#[test]
fn the_lock_file_holds_one_version_one_tls_stack_and_one_registry() -> Result<()> {
    let lock: toml::Table = read(Path::new("Cargo.lock"))?.parse()?;
    let packages = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .context("Cargo.lock names no package")?;
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut faults = Vec::new();
    for package in packages {
        let field = |name| package.get(name).and_then(toml::Value::as_str);
        let name = field("name").context("a package without a name")?;
        versions
            .entry(name)
            .or_default()
            .push(field("version").unwrap_or_default());
        if NEVER.contains(&name) {
            faults.push(format!("{name} brings a second TLS stack"));
        }
        if let Some(source) = field("source")
            && source != "registry+https://github.com/rust-lang/crates.io-index"
        {
            faults.push(format!("{name} comes from {source}"));
        }
    }
    for name in ONE_VERSION {
        match versions.get(name).map(Vec::as_slice) {
            Some([_]) => {}
            Some(several) => faults.push(format!("{name} is there as {several:?}")),
            None => faults.push(format!("{name} is not in Cargo.lock: mend this list")),
        }
    }
    fail_with(&faults);
    Ok(())
}

#[test]
fn no_source_file_is_too_long() -> Result<()> {
    let faults: Vec<String> = with_extension("rs")?
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines of {LINES_MAX}", path.display()))
        .collect();
    fail_with(&faults);
    Ok(())
}

/// Where money is read, added up, compared and named: no binary float may be in it.
const MONEY: &[&str] = &[
    "ingest/src/decode/money.rs",
    "transforms/src/money.rs",
    "transforms/src/price",
    "transforms/src/enrich/cost.rs",
    "src/app/prices.rs",
    "src/config/prices_file.rs",
];

/// The one place there that may use floats: the tests that compare with the list's publisher, who
/// does.
const NOT_MONEY: &str = "transforms/src/price/tests.rs";

#[test]
fn no_float_is_in_the_path_of_money() -> Result<()> {
    let mut faults = Vec::new();
    let mut looked_at = BTreeSet::new();
    for (path, text) in with_extension("rs")? {
        let Some(of) = MONEY.iter().find(|of| path.starts_with(of)) else {
            continue;
        };
        if path == Path::new(NOT_MONEY) {
            continue;
        }
        looked_at.insert(*of);
        for (index, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let mut words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let float = words.find(|word| {
                matches!(
                    *word,
                    "f32" | "f64" | "Float64Type" | "Float64Array" | "as_f64"
                )
            });
            if let Some(word) = float {
                faults.push(format!("{}:{}: {word}", path.display(), index + 1));
            }
        }
    }
    assert_eq!(
        looked_at.len(),
        MONEY.len(),
        "{looked_at:?}: mend this list"
    );
    fail_with(&faults);
    Ok(())
}

#[test]
fn source_is_ascii() -> Result<()> {
    let mut faults = Vec::new();
    for (path, text) in with_extension("rs")? {
        for (index, line) in text.lines().enumerate() {
            if !line.is_ascii() {
                faults.push(format!("{}:{}: not ASCII", path.display(), index + 1));
            }
        }
    }
    fail_with(&faults);
    Ok(())
}

/// Put together here, so that this file does not hold what it looks for.
fn forbidden() -> [(String, &'static str); 5] {
    [
        (
            ["#[ign", "ore"].concat(),
            "a test that never runs proves nothing",
        ),
        (["todo", "!("].concat(), "finish it"),
        (["unimple", "mented!("].concat(), "finish it"),
        (["/wo", "rk/"].concat(), "names one machine"),
        (["../sha", "red"].concat(), "lies outside the repository"),
    ]
}

#[test]
fn nothing_is_left_undone_and_nothing_points_outside() -> Result<()> {
    let mut faults = Vec::new();
    for path in tracked()? {
        if path.starts_with("testdata")
            || path.components().any(|part| part.as_os_str() == "testdata")
        {
            continue;
        }
        // What is not text holds no words.
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for (word, why) in forbidden() {
                if line.contains(&word) {
                    let place = format!("{}:{}", path.display(), index + 1);
                    faults.push(format!("{place}: {word:?}: {why}"));
                }
            }
        }
    }
    fail_with(&faults);
    Ok(())
}

#[test]
fn modules_named_after_nothing_do_not_exist() -> Result<()> {
    let vague = ["utils.rs", "util.rs", "common.rs", "helpers.rs", "misc.rs"];
    let faults: Vec<String> = tracked()?
        .into_iter()
        .filter(|path| vague.iter().any(|name| path.ends_with(name)))
        .map(|path| format!("{} says nothing of what it holds", path.display()))
        .collect();
    fail_with(&faults);
    Ok(())
}

/// Words like `W0042`, each an error that an operator may have to look up.
fn error_codes(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| word.len() == 5 && word.starts_with('W'))
        .filter(|word| word.chars().skip(1).all(|digit| digit.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() -> Result<()> {
    let mut used = BTreeSet::new();
    for (path, text) in with_extension("rs")? {
        if !path.starts_with("tests") {
            used.extend(error_codes(&text));
        }
    }
    let pages: BTreeSet<String> = tracked()?
        .iter()
        .filter(|path| path.starts_with("docs/errors"))
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .filter(|stem| stem != "README")
        .collect();
    assert_eq!(used, pages);
    Ok(())
}

#[test]
fn the_readme_names_the_two_commands_and_ci_runs_the_second() -> Result<()> {
    let readme = read(Path::new("README.md"))?;
    assert!(readme.contains("cargo run --release -- demo"));
    assert!(readme.contains("cargo xtask test"));
    let ci = read(Path::new(".ci/run"))?;
    let commands: Vec<&str> = ci
        .lines()
        .filter(|line| line.trim_start().starts_with("cargo"))
        .collect();
    assert_eq!(commands, ["cargo xtask test"]);
    Ok(())
}

#[test]
fn the_code_map_names_every_folder() -> Result<()> {
    let architecture = read(Path::new("ARCHITECTURE.md"))?;
    let folders: BTreeSet<String> = tracked()?
        .iter()
        .filter(|path| path.components().count() > 1)
        .filter_map(|path| path.components().next())
        .filter_map(|part| part.as_os_str().to_str().map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .collect();
    let faults: Vec<String> = folders
        .into_iter()
        .filter(|folder| !architecture.contains(&format!("| `{folder}/` |")))
        .map(|folder| format!("ARCHITECTURE.md does not name {folder}/"))
        .collect();
    fail_with(&faults);
    Ok(())
}

#[test]
fn heavy_tests_wait_to_be_asked_for() -> Result<()> {
    let mut found = 0;
    for (path, text) in with_extension("rs")? {
        let name = path.file_name().and_then(|name| name.to_str());
        if !name.is_some_and(|name| name.starts_with("heavy_")) {
            continue;
        }
        found += 1;
        let tests = text.matches("#[test]").count() + text.matches("#[tokio::test").count();
        let gates = text.matches("support::skip_unless_heavy()").count();
        assert!(tests > 0, "{} tests nothing", path.display());
        assert_eq!(tests, gates, "{}: a gate for each test", path.display());
    }
    assert!(found > 0, "there is no heavy test");
    Ok(())
}

//! `cargo xtask test` and `cargo xtask torture`.
//!
//! Everything is compiled under one profile and one set of features: each Cargo command selects the
//! whole workspace and filters by test name, because selecting single packages would unify features
//! differently and build the dependencies again.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use clap::Args;

use crate::report::Report;
use crate::servers::{self, Server};
use crate::{provision, tree};

/// Simulated crashes of the write-ahead log in the heavy tier.
const SIMULATED_CRASHES: &str = "20000";

/// What `test` takes.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// Install missing packages of the system by apt (needs root); `CI=true` implies it
    #[arg(long)]
    install_system: bool,
    /// Leave the heavy tier out: no crash loops, power cuts, full disks
    #[arg(long)]
    quick: bool,
}

/// What `torture` takes.
#[derive(Args)]
pub(crate) struct TortureArgs {
    /// How often the server is killed and started again
    #[arg(long, default_value_t = 1_000)]
    cycles: u32,
    /// How many images of the disk are taken under load, recovered and compared
    #[arg(long, default_value_t = 0)]
    power_cuts: u32,
    /// How often the disk is filled and freed
    #[arg(long, default_value_t = 0)]
    disk_full: u32,
    /// Crashes of the simulated write-ahead log
    #[arg(long, default_value_t = 0)]
    simulated: u64,
    /// Start of the random choices; the test prints the one it used
    #[arg(long)]
    seed: Option<u64>,
}

/// Provisions, then runs everything that must pass before a change lands.
///
/// # Errors
/// Where a step failed, or was not run although `CI=true`.
pub(crate) fn test(args: &TestArgs) -> anyhow::Result<()> {
    let mut report = Report::new(tree::is_ci());
    print_plan(args)?;
    install_system(args.install_system || tree::is_ci(), &mut report);

    let python = thread::spawn(|| timed(provision::python));
    let node = thread::spawn(|| timed(provision::node));
    let built = report.run("build the tests", cargo("test").arg("--no-run"));
    let bins = [("packages from PyPI", python), ("packages from npm", node)].map(|(name, job)| {
        let (result, took) = job.join().unwrap_or_else(|_| panicked());
        match result {
            Ok(bin) => {
                report.note(name, Ok(()), took);
                Some(bin)
            }
            Err(why) => {
                report.not_run(name, &why);
                None
            }
        }
    });
    let [python, node] = bins;
    if built {
        run_tests(args, &mut report, python.as_deref(), node.as_deref());
    } else {
        println!("the tests do not compile, so that none was run");
    }
    lint(&mut report, python.as_deref());
    report.finish()
}

fn run_tests(
    args: &TestArgs,
    report: &mut Report,
    python: Option<&std::path::Path>,
    node: Option<&std::path::Path>,
) {
    let s3 = server(report, "S3 server (moto)", python, servers::start_s3);
    let azurite = server(
        report,
        "Azure server (azurite)",
        node,
        servers::start_azurite,
    );
    let environment = |command: &mut Command| {
        if let Some(s3) = &s3 {
            command.env("WEIR_TEST_S3_ENDPOINT", s3.url());
        }
        if let Some(azurite) = &azurite {
            command.env("WEIR_TEST_AZURITE_ENDPOINT", azurite.url());
            // The one place where object_store looks for an emulator that is not on port 10000.
            command.env("AZURITE_BLOB_STORAGE_URL", azurite.url());
        }
        if let Some(python) = python {
            command.env("WEIR_TEST_PYTHON", python.join("python"));
        }
    };
    let mut quick = cargo("test");
    quick.arg("--no-fail-fast");
    environment(&mut quick);
    report.run("quick tests", &mut quick);
    if args.quick {
        println!("not run: heavy tests: --quick was given");
        return;
    }
    let mut heavy = heavy_tests(&["wal_sim", "heavy_*"]);
    heavy.env("WEIR_SIM_CRASHES", SIMULATED_CRASHES);
    environment(&mut heavy);
    report.run("heavy tests", &mut heavy);
}

/// Runs the crash tests with the numbers given.
///
/// # Errors
/// Where one failed; its output names the seed that repeats its choices.
pub(crate) fn torture(args: &TortureArgs) -> anyhow::Result<()> {
    let mut report = Report::new(true);
    let mut rounds = vec![(
        "crash loop",
        "heavy_crash_loop",
        "WEIR_CRASH_CYCLES",
        u64::from(args.cycles),
    )];
    rounds.push((
        "power cuts",
        "heavy_power_cut",
        "WEIR_POWER_CUTS",
        u64::from(args.power_cuts),
    ));
    rounds.push((
        "full disks",
        "heavy_disk_full",
        "WEIR_DISK_FULL_CYCLES",
        u64::from(args.disk_full),
    ));
    rounds.push((
        "simulated crashes",
        "wal_sim",
        "WEIR_SIM_CRASHES",
        args.simulated,
    ));
    for (name, test, variable, count) in rounds {
        if count == 0 {
            continue;
        }
        let mut command = heavy_tests(&[test]);
        command.env(variable, count.to_string());
        if let Some(seed) = args.seed {
            command.env("WEIR_TEST_SEED", seed.to_string());
        }
        report.run(&format!("{name}: {count}"), &mut command);
    }
    report.finish()
}

/// One at a time and with their output shown: they measure time and fill disks.
fn heavy_tests(names: &[&str]) -> Command {
    let mut command = cargo("test");
    command.arg("--no-fail-fast");
    for name in names {
        command.args(["--test", name]);
    }
    command
        .args(["--", "--test-threads", "1", "--show-output"])
        .env("WEIR_HEAVY", "1");
    command
}

fn lint(report: &mut Report, python: Option<&std::path::Path>) {
    report.run(
        "format",
        Command::new(cargo_program())
            .args(["fmt", "--all", "--check"])
            .current_dir(tree::root()),
    );
    report.run(
        "clippy",
        cargo("clippy").args([
            "--all-targets",
            "--features",
            "weir-benches/sql",
            "--",
            "-D",
            "warnings",
        ]),
    );
    // `--examples` selects nothing that exists, but makes Cargo unify the features of development
    // dependencies as clippy did, whose work is then reused.
    report.run(
        "documentation",
        cargo("doc")
            .args(["--no-deps", "--lib", "--bins", "--examples"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    let dockerfile = tree::root().join("Dockerfile");
    match (python, dockerfile.is_file()) {
        (Some(bin), true) => {
            report.run(
                "Dockerfile",
                Command::new(bin.join("hadolint")).arg(&dockerfile),
            );
        }
        (None, true) => report.not_run("Dockerfile", "hadolint is not installed"),
        (_, false) => {}
    }
    if tree::find_program("cargo-deny").is_some() {
        report.run(
            "licences and sources",
            Command::new(cargo_program())
                .args(["deny", "--offline", "check", "bans", "licenses", "sources"])
                .current_dir(tree::root()),
        );
    } else {
        println!("cargo-deny is not installed; tests/tidy.rs has checked versions and sources");
    }
}

fn server(
    report: &mut Report,
    name: &str,
    bin: Option<&std::path::Path>,
    start: fn(&std::path::Path) -> anyhow::Result<Server>,
) -> Option<Server> {
    let bin = bin?;
    match start(bin) {
        Ok(server) => Some(server),
        Err(fault) => {
            report.not_run(name, &format!("{fault:#}"));
            None
        }
    }
}

fn install_system(wanted: bool, report: &mut Report) {
    let missing = provision::missing_from_system();
    if missing.packages.is_empty() {
        return;
    }
    if !wanted {
        for reason in missing.reasons {
            println!("missing: {reason}, or give --install-system");
        }
        return;
    }
    let began = Instant::now();
    let outcome =
        provision::install_system(&missing.packages).map_err(|fault| format!("{fault:#}"));
    report.note("packages of the system", outcome, began.elapsed());
}

fn print_plan(args: &TestArgs) -> anyhow::Result<()> {
    println!("plan");
    let missing = provision::missing_from_system();
    if missing.packages.is_empty() {
        println!("  system   nothing is missing");
    } else if args.install_system || tree::is_ci() {
        println!("  system   apt-get install {}", missing.packages.join(" "));
    } else {
        println!("  system   missing: {}", missing.packages.join(" "));
    }
    println!(
        "  PyPI     {} into .cache/venv",
        provision::listed("python.txt")?.join(" ")
    );
    println!(
        "  npm      {} into .cache/npm",
        provision::listed("node.txt")?.join(" ")
    );
    println!("  servers  moto (S3) and azurite (Azure) on free loopback ports");
    println!("  quick    cargo test --workspace");
    if !args.quick {
        println!(
            "  heavy    crash loops, power cuts, full disks, {SIMULATED_CRASHES} simulated crashes"
        );
    }
    println!("  lint     format, clippy, documentation, Dockerfile");
    Ok(())
}

type Timed = (Result<PathBuf, String>, std::time::Duration);

fn timed(work: fn() -> anyhow::Result<PathBuf>) -> Timed {
    let began = Instant::now();
    let result = work().map_err(|fault| format!("{fault:#}"));
    (result, began.elapsed())
}

fn panicked() -> Timed {
    (Err("panicked".to_owned()), std::time::Duration::ZERO)
}

/// Cargo, on the whole workspace.
fn cargo(task: &str) -> Command {
    let mut command = Command::new(cargo_program());
    command
        .arg(task)
        .arg("--workspace")
        .current_dir(tree::root());
    // `cargo run` describes this program to us in variables that some build scripts watch: handed
    // on, they would make Cargo build the TLS stack and all above it again.
    for (name, _) in std::env::vars_os() {
        let described = name.to_string_lossy();
        if described.starts_with("CARGO_PKG_") || described.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn cargo_program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

//! Brings what the tests need and Cargo cannot: packages from PyPI and npm into `.cache`, and,
//! where that was asked for, packages of the system.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::tree;

/// A program of the system that some test needs, and the Debian packages that bring it.
struct Need {
    program: &'static str,
    packages: &'static [&'static str],
    purpose: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        program: "cc",
        packages: &["build-essential"],
        purpose: "linking, and the shim that makes fsync fail",
    },
    Need {
        program: "python3",
        packages: &["python3", "python3-venv"],
        purpose: "moto, DuckDB, hadolint",
    },
    Need {
        program: "npm",
        packages: &["nodejs", "npm"],
        purpose: "azurite",
    },
    Need {
        program: "mkfs.ext4",
        packages: &["e2fsprogs"],
        purpose: "power-cut images",
    },
    Need {
        program: "fsfreeze",
        packages: &["util-linux"],
        purpose: "power-cut images",
    },
    Need {
        program: "promtool",
        packages: &["prometheus"],
        purpose: "metrics and alerting rules",
    },
    Need {
        program: "losetup",
        packages: &["mount"],
        purpose: "power-cut images",
    },
    Need {
        program: "initdb",
        packages: &["postgresql"],
        purpose: "the state that several nodes share",
    },
];

/// What is missing of the system, as lines for a person and as packages for apt.
pub(crate) struct Missing {
    pub(crate) reasons: Vec<String>,
    pub(crate) packages: Vec<&'static str>,
}

/// Looks for the programs that the tests need.
pub(crate) fn missing_from_system() -> Missing {
    let mut missing = Missing {
        reasons: Vec::new(),
        packages: Vec::new(),
    };
    for need in NEEDS {
        let found = match need.program {
            "python3" => has_venv(),
            "initdb" => has_postgres(),
            program => tree::find_program(program).is_some(),
        };
        if !found {
            let packages = need.packages.join(" ");
            let line = format!(
                "{} (for {}): apt-get install {packages}",
                need.program, need.purpose
            );
            missing.reasons.push(line);
            missing.packages.extend_from_slice(need.packages);
        }
    }
    missing
}

/// Debian splits `venv` from python3, so that the interpreter alone is not enough.
fn has_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Debian keeps the programs of a Postgres server off the search path, a folder a version.
fn has_postgres() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin/initdb")));
    folders.any(|initdb| initdb.is_file()) || tree::find_program("initdb").is_some()
}

/// Installs packages of the system by apt.
///
/// # Errors
/// Where apt is absent or refuses; what was missing is then still missing.
pub(crate) fn install_system(packages: &[&str]) -> anyhow::Result<()> {
    let update = Command::new("apt-get").args(["update", "-q"]).status()?;
    if !update.success() {
        bail!("apt-get update: {update}");
    }
    let install = Command::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()?;
    if !install.success() {
        bail!("apt-get install: {install}; it needs root");
    }
    Ok(())
}

/// The packages that a list file names, one a line, `#` for remarks.
pub(crate) fn listed(file: &str) -> anyhow::Result<Vec<String>> {
    let path = tree::root().join("xtask").join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// Installs the Python packages into `.cache/venv`; answers its folder of programs.
///
/// # Errors
/// Where python3 or the registry is not there; a half-made folder is made anew next time.
pub(crate) fn python() -> anyhow::Result<PathBuf> {
    let home = tree::cache().join("venv");
    let packages = listed("python.txt")?;
    let bin = home.join("bin");
    if is_current(&home, &packages) {
        return Ok(bin);
    }
    discard(&home)?;
    quiet(
        "python3-venv",
        Command::new("python3").args(["-m", "venv"]).arg(&home),
    )?;
    let mut pip = Command::new(bin.join("pip"));
    pip.args(["install", "--disable-pip-version-check", "--no-input"])
        .args(&packages);
    quiet("pip", &mut pip)?;
    mark_current(&home, &packages)?;
    Ok(bin)
}

/// Installs the npm packages into `.cache/npm`; answers their folder of programs.
///
/// # Errors
/// Where npm or the registry is not there; a half-made folder is made anew next time.
pub(crate) fn node() -> anyhow::Result<PathBuf> {
    let home = tree::cache().join("npm");
    let packages = listed("node.txt")?;
    let bin = home.join("node_modules").join(".bin");
    if is_current(&home, &packages) {
        return Ok(bin);
    }
    discard(&home)?;
    fs::create_dir_all(&home)?;
    fs::write(home.join("package.json"), "{\"private\":true}\n")?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
    ])
    .arg(&home)
    .args(&packages);
    quiet("npm", &mut npm)?;
    mark_current(&home, &packages)?;
    Ok(bin)
}

/// Runs a command with its output in `.cache/NAME.log`, since two run at once beside the compiler.
fn quiet(name: &str, command: &mut Command) -> anyhow::Result<()> {
    fs::create_dir_all(tree::cache())?;
    let log = tree::cache().join(format!("{name}.log"));
    let out = File::create(&log)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .with_context(|| format!("starting {name}"))?;
    if !status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let last = text.lines().last().unwrap_or("no output");
        bail!("{name}: {status}: {last} (all of it in {})", log.display());
    }
    Ok(())
}

fn stamp(home: &Path) -> PathBuf {
    home.join("installed.txt")
}

fn is_current(home: &Path, packages: &[String]) -> bool {
    fs::read_to_string(stamp(home)).is_ok_and(|text| text == packages.join("\n"))
}

fn mark_current(home: &Path, packages: &[String]) -> anyhow::Result<()> {
    fs::write(stamp(home), packages.join("\n")).context("marking what is installed")
}

fn discard(home: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(home) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(fault.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned() {
        for (file, pin) in [("python.txt", "=="), ("node.txt", "@")] {
            let packages = listed(file).unwrap();
            assert!(!packages.is_empty(), "{file}");
            for package in packages {
                assert!(package.contains(pin), "{file}: {package}");
            }
        }
    }
}

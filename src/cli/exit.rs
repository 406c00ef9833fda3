//! The codes that the process ends with.

use std::process::ExitCode;

use crate::config::Faults;

/// What `weir --help` says of them.
pub(crate) const HELP: &str = "\
Exit codes:
  0   done
  1   it failed, or what was checked is wrong; the reason is on stderr
  2   the command line or the configuration is wrong; nothing was started. For `weir ocsf
      validate`: an event breaks its schema
  73  the data directory is in use by another process
  74  an fsync failed: what was not acknowledged is lost, restart on a sound disk
  75  the server could not be reached; try again";

/// A code; see [`HELP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done.
    pub(crate) const OK: Self = Self(0);
    /// It failed.
    pub(crate) const FAILURE: Self = Self(1);
    /// The command line or the configuration is wrong.
    pub(crate) const USAGE: Self = Self(2);
    /// An event that was looked at breaks its schema.
    pub(crate) const INVALID: Self = Self(2);
    /// The data directory is in use.
    pub(crate) const IN_USE: Self = Self(73);
    /// An fsync failed.
    pub(crate) const FSYNC: Self = Self(74);
    /// The server could not be reached.
    pub(crate) const UNREACHABLE: Self = Self(75);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// The code for a command that ended with `error`.
pub(crate) fn code_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<Faults>() {
            return Exit::USAGE;
        }
        if cause.is::<crate::client::Unreachable>() {
            return Exit::UNREACHABLE;
        }
        if let Some(start) = cause.downcast_ref::<crate::app::StartError>() {
            return start.exit();
        }
    }
    Exit::FAILURE
}

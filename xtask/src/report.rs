//! Runs steps one after the other, remembers how each went, and says so at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

/// How a step went.
enum Outcome {
    Passed,
    Failed(String),
    NotRun(String),
}

/// All steps so far.
pub(crate) struct Report {
    steps: Vec<(String, Outcome, Duration)>,
    strict: bool,
}

impl Report {
    /// An empty report; in a strict one, a step that was not run is a failure.
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            steps: Vec::new(),
            strict,
        }
    }

    /// Runs a command with its output shown; true where it succeeded.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> bool {
        println!("\n=== {name}");
        let began = Instant::now();
        let outcome = match command.status() {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => Outcome::Failed(format!("{status}")),
            Err(fault) => Outcome::Failed(format!("could not be started: {fault}")),
        };
        let took = began.elapsed();
        let passed = matches!(outcome, Outcome::Passed);
        let word = if passed { "ok" } else { "FAILED" };
        println!("=== {name}: {word}, {:.1} s", took.as_secs_f64());
        self.steps.push((name.to_owned(), outcome, took));
        passed
    }

    /// Notes a step that was done elsewhere.
    pub(crate) fn note(&mut self, name: &str, outcome: Result<(), String>, took: Duration) {
        let outcome = outcome.map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.steps.push((name.to_owned(), outcome, took));
    }

    /// Notes a step that is left out, and says so at once.
    pub(crate) fn not_run(&mut self, name: &str, why: &str) {
        println!("not run: {name}: {why}");
        let outcome = Outcome::NotRun(why.to_owned());
        self.steps.push((name.to_owned(), outcome, Duration::ZERO));
    }

    /// Prints every step and its time; an error where one failed.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        println!("\n=== summary");
        let mut faults = 0_usize;
        for (name, outcome, took) in &self.steps {
            let seconds = took.as_secs_f64();
            match outcome {
                Outcome::Passed => println!("{seconds:8.1} s  ok       {name}"),
                Outcome::Failed(why) => {
                    faults += 1;
                    println!("{seconds:8.1} s  FAILED   {name}: {why}");
                }
                Outcome::NotRun(why) => {
                    faults += usize::from(self.strict);
                    println!("{:>10}  not run  {name}: {why}", "-");
                }
            }
        }
        if faults > 0 {
            bail!("{faults} of {} steps did not pass", self.steps.len());
        }
        println!("every step passed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(strict: bool) -> Report {
        let mut report = Report::new(strict);
        report.note("done", Ok(()), Duration::ZERO);
        report
    }

    #[test]
    fn a_step_left_out_fails_only_where_nothing_may_be_left_out() {
        for strict in [false, true] {
            let mut report = report(strict);
            report.not_run("S3", "no python3");
            assert_eq!(report.finish().is_err(), strict);
        }
    }

    #[test]
    fn a_failed_step_is_a_failure_even_when_later_ones_pass() {
        let mut report = report(false);
        assert!(!report.run("false", &mut Command::new("false")));
        assert!(report.run("true", &mut Command::new("true")));
        assert!(report.finish().is_err());
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failed_step() {
        let mut report = report(false);
        assert!(!report.run("none", &mut Command::new("no-such-program-as-this")));
        assert!(report.finish().is_err());
    }
}

//! Systems without a backend: everything refuses, with advice. Nothing ever runs unconfined.

use std::convert::Infallible;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::{Doors, Ended, Enforced, Feature, Lack, Observer, Plan, Probe, SandboxError};

/// A compartment, of which there are none on this system.
#[derive(Debug)]
pub struct Compartment {
    /// Writes to the program's stdin.
    pub stdin: Option<File>,
    /// Reads the program's stdout.
    pub stdout: Option<File>,
    /// Reads the program's stderr.
    pub stderr: Option<File>,
    /// Where its connections arrive; none without a port in its plan.
    pub doors: Option<Doors>,
    none: Infallible,
}

impl Compartment {
    /// What was measured on the process that runs the program.
    #[must_use]
    pub fn enforced(&self) -> &Enforced {
        match self.none {}
    }

    /// The number, on this side, of the first process inside.
    #[must_use]
    pub fn pid(&self) -> i32 {
        match self.none {}
    }

    /// Asks the program to end.
    pub fn terminate(&self) {
        match self.none {}
    }

    /// Ends every process inside, at once.
    pub fn kill(&self) {
        match self.none {}
    }

    /// Waits until nothing inside lives any more.
    pub fn wait(&self) -> Ended {
        match self.none {}
    }

    /// Whether the kernel ended something inside because the cap on memory was reached.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        match self.none {}
    }

    /// Waits at most this long; none when something still lives.
    pub fn wait_timeout(&self, _timeout: Duration) -> Option<Ended> {
        match self.none {}
    }
}

/// Refuses: containers are made on Linux only.
///
/// # Errors
/// Always [`SandboxError::Unsupported`].
pub fn engine(_engine: &Path, _home: &Path) -> Result<Command, SandboxError> {
    Err(SandboxError::Unsupported {
        system: std::env::consts::OS.to_owned(),
    })
}

/// Refuses: there is no backend for this system.
///
/// # Errors
/// Always [`SandboxError::Unsupported`], after an invalid plan's own error.
pub fn launch(plan: &Plan) -> Result<Compartment, SandboxError> {
    plan.check()?;
    Err(SandboxError::Unsupported {
        system: std::env::consts::OS.to_owned(),
    })
}

/// Refuses as [`launch`] does.
///
/// # Errors
/// Always.
pub fn launch_observed(plan: &Plan, _observer: Observer) -> Result<Compartment, SandboxError> {
    launch(plan)
}

/// A compartment in the making, of which there are none on this system.
#[derive(Debug)]
pub struct Prepared {
    none: Infallible,
}

impl Prepared {
    /// Refuses as [`launch`] does.
    ///
    /// # Errors
    /// Always.
    pub fn new(_plan: &Plan) -> Result<Self, SandboxError> {
        Err(SandboxError::Unsupported {
            system: std::env::consts::OS.to_owned(),
        })
    }

    /// Starts the program of a plan.
    ///
    /// # Errors
    /// It is never called.
    pub fn launch(self, _plan: &Plan, _observer: Option<Observer>) -> Result<Compartment, SandboxError> {
        match self.none {}
    }
}

/// There is no launcher on this system, so this process was not started as one.
#[must_use]
pub fn run_if_launcher() -> Option<ExitCode> {
    None
}

/// What this machine can do: nothing.
#[must_use]
pub fn probe() -> Probe {
    let lack = |feature: &Feature| Lack {
        feature: *feature,
        reason: "there is no backend for this system".to_owned(),
        fix: "run it on Linux, or choose a container backend".to_owned(),
    };
    Probe {
        system: std::env::consts::OS.to_owned(),
        release: String::new(),
        landlock: None,
        can_choose_user: false,
        lacks: Feature::DEFAULT_REQUIRED.iter().map(lack).collect(),
    }
}

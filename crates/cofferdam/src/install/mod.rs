//! Install apart from run: a package is fetched once, in a compartment that reaches its registry and nothing else, without secrets and
//! without running anything of it; `run` then starts what lies in the store, read-only and without the registry.
//!
//! Invariants:
//! - Package configuration of the user and the system counts, the working directory's never does.
//! - No code of a package runs while it is installed: no install script, no build.
//! - What is in the store lies under the digest of its own content.

mod age;
mod configured;
mod line;
mod npm;
mod prune;
mod pypi;
mod registry;
mod size;
mod store;
mod update;
mod wheels;

use cofferdam_audit::Log;
use cofferdam_manifest::{Limits, Package};
use cofferdam_sandbox::{Ended, Plan};
use serde_json::json;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::egress::{Egress, Grants, Ledger, Refused};
use crate::failure::Failure;
use crate::gate::escaped;
use crate::home::Home;
use crate::session::{open_log, record_enforcement};
use crate::settings::Settings;
use crate::witness::Witness;

use configured::{Hidden, without_secrets};
pub(crate) use line::{PackageLine, RegistryKind, package_line};
pub(crate) use prune::{Stored, remove, stored};
pub(crate) use size::{CodeSize, in_words};
pub(crate) use store::Held;
pub(crate) use update::{line_of, tree_of};

/// How long an install may take.
const INSTALL_WITHIN: Duration = Duration::from_secs(600);
/// Kept of what the package manager says.
const SAID_BYTES_MAX: u64 = 64 * 1024;

/// What was installed.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) package: Package,
    /// The launch line that starts it from the store.
    pub(crate) command: Vec<String>,
    /// What a person should know, one sentence each.
    pub(crate) notes: Vec<String>,
    /// It is not pruned before whoever installed it is done.
    pub(crate) held: Held,
}

/// What a person said yes to: an install does none of it by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Exceptions {
    /// Versions younger than 48 hours.
    pub(crate) young: bool,
    /// Install scripts are run.
    pub(crate) scripts: bool,
    /// Sources are built.
    pub(crate) build: bool,
}

impl Exceptions {
    /// As the manifest names them.
    fn names(self) -> Vec<String> {
        let said = [self.young, self.scripts, self.build];
        let named = Package::EXCEPTIONS.into_iter().zip(said);
        named
            .filter(|(_, said)| *said)
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

/// Why an install came to nothing, and what it wanted to reach and was refused.
#[derive(Debug)]
struct NotInstalled {
    failure: Failure,
    refused: Vec<String>,
}

impl From<Failure> for NotInstalled {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            refused: Vec::new(),
        }
    }
}

/// Installs the package of a line into the store.
///
/// # Errors
/// The package manager cannot be found, fails, or takes something from elsewhere than its registry; or the store cannot be written.
pub(crate) fn install(home: &Home, server: &str, line: &PackageLine, but: Exceptions) -> Result<Installed, Failure> {
    match line.registry {
        RegistryKind::Npm => npm::install(home, server, line, but),
        RegistryKind::PyPi => pypi::install(home, server, line, but),
    }
}

/// What a package manager may reach, and what must not be repeated of what it says.
#[derive(Debug, Clone)]
struct Reach {
    grants: Grants,
    secrets: Vec<Hidden>,
}

/// Runs one package manager's command to its end, every connection on record. Gives what it said.
fn run_recorded(home: &Home, server: &str, plan: &Plan, reach: Reach) -> Result<String, NotInstalled> {
    let about = json!({"for": "install", "command": plan.command, "writes": plan.write});
    let settings = Settings::load(home)?;
    let options = settings.record_options(Limits::RECORD_BYTES_PER_HOUR);
    let log = Arc::new(open_log(home, server, (options, None), about)?);
    let witness = Witness::start(home, &log, server, settings.publish)
        .map_err(|error| Failure::not_enforced(format!("the ledger's thread could not be started: {error}")))?;
    let ended = run_with(&log, plan, reach);
    let cause = match &ended {
        Ok(_) => json!({"cause": "installed"}),
        Err(NotInstalled { failure, .. }) => {
            json!({"cause": "not-installed", "why": failure.what.chars().take(256).collect::<String>()})
        }
    };
    let closed = log.close(&cause.to_string());
    witness.finish();
    let said = ended?;
    closed.map_err(|error| Failure::not_enforced(format!("the end of the install cannot be recorded: {error}")))?;
    Ok(said)
}

fn run_with(log: &Arc<Log>, plan: &Plan, reach: Reach) -> Result<String, NotInstalled> {
    let mut compartment = crate::compartment::start(plan)?;
    record_enforcement(log, &compartment)?;
    let is_unrecorded = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_unrecorded);
    let refused = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&refused);
    let ledger = Ledger::new(
        Arc::clone(log),
        Box::new(move |told: Refused<'_>| {
            let mut heard = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            heard.push((told.wanted.to_owned(), told.line));
        }),
        Box::new(move |_error| told.store(true, Ordering::SeqCst)),
    );
    let doors = compartment
        .doors
        .take()
        .ok_or_else(|| Failure::not_enforced("the compartment of the install has no doors"))?;
    let egress = Egress::start(doors, reach.grants, ledger)
        .map_err(|cause| Failure::not_enforced(format!("the registry cannot be reached: {cause}")))?;
    drop(compartment.stdin.take());
    let drains =
        [compartment.stdout.take(), compartment.stderr.take()].map(|pipe| std::thread::spawn(move || drain(pipe)));
    let ended = compartment.wait_timeout(INSTALL_WITHIN);
    compartment.kill();
    let said = drains.map(|drain| drain.join().unwrap_or_default()).concat();
    let said = without_secrets(&said, &reach.secrets);
    drop(egress);
    let refused = refused
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    let failure = match ended {
        _ if is_unrecorded.load(Ordering::SeqCst) => {
            Failure::not_enforced("a connection of the install could not be recorded")
        }
        Some(Ended::Exited(0)) => return Ok(said),
        None => Failure::misconfigured(format!(
            "the install took longer than {} seconds",
            INSTALL_WITHIN.as_secs()
        )),
        Some(other) => Failure::misconfigured(format!(
            "the package manager failed ({}):\n{}",
            crate::gate::process_words(other),
            shown(&said, &refused)
        )),
    };
    let refused = refused.into_iter().map(|(wanted, _line)| wanted).collect();
    Err(NotInstalled { failure, refused })
}

/// The last lines of what was said, and what was refused.
fn shown(said: &str, refused: &[(String, String)]) -> String {
    const LINES_MAX: usize = 12;
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES_MAX));
    let mut shown: Vec<String> = last.map(|line| format!("  {}", escaped(line.as_bytes()))).collect();
    shown.extend(refused.iter().map(|(_wanted, line)| format!("  it {line}")));
    shown.join("\n")
}

/// Reads to the end, and keeps the beginning.
fn drain(pipe: Option<std::fs::File>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut kept = Vec::new();
    // What breaks has ended.
    let _ended = (&mut pipe).take(SAID_BYTES_MAX).read_to_end(&mut kept);
    let _rest = std::io::copy(&mut pipe, &mut std::io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// A folder beside the store for what is not finished; removed when this is dropped.
struct Staging {
    outer: PathBuf,
    /// What is filled. Its name is the same each time: package managers write it into what they install.
    folder: PathBuf,
    _held: Held,
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left is in nobody's way: each install has a folder of its own.
        let _left = std::fs::remove_dir_all(&self.outer);
    }
}

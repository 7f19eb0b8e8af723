//! The record, measured: appends beside a plain file and one that is synced each time, and questions about millions of records.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::command;
use crate::workspace::Workspace;

/// What is asked of the generated records: few answers, one, all by group, and none.
const QUESTIONS: [&[&str]; 5] = [
    &["--decision", "deny", "--count"],
    &["--tool", "tool-7", "--decision", "deny"],
    &["--text", "/srv/424242\"", "--limit", "5"],
    &["--group-by", "tool"],
    &["--since", "1m", "--rule", "argument/path-outside-roots"],
];

/// Measures appends on the disk of the target folder, then writes so many million records with the log itself and asks the product about
/// them, as they were written and packed.
///
/// # Errors
/// Something does not build, or cannot be written or asked.
pub(super) fn measure(workspace: &Workspace, gate: &Path, millions: u32) -> Result<()> {
    super::build(&["--package", "cofferdam-audit", "--examples"])?;
    let folder = workspace.target().join("bench-record");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let outcome = appends(workspace, &folder).and_then(|()| questions(workspace, (&folder, gate), millions));
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn appends(workspace: &Workspace, folder: &Path) -> Result<()> {
    let program = workspace.target().join("release/examples/append_speed");
    command::run(Command::new(program).arg(folder))
}

fn questions(workspace: &Workspace, (home, gate): (&Path, &Path), millions: u32) -> Result<()> {
    let audit = home.join("state/audit");
    let program = workspace.target().join("release/examples/skim_speed");
    let began = Instant::now();
    command::run(Command::new(program).arg(&audit).arg(millions.to_string()).arg("keep"))?;
    let seconds = began.elapsed().as_secs_f64();
    say(&format!(
        "{millions} million records written by one session in {seconds:.1} s"
    ))?;
    ask_all("as written", (home, gate))?;
    let before = bytes_in(&audit)?;
    let began = Instant::now();
    let compressed = asked((home, gate), &["compress", "--all"])?;
    ensure!(compressed == Some(0), "`audit compress` failed");
    let (after, records) = (bytes_in(&audit)?, u64::from(millions) * 1_000_000);
    say(&format!(
        "  packed in {:.1} s: {} bytes a record before, {:.1} after",
        began.elapsed().as_secs_f64(),
        before / records,
        f64::from(u32::try_from(after / 1024)?) * 1024.0 / (f64::from(millions) * 1e6)
    ))?;
    ask_all("packed", (home, gate))
}

fn ask_all(how: &str, place: (&Path, &Path)) -> Result<()> {
    for question in QUESTIONS {
        let began = Instant::now();
        let code = asked(place, &[&["query"], question].concat())?;
        // Nothing is an answer too.
        ensure!(matches!(code, Some(0 | 3)), "`audit query` failed");
        let seconds = began.elapsed().as_secs_f64();
        say(&format!("  {how}: `audit query {}` {seconds:.2} s", question.join(" ")))?;
    }
    Ok(())
}

/// The exit code of an `audit` command of the product.
fn asked((home, gate): (&Path, &Path), arguments: &[&str]) -> Result<Option<i32>> {
    let mut command = Command::new(gate);
    command
        .env_clear()
        .env("HOME", home)
        .arg("--home")
        .arg(home)
        .arg("audit")
        .args(arguments);
    let status = command
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(status.context("the product does not start")?.code())
}

fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            bytes_in(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

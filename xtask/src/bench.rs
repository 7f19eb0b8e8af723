//! `cargo xtask bench`: builds the rig and the product in release and lets the rig measure them.

mod launchers;
mod peers;
mod record;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::workspace::Workspace;

/// Where control groups of version 2 are mounted beside those of version 1.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Runs the bench. `--quick` measures less; `--json FILE` keeps the numbers; `--without-gate` leaves
/// the product out, `--skip-peers` other people's gateways, which are installed on first need. `--only-launchers` measures the first answer
/// of `npx` and `uvx` servers and nothing else, `--only-record` the record: how fast it takes what passes, and answers questions about ten
/// million records (one million with `--quick`).
///
/// # Errors
/// An argument is not understood, something does not build, or a subject fails. A missed goal is not an error.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (mut with_gate, mut with_peers, mut passed_on) = (true, true, Vec::new());
    let (mut is_quick, mut only_launchers, mut only_record) = (false, false, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--without-gate" => with_gate = false,
            "--skip-peers" => with_peers = false,
            "--quick" => {
                is_quick = true;
                passed_on.push(word.clone());
            }
            "--only-launchers" => only_launchers = true,
            "--only-record" => only_record = true,
            "--json" => {
                let file = words.next().context("`--json` needs a file")?;
                // The rig runs in the repository's root, wherever we were started.
                let file = std::path::absolute(file)?.to_string_lossy().into_owned();
                passed_on.extend([word.clone(), file]);
            }
            other => bail!("`{other}` is not understood: `cargo xtask help` shows what is"),
        }
    }
    let gate = workspace.target().join("release/cofferdam");
    if only_launchers {
        build(&["--package", "cofferdam"])?;
        return launchers::measure(workspace, &gate, is_quick);
    }
    if only_record {
        build(&["--package", "cofferdam"])?;
        return record::measure(workspace, &gate, if is_quick { 1 } else { 10 });
    }
    build(&["--package", "xtask", "--bin", "bench_rig"])?;
    let release = workspace.target().join("release");
    if with_gate {
        build(&["--package", "cofferdam"])?;
        passed_on.extend([
            "--gate".to_owned(),
            release.join("cofferdam").to_string_lossy().into_owned(),
        ]);
    }
    policies()?;
    let rig = release.join("bench_rig");
    let mut egress = Command::new(&rig);
    egress
        .arg("egress")
        .args(passed_on.iter().filter(|word| *word == "--quick"));
    egress.arg("--gate").arg(release.join("cofferdam"));
    if with_peers {
        let server = [rig.to_string_lossy().into_owned(), "echo".to_owned()];
        let file = peers::prepare(workspace, &server)?;
        passed_on.extend(["--peers".to_owned(), file.to_string_lossy().into_owned()]);
    }
    let mut rig = Command::new(rig);
    command::run(rig.arg("measure").args(passed_on).current_dir(workspace.root()))?;
    if with_gate {
        command::run(egress.current_dir(workspace.root()))?;
        launchers::measure(workspace, &gate, is_quick)?;
        record::measure(workspace, &gate, 1)?;
    }
    starts(&release, with_gate)
}

/// Builds what is measured: in release, as it was locked.
fn build(what: &[&str]) -> Result<()> {
    command::run(command::cargo().args(["build", "--release", "--locked"]).args(what))
}

/// Starts of the compartment beside other people's sandboxes, those that are here.
fn starts(release: &Path, with_gate: bool) -> Result<()> {
    build(&["--package", "cofferdam-sandbox", "--example", "start_speed"])?;
    let program = release.join("examples/start_speed");
    // crun refuses a machine with control groups of both versions; in a mount table of its own it sees one.
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let mut starts = if is_root && Path::new(UNIFIED).is_dir() && Path::new("/usr/bin/crun").is_file() {
        let mut hidden = Command::new("unshare");
        hidden.args(["--mount", "sh", "-c", &format!("umount {UNIFIED}; exec \"$@\""), "sh"]);
        hidden.arg(program);
        hidden
    } else {
        Command::new(program)
    };
    if with_gate {
        starts.arg("--gate").arg(release.join("cofferdam"));
    }
    command::run(&mut starts)
}

/// What policies cost, in their own process.
fn policies() -> Result<()> {
    command::run(command::cargo().args([
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "cofferdam-policy",
        "--example",
        "policy_bench",
    ]))
}

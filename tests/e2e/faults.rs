//! Each file operation of those who keep the record fails in turn, as the kernel would tell it: nothing that was stated, held or delivered
//! is lost, the record verifies, and whoever comes next goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::driven::installed;
use crate::keeping::{are_there, old_session};
use crate::recording::set;
use crate::shipping::{assert_all_arrived, configure, lines, session, ship_once};
use crate::support::{Stage, text};

/// What files are made, changed, moved, read and put on the disk with.
const CALLS: &str = "?open,?openat,?write,?pwrite64,?read,?pread64,?fsync,?fdatasync,?rename,?renameat,?renameat2,?unlink,?unlinkat,?mkdir,\
    ?mkdirat,?ftruncate,?fallocate,?flock,?link,?linkat";
/// How a disk fails.
const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EROFS"];
/// Stages that are worked on at once: most of the time is spent waiting before another attempt.
const THREADS: usize = 4;

/// A stage, and how it was before anything failed.
struct Scene {
    stage: Stage,
    before: TempDir,
}

/// One operation of a process: the call, the how-maniest of its thread, and from there once or for ever. In threads but the first only calls
/// about one file count: strace counts in each thread, and the first of the first are the loader's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Operation {
    call: String,
    file: Option<String>,
    number: usize,
    for_ever: bool,
}

impl Scene {
    fn new(stage: Stage) -> Self {
        let before = tempfile::tempdir().unwrap();
        copy(&stage.home().join("state"), before.path());
        copy(&stage.workspace(), before.path());
        Self { stage, before }
    }

    fn restore(&self) {
        for place in [self.stage.home().join("state"), self.stage.workspace()] {
            std::fs::remove_dir_all(&place).unwrap();
            copy(
                &self.before.path().join(place.file_name().unwrap()),
                place.parent().unwrap(),
            );
        }
    }

    /// Runs the verb under strace; what came of it, and the lines of the trace about files of this stage.
    fn traced(&self, arguments: &[&str], inject: Option<(&str, Option<&str>)>) -> (Output, Vec<String>) {
        let log = self.before.path().join("trace");
        let libraries = PathBuf::from(installed("strace/usr/lib/x86_64-linux-gnu"));
        let mut strace = Command::new(installed("strace/usr/bin/strace"));
        strace.args(["-f", "-y", "-qq", "-e"]).arg(format!("trace={CALLS}"));
        if let Some((inject, file)) = inject {
            strace.args(["-e", &format!("inject={inject}")]);
            strace.args(file.map(|file| ["-P", file]).into_iter().flatten());
        }
        strace.arg("-o").arg(&log).arg("-E").arg("LD_LIBRARY_PATH");
        let mut command = self.stage.command_in(strace, arguments);
        let output = command.env("LD_LIBRARY_PATH", libraries).output().unwrap();
        let trace = std::fs::read(&log).unwrap_or_else(|cause| panic!("{cause}: {}", text(&output.stderr)));
        let trace = text(&trace).lines().map(str::to_owned).collect();
        (output, trace)
    }

    /// Every operation on files of the stage that the verb does where nothing fails.
    fn operations(&self, arguments: &[&str]) -> BTreeSet<Operation> {
        self.restore();
        let (output, trace) = self.traced(arguments, None);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut counts: BTreeMap<(String, String, Option<String>), usize> = BTreeMap::new();
        let (mut operations, mut read, mut first) = (BTreeSet::new(), BTreeSet::new(), None);
        for line in &trace {
            let Some((thread, call)) = begun(line) else { continue };
            let file = Some(self.file_in(line)).filter(|_| *first.get_or_insert(thread.clone()) != thread);
            let count = counts
                .entry((thread, call.clone(), file.clone().flatten()))
                .or_default();
            *count += 1;
            let number = *count;
            let Some(about) = self.file_in(line) else { continue };
            let is_read = call.contains("read");
            // Of many reads of one file the first stands for all.
            if is_read && !read.insert(about) {
                continue;
            }
            operations.extend([false, true].map(|for_ever| Operation {
                call: call.clone(),
                file: file.clone().flatten(),
                number,
                for_ever: for_ever && !is_read,
            }));
        }
        operations
    }

    /// The file of the stage that a line of the trace is about.
    fn file_in(&self, line: &str) -> Option<String> {
        let root = self.stage.workspace();
        let at = line.find(root.parent().unwrap().to_str().unwrap())?;
        let path = line.get(at..)?;
        Some(path.get(..path.find(['"', '>'])?)?.to_owned())
    }
}

/// The thread and the name of the call that a line of the trace begins.
fn begun(line: &str) -> Option<(String, String)> {
    let (thread, rest) = line.split_once(' ')?;
    let (call, _) = rest.trim_start().split_once('(')?;
    let is_name = call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| (thread.to_owned(), call.to_owned()))
}

fn copy(from: &Path, into: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(into).status().unwrap();
    assert!(copied.success(), "{}", from.display());
}

/// Lets each operation of the verb fail once, and from there on for ever, and asks `holds` what became of the stage. `felt` are calls and
/// parts of paths, each of which must have been met.
fn each_fails_in_turn(
    stage: &Stage,
    arguments: &[&str],
    holds: impl Fn(&Stage, &Output, &str) + Sync,
    felt: &[(&str, &str)],
) {
    let work = |thread: usize| {
        let scene = Scene::new(stage.twin());
        let mut failed = Vec::new();
        for (place, operation) in scene.operations(arguments).into_iter().enumerate() {
            if place % THREADS != thread {
                continue;
            }
            let error = ERRORS[(place / 2) % ERRORS.len()];
            let more = if operation.for_ever { "+" } else { "" };
            let inject = format!("{}:error={error}:when={}{more}", operation.call, operation.number);
            scene.restore();
            let (output, trace) = scene.traced(arguments, Some((&inject, operation.file.as_deref())));
            let what = format!("{inject} of {:?}: {}", operation.file, text(&output.stderr));
            // A panic exits with 101, and no failing disk may end us by a signal.
            assert!(output.status.code().is_some_and(|code| code <= 5), "{what}");
            let met = trace
                .into_iter()
                .filter(|line| line.ends_with("(INJECTED)") && scene.file_in(line).is_some());
            failed.extend(met);
            holds(&scene.stage, &output, &what);
        }
        failed
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    for (call, path) in felt {
        let is_met = |line: &String| begun(line).is_some_and(|(_, name)| name == *call) && line.contains(path);
        assert!(
            failed.iter().any(is_met),
            "no {call} of {path} failed in\n{}",
            failed.join("\n")
        );
    }
}

fn assert_verified(stage: &Stage, what: &str) {
    let verified = stage.run(&["audit", "verify"]);
    let said = text(&verified.stdout) + &text(&verified.stderr);
    assert_eq!(verified.status.code(), Some(0), "{said}\nafter {what}");
}

#[test]
fn a_shipper_whose_disk_fails_loses_nothing_and_goes_on() {
    let stage = Stage::with_fixture(&[]);
    let events = stage.workspace().join("events.jsonl");
    let sink = format!(
        "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
        events.display()
    );
    configure(&stage, &sink);
    session(&stage, 1);
    assert!(ship_once(&stage).status.success());
    session(&stage, 1);
    let holds = |stage: &Stage, output: &Output, what: &str| {
        let events = stage.workspace().join("events.jsonl");
        if output.status.success() {
            assert_all_arrived(stage, &lines(&events));
        }
        let again = ship_once(stage);
        assert!(again.status.success(), "{}\nafter {what}", text(&again.stderr));
        assert_all_arrived(stage, &lines(&events));
        assert_verified(stage, what);
    };
    each_fails_in_turn(
        &stage,
        &["audit", "ship", "--once"],
        holds,
        &[
            ("openat", "siem.cursor.new"),
            ("write", "siem.cursor.new"),
            ("fdatasync", "siem.cursor.new"),
            ("rename", "siem.cursor.new"),
            ("fsync", "state/ship>"),
            ("write", "siem.cursor>"),
            ("read", "siem.cursor>"),
            ("fdatasync", "siem.checkpoint.new"),
            ("rename", "siem.checkpoint.new"),
            ("write", "events.jsonl"),
            ("fdatasync", "events.jsonl"),
        ],
    );
}

/// A stage whose ledger is published; `has_ledger` or none was begun yet.
fn published(has_ledger: bool) -> Stage {
    let stage = Stage::with_fixture(&[]);
    let witness = stage.workspace().join("witness.jsonl");
    set(&stage, &format!("[ledger]\npublish = \"{}\"\n", witness.display()));
    if has_ledger {
        session(&stage, 1);
    } else {
        std::fs::remove_dir_all(stage.home().join("state/audit")).unwrap();
    }
    stage
}

fn held(stage: &Stage) -> String {
    text(&stage.run(&["audit", "hold", "list"]).stdout)
}

/// Whoever was told that a hold is in the ledger finds it there, and the ledger takes the next one.
fn hold_is_kept(stage: &Stage, output: &Output, what: &str) {
    let is_told = output.status.success();
    assert!(!is_told || held(stage).contains("case 7"), "after {what}");
    let next = stage.run(&["audit", "hold", "add", "--session", "bb", "--why", "case 8"]);
    assert!(next.status.success(), "{}\nafter {what}", text(&next.stderr));
    let holds = held(stage);
    assert!(
        holds.contains("case 8") && (!is_told || holds.contains("case 7")),
        "{holds}\nafter {what}"
    );
    let verified = stage.run(&["audit", "verify"]);
    let said = text(&verified.stdout) + &text(&verified.stderr);
    // Without a session there is nothing to verify but the ledger.
    assert!(matches!(verified.status.code(), Some(0 | 3)), "{said}\nafter {what}");
}

const HOLD: [&str; 7] = ["audit", "hold", "add", "--session", "aa", "--why", "case 7"];

#[test]
fn a_ledger_whose_disk_fails_keeps_what_it_was_told_and_grows_again() {
    each_fails_in_turn(
        &published(true),
        &HOLD,
        hold_is_kept,
        &[
            ("open", "/pending/"),
            ("rename", "/pending/"),
            ("open", ".ledger/lock"),
            ("write", "/tile/0/"),
            ("fsync", "/tile/entries/"),
            ("rename", "/tile/entries/"),
            ("fsync", "/.ledger>"),
            ("rename", "/checkpoint."),
            ("unlink", "/pending/"),
            ("write", "witness.jsonl"),
        ],
    );
}

#[test]
fn a_ledger_whose_disk_fails_while_it_begins_begins_again() {
    each_fails_in_turn(
        &published(false),
        &HOLD,
        hold_is_kept,
        &[
            ("rename", "/key.pub."),
            ("rename", "/key."),
            ("fsync", "/key."),
            ("mkdir", "/tile"),
        ],
    );
}

#[test]
fn pruning_on_a_failing_disk_accounts_for_what_went_and_keeps_what_is_held() {
    let (gone, kept) = ("aa".repeat(16), "bb".repeat(16));
    let stage = published(true);
    old_session(&stage, 0xbb, 91);
    for before in [
        &["audit", "hold", "add", "--session", "bb", "--why", "case 8"][..],
        &["audit", "compress", "--all"],
    ] {
        let done = stage.run(before);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    old_session(&stage, 0xaa, 91);
    let holds = |stage: &Stage, output: &Output, what: &str| {
        assert!(are_there(stage, &kept), "after {what}");
        assert!(!output.status.success() || !are_there(stage, &gone), "after {what}");
        assert_verified(stage, what);
        let again = stage.run(&["audit", "prune"]);
        assert!(
            matches!(again.status.code(), Some(0 | 3)),
            "{}\nafter {what}",
            text(&again.stderr)
        );
        assert!(are_there(stage, &kept) && !are_there(stage, &gone), "after {what}");
        assert_verified(stage, what);
    };
    each_fails_in_turn(
        &stage,
        &["audit", "prune"],
        holds,
        &[
            ("write", ".zst.tmp"),
            ("fsync", ".zst.tmp"),
            ("rename", ".zst.tmp"),
            ("unlink", ".cfa"),
            ("rename", "/checkpoint."),
            ("fsync", "audit/fixture>"),
        ],
    );
}

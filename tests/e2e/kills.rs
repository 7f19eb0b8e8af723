//! Kill -9 at random points, of the gate or of the server: nothing the client saw is missing from the record, nothing is left running.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Stage;

const ROUNDS: u64 = 1_000;
/// Rounds that share one home, so that the record stays small enough to read at once.
const ROUNDS_PER_STAGE: u64 = 50;

/// A small generator: the rounds differ, and a failed one can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// How many rounds: so many, or as `cargo xtask kills` says.
pub(crate) fn rounds(usually: u64) -> u64 {
    let asked = std::env::var("COFFERDAM_KILL_ROUNDS");
    asked.map_or(usually, |text| text.parse().unwrap())
}

#[test]
fn nothing_acknowledged_is_missing_after_a_thousand_kills() {
    let rounds = rounds(ROUNDS);
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut random = Random(thread + 1);
                for first in (0..rounds / 2).step_by(ROUNDS_PER_STAGE.try_into().unwrap()) {
                    stage_of_kills(thread, (rounds / 2 - first).min(ROUNDS_PER_STAGE), &mut random);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn stage_of_kills(thread: u64, rounds: u64, random: &mut Random) {
    let mark = format!("--mark=kills-{thread}-{}", random.below(1_000_000_000));
    let stage = Stage::with_fixture(&[&mark]);
    let acknowledged: Vec<String> = (0..rounds)
        .flat_map(|round| one_kill(&stage, round, &mark, random))
        .collect();
    let verdicts = stage.verify();
    assert!(
        verdicts.len() as u64 > rounds && verdicts.iter().all(|verdict| verdict["intact"] == true),
        "{verdicts:?}"
    );
    let verified = stage.run(&["--format", "json", "audit", "verify"]);
    let told = crate::support::text(&verified.stdout);
    let ledger: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert!(
        ledger["intact"] == true && ledger["ledger"]["entries"].as_u64().unwrap() > rounds,
        "the ledger has each session's beginning at least: {ledger}"
    );
    let recorded: std::collections::HashSet<String> = stage
        .records()
        .iter()
        .filter(|record| record["kind"] == "server-line")
        .filter_map(|record| answer_in(record["payload"].as_str()?))
        .collect();
    let missing: Vec<&String> = acknowledged
        .iter()
        .filter(|answer| !recorded.contains(*answer))
        .collect();
    assert!(
        missing.is_empty(),
        "{} acknowledged answers are not in the record: {missing:?}",
        missing.len()
    );
    assert!(
        !acknowledged.is_empty(),
        "the rounds acknowledged nothing, so they proved nothing"
    );
    assert_eq!(left_over(&mark), Vec::<String>::new());
}

fn answer_in(line: &str) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    message["result"]["content"][0]["text"].as_str().map(str::to_owned)
}

/// Talks to the gate, kills it or its server after a random moment, and returns what was answered until then.
fn one_kill(stage: &Stage, round: u64, mark: &str, random: &mut Random) -> Vec<String> {
    let mut gate = stage
        .command(&["run", "fixture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = gate.stdin.take().unwrap();
    let mut lines = BufReader::new(gate.stdout.take().unwrap()).lines();
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    writeln!(stdin, "{hello}").unwrap();
    lines.next().unwrap().unwrap();
    let gate_pid = gate.id().cast_signed();
    let victim = if random.below(2) == 0 {
        gate_pid
    } else {
        server_of(mark).unwrap_or(gate_pid)
    };
    let delay = Duration::from_micros(random.below(120_000));
    let killer = std::thread::spawn(move || {
        std::thread::sleep(delay);
        // Ours: the gate we started, or the server inside the compartment it started.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), nix::sys::signal::Signal::SIGKILL);
    });
    let talker = std::thread::spawn(move || {
        for id in 1..400 {
            let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": format!("{round}-{id}")}}});
            if writeln!(stdin, "{call}").is_err() {
                return;
            }
        }
    });
    let answers = lines
        .map_while(Result::ok)
        .filter_map(|line| answer_in(&line))
        .filter(|text| !text.starts_with("refused"))
        .map(|text| text.to_owned())
        .collect();
    killer.join().unwrap();
    let _ = gate.kill();
    gate.wait().unwrap();
    talker.join().unwrap();
    answers
}

/// The host's process id of the server whose command line holds `mark`.
fn server_of(mark: &str) -> Option<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    })
}

fn left_over(mark: &str) -> Vec<String> {
    for _ in 0..100 {
        if server_of(mark).is_none() {
            return Vec::new();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    server_of(mark)
        .map(|pid| format!("process {pid} is left"))
        .into_iter()
        .collect()
}

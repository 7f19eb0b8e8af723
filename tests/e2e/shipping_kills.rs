//! Killing the shipper and who it ships to, at any moment and under load: nothing that was recorded is missing in the end, and what comes
//! twice is known by its id.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::frames::set_limit;
use crate::kills::rounds;
use crate::shipping::{assert_all_arrived, configure, lines, ship_once};
use crate::shipping_nats::{Server, asked, assert_in_stream};
use crate::shipping_syslog::Running;
use crate::support::{Conversation, Stage, said_in, text};

/// As many as a minute has room for beside the other tests; `cargo xtask kills` does a thousand.
const ROUNDS: u64 = 400;

/// Between 1 and 60 ms, another one for each round, the same in each run.
fn moment(round: u64) -> Duration {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    Duration::from_millis(1 + mixed % 60)
}

fn shipper(stage: &Stage) -> Running {
    Running(
        stage
            .command(&["audit", "ship"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    )
}

/// With the fixture, which may be called as often as there are rounds.
fn tireless() -> Stage {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |text| set_limit(&text, "calls_per_minute", "100000"));
    stage
}

/// A little load.
fn talk(gate: &mut Conversation, round: u64) {
    for number in 0..5 {
        let message = format!("{round}/{number}: {}", "x".repeat(3_000));
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
}

#[test]
fn a_shipper_killed_at_any_moment_leaves_whole_lines_and_nothing_out() {
    let stage = tireless();
    let path = stage.workspace().join("events.jsonl");
    // Small segments: the record goes over from one to the next again and again.
    configure(
        &stage,
        &format!(
            "[record]\nsegment = \"64KiB\"\n[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
            path.display()
        ),
    );
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for round in 0..rounds(ROUNDS) {
        let running = shipper(&stage);
        talk(&mut gate, round);
        std::thread::sleep(moment(round));
        drop(running);
    }
    assert!(gate.end().success());
    let shipped = ship_once(&stage);
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    assert_all_arrived(&stage, &lines(&path));
}

#[test]
fn a_stream_whose_server_and_shipper_are_killed_in_turn_has_every_record_once_and_in_order() {
    let stage = tireless();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(folder.path(), "one", "");
    let url = format!("nats://127.0.0.1:{}", server.port);
    configure(
        &stage,
        &format!("[[sinks]]\nname = \"fleet\"\ntype = \"nats\"\nservers = [\"{url}\"]\n"),
    );
    let mut running = server.start();
    asked("create", &url, &[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let mut shipping = shipper(&stage);
    for round in 0..rounds(ROUNDS) {
        talk(&mut gate, round);
        std::thread::sleep(moment(round));
        if round % 4 == 0 {
            drop(running);
            running = server.start();
        } else {
            drop(shipping);
            shipping = shipper(&stage);
        }
    }
    assert!(gate.end().success());
    drop(shipping);
    let shipped = ship_once(&stage);
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    assert_in_stream(&stage, &asked("read", &url, &[]));
}

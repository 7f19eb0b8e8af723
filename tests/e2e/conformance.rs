//! The official conformance suite through the gate: every scored scenario of both requirement sets has the outcome that it
//! has without.
//!
//! The suite speaks HTTP, so: suite → supergateway → the gate or nothing → the fixture server over stdin and stdout.
//! Everything is on loopback, and what was started is ended by its id. supergateway starts the server anew for each
//! session of the legacy era and for each request of the modern one.
//!
//! Two scenarios fail bare and gated, and must go on failing alike: `dns-rebinding-protection`, which supergateway does
//! not have, and `server-stateless`, whose subscriptions cannot work when each request has a process of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::driven::{add_suite, installed, newer_node, suite_server, through_the_gate};
use crate::support::{STUCK, Stage, text};

/// What the suite gives one scenario. Its default of 30 s is short for the 28 processes of `server-stateless` on a busy
/// machine.
const SCENARIO_MILLISECONDS: &str = "180000";
/// How often a scenario is run both ways until the outcomes agree. Some of its checks are races against the start of
/// the server; a gate that changes something changes it each time.
const ROUNDS: usize = 3;
/// Checks of `server-stateless` that give the answer 0.5 to 1.5 s, in which supergateway must also start the server.
/// Whether they pass is chance, with the gate and without (4 to 6 failed checks between runs), so only that the scenario
/// as a whole has the same outcome is asked. What they check is driven without supergateway in `suite_clients.rs`.
const RACES: &[&str] = &[
    "sep-2575-http-server-no-independent-requests-on-stream",
    "sep-2575-server-no-log-without-loglevel",
    "sep-2575-server-sends-subscription-ack",
    "sep-2575-server-tags-subscription-id",
    "sep-2575-server-honors-notification-filter",
    "sep-2575-server-sends-prompts-list-changed-on-subscription",
    "sep-2575-server-sends-tools-list-changed-on-subscription",
];

/// The one check that the gate changes, on purpose: a method that the request's era does not have is refused with
/// -32601 before the server sees it, where the SDK's server says -32602 of `initialize`.
const REFUSED_BY_THE_GATE: &str = "sep-2575-http-server-method-not-found-404-initialize";

/// supergateway in front of one launch line, ended when it goes out of scope.
struct Gateway {
    process: Child,
    port: u16,
}

impl Gateway {
    fn start(server: &[String]) -> Self {
        assert!(
            server.iter().all(|word| !word.contains(' ')),
            "supergateway splits at spaces: {server:?}"
        );
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(newer_node());
        command.arg(installed("clients/node_modules/supergateway/dist/index.js"));
        command.args([
            "--stateful",
            "--outputTransport",
            "streamableHttp",
            "--logLevel",
            "none",
        ]);
        command
            .args(["--port", &port.to_string(), "--stdio", &server.join(" ")])
            .current_dir("/");
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut gateway = Self { process, port };
        gateway.wait_until_it_listens();
        gateway
    }

    fn wait_until_it_listens(&mut self) {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "supergateway ended: {ended:?}");
            assert!(began.elapsed() < STUCK, "supergateway does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Asked to end, it ends its children first; one that does not is killed, and the pipes end the children.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn suite(arguments: &[&str]) -> Command {
    let mut command = Command::new(newer_node());
    command.arg(installed(
        "clients/node_modules/@modelcontextprotocol/conformance/dist/index.js",
    ));
    command.args(arguments).current_dir("/").stdin(Stdio::null());
    command
}

/// The scored scenarios for servers, as the suite itself names them.
fn scored(revision: &str) -> Vec<String> {
    let listed = suite(&["list", "--requirements", revision]).output().unwrap();
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let listed = text(&listed.stdout);
    let from = listed.split_once("Server scenarios").unwrap().1;
    let names = from.lines().skip(1).map_while(|line| line.strip_prefix("  - "));
    names.map(str::to_owned).collect()
}

/// Whether a scenario passed, and how its checks ended; a check that occurs more than once has all its ends.
#[derive(Debug, PartialEq)]
struct Outcome {
    has_passed: bool,
    checks: BTreeMap<String, Vec<String>>,
}

fn outcome(gateway: &Gateway, revision: &str, scenario: &str) -> Outcome {
    let results = tempfile::tempdir().unwrap();
    let folder = results.path().to_str().unwrap();
    let url = format!("http://localhost:{}/mcp", gateway.port);
    let mut run = suite(&[
        "server",
        "--url",
        &url,
        "--scenario",
        scenario,
        "--spec-version",
        revision,
    ]);
    run.args(["--timeout", SCENARIO_MILLISECONDS, "--output-dir", folder]);
    let run = run.output().unwrap();
    let mut checks = BTreeMap::<String, Vec<String>>::new();
    for check in checks_in(results.path(), &text(&run.stdout)) {
        let (id, status) = (check["id"].as_str().unwrap(), check["status"].as_str().unwrap());
        if !RACES.contains(&id) {
            checks.entry(id.to_owned()).or_default().push(status.to_owned());
        }
    }
    Outcome {
        has_passed: run.status.success(),
        checks,
    }
}

/// The one `checks.json` that a scenario leaves.
fn checks_in(results: &Path, said: &str) -> Vec<Value> {
    let found: Vec<_> = std::fs::read_dir(results)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(found.len(), 1, "one folder of results in {found:?}: {said}");
    let checks: Vec<Value> = serde_json::from_slice(&std::fs::read(found[0].join("checks.json")).unwrap()).unwrap();
    assert!(!checks.is_empty(), "nothing was checked: {said}");
    checks
}

/// The outcome bare and gated, both at once. What the gate is known to change is checked and set aside.
fn outcomes(gateways: &[Gateway; 2], revision: &str, scenario: &str) -> [Outcome; 2] {
    std::thread::scope(|scope| {
        let [bare, gated] = gateways;
        let bare = scope.spawn(|| outcome(bare, revision, scenario));
        let mut gated = outcome(gated, revision, scenario);
        let mut bare = bare.join().unwrap();
        if bare.checks.remove(REFUSED_BY_THE_GATE).is_some() {
            let changed = gated.checks.remove(REFUSED_BY_THE_GATE);
            assert_eq!(changed, Some(vec!["SUCCESS".to_owned()]));
        }
        [bare, gated]
    })
}

/// Every scored scenario ends alike, and all but `expected_failures` pass.
fn has_the_same_outcomes(revision: &str, expected_scenarios: usize, expected_failures: &[&str]) {
    let stage = Stage::new();
    add_suite(&stage);
    let gateways = [
        Gateway::start(&suite_server()),
        Gateway::start(&through_the_gate(&stage, "suite")),
    ];
    let scenarios = scored(revision);
    assert_eq!(scenarios.len(), expected_scenarios, "{scenarios:?}");
    let mut failed = Vec::new();
    for scenario in &scenarios {
        let mut rounds = Vec::new();
        let agreed = (0..ROUNDS).find_map(|_| {
            let [bare, gated] = outcomes(&gateways, revision, scenario);
            if bare == gated {
                return Some(bare);
            }
            rounds.push([bare, gated]);
            None
        });
        let agreed = agreed.unwrap_or_else(|| panic!("{scenario}, bare and gated: {rounds:#?}"));
        if !agreed.has_passed {
            failed.push(scenario.as_str());
        }
    }
    assert_eq!(failed, expected_failures);
    drop(gateways);
    assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
}

#[test]
fn of_the_legacy_requirements() {
    has_the_same_outcomes("2025-11-25", 30, &["dns-rebinding-protection"]);
}

#[test]
fn of_the_modern_requirements() {
    has_the_same_outcomes("2026-07-28", 37, &["server-stateless", "dns-rebinding-protection"]);
}

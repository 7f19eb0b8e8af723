//! `audit ship` to collectors that speak HTTP, over TLS: a webhook, Splunk's collector, OpenTelemetry.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::driven::{installed, root};
use crate::shipping::{assert_all_arrived, configure, lines, session, ship_once};
use crate::shipping_syslog::{Running, free_port};
use crate::support::{Stage, certificate, text};

/// Made up for these tests: base64 of `a secret of these tests alone`.
const SECRET: &str = "whsec_YSBzZWNyZXQgb2YgdGhlc2UgdGVzdHMgYWxvbmU=";

/// One of the collectors of `tests/fixture/collector.py`.
struct Collector {
    kind: &'static str,
    folder: tempfile::TempDir,
    certificate: (PathBuf, PathBuf),
    port: u16,
}

impl Collector {
    fn new(kind: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = certificate(folder.path(), "localhost");
        Self {
            kind,
            folder,
            certificate,
            port: free_port(),
        }
    }

    fn start(&self) -> Running {
        let mut python = Command::new(installed("collectors/bin/python"));
        python.arg(root().join("tests/fixture/collector.py"));
        python.args([self.kind, &self.port.to_string()]).arg(self.events());
        python
            .arg(&self.certificate.0)
            .arg(&self.certificate.1)
            .env("SECRET", SECRET);
        Running::listening(&mut python, self.port)
    }

    fn events(&self) -> PathBuf {
        self.folder.path().join("events.jsonl")
    }

    /// The sink's table; `more` are further keys.
    fn settings(&self, more: &str) -> String {
        let path = if self.kind == "webhook" { "/hook" } else { "" };
        let (kind, port, ca) = (self.kind, self.port, self.certificate.0.display());
        let credential = if kind == "webhook" { "secret" } else { "token" };
        let file = private_file(self.folder.path(), SECRET);
        format!(
            "[[sinks]]\nname = \"{kind}\"\ntype = \"{kind}\"\nurl = \"https://localhost:{port}{path}\"\nca = \"{ca}\"\n\
             {credential}_file = \"{}\"\n{more}\n",
            file.display()
        )
    }
}

fn private_file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("credential");
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes()).unwrap();
    path
}

/// A collector that goes wrong, ends and comes again; and one record that it never takes.
fn everything_arrives(kind: &'static str) {
    let stage = Stage::with_fixture(&[]);
    let collector = Collector::new(kind);
    configure(&stage, &collector.settings(""));
    session(&stage, 4);
    let nobody = ship_once(&stage);
    assert_eq!(nobody.status.code(), Some(5), "{}", text(&nobody.stderr));
    let running = collector.start();
    let shipped = ship_once(&stage);
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    drop(running);
    let events = lines(&collector.events());
    assert_all_arrived(&stage, &events);
    let ids: std::collections::HashSet<&str> = events
        .iter()
        .map(|event| event["metadata"]["uid"].as_str().unwrap())
        .collect();
    assert!(ids.len() < events.len(), "what was taken without an answer came twice");

    let _running = collector.start();
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.call("echo", json!({"message": "POISON"}));
    assert!(gate.end().success());
    let shipped = ship_once(&stage);
    assert_eq!(shipped.status.code(), Some(1), "{}", text(&shipped.stderr));
    let report: Value = serde_json::from_slice(&shipped.stdout).unwrap();
    let is_poisoned = |record: &&Value| record["payload"].as_str().unwrap().contains("POISON");
    let poisoned = stage.records().iter().filter(is_poisoned).count();
    assert!(poisoned >= 2, "the call and its answer");
    assert_eq!(report["put_aside"], poisoned, "{report}");
    let aside = lines(&stage.home().join(format!("state/ship/{kind}.refused.jsonl")));
    assert_eq!(aside.len(), poisoned);
    assert!(aside.iter().all(|aside| aside["why"].as_str().unwrap().contains("400")));
    let mut events = lines(&collector.events());
    events.extend(aside.iter().map(|aside| aside["event"].clone()));
    events.sort_by_key(|event| event["metadata"]["sequence"].as_u64());
    assert_all_arrived(&stage, &events);
    let said = text(&shipped.stderr) + &text(&shipped.stdout);
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_webhook_that_checks_signatures_gets_every_record() {
    everything_arrives("webhook");
}

#[test]
fn splunk_gets_every_record_and_acknowledges_what_is_indexed() {
    everything_arrives("splunk");
}

#[test]
fn opentelemetry_gets_every_record_as_its_own_definitions_read_it() {
    everything_arrives("otlp");
}

/// Rotel, a collector of OpenTelemetry, telling what it understood of each log record.
fn rotel(folder: &Path, port: u16) -> Running {
    let python = Command::new(installed("collectors/bin/python"))
        .args(["-c", "import rotel; print(rotel.__path__[0], end='')"])
        .output()
        .unwrap();
    let mut rotel = Command::new(Path::new(&text(&python.stdout)).join("rotel-agent"));
    rotel.arg("start").arg("--pid-file").arg(folder.join("pid"));
    rotel.arg("--log-file").arg(folder.join("log"));
    rotel.args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")]);
    rotel.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", free_port())]);
    rotel.args([
        "--exporter",
        "blackhole",
        "--debug-log",
        "logs",
        "--debug-log-verbosity",
        "detailed",
    ]);
    rotel.env_clear().stdout(File::create(folder.join("said")).unwrap());
    Running::listening(&mut rotel, port)
}

#[test]
fn a_collector_of_opentelemetry_understands_every_record() {
    let stage = Stage::with_fixture(&[]);
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let _running = rotel(folder.path(), port);
    configure(
        &stage,
        &format!("[[sinks]]\nname = \"otel\"\ntype = \"otlp\"\nurl = \"http://127.0.0.1:{port}\"\n"),
    );
    session(&stage, 4);
    let shipped = ship_once(&stage);
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    let said = || std::fs::read_to_string(folder.path().join("said")).unwrap();
    let began = std::time::Instant::now();
    let bodies = || {
        said()
            .lines()
            .filter(|line| line.starts_with("Body: Str(") && line.ends_with(')'))
            .count()
    };
    let recorded = crate::shipping::recorded(&stage).len();
    // What it acknowledged it tells in a moment; checkpoints of the ledger come beside.
    while bodies() <= recorded && began.elapsed() < crate::support::STUCK {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let said = said();
    let body = |line: &str| Some(line.strip_prefix("Body: Str(")?.strip_suffix(')')?.to_owned());
    let events: Vec<Value> = said
        .lines()
        .filter_map(body)
        .map(|body| serde_json::from_str(&body).unwrap_or_else(|cause| panic!("{cause}: {body}")))
        .collect();
    assert_all_arrived(&stage, &events);
    for event in &events {
        let id = event["metadata"]["uid"].as_str().unwrap();
        assert!(said.contains(&format!("log.record.uid: Str({id})")), "{id}");
    }
    assert!(said.contains("service.name: Str(cofferdam)"), "{said}");
}

#[test]
fn a_credential_that_others_can_read_or_that_is_missing_ships_nothing() {
    let stage = Stage::with_fixture(&[]);
    let collector = Collector::new("splunk");
    session(&stage, 1);
    configure(&stage, &collector.settings(""));
    let credential = collector.folder.path().join("credential");
    std::fs::set_permissions(&credential, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let readable = ship_once(&stage);
    assert_eq!(readable.status.code(), Some(4), "{}", text(&readable.stderr));
    std::fs::remove_file(&credential).unwrap();
    assert_eq!(ship_once(&stage).status.code(), Some(4));
    let settings =
        "[[sinks]]\nname = \"x\"\ntype = \"otlp\"\nurl = \"https://localhost:1\"\ntoken_env = \"COFFERDAM_NO_SUCH\"\n";
    configure(&stage, settings);
    let unset = ship_once(&stage);
    assert_eq!(unset.status.code(), Some(4));
    assert!(
        text(&unset.stderr).contains("`COFFERDAM_NO_SUCH`"),
        "{}",
        text(&unset.stderr)
    );
}

#[test]
fn a_question_for_consent_is_posted_signed_and_says_nothing_of_the_arguments() {
    let stage = crate::consent::asking();
    let collector = Collector::new("webhook");
    let _running = collector.start();
    let secret = private_file(collector.folder.path(), SECRET);
    configure(
        &stage,
        &format!(
            "[approvals.webhook]\nurl = \"https://localhost:{}/hook\"\nca = \"{}\"\nsecret_file = \"{}\"\n",
            collector.port,
            collector.certificate.0.display(),
            secret.display()
        ),
    );
    let mut gate = crate::consent::talk(&stage);
    crate::consent::post(&mut gate, "a thing between these two");
    let question = crate::consent::question(&stage, &[]);
    let began = std::time::Instant::now();
    // The collector takes nothing at first, then hangs up without an answer.
    let taken = || std::fs::read_to_string(collector.events()).map_or(0, |text| text.lines().count());
    while taken() < 2 && began.elapsed() < crate::support::STUCK {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let posted = lines(&collector.events());
    assert_eq!(posted.len(), 2, "once more, since nobody answered");
    assert_eq!(posted[0], posted[1]);
    for name in ["id", "server", "tool", "digest", "expires", "record", "level"] {
        assert_eq!(posted[0][name], question[name], "{name}");
    }
    assert!(!posted[0].to_string().contains("between"), "{}", posted[0]);
    assert!(gate.end().success());
}

#[test]
fn a_webhook_of_approvals_that_cannot_be_used_is_told_and_holds_up_nothing() {
    let stage = crate::consent::asking();
    configure(
        &stage,
        "[approvals.webhook]\nurl = \"https://localhost:1/hook\"\nsecret_file = \"/nowhere/at/all\"\n",
    );
    let mut gate = crate::consent::talk(&stage);
    crate::consent::post(&mut gate, "waits as ever");
    crate::consent::question(&stage, &[]);
    assert!(gate.end().success());
    let warned = stage
        .records()
        .iter()
        .any(|record| record.to_string().contains("the webhook of approvals is not told"));
    assert!(warned, "the record says it");
    configure(
        &stage,
        "[approvals.webhook]\nurl = \"http://elsewhere.example/hook\"\nsecret_env = \"X\"\n",
    );
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("use https"), "{}", text(&refused.stderr));
}

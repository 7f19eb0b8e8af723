//! A shipper over real records, and a sink that does what a test tells it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam_audit::{Clock, Durability, Entry, Kind, Log, Opening, Options, Quota, Rotation, Store};
use serde_json::{Value, json};

use crate::ocsf::{self, Origin};
use crate::{Event, Filter, Folder, Limits, Progress, ShipError, Shipper, Sink, Undelivered};

/// A wall clock that goes back a second with each record.
#[derive(Debug, Default)]
struct Backwards(AtomicU64);

impl Clock for Backwards {
    fn now(&self) -> (u64, u64) {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        (1_700_000_000_000_000_000 - count * 1_000_000_000, count + 1)
    }
}

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("audit")).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(folder.path().join("audit"), private).unwrap();
        Self { folder }
    }

    fn audit(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn session(&self, id: char) -> (String, Log) {
        let session = id.to_string().repeat(32);
        let opening = Opening {
            session: &session,
            server: "files",
            principal: "uid 1000",
            facts: "",
        };
        let options = Options {
            durability: Durability::Written,
            quota: Quota::UNLIMITED,
            clock: Arc::new(Backwards::default()),
            rotation: Rotation {
                bytes: 2_000,
                age: Duration::from_secs(1_000_000),
            },
            sealing: None,
        };
        let log = Log::create(&self.audit(), opening, options).unwrap();
        (session, log)
    }

    fn shipper(&self, sink: &Scripted) -> Shipper {
        let folder = Folder::take(&self.folder.path().join("ship")).unwrap();
        let filter = Filter {
            payload_bytes: 100,
            without_payload: vec![Kind::ServerStderr],
        };
        let limits = Limits {
            records: 7,
            bytes: 1_000_000,
        };
        Shipper::open(
            "x",
            (
                Store::open(&self.audit()).unwrap(),
                self.folder.path().join("checkpoint"),
                &folder,
            ),
            (filter, limits),
            (Box::new(sink.clone()), origin()),
        )
        .unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.audit().join("files")).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

fn origin() -> Origin {
    Origin {
        host: "here".to_owned(),
        version: "1".to_owned(),
    }
}

fn note(log: &Log, number: u64) {
    let facts = json!({"decision": "allow", "number": number}).to_string();
    let entry = Entry {
        kind: Kind::ClientLine,
        facts: &facts,
        payload: b"something that passed",
    };
    log.note(entry).unwrap();
}

/// Answers as it is told, then takes everything.
#[derive(Clone, Debug, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Result<(), Undelivered>>>>,
    /// Refuses events whose id ends so, for good.
    refused: Arc<Mutex<Vec<&'static str>>>,
    taken: Arc<Mutex<Vec<Event>>>,
}

impl Scripted {
    fn ids(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(Event::id).collect()
    }

    fn of(&self, session: &str) -> Vec<String> {
        let mut ids = self.ids();
        ids.retain(|id| id.starts_with(session));
        ids
    }
}

impl Sink for Scripted {
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered> {
        if let Some(answer) = self.answers.lock().unwrap().pop_front() {
            answer?;
        }
        let refused = self.refused.lock().unwrap();
        let is_refused = |event: &Event| refused.iter().any(|end| event.id().ends_with(end));
        if events.iter().any(is_refused) {
            return Err(Undelivered::Refused("never".to_owned()));
        }
        self.taken.lock().unwrap().extend_from_slice(events);
        Ok(())
    }
}

/// Steps until nothing is left; how many were put aside.
fn ship(shipper: &mut Shipper) -> usize {
    let mut aside = 0;
    for _ in 0..10_000 {
        match shipper.step() {
            Progress::Nothing => return aside,
            Progress::Delivered { put_aside, .. } => aside += put_aside,
            Progress::Waits { cause, .. } => panic!("waits: {cause}"),
        }
    }
    panic!("it never ends")
}

fn numbered(session: &str, records: std::ops::Range<u64>) -> Vec<String> {
    records.map(|seq| format!("{session}:{seq}")).collect()
}

/// How many records a session has, whatever the log itself added.
fn count(scene: &Scene, session: &str) -> u64 {
    let store = Store::open(&scene.audit()).unwrap();
    let found = store.tail(1_000, 0).unwrap();
    found.items.iter().filter(|located| located.session == session).count() as u64
}

#[test]
fn each_session_is_in_order_over_segments_and_a_clock_that_goes_back() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let ((one, one_log), (two, two_log)) = (scene.session('a'), scene.session('b'));
    for number in 0..60 {
        note(&one_log, number);
        note(&two_log, number);
        if number % 20 == 7 {
            ship(&mut scene.shipper(&sink));
        }
    }
    one_log.close("").unwrap();
    let mut shipper = scene.shipper(&sink);
    ship(&mut shipper);
    assert!(scene.segments().len() > 6, "the record went over several segments");
    for session in [one, two] {
        assert_eq!(sink.of(&session), numbered(&session, 0..count(&scene, &session)));
    }
}

#[test]
fn what_is_not_taken_waits_longer_each_time_and_is_delivered_again() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (session, log) = scene.session('a');
    for number in 0..20 {
        note(&log, number);
    }
    let down = || Err(Undelivered::Unavailable("down".to_owned()));
    sink.answers.lock().unwrap().extend([down(), down(), down(), down()]);
    let mut shipper = scene.shipper(&sink);
    let mut longest = Duration::ZERO;
    for round in 0..4_u32 {
        let Progress::Waits { pause, .. } = shipper.step() else {
            panic!("it does not wait");
        };
        assert!(pause <= Duration::from_millis(500) * 2_u32.pow(round), "{pause:?}");
        longest = longest.max(pause);
    }
    assert!(longest >= Duration::from_secs(2), "{longest:?}");
    // Ended while it waited: another one goes on from the cursor.
    drop(shipper);
    ship(&mut scene.shipper(&sink));
    assert_eq!(sink.of(&session), numbered(&session, 0..count(&scene, &session)));
}

#[test]
fn what_is_refused_for_good_is_kept_whole_and_holds_up_nothing() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (session, log) = scene.session('a');
    for number in 0..12 {
        note(&log, number);
    }
    sink.refused.lock().unwrap().extend([":3", ":9"]);
    let mut shipper = scene.shipper(&sink);
    assert_eq!(ship(&mut shipper), 2);
    let mut wanted = numbered(&session, 0..count(&scene, &session));
    wanted.retain(|id| !id.ends_with(":3") && !id.ends_with(":9"));
    assert_eq!(sink.of(&session), wanted);
    let kept = std::fs::read_to_string(shipper.aside_path()).unwrap();
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = kept.iter().map(|kept| kept["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [format!("{session}:3"), format!("{session}:9")]);
    assert!(
        kept.iter()
            .all(|kept| kept["why"] == "never" && kept["event"]["raw_data"] == "something that passed")
    );
}

#[test]
fn a_sink_that_refuses_everything_is_taken_to_be_misconfigured() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (_session, log) = scene.session('a');
    for number in 0..30 {
        note(&log, number);
    }
    sink.refused.lock().unwrap().push("");
    let mut shipper = scene.shipper(&sink);
    let mut aside = 0;
    loop {
        match shipper.step() {
            Progress::Delivered { put_aside, .. } => aside += put_aside,
            Progress::Waits { cause, .. } => {
                assert!(cause.contains("refuses everything"), "{cause}");
                break;
            }
            Progress::Nothing => panic!("everything was put aside"),
        }
    }
    assert_eq!(aside, 10);
}

#[test]
fn a_changed_record_is_told_and_nothing_behind_it_shipped() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let ((one, one_log), (two, two_log)) = (scene.session('a'), scene.session('b'));
    for number in 0..4 {
        note(&one_log, number);
        note(&two_log, number);
    }
    let changed = scene
        .segments()
        .into_iter()
        .find(|path| path.to_str().unwrap().contains(&one))
        .unwrap();
    flip(&changed, b"\"number\":2");
    ship(&mut scene.shipper(&sink));
    assert_eq!(sink.of(&two), numbered(&two, 0..count(&scene, &two)));
    assert_eq!(
        sink.of(&one),
        [numbered(&one, 0..3), vec![format!("{one}:broken:0")]].concat()
    );
    let taken = sink.taken.lock().unwrap();
    let broken = taken.iter().find(|event| event.kind() == "broken").unwrap();
    let finding = ocsf::event(broken, &origin());
    assert_eq!(
        (&finding["class_uid"], &finding["severity_id"]),
        (&json!(2004), &json!(5))
    );
    assert!(finding["message"].as_str().unwrap().contains("record 3"), "{finding}");
}

fn flip(path: &Path, what: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(what.len()).position(|window| window == what).unwrap();
    bytes[at + what.len() - 1] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_record_that_was_cut_after_it_was_shipped_is_told() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (session, log) = scene.session('a');
    note(&log, 1);
    ship(&mut scene.shipper(&sink));
    let segment = scene.segments().pop().unwrap();
    let whole = std::fs::metadata(&segment).unwrap().len();
    std::fs::File::options()
        .write(true)
        .open(&segment)
        .unwrap()
        .set_len(whole - 1)
        .unwrap();
    ship(&mut scene.shipper(&sink));
    assert_eq!(sink.of(&session).last(), Some(&format!("{session}:broken:0")));
}

#[test]
fn a_segment_that_was_removed_from_the_middle_is_told() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (session, log) = scene.session('a');
    for number in 0..40 {
        note(&log, number);
    }
    let second = scene
        .segments()
        .into_iter()
        .find(|path| path.to_str().unwrap().ends_with(".1.cfa"))
        .unwrap();
    std::fs::remove_file(second).unwrap();
    ship(&mut scene.shipper(&sink));
    assert_eq!(sink.of(&session).last(), Some(&format!("{session}:broken:1")));
}

#[test]
fn a_filter_takes_payloads_and_never_a_decision() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (_session, log) = scene.session('a');
    let why = "w".repeat(60_000);
    let facts = json!({"decision": "deny", "rule": "tool/x", "why": why}).to_string();
    for kind in [Kind::ServerStderr, Kind::ClientLine] {
        let payload = &[b'"'; 50_000];
        log.note(Entry {
            kind,
            facts: &facts,
            payload,
        })
        .unwrap();
    }
    ship(&mut scene.shipper(&sink));
    let taken = sink.taken.lock().unwrap();
    let events: Vec<Value> = taken.iter().map(|event| ocsf::event(event, &origin())).collect();
    for (event, shown) in events
        .iter()
        .filter(|event| event["raw_data_size"] == 50_000)
        .zip([0, 100])
    {
        assert_eq!(event["raw_data"].as_str().map_or(0, str::len), shown);
        assert_eq!(event["unmapped"]["cofferdam"]["payload_is_whole"], false);
        assert_eq!(event["unmapped"]["cofferdam"]["facts"]["why"], json!(why));
    }
    for event in taken
        .iter()
        .filter(|event| event.kind() != "open" && event.kind() != "continued")
    {
        for bytes_max in [3_000, 4_096, 61_000, 62_000, 1_000_000] {
            let text = ocsf::event_within(event, &origin(), bytes_max);
            assert!(text.len() <= bytes_max, "{} of {bytes_max}", text.len());
            let event: Value = serde_json::from_str(&text).unwrap();
            let facts = &event["unmapped"]["cofferdam"]["facts"];
            assert_eq!((&facts["decision"], &facts["rule"]), (&json!("deny"), &json!("tool/x")));
            assert_eq!(event["disposition_id"], 2);
        }
    }
}

#[test]
fn one_shipper_at_a_time() {
    let scene = Scene::new();
    let path = scene.folder.path().join("ship");
    let folder = Folder::take(&path).unwrap();
    assert!(matches!(Folder::take(&path), Err(ShipError::InUse)));
    drop(folder);
    Folder::take(&path).unwrap();
}

fn checkpoint(scene: &Scene, size: u64) {
    let note = format!("host.example/ledger\n{size}\nroot\n\n\u{2014} host.example/ledger signature\n");
    std::fs::write(scene.folder.path().join("checkpoint"), note).unwrap();
}

fn sizes(sink: &Scripted) -> Vec<u64> {
    let taken = sink.taken.lock().unwrap();
    let sizes = taken.iter().filter_map(|event| match event {
        Event::Checkpoint(checkpoint) => checkpoint.size(),
        Event::Record(_) | Event::Broken(_) => None,
    });
    sizes.collect()
}

#[test]
fn a_sink_gets_each_checkpoint_it_does_not_have_and_again_until_it_acknowledged() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (session, log) = scene.session('a');
    for number in 0..20 {
        note(&log, number);
    }
    checkpoint(&scene, 7);
    let down = || Err(Undelivered::Unavailable("down".to_owned()));
    sink.answers.lock().unwrap().extend([down(), down()]);
    let mut shipper = scene.shipper(&sink);
    for _ in 0..2 {
        assert!(matches!(shipper.step(), Progress::Waits { .. }));
    }
    drop(shipper);
    ship(&mut scene.shipper(&sink));
    assert_eq!(sizes(&sink), [7]);
    assert_eq!(sink.of(&session), numbered(&session, 0..count(&scene, &session)));
    ship(&mut scene.shipper(&sink));
    assert_eq!(sizes(&sink), [7], "what was acknowledged does not come twice");
    checkpoint(&scene, 9);
    std::fs::write(scene.folder.path().join("ship/x.checkpoint"), [0xff, 0xfe]).unwrap();
    ship(&mut scene.shipper(&sink));
    assert_eq!(sizes(&sink), [7, 9]);
}

#[test]
fn a_ledger_that_grows_at_every_look_holds_up_no_record() {
    let scene = Scene::new();
    let sink = Scripted::default();
    let (session, log) = scene.session('a');
    for number in 0..20 {
        note(&log, number);
    }
    let mut shipper = scene.shipper(&sink);
    for size in 1..=20 {
        checkpoint(&scene, size);
        shipper.step();
    }
    assert!(sink.of(&session).len() >= 14, "{:?}", sink.ids());
}

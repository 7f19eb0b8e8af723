//! Sessions and records are found, newest first, live ones too, and one broken segment hides
//! no other.

use cofferdam_audit::{AuditError, Clock, Durability, Ended, Kind, Located, Log, Quota, Reader, SessionState, Store};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

use crate::common::{append, opening, options};

/// A clock that moves one second a look, from now on, so that order is certain.
#[derive(Debug)]
struct Seconds(AtomicU64);

impl Clock for Seconds {
    fn now(&self) -> (u64, u64) {
        let now = self.0.fetch_add(1_000_000_000, Ordering::SeqCst);
        (1_795_219_200_000_000_000 + now, now)
    }
}

struct Folder {
    home: TempDir,
    clock: Arc<Seconds>,
}

impl Folder {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            home,
            clock: Arc::new(Seconds(AtomicU64::new(1))),
        }
    }

    fn log(&self, id: u8, server: &str) -> Log {
        let mut options = options(Durability::Written);
        options.clock = self.clock.clone();
        options.quota = Quota::UNLIMITED;
        Log::create(self.home.path(), opening(&session(id), server), options).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(self.home.path()).unwrap()
    }
}

fn session(id: u8) -> String {
    format!("{id:02x}").repeat(16)
}

fn payloads(located: &[Located]) -> Vec<String> {
    located
        .iter()
        .map(|found| String::from_utf8(found.record.payload.clone()).unwrap())
        .collect()
}

#[test]
fn sessions_are_listed_newest_first_with_their_state() {
    let folder = Folder::new();
    let closed = folder.log(0xaa, "files");
    let _head = closed.close("").unwrap();
    let live = folder.log(0xbb, "git");
    let cut = folder.log(0xcc, "files");
    let path = cut.path().to_owned();
    drop(cut);
    fs::write(folder.home.path().join("files/notes.txt"), "not a segment").unwrap();
    fs::write(folder.home.path().join("files/20260101T000000Z-ff.cfa"), "").unwrap();
    let found = folder.store().sessions().unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    let states: Vec<_> = found
        .items
        .iter()
        .map(|found| (found.header.server.as_str(), found.state))
        .collect();
    // The lock goes with the last descriptor, which the background thread may still hold.
    let unclosed = states[0].1;
    assert!(matches!(unclosed, SessionState::Unclosed | SessionState::Live));
    assert_eq!(
        states[1..],
        [("git", SessionState::Live), ("files", SessionState::Closed)]
    );
    assert_eq!(found.items[0].segments, [path]);
    drop(live);
}

#[test]
fn a_session_is_found_by_the_beginning_of_its_id() {
    let folder = Folder::new();
    let (_one, _two) = (folder.log(0xa1, "files"), folder.log(0xa2, "git"));
    let store = folder.store();
    assert_eq!(store.session("a1").unwrap().header.session, session(0xa1));
    assert_eq!(store.session(&session(0xa2)).unwrap().header.server, "git");
    assert!(matches!(
        store.session("a"),
        Err(AuditError::Ambiguous { count: 2, .. })
    ));
    assert!(matches!(store.session("b"), Err(AuditError::NoSuchSession { .. })));
    assert!(matches!(store.session(""), Err(AuditError::NoSuchSession { .. })));
}

#[test]
fn a_record_is_found_by_its_reference() {
    let folder = Folder::new();
    let log = folder.log(0xa1, "files");
    let seq = append(&log, Kind::ClientLine, b"{\"jsonrpc\":\"2.0\"}").unwrap();
    append(&log, Kind::Notice, b"later").unwrap();
    let store = folder.store();
    let found = store.record(&format!("a1:{seq}")).unwrap();
    assert_eq!(found.record.payload, b"{\"jsonrpc\":\"2.0\"}");
    assert_eq!(
        (found.record.kind, found.record.facts.as_str()),
        (Kind::ClientLine, r#"{"id":7}"#)
    );
    assert_eq!((found.session, found.server), (session(0xa1), "files".to_owned()));
    assert!(matches!(
        store.record("a1:3"),
        Err(AuditError::NoSuchRecord { seq: 3, .. })
    ));
    for reference in ["a1", "a1:", "a1:x", "a1:-1", ""] {
        assert!(
            matches!(store.record(reference), Err(AuditError::Reference { .. })),
            "{reference}"
        );
    }
}

#[test]
fn the_tail_is_the_last_records_of_all_sessions_in_order() {
    let folder = Folder::new();
    let (one, two) = (folder.log(1, "files"), folder.log(2, "git"));
    for round in 0..50 {
        append(&one, Kind::ClientLine, format!("one {round}").as_bytes()).unwrap();
        append(&two, Kind::ClientLine, format!("two {round}").as_bytes()).unwrap();
    }
    let store = folder.store();
    let found = store.tail(4, 100).unwrap();
    assert!(found.problems.is_empty());
    assert_eq!(payloads(&found.items), ["one 48", "two 48", "one 49", "two 49"]);
    assert_eq!(payloads(&store.tail(2, 3).unwrap().items), ["one", "two"]);
    assert!(!store.tail(1, 3).unwrap().items[0].record.has_whole_payload());
    assert!(store.tail(0, 100).unwrap().items.is_empty());
    // More than there are: all of them, the first too.
    let all = store.tail(1_000, 100).unwrap().items;
    assert_eq!(all.len(), 102);
    assert_eq!(all[0].record.kind, Kind::Open);
}

#[test]
fn a_broken_segment_is_named_and_hides_no_other() {
    let folder = Folder::new();
    let (broken, fine) = (folder.log(1, "files"), folder.log(2, "git"));
    for log in [&broken, &fine] {
        append(log, Kind::ClientLine, b"first").unwrap();
        append(log, Kind::ClientLine, b"second").unwrap();
    }
    let mut bytes = fs::read(broken.path()).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    fs::write(broken.path(), bytes).unwrap();
    let found = folder.store().tail(2, 100).unwrap();
    assert_eq!(payloads(&found.items), ["first", "second"]);
    assert!(matches!(found.problems.as_slice(), [AuditError::Broken { path, .. }] if path == broken.path()));
    let (mut follow, problems) = folder.store().follow(100).unwrap();
    assert_eq!(problems.len(), 1);
    append(&fine, Kind::ClientLine, b"third").unwrap();
    append(&broken, Kind::ClientLine, b"nobody follows").unwrap();
    let added = follow.poll().unwrap();
    assert_eq!(payloads(&added.items), ["third"]);
    assert!(added.problems.is_empty());
}

#[test]
fn a_segment_that_breaks_while_followed_is_reported_once() {
    let folder = Folder::new();
    let log = folder.log(1, "files");
    let (mut follow, _) = folder.store().follow(100).unwrap();
    append(&log, Kind::ClientLine, b"changed").unwrap();
    let mut bytes = fs::read(log.path()).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    fs::write(log.path(), bytes).unwrap();
    let found = follow.poll().unwrap();
    assert!(found.items.is_empty());
    assert!(matches!(found.problems.as_slice(), [AuditError::Broken { path, .. }] if path == log.path()));
    assert!(follow.poll().unwrap().problems.is_empty());
}

#[test]
fn following_gives_each_new_record_once() {
    let folder = Folder::new();
    let one = folder.log(1, "files");
    append(&one, Kind::ClientLine, b"before").unwrap();
    let (mut follow, problems) = folder.store().follow(100).unwrap();
    assert!(problems.is_empty());
    assert!(follow.poll().unwrap().items.is_empty());
    append(&one, Kind::ClientLine, b"one").unwrap();
    let two = folder.log(2, "git");
    append(&two, Kind::ServerLine, b"two").unwrap();
    // The second session began after: it is given from its beginning.
    assert_eq!(payloads(&follow.poll().unwrap().items), ["one", "", "two"]);
    assert!(follow.poll().unwrap().items.is_empty());
    let _head = two.close("").unwrap();
    let end = follow.poll().unwrap().items;
    assert_eq!(end.len(), 1);
    assert_eq!(end[0].record.kind, Kind::Close);
}

#[test]
fn a_reader_of_a_live_file_sees_only_whole_records() {
    let folder = Folder::new();
    let log = folder.log(1, "files");
    append(&log, Kind::ClientLine, b"whole").unwrap();
    let whole = fs::read(log.path()).unwrap();
    append(&log, Kind::ClientLine, b"being written").unwrap();
    let after = fs::read(log.path()).unwrap();
    let half = folder.home.path().join("half.cfa");
    for end in whole.len()..after.len() {
        fs::write(&half, &after[..end]).unwrap();
        let mut reader = Reader::open(&half).unwrap();
        let mut last = None;
        while let Some(record) = reader.next_record().unwrap() {
            last = Some(record.payload);
        }
        assert_eq!(last.unwrap(), b"whole");
        let (offset, bytes) = (whole.len() as u64, (end - whole.len()) as u64);
        let expected = if bytes == 0 {
            Ended::Unclosed
        } else {
            Ended::Torn { offset, bytes }
        };
        assert_eq!(reader.ended(), Some(expected));
    }
}

#[test]
fn following_waits_for_the_rest_of_a_record() {
    let folder = Folder::new();
    let log = folder.log(1, "files");
    append(&log, Kind::ClientLine, b"one").unwrap();
    let source = fs::read(log.path()).unwrap();
    let copy = folder.home.path().join("copies/20261121T000000Z-copy.cfa");
    fs::create_dir(copy.parent().unwrap()).unwrap();
    let (mut follow, _) = folder.store().follow(100).unwrap();
    let mut file = OpenOptions::new().create_new(true).append(true).open(&copy).unwrap();
    let mut seen = Vec::new();
    for byte in source {
        file.write_all(&[byte]).unwrap();
        let found = follow.poll().unwrap();
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        seen.extend(payloads(&found.items));
    }
    assert_eq!(seen, ["", "one"]);
}

#[test]
fn a_store_in_a_folder_of_others_is_not_opened() {
    let folder = Folder::new();
    fs::set_permissions(folder.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(
        Store::open(folder.home.path()),
        Err(AuditError::Folder { .. })
    ));
    let missing = folder.home.path().join("missing");
    assert!(matches!(Store::open(&missing), Err(AuditError::Read { .. })));
}

//! Packed segments: the same records, found in the same way, and no change passes.

use crate::common::{SESSION, append, opening, options, records};
use cofferdam_audit::{
    AuditError, Durability, Ended, Kind, Log, Rotation, SessionState, SessionVerdict, Store, Verdict, pack, verify,
    verify_session,
};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A session of three megabytes in two segments, closed.
fn session() -> (TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    let mut options = options(Durability::Written);
    options.rotation = Rotation {
        bytes: 2_500_000,
        ..Rotation::STANDARD
    };
    let log = Log::create(&folder, opening(SESSION, "files"), options).unwrap();
    for round in 0..300_u32 {
        let line = format!(
            "{{\"round\":{round},\"text\":\"{}\"}}",
            "words of a server ".repeat(600)
        );
        append(&log, Kind::ServerLine, line.as_bytes()).unwrap();
    }
    log.close("").unwrap();
    (home, Store::open(&folder).unwrap())
}

fn packed(path: &Path) -> PathBuf {
    pack(path).unwrap().expect("the segment has ended").path
}

#[test]
fn a_packed_session_reads_as_before() {
    let (_home, store) = session();
    let before = store.session(SESSION).unwrap();
    let all: Vec<_> = before.segments.iter().map(|path| records(path).unwrap()).collect();
    let (tail, record) = (store.tail(5, 99).unwrap().items, store.record("0001:250").unwrap());
    let (mut follow, _) = store.follow(100).unwrap();
    for path in &before.segments {
        let plain = fs::read(path).unwrap();
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let done = pack(path).unwrap().unwrap();
        assert!(done.bytes_after * 4 < done.bytes_before, "{done:?}");
        assert!(!path.exists());
        // Any Zstandard tool can unpack it.
        let stream = fs::File::open(&done.path).unwrap();
        assert!(zstd::stream::decode_all(stream).unwrap() == plain);
        assert_eq!(fs::metadata(&done.path).unwrap().modified().unwrap(), modified);
    }
    let after = store.session(SESSION).unwrap();
    assert_eq!((after.bytes, after.state), (before.bytes, SessionState::Closed));
    let again: Vec<_> = after.segments.iter().map(|path| records(path).unwrap()).collect();
    assert!(all == again);
    assert_eq!(store.tail(5, 99).unwrap().items, tail);
    assert_eq!(store.record("0001:250").unwrap(), record);
    assert!(matches!(
        verify_session(&after.segments, &mut |_| {}).unwrap(),
        SessionVerdict::Verified(verified) if verified.ended == Ended::Closed
    ));
    assert!(
        follow.poll().unwrap().items.is_empty(),
        "nothing is new because it was packed"
    );
}

#[test]
fn what_has_not_ended_or_is_broken_is_not_packed() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    let log = crate::common::create(&folder, SESSION, "files").unwrap();
    append(&log, Kind::ClientLine, b"alive").unwrap();
    assert_eq!(pack(log.path()).unwrap(), None);
    log.close("").unwrap();
    let mut bytes = fs::read(log.path()).unwrap();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    fs::write(log.path(), bytes).unwrap();
    assert_eq!(pack(log.path()).unwrap(), None);
    assert!(log.path().exists());
}

#[test]
fn an_interrupted_packing_leaves_one_session() {
    let (_home, store) = session();
    let before = store.session(SESSION).unwrap();
    let first = &before.segments[0];
    let plain = fs::read(first).unwrap();
    packed(first);
    // As if it had been killed before the other was removed.
    fs::write(first, plain).unwrap();
    let after = store.session(SESSION).unwrap();
    assert_eq!(after.segments, before.segments);
    packed(first);
    assert_eq!(pack(&packed_name(first)).unwrap(), None, "packed twice");
}

/// What stands where the packed file is to be opened, or where it is to be named, keeps the segment as it is.
#[test]
fn a_packing_that_fails_to_open_or_to_rename_leaves_the_segment() {
    let (_home, store) = session();
    let before = store.session(SESSION).unwrap();
    let first = &before.segments[0];
    let plain = fs::read(first).unwrap();
    let names = [
        packed_name(first),
        PathBuf::from(format!("{}.tmp", packed_name(first).display())),
    ];
    for (in_the_way, other) in [(&names[0], &names[1]), (&names[1], &names[0])] {
        fs::create_dir(in_the_way).unwrap();
        fs::write(in_the_way.join("full"), "").unwrap();
        let refused = pack(first);
        assert!(refused.is_err(), "{}", in_the_way.display());
        assert!(!other.exists(), "half a file is left");
        assert_eq!(fs::read(first).unwrap(), plain);
        fs::remove_dir_all(in_the_way).unwrap();
    }
    packed(first);
    assert!(!first.exists());
}

fn packed_name(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.zst", path.display()))
}

#[test]
fn no_changed_byte_of_a_packed_segment_goes_unseen() {
    let (_home, store) = session();
    let path = packed(&store.session(SESSION).unwrap().segments[1]);
    let whole = fs::read(&path).unwrap();
    let expected = verify(&path).unwrap();
    let mut harmless = 0;
    for at in (0..whole.len()).step_by(7).chain(whole.len() - 40..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, bytes).unwrap();
        match verify(&path) {
            Ok(Verdict::Broken(_)) | Err(AuditError::Read { .. }) => {}
            // A bit that means nothing to the decoder: what comes out is what was recorded.
            Ok(Verdict::Verified(verified)) => {
                assert_eq!(Verdict::Verified(verified), expected, "byte {at}");
                harmless += 1;
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(
        harmless * 50 < whole.len(),
        "{harmless} of {} changes made no difference",
        whole.len() / 7
    );
    for end in (0..whole.len()).step_by(997) {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(!matches!(verify(&path), Ok(Verdict::Verified(_))), "cut at {end}");
    }
}

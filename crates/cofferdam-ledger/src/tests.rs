//! Entries go in once and in order from many processes; every change is found (tests only).

use crate::contents::{Witnessed, check_inclusion};
use crate::entry::{Entry, What};
use crate::error::LedgerError;
use crate::files;
use crate::key::PublicKey;
use crate::ledger::{Integrated, Ledger};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn entry(session: u32, seq: u64) -> Entry {
    Entry {
        what: if seq == 0 { What::Open } else { What::Head },
        session: format!("{session:032x}"),
        server: "files".to_owned(),
        seq,
        hash: format!("{:064x}", u128::from(session) * 1_000_000 + u128::from(seq)),
        wall_ns: 1_795_219_200_000_000_000 + seq,
        about: None,
    }
}

fn ledger() -> (TempDir, Ledger) {
    let home = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(&home.path().join(".ledger"));
    (home, ledger)
}

fn grown(ledger: &Ledger) -> u64 {
    match ledger.integrate().unwrap() {
        Integrated::Grown(checkpoint) => checkpoint.size,
        other => panic!("{other:?}"),
    }
}

/// Every file of the tree.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn what_is_submitted_is_in_the_tree_in_order_whatever_the_batches() {
    let (home, ledger) = ledger();
    let mut seq = 0;
    for batch in [1, 1, 2, 250, 3, 300, 255, 1, 256, 512] {
        for _ in 0..batch {
            ledger.submit(&entry(7, seq)).unwrap();
            seq += 1;
        }
        assert_eq!(grown(&ledger), seq);
        assert_eq!(ledger.integrate().unwrap(), Integrated::Nothing);
        let contents = ledger.read().unwrap();
        let seqs: Vec<u64> = contents.entries.iter().map(|entry| entry.seq).collect();
        assert!(seqs.iter().copied().eq(0..seq));
        assert!(contents.waiting.is_empty() && contents.strange.is_empty());
    }
    // Partial tiles that were replaced are gone: full ones, and at most one partial a level.
    let files = tree(&home.path().join(".ledger/tile"));
    assert!(files.len() < 20, "{files:#?}");
}

#[test]
fn a_stopped_lock_holder_delays_nothing_but_the_tree() {
    let (home, ledger) = ledger();
    ledger.submit(&entry(1, 0)).unwrap();
    let held = files::try_lock(&home.path().join(".ledger/lock")).unwrap();
    assert!(held.is_some());
    assert_eq!(ledger.integrate().unwrap(), Integrated::Busy);
    ledger.submit(&entry(2, 0)).unwrap();
    assert_eq!(ledger.read().unwrap().waiting.len(), 2);
    drop(held);
    assert_eq!(grown(&ledger), 2);
}

#[test]
fn many_at_once_lose_nothing() {
    let (_home, ledger) = ledger();
    std::thread::scope(|scope| {
        for session in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for seq in 0..10 {
                    ledger.submit(&entry(session, seq)).unwrap();
                    let _ = ledger.integrate().unwrap();
                }
            });
        }
    });
    let _ = ledger.integrate().unwrap();
    let contents = ledger.read().unwrap();
    let found: BTreeSet<(String, u64)> = contents
        .entries
        .iter()
        .map(|entry| (entry.session.clone(), entry.seq))
        .collect();
    assert_eq!((found.len(), contents.entries.len()), (40, 40));
}

#[test]
fn any_changed_byte_of_the_ledger_is_found() {
    let (home, ledger) = ledger();
    for seq in 0..300 {
        ledger.submit(&entry(3, seq)).unwrap();
    }
    grown(&ledger);
    let folder = home.path().join(".ledger");
    let checked = ["checkpoint", "tile/entries/000", "tile/entries/001.p/44"];
    for name in checked {
        let path = folder.join(name);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(if whole.len() > 1_000 { 503 } else { 1 }) {
            let mut bytes = whole.clone();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 4;
            }
            fs::write(&path, bytes).unwrap();
            assert!(ledger.read().is_err(), "{name}, byte {at}");
        }
        fs::remove_file(&path).unwrap();
        // Without its checkpoint the tree is empty, which only a published one can tell.
        assert_eq!(ledger.read().is_ok(), name == "checkpoint");
        fs::write(&path, whole).unwrap();
    }
    assert!(ledger.read().is_ok());
    // An entry that was changed in its form is named by its place.
    let path = folder.join("tile/entries/001.p/44");
    let whole = fs::read(&path).unwrap();
    let at = whole.windows(9).rposition(|window| window == b"\"seq\":270").unwrap();
    let mut bytes = whole.clone();
    *bytes.get_mut(at + 8).unwrap() = b'1';
    fs::write(&path, bytes).unwrap();
    let error = ledger.read().unwrap_err();
    assert!(matches!(error, LedgerError::Broken { index: 270, .. }), "{error}");
    fs::write(&path, whole).unwrap();
    // A tile that was changed keeps the tree from growing on it.
    let tile = folder.join("tile/0/001.p/44");
    let mut bytes = fs::read(&tile).unwrap();
    bytes.reverse();
    fs::write(&tile, bytes).unwrap();
    ledger.submit(&entry(3, 300)).unwrap();
    assert!(matches!(ledger.integrate(), Err(LedgerError::Broken { .. })));
    assert_eq!(ledger.read().unwrap().waiting.len(), 1, "what waits is kept");
}

#[test]
fn an_integration_that_ended_anywhere_is_gone_over_again() {
    let (home, ledger) = ledger();
    for seq in 0..5 {
        ledger.submit(&entry(3, seq)).unwrap();
    }
    grown(&ledger);
    let folder = home.path().join(".ledger");
    // Killed before the checkpoint: tiles of a tree that nobody signed lie about.
    let checkpoint = fs::read(folder.join("checkpoint")).unwrap();
    ledger.submit(&entry(3, 5)).unwrap();
    grown(&ledger);
    fs::write(folder.join("checkpoint"), &checkpoint).unwrap();
    ledger.submit(&entry(3, 5)).unwrap();
    ledger.submit(&entry(3, 6)).unwrap();
    // The old partial tile went with the checkpoint that replaced it; put it back as a kill leaves it.
    let wide = fs::read(folder.join("tile/0/000.p/6")).unwrap();
    fs::write(folder.join("tile/0/000.p/5"), wide.get(..160).unwrap()).unwrap();
    let bundle = fs::read(folder.join("tile/entries/000.p/6")).unwrap();
    let five = bundle.len() / 6 * 5;
    fs::write(folder.join("tile/entries/000.p/5"), bundle.get(..five).unwrap()).unwrap();
    assert_eq!(grown(&ledger), 7);
    let seqs: Vec<u64> = ledger.read().unwrap().entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_published_checkpoint_tells_a_fork_and_a_rollback() {
    let (home, ledger) = ledger();
    let folder = home.path().join(".ledger");
    for seq in 0..3 {
        ledger.submit(&entry(3, seq)).unwrap();
    }
    grown(&ledger);
    let three = ledger.read().unwrap().checkpoint.unwrap().note;
    let saved = home.path().join("saved");
    copy(&folder, &saved);
    for seq in 3..6 {
        ledger.submit(&entry(3, seq)).unwrap();
    }
    grown(&ledger);
    let contents = ledger.read().unwrap();
    let six = contents.checkpoint.clone().unwrap().note;
    assert_eq!(contents.witnessed(&three).unwrap(), Witnessed::Consistent(3));
    assert_eq!(contents.witnessed(&six).unwrap(), Witnessed::Consistent(6));
    // Taken back to three, then told another story with the same key.
    fs::remove_dir_all(&folder).unwrap();
    copy(&saved, &folder);
    assert_eq!(
        ledger.read().unwrap().witnessed(&six).unwrap(),
        Witnessed::RolledBack { published: 6 }
    );
    for seq in 3..9 {
        ledger.submit(&entry(4, seq)).unwrap();
    }
    grown(&ledger);
    let forked = ledger.read().unwrap();
    assert_eq!(forked.witnessed(&six).unwrap(), Witnessed::Forked { published: 6 });
    assert_eq!(forked.witnessed(&three).unwrap(), Witnessed::Consistent(3));
    assert!(forked.witnessed(b"not a note").is_err());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &name);
        } else {
            fs::copy(&path, &name).unwrap();
        }
    }
}

#[test]
fn an_inclusion_proves_its_entry_and_no_other() {
    let (_home, ledger) = ledger();
    for seq in 0..70 {
        ledger.submit(&entry(3, seq)).unwrap();
    }
    grown(&ledger);
    let contents = ledger.read().unwrap();
    let key = contents.key.clone().unwrap();
    for index in (0..70).step_by(3) {
        let inclusion = contents.inclusion(index).unwrap();
        assert_eq!(check_inclusion(&inclusion, &key).unwrap().seq, index);
        let mut other = inclusion.clone();
        other.leaf = entry(4, index).to_bytes().unwrap();
        assert!(check_inclusion(&other, &key).is_err());
        let mut moved = inclusion;
        moved.index = (index + 1) % 70;
        assert!(check_inclusion(&moved, &key).is_err());
    }
    assert!(contents.inclusion(70).is_none());
    let (_other_home, other) = self::ledger();
    other.submit(&entry(3, 0)).unwrap();
    grown(&other);
    let stranger: PublicKey = other.public_key().unwrap();
    assert!(check_inclusion(&contents.inclusion(3).unwrap(), &stranger).is_err());
}

#[test]
fn what_is_no_entry_is_named_and_never_taken() {
    let (home, ledger) = ledger();
    ledger.submit(&entry(3, 0)).unwrap();
    let strange = home.path().join(".ledger/pending/00000000000000000000-x-0-open");
    fs::write(&strange, "{}").unwrap();
    assert_eq!(grown(&ledger), 1);
    assert_eq!(ledger.read().unwrap().strange, [strange]);
    let mut outside = entry(3, 1);
    outside.session = "../../escape".to_owned();
    assert!(ledger.submit(&outside).is_err());
}

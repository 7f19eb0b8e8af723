//! Program pins: whatever changes in a program's files is named, and nothing is hashed twice without need.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cofferdam_manifest::{PinsError, ProgramChanged, ProgramPins};
use tempfile::TempDir;

/// Long after every change of these tests, so that each index entry is settled.
fn later() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(4_000_000_000)
}

struct Fixture {
    folder: TempDir,
    pins: ProgramPins,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("app/lib/__pycache__")).unwrap();
        fs::write(at("app/main.js"), "one").unwrap();
        fs::write(at("app/lib/inner.js"), "two").unwrap();
        fs::write(at("app/lib/__pycache__/m.cpython-311.pyc"), "compiled").unwrap();
        fs::write(at("app/empty"), "").unwrap();
        fs::write(at("other"), "outside").unwrap();
        symlink("main.js", at("app/link")).unwrap();
        symlink(at("other"), at("app/outward")).unwrap();
        let pins = ProgramPins::take(&[at("app")], &[], later()).unwrap();
        Self { folder, pins }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("app").join(name)
    }

    fn difference(&self) -> ProgramChanged {
        self.pins.check(later()).expect_err("something changed")
    }
}

#[test]
fn what_did_not_change_is_not_hashed_again() {
    let fixture = Fixture::new();
    let checked = fixture.pins.check(later()).unwrap();
    assert_eq!((checked.rehashed, checked.fresh, checked.bytecode.len()), (0, None, 0));
    let stored = serde_json::to_string(&fixture.pins).unwrap();
    let loaded: ProgramPins = serde_json::from_str(&stored).unwrap();
    assert_eq!(loaded, fixture.pins);
    assert_eq!(loaded.digest(), fixture.pins.digest());
}

#[test]
fn another_time_alone_is_no_change() {
    let fixture = Fixture::new();
    let file = File::options().write(true).open(fixture.at("main.js")).unwrap();
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH)).unwrap();
    let checked = fixture.pins.check(later()).unwrap();
    assert_eq!(checked.rehashed, 1);
    let fresh = checked.fresh.unwrap();
    assert_eq!(fresh.digest(), fixture.pins.digest());
    assert_eq!(
        fresh.check(later()).unwrap().rehashed,
        0,
        "the fresh index vouches for it again"
    );
}

#[test]
fn a_changed_byte_is_named_even_under_its_old_times() {
    let fixture = Fixture::new();
    let path = fixture.at("lib/inner.js");
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, "TWO").unwrap();
    let times = FileTimes::new()
        .set_modified(before.modified().unwrap())
        .set_accessed(before.accessed().unwrap());
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().modified().unwrap(),
        before.modified().unwrap()
    );
    let difference = fixture.difference();
    assert_eq!(difference.changed, [path]);
    assert_eq!((difference.added.len(), difference.removed.len()), (0, 0));
    assert!(difference.to_string().contains("changed "), "{difference}");
}

#[test]
fn added_and_deleted_files_are_named() {
    let fixture = Fixture::new();
    fs::write(fixture.at("lib/sitecustomize.py"), "evil").unwrap();
    fs::create_dir(fixture.at("new")).unwrap();
    fs::remove_file(fixture.at("empty")).unwrap();
    let difference = fixture.difference();
    assert_eq!(
        difference.added,
        [fixture.at("lib/sitecustomize.py"), fixture.at("new")]
    );
    assert_eq!(difference.removed, [fixture.at("empty")]);
}

#[test]
fn a_swapped_link_is_named_and_links_are_not_followed() {
    let fixture = Fixture::new();
    fs::write(fixture.folder.path().join("other"), "changed outside").unwrap();
    assert!(
        fixture.pins.check(later()).is_ok(),
        "what a link leads out to is not part of the program"
    );
    fs::remove_file(fixture.at("link")).unwrap();
    symlink("lib/inner.js", fixture.at("link")).unwrap();
    assert_eq!(fixture.difference().changed, [fixture.at("link")]);
}

#[test]
fn a_file_replaced_by_its_like_is_the_same() {
    let fixture = Fixture::new();
    fs::write(fixture.at("copy"), "one").unwrap();
    fs::rename(fixture.at("copy"), fixture.at("main.js")).unwrap();
    assert_eq!(fixture.pins.check(later()).unwrap().rehashed, 1);
}

#[test]
fn kinds_and_execute_bits_are_content() {
    let fixture = Fixture::new();
    fs::set_permissions(fixture.at("main.js"), Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(fixture.at("empty")).unwrap();
    fs::create_dir(fixture.at("empty")).unwrap();
    assert_eq!(
        fixture.difference().changed,
        [fixture.at("empty"), fixture.at("main.js")]
    );
}

#[test]
fn a_missing_root_is_removed() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.at("")).unwrap();
    let difference = fixture.difference();
    assert_eq!(difference.removed, [fixture.folder.path().join("app")]);
    assert!(difference.unread.is_none());
}

#[test]
fn compiled_python_is_told_apart() {
    let fixture = Fixture::new();
    let digest = fixture.pins.digest();
    fs::write(fixture.at("lib/__pycache__/m.cpython-311.pyc"), "forged").unwrap();
    fs::create_dir(fixture.at("__pycache__")).unwrap();
    fs::write(fixture.at("__pycache__/x.cpython-311.pyc"), "forged too").unwrap();
    let expected = [
        fixture.at("__pycache__/x.cpython-311.pyc"),
        fixture.at("lib/__pycache__/m.cpython-311.pyc"),
    ];
    let checked = fixture.pins.check(later()).unwrap();
    assert_eq!(checked.bytecode, expected);
    let fresh = checked.fresh.unwrap();
    assert_eq!(fresh.digest(), digest);
    let again = fresh.check(later()).unwrap();
    assert_eq!(again.bytecode, expected, "what was not accepted stays unaccepted");
    assert_eq!(again.fresh, None);
    let taken_anew = ProgramPins::take(&[fixture.at("")], &[], later()).unwrap();
    assert_eq!(taken_anew.digest(), digest, "the digest does not depend on caches");
}

#[test]
fn a_cache_folder_hides_nothing_else() {
    let fixture = Fixture::new();
    fs::write(fixture.at("lib/__pycache__/evil.py"), "x").unwrap();
    fs::create_dir(fixture.at("lib/__pycache__/folder.pyc")).unwrap();
    fs::write(fixture.at("lib/__pycache__/folder.pyc/evil.js"), "x").unwrap();
    symlink("/tmp", fixture.at("__pycache__")).unwrap();
    fs::write(fixture.at("legacy.pyc"), "x").unwrap();
    let names = [
        "__pycache__",
        "legacy.pyc",
        "lib/__pycache__/evil.py",
        "lib/__pycache__/folder.pyc/evil.js",
    ];
    assert_eq!(fixture.difference().added, names.map(|name| fixture.at(name)));
}

#[test]
fn a_file_too_young_to_vouch_for_is_hashed_again() {
    let fixture = Fixture::new();
    let changed = fs::metadata(fixture.at("main.js")).unwrap().modified().unwrap();
    let young = ProgramPins::take(&[fixture.at("")], &[], changed).unwrap();
    assert_eq!(young.check(changed).unwrap().rehashed, 4);
    let settled = young.check(later()).unwrap();
    assert_eq!(settled.rehashed, 4);
    assert_eq!(settled.fresh.unwrap().check(later()).unwrap().rehashed, 0);
}

#[test]
fn what_is_not_a_file_is_refused() {
    let fixture = Fixture::new();
    let _listener = UnixListener::bind(fixture.at("socket")).unwrap();
    let refusal = ProgramPins::take(&[fixture.at("")], &[], later()).unwrap_err();
    assert!(matches!(refusal, PinsError::Special(_)), "{refusal}");
    assert!(matches!(fixture.difference().unread, Some(PinsError::Special(_))));
}

#[test]
fn folders_left_out_are_not_looked_at() {
    let fixture = Fixture::new();
    let pins = ProgramPins::take(&[fixture.at("")], &[fixture.at("lib")], later()).unwrap();
    fs::write(fixture.at("lib/new"), "x").unwrap();
    assert!(pins.check(later()).is_ok());
    assert!(pins.covers(&fixture.at("main.js")));
    assert!(!pins.covers(&fixture.at("lib/new")));
    assert!(!pins.covers(Path::new("/etc")));
    assert_ne!(
        pins.digest(),
        ProgramPins::take(&[fixture.at("")], &[], later()).unwrap().digest()
    );
}

#[test]
fn a_root_that_is_a_link_is_held_to_what_it_leads_to() {
    let fixture = Fixture::new();
    let root = fixture.folder.path().join("root");
    symlink(fixture.at("lib"), &root).unwrap();
    let pins = ProgramPins::take(std::slice::from_ref(&root), &[], later()).unwrap();
    assert_eq!(pins.check(later()).unwrap().rehashed, 0);
    fs::write(fixture.at("lib/inner.js"), "changed").unwrap();
    assert_eq!(pins.check(later()).unwrap_err().changed, [root.join("inner.js")]);
}

#[test]
fn too_deep_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let deep = (0..70).fold(folder.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(deep).unwrap();
    let refusal = ProgramPins::take(&[folder.path().to_owned()], &[], later()).unwrap_err();
    assert!(matches!(refusal, PinsError::TooDeep(_)), "{refusal}");
}

#[test]
fn the_digest_tells_names_from_content() {
    let folder = tempfile::tempdir().unwrap();
    let take = |files: &[(&str, &str)]| {
        let root = folder.path().join("root");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        for (name, content) in files {
            fs::write(root.join(name), content).unwrap();
        }
        ProgramPins::take(&[root], &[], later()).unwrap().digest()
    };
    let digests = [
        take(&[("a", "b")]),
        take(&[("b", "a")]),
        take(&[("a", "")]),
        take(&[("ab", "")]),
        take(&[]),
    ];
    for (index, one) in digests.iter().enumerate() {
        assert!(digests.iter().skip(index + 1).all(|other| other != one));
    }
}

#[test]
fn taking_anew_accepts_no_compiled_file_that_the_digest_does_not_cover() {
    let fixture = Fixture::new();
    fs::write(fixture.at("main.js"), "three").unwrap();
    fs::write(fixture.at("lib/__pycache__/planted.cpython-311.pyc"), "planted").unwrap();
    fs::write(fixture.at("lib/__pycache__/m.cpython-311.pyc"), "exchanged").unwrap();
    let anew = fixture.pins.retake(later()).unwrap();
    assert_ne!(anew.digest(), fixture.pins.digest());
    let checked = anew.check(later()).unwrap();
    let names: Vec<_> = checked.bytecode.iter().filter_map(|path| path.file_name()).collect();
    assert_eq!(names, ["m.cpython-311.pyc", "planted.cpython-311.pyc"]);
}

/// A repository that writes the index of its own pins could keep any of its files from being hashed.
#[test]
fn pins_without_an_index_trust_no_times_and_no_compiled_file() {
    let fixture = Fixture::new();
    let text = serde_json::to_string(&fixture.pins).unwrap();
    let pins: ProgramPins = serde_json::from_str(&text).unwrap();
    let pins = pins.without_index();
    assert_eq!(pins.digest(), fixture.pins.digest());
    let checked = pins.check(later()).unwrap();
    assert_eq!(checked.rehashed, fixture.pins.check(later()).unwrap().rehashed + 3 + 1);
    assert_eq!(checked.bytecode.len(), 1, "what was compiled is nobody's word");
    assert_eq!(
        checked.fresh.unwrap().check(later()).unwrap().rehashed,
        1,
        "the index is its own again"
    );
}

//! Where a log may be created, what it makes there, and what it refuses.

use cofferdam_audit::{AuditError, Durability, Kind, Log, Quota, Verdict, verify};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::common::{SESSION, append, create, opening, options};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn folders_and_files_are_the_users_alone() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state/audit");
    let log = create(&folder, SESSION, "git-hub.1").unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("git-hub.1")), 0o700);
    assert_eq!(mode(log.path()), 0o600);
    assert_eq!(log.session_id(), SESSION);
    let name = log.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(name.len(), "20261120T000000Z-".len() + 32 + ".cfa".len());
    assert!(name.ends_with(&format!("Z-{SESSION}.cfa")), "{name}");
}

#[test]
fn a_folder_that_others_could_use_is_refused() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 4] = [
        ("group", |folder| {
            fs::set_permissions(folder, Permissions::from_mode(0o750)).unwrap()
        }),
        ("other", |folder| {
            fs::set_permissions(folder, Permissions::from_mode(0o701)).unwrap()
        }),
        ("symlink", |folder| {
            let real = folder.with_extension("real");
            fs::rename(folder, &real).unwrap();
            symlink(&real, folder).unwrap();
        }),
        ("file", |folder| {
            fs::remove_dir_all(folder).unwrap();
            fs::write(folder, "").unwrap();
        }),
    ];
    for (what, spoil) in spoils {
        for inner in ["", "files"] {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join("audit");
            drop(create(&folder, SESSION, "files").unwrap());
            let spoilt = if inner.is_empty() {
                folder.clone()
            } else {
                folder.join(inner)
            };
            spoil(&spoilt);
            let other = SESSION.replace('f', "e");
            let error = create(&folder, &other, "files").unwrap_err();
            let refused = match &error {
                AuditError::Folder { path, .. } => path == &spoilt,
                // The standard library meets the file before we do.
                AuditError::Create { path, .. } => what == "file" && path == &spoilt,
                _ => false,
            };
            assert!(refused, "{what} {inner}: {error}");
        }
    }
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    drop(create(&folder, SESSION, "files").unwrap());
    let ours = fs::metadata(&folder).unwrap().uid();
    if ours != 0 {
        // Only root can give a folder away; then the check is the same comparison.
        return;
    }
    std::os::unix::fs::chown(folder.join("files"), Some(12_345), None).unwrap();
    let error = create(&folder, &SESSION.replace('f', "e"), "files").unwrap_err();
    assert!(
        matches!(
            error,
            AuditError::Folder {
                what: "it belongs to another user",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn names_that_are_not_names_are_refused_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    let long = "a".repeat(65);
    for server in ["", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "é", "a\0", &long] {
        let error = create(&folder, SESSION, server).unwrap_err();
        assert!(matches!(error, AuditError::ServerName { .. }), "{server}: {error}");
    }
    let upper = SESSION.to_uppercase();
    for session in [
        "",
        "00",
        SESSION.trim_start_matches('0'),
        &upper,
        &format!("{SESSION}0"),
        "g00102030405060708090a0b0c0d0e0f",
    ] {
        let error = create(&folder, session, "files").unwrap_err();
        assert!(matches!(error, AuditError::SessionId { .. }), "{session}: {error}");
    }
    let mut bad = opening(SESSION, "files");
    bad.principal = &long;
    let principal = "p".repeat(5_000);
    bad.principal = &principal;
    let error = Log::create(&folder, bad, options(Durability::Written)).unwrap_err();
    assert!(
        matches!(error, AuditError::TooLong { what: "principal", .. }),
        "{error}"
    );
    assert!(!folder.exists());
    for facts in ["[]", "{\"a\"", "text", "{}{}"] {
        let mut bad = opening(SESSION, "files");
        bad.facts = facts;
        let error = Log::create(&folder, bad, options(Durability::Written)).unwrap_err();
        assert!(
            matches!(error, AuditError::Facts { kind: Kind::Open }),
            "{facts}: {error}"
        );
    }
}

#[test]
fn an_existing_file_is_never_written_to() {
    let home = tempfile::tempdir().unwrap();
    let log = create(home.path().join("audit").as_path(), SESSION, "files").unwrap();
    append(&log, Kind::ClientLine, b"mine").unwrap();
    let folder = log.path().parent().unwrap().to_owned();
    let before = fs::read(log.path()).unwrap();
    // Whatever the second it is created in: every name it could take is there already, some as
    // links to the first.
    let now = std::process::Command::new("date").arg("+%s").output().unwrap().stdout;
    let now: u64 = String::from_utf8(now).unwrap().trim().parse().unwrap();
    for second in now..now + 20 {
        let stamp = std::process::Command::new("date")
            .args(["-u", "-d", &format!("@{second}"), "+%Y%m%dT%H%M%SZ"])
            .output()
            .unwrap()
            .stdout;
        let name = format!("{}-{SESSION}.cfa", String::from_utf8(stamp).unwrap().trim());
        if !folder.join(&name).exists() {
            symlink(log.path(), folder.join(name)).unwrap();
        }
    }
    let error = create(home.path().join("audit").as_path(), SESSION, "files").unwrap_err();
    let AuditError::Create { cause, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(cause.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(log.path()).unwrap(), before);
}

#[test]
fn a_quota_counts_the_segments_of_the_last_hour() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    let earlier = create(&folder, SESSION, "files").unwrap();
    append(&earlier, Kind::ServerLine, &[b'x'; 50_000]).unwrap();
    let _head = earlier.close("").unwrap();
    let mut options = options(Durability::Written);
    options.quota = Quota { bytes_per_hour: 60_000 };
    let with_quota = |session: &str, server| Log::create(&folder, opening(session, server), options.clone()).unwrap();
    let log = with_quota(&SESSION.replace('f', "e"), "files");
    let error = append(&log, Kind::ServerLine, &[b'x'; 10_000]).unwrap_err();
    assert!(
        matches!(
            error,
            AuditError::QuotaExceeded {
                used: 50_001..,
                limit: 60_000,
                ..
            }
        ),
        "{error}"
    );
    append(&log, Kind::ServerLine, &[b'x'; 5_000]).unwrap();
    // Another server has its own, and what is older than an hour does not count.
    let other = with_quota(&SESSION.replace('f', "d"), "git");
    append(&other, Kind::ServerLine, &[b'x'; 10_000]).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options()
        .write(true)
        .open(earlier.path())
        .unwrap()
        .set_modified(old)
        .unwrap();
    let later = with_quota(&SESSION.replace('f', "c"), "files");
    append(&later, Kind::ServerLine, &[b'x'; 10_000]).unwrap();
}

#[test]
fn closing_gives_the_reserved_blocks_back() {
    let home = tempfile::tempdir().unwrap();
    let log = create(home.path().join("audit").as_path(), SESSION, "files").unwrap();
    append(&log, Kind::ClientLine, b"line").unwrap();
    let blocks = |log: &Log| fs::metadata(log.path()).unwrap().blocks();
    assert!(blocks(&log) * 512 >= 64 * 1024, "nothing is reserved");
    let head = log.close(r#"{"cause":"client gone"}"#).unwrap();
    assert_eq!(head.seq, 2);
    assert!(blocks(&log) * 512 <= 8 * 1024, "{} blocks are kept", blocks(&log));
    let Verdict::Verified(verified) = verify(log.path()).unwrap() else {
        panic!("broken")
    };
    assert_eq!(verified.head, Some(head));
}

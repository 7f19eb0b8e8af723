//! Tests of what is found to be masked.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{MASKS_MAX, find, holds_credentials};
use crate::linux::wire::{Access, Graft};
use crate::{Masks, Plan, SandboxError};

fn masks() -> Masks {
    Masks {
        names: vec![".env*".into(), ".ssh".into()],
        private_keys: vec!["*.pem".into()],
        except: vec![".env.example".into()],
        git_credentials: true,
    }
}

fn plan() -> Plan {
    Plan {
        masks: masks(),
        ..Plan::sealed("/usr/bin/true")
    }
}

fn graft(folder: &Path, access: Access) -> Graft {
    let source = fs::canonicalize(folder).expect("resolved");
    let found = fs::metadata(&source).expect("found");
    Graft {
        target: PathBuf::from("/granted"),
        source,
        identity: (found.dev(), found.ino()),
        owner: (found.uid(), found.gid()),
        is_folder: found.is_dir(),
        access,
    }
}

fn found(folder: &Path, access: Access) -> Vec<String> {
    let mut secrets = find(&plan(), &[graft(folder, access)])
        .expect("looked at")
        .expect("watched");
    let mut paths: Vec<String> = secrets
        .take_found()
        .iter()
        .map(|mask| mask.target.display().to_string())
        .collect();
    paths.sort();
    paths
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

#[test]
fn secrets_are_found_by_name_and_by_what_they_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        (".env", "A=1"),
        ("deep/er/.env.local", ""),
        (".env.example", "A="),
        (".ssh/config", ""),
        ("certificate.pem", "-----BEGIN CERTIFICATE-----"),
        ("key.pem", "-----BEGIN RSA PRIVATE KEY-----"),
        ("one/.git/HEAD", "ref: x"),
        ("one/.git/config", "[remote]\n url = https://me:hunter2@host/x"),
        ("two/.git/HEAD", "ref: x"),
        (
            "two/.git/config",
            "[remote]\n url = https://git@host/x\n url = ssh://git@host/x",
        ),
        ("config", "password = but beside no HEAD"),
        ("venv/.env/pyvenv.cfg", "home = /usr/bin"),
    ] {
        write(folder.path(), name, text);
    }
    let all = [
        "/granted/.env",
        "/granted/.ssh",
        "/granted/deep/er/.env.local",
        "/granted/key.pem",
        "/granted/one/.git/config",
    ];
    assert_eq!(found(folder.path(), Access::Data), all);
    assert_eq!(found(folder.path(), Access::Write), all);
}

#[test]
fn a_link_under_the_name_of_a_secret_masks_what_it_leads_to() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "hidden/production", "A=1");
    symlink("hidden/production", folder.path().join(".env")).expect("a link");
    symlink("/etc/hostname", folder.path().join(".env.outside")).expect("a link");
    assert_eq!(found(folder.path(), Access::Data), ["/granted/hidden/production"]);
}

#[test]
fn packages_are_passed_over_in_the_programs_own_files_only() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "node_modules/x/.env", "A=1");
    write(folder.path(), ".env", "A=1");
    assert_eq!(found(folder.path(), Access::Read), ["/granted/.env"]);
    assert_eq!(found(folder.path(), Access::Data).len(), 2);
}

#[test]
fn a_secret_with_a_second_name_and_too_many_secrets_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), ".env", "A=1");
    fs::hard_link(folder.path().join(".env"), folder.path().join("harmless")).expect("linked");
    let error = find(&plan(), &[graft(folder.path(), Access::Data)]).expect_err("refused");
    assert_eq!(
        error,
        SandboxError::LinkedSecret {
            path: "/granted/.env".into(),
            links: 2
        }
    );
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..=MASKS_MAX {
        write(folder.path(), &format!(".env.{number}"), "");
    }
    let error = find(&plan(), &[graft(folder.path(), Access::Data)]).expect_err("refused");
    assert!(matches!(error, SandboxError::TooMuchToMask { .. }), "{error}");
}

#[test]
fn a_file_that_is_granted_by_its_own_path_is_not_hidden() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), ".env", "A=1");
    let mut named = graft(&folder.path().join(".env"), Access::Data);
    named.target = "/granted/.env".into();
    let secrets = find(&plan(), &[graft(folder.path(), Access::Data), named]).expect("looked at");
    assert_eq!(secrets.expect("watched").take_found(), []);
}

#[test]
fn credentials_of_git_are_told_from_ordinary_addresses() {
    for secret in [
        "url = https://token@host/x",
        "url = https://a:b@host",
        "\textraHeader = AUTHORIZATION: basic x",
        "helper = !x; password = y",
    ] {
        assert!(holds_credentials(secret), "{secret}");
    }
    for plain in [
        "url = https://host/x@y",
        "url = git@host:x/y",
        "url = ssh://git@host/x",
        "[core]\n bare = false",
    ] {
        assert!(!holds_credentials(plain), "{plain}");
    }
}

#[test]
fn sockets_nobody_named_are_masked_where_sockets_can_be_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let _listener = std::os::unix::net::UnixListener::bind(folder.path().join("agent")).expect("a socket");
    assert_eq!(found(folder.path(), Access::Data), Vec::<String>::new());
    let mut with_sockets = plan();
    with_sockets.sockets.push("/run/other".into());
    let secrets = find(&with_sockets, &[graft(folder.path(), Access::Data)]).expect("looked at");
    let found = secrets.expect("watched").take_found();
    assert_eq!(found.first().expect("one").target, Path::new("/granted/agent"));
}

//! Tests of what may appear inside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::{follow, interpreter, judge, resolve, resolved};
use crate::linux::wire::Access;
use crate::{Plan, SandboxError};

fn refused(path: &Path) -> String {
    let plan = Plan {
        read: vec![path.to_path_buf()],
        ..Plan::sealed("/usr/bin/env")
    };
    resolve(&plan).err().expect("refused").to_string()
}

#[test]
fn windows_into_the_kernel_and_the_whole_host_are_refused() {
    for path in ["/", "/proc", "/proc/self", "/sys", "/dev", "/dev/shm", "/home"] {
        assert!(refused(Path::new(path)).contains("never granted"), "{path}");
    }
}

#[test]
fn a_symbolic_link_to_the_kernel_is_refused_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("innocent");
    symlink("/proc", &link).expect("a link");
    assert!(refused(&link).contains("window into the kernel"));
}

#[test]
fn a_missing_source_is_named() {
    let error = resolved(Path::new("/nowhere/at/all"), Access::Read).expect_err("refused");
    assert_eq!(
        error,
        SandboxError::Source {
            path: "/nowhere/at/all".into(),
            errno: 2
        }
    );
}

#[test]
fn sockets_and_folders_of_control_sockets_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let _listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket");
    assert!(refused(folder.path()).contains("control of the host"));
    assert!(refused(&folder.path().join("docker.sock")).contains("it is a socket"));
}

#[test]
fn a_mount_of_the_kernel_deep_in_a_folder_refuses_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let (graft, _) = resolved(folder.path(), Access::Read).expect("resolved");
    let mounts = BTreeSet::from([graft.source.join("chroot/proc")]);
    assert!(judge(&graft, &mounts).is_err());
    assert!(judge(&graft, &BTreeSet::from([PathBuf::from("/proc")])).is_ok());
}

#[test]
fn a_link_is_resolved_once_and_appears_under_its_own_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let real = folder.path().join("real");
    fs::create_dir(&real).expect("a folder");
    let link = folder.path().join("link");
    symlink(&real, &link).expect("a link");
    let (graft, links) = resolved(&link, Access::Write).expect("resolved");
    assert_eq!(links, std::slice::from_ref(&link));
    assert_eq!(
        (&graft.target, graft.source),
        (&link, fs::canonicalize(&real).expect("resolved"))
    );
}

#[test]
fn scripts_name_their_interpreters() {
    assert_eq!(interpreter(b"#!/usr/bin/env node\n"), Some("/usr/bin/env".into()));
    assert_eq!(interpreter(b"#! /bin/sh -e\nrest"), Some("/bin/sh".into()));
    assert_eq!(interpreter(b"\x7fELF"), None);
    assert_eq!(interpreter(b"#!\n"), None);
}

#[test]
fn a_path_is_followed_as_the_kernel_follows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = fs::canonicalize(folder.path()).expect("resolved");
    fs::create_dir_all(here.join("a/b")).expect("folders");
    symlink("../a", here.join("a/back")).expect("a link");
    symlink(here.join("a/back/b"), here.join("far")).expect("a link");
    let (leads_to, links) = follow(&here.join("far/../back")).expect("followed");
    assert_eq!(leads_to, fs::canonicalize(here.join("far/../back")).expect("resolved"));
    assert_eq!(links, [here.join("far"), here.join("a/back"), here.join("a/back")]);
    symlink("loop", here.join("loop")).expect("a link");
    assert_eq!(
        follow(&here.join("loop")).err().and_then(|error| error.raw_os_error()),
        Some(libc::ELOOP)
    );
}

#[test]
fn a_link_left_in_a_writable_folder_opens_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = fs::canonicalize(folder.path()).expect("resolved");
    let (work, secret) = (here.join("work"), here.join("secret"));
    fs::create_dir_all(work.join("data")).expect("folders");
    fs::create_dir(&secret).expect("a folder");
    let mut plan = Plan::sealed("/usr/bin/env");
    plan.write = vec![work.clone()];
    plan.read = vec![work.join("data")];
    resolve(&plan).map(drop).expect("resolved");
    fs::remove_dir(work.join("data")).expect("removed");
    symlink(&secret, work.join("data")).expect("a link");
    assert!(
        resolve(&plan)
            .err()
            .expect("refused")
            .to_string()
            .contains("granted for writing")
    );
    // Also when the way there begins elsewhere.
    symlink(work.join("data"), here.join("innocent")).expect("a link");
    plan.read = vec![here.join("innocent")];
    assert!(
        resolve(&plan)
            .err()
            .expect("refused")
            .to_string()
            .contains("granted for writing")
    );
}

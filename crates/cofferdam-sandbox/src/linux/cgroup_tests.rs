//! Tests of control groups, on text and folders as the kernel shows them.

use std::fs;

use super::{ControlGroup, Hierarchies, is_stale, name};
use crate::Limits;

#[test]
fn our_own_groups_are_not_stale_and_those_of_the_dead_are() {
    assert!(!is_stale(&name()));
    assert!(is_stale("cofferdam-4194303-1-0"));
    assert!(is_stale(&format!("cofferdam-{}-1-0", std::process::id())));
    for other in [
        "system.slice",
        "cofferdam-",
        "cofferdam-1-2",
        "cofferdam-1-2-3-4",
        "cofferdam-a-b-c",
    ] {
        assert!(!is_stale(other), "{other}");
    }
}

/// A folder that behaves as a group of version 2 does, as far as files go.
#[test]
fn the_nearest_delegated_group_of_version_2_is_used() {
    let root = tempfile::tempdir().expect("a folder");
    let own = root.path().join("user.slice/app.slice/gate.scope");
    fs::create_dir_all(&own).expect("folders");
    let parent = root.path().join("user.slice/app.slice");
    fs::write(root.path().join("user.slice/cgroup.subtree_control"), "cpu memory pids").expect("written");
    fs::write(parent.join("cgroup.subtree_control"), "memory pids").expect("written");
    fs::write(own.join("cgroup.subtree_control"), "").expect("written");
    let hierarchies = Hierarchies {
        v2: Some((root.path().to_path_buf(), own)),
        ..Hierarchies::default()
    };
    let limits = Limits {
        memory_bytes: 1 << 30,
        cpu_percent: Some(50),
        ..Limits::default()
    };
    let mut group = ControlGroup::default();
    let name = name();
    group.make_v2(&hierarchies, &name, &limits).expect("made");
    let folder = parent.join(name);
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("set");
    assert_eq!(
        (read("memory.max"), read("memory.swap.max")),
        ("1073741824".into(), "0".into())
    );
    assert_eq!(
        (read("memory.oom.group"), read("cpu.max")),
        ("1".into(), "50000 100000".into())
    );
    assert_eq!(
        group.memory.as_ref().map(|memory| (memory.version, memory.bytes)),
        Some((2, 1 << 30))
    );
    let places = group.places();
    assert_eq!((places.v1, places.v2), (vec![], Some(folder.clone())));
    fs::write(folder.join("memory.events"), "low 0\noom 1\noom_kill 1\n").expect("written");
    assert!(group.ran_out_of_memory());
    fs::write(folder.join("memory.events"), "low 0\noom 0\noom_kill 0\n").expect("written");
    assert!(!group.ran_out_of_memory());
}

#[test]
fn without_delegation_the_reason_is_given() {
    let root = tempfile::tempdir().expect("a folder");
    let hierarchies = Hierarchies {
        v2: Some((root.path().to_path_buf(), root.path().to_path_buf())),
        ..Hierarchies::default()
    };
    let mut group = ControlGroup::default();
    let reason = group
        .make_v2(&hierarchies, "cofferdam-1-2-3", &Limits::default())
        .expect_err("refused");
    assert!(reason.contains("delegated"), "{reason}");
    assert!(group.memory.is_none() && group.places().v2.is_none());
}

#[test]
fn both_versions_are_found_where_the_kernel_says() {
    let mounts = "30 29 0:25 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                  33 29 0:28 /docker/7 /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                  39 29 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    let groups = "4:memory:/docker/7/a\n1:cpu,cpuacct:/\n0::/user.slice/x.scope\n";
    let found = Hierarchies::parse(mounts, groups);
    assert_eq!(found.v1_memory, Some("/sys/fs/cgroup/memory/a".into()));
    assert_eq!(found.v1_cpu, Some("/sys/fs/cgroup/cpu".into()));
    assert_eq!(
        found.v2,
        Some((
            "/sys/fs/cgroup/unified".into(),
            "/sys/fs/cgroup/unified/user.slice/x.scope".into()
        ))
    );
    assert_eq!(Hierarchies::parse("", ""), Hierarchies::default());
}

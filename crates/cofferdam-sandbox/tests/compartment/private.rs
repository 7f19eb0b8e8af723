//! What a compartment has of its own, and what of the machine's is not there: run as root and as an ordinary user.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::bench::{Bench, Caller, ORDINARY, everybody};
use cofferdam_sandbox::Plan;

#[test]
fn only_the_devices_that_hold_nothing_are_there() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let devices = |said: String| -> Vec<String> {
            let mut names: Vec<String> = said.lines().map(str::to_owned).collect();
            names.sort();
            names
        };
        let inside = devices(bench.says(&["list", "/dev"]));
        let expected = [
            "fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero",
        ];
        assert_eq!(inside, expected, "{caller:?}");
        let outside = devices(bench.says_outside(&["list", "/dev"]));
        assert!(outside.iter().any(|name| !inside.contains(name)), "{outside:?}");
        for name in ["kmsg", "mem", "kvm", "fuse", "net/tun", "vda", "tty", "ptmx", "console"] {
            assert_eq!(bench.says(&["read", &format!("/dev/{name}")]), "errno 2", "{name}");
        }
    }
}

#[test]
fn settings_of_the_kernel_that_run_programs_are_not_there() {
    let settings = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/fs/binfmt_misc/register",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/release_agent",
    ];
    for caller in everybody() {
        let bench = Bench::new(caller);
        for path in settings {
            let said = bench.says(&["write", path]);
            assert!(
                matches!(said.as_str(), "errno 2" | "errno 30" | "errno 20"),
                "{path}: {said}"
            );
        }
    }
    // They are here, and only root of this machine could write to them, as which nothing is tried.
    assert!(Path::new(settings[0]).exists());
}

#[test]
fn what_is_held_read_only_is_not_moved_away_within_a_writable_folder() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let work = bench.folder("work");
        let (held, moved) = (work.join("held"), work.join("moved"));
        fs::create_dir(&held).unwrap();
        fs::write(held.join("file"), "text").unwrap();
        if crate::bench::is_root() && caller == Caller::Ordinary {
            std::os::unix::fs::chown(&held, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
        let grant = |plan: &mut Plan| {
            plan.write.push(work.clone());
            plan.read.push(held.clone());
        };
        let both = format!("{}:{}", held.display(), moved.display());
        assert_eq!(bench.says_with(&["rename", &both], grant), "errno 16", "{caller:?}");
        let file = held.join("file");
        let file = file.to_str().unwrap();
        assert_eq!(bench.says_with(&["rename-over", file], grant), "errno 30");
        if caller == Caller::Ordinary {
            assert_eq!(bench.says_outside(&["rename", &both]), "renamed");
        }
    }
}

#[test]
fn shared_memory_and_private_folders_are_the_compartments_own() {
    for caller in everybody() {
        let (one, other) = (Bench::new(caller), Bench::new(caller));
        for folder in ["/dev/shm", "/tmp"] {
            let name = format!("{folder}/{}-shared", one.folder.path().file_name().unwrap().display());
            let mut plan = one.probe(&[]);
            let script = "echo secret > \"$0\"; echo ready; read never";
            plan.command = ["/bin/sh", "-c", script, &name].map(str::to_owned).into();
            let mut command = one.command(&plan);
            command.stdin(Stdio::piped());
            let (mut driver, _enforced) = one.start_command(command);
            assert_eq!(other.says(&["read", &name]), "errno 2");
            assert!(!Path::new(&name).exists(), "{name}");
            driver.kill();
            // The other way round: what is there outside, where it can be read.
            fs::write(&name, "of the host").unwrap();
            let seen = (other.says(&["read", &name]), other.says_outside(&["read", &name]));
            fs::remove_file(&name).unwrap();
            assert_eq!(seen, ("errno 2".to_owned(), "of the host".to_owned()));
        }
    }
}

#[test]
fn folders_in_folders_hinder_neither_the_end_nor_the_next_start() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let work = bench.folder("work");
        let grant = |plan: &mut Plan| {
            plan.write.push(work.clone());
            plan.masks.names.push(".env*".into());
        };
        assert_eq!(bench.says(&["deep", "/tmp"]), "3000 deep");
        let mut deep = bench.probe(&["deep", work.to_str().unwrap()]);
        grant(&mut deep);
        // What cannot be looked through for secrets any more is not held open to it.
        assert_eq!(bench.drive(&deep).code, 137, "{caller:?}");
        let mut plan = bench.probe(&["echo"]);
        grant(&mut plan);
        let next = bench.drive(&plan);
        assert_eq!(next.code, 125);
        assert!(next.stderr.contains("folders deeper than"), "{}", next.stderr);
    }
}

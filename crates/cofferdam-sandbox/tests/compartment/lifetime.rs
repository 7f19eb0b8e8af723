//! How compartments end, and what they can use up: run as root and as an ordinary user.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Caller, Running, as_ordinary, eventually, everybody, processes_of};
use cofferdam_sandbox::{Enforced, Feature, Limits};
use rustix::process::{Pid, Signal, kill_process};

const GONE_WITHIN: Duration = Duration::from_secs(1);

fn assert_gone(enforced: &Enforced) {
    let took = eventually(GONE_WITHIN, || processes_of(enforced).is_empty());
    assert!(took.is_some(), "still there: {:?}", processes_of(enforced));
    if let Some(memory) = &enforced.memory {
        let path = &memory.control_group;
        let is_used = || std::fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|text| !text.is_empty());
        assert!(!is_used(), "{} still has processes", path.display());
    }
}

#[test]
fn killing_the_launching_process_leaves_nothing_running() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (mut driver, enforced) = bench.start(&bench.probe(&["daemon"]));
        // The first process, the program, and the one that left its session.
        assert!(
            eventually(GONE_WITHIN, || processes_of(&enforced).len() >= 3).is_some(),
            "{:?}",
            processes_of(&enforced)
        );
        // Under `setpriv` the driver is the same process.
        driver.kill();
        assert_gone(&enforced);
    }
}

#[test]
fn killing_it_at_any_moment_of_a_start_leaves_nothing_running() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let plan = bench.probe(&["daemon"]);
        for step in 0..40 {
            let mut driver = Running(bench.command(&plan).spawn().unwrap());
            std::thread::sleep(Duration::from_micros(500 * step));
            driver.kill();
        }
        let program = bench.path("probe");
        let is_ours = |entry: &std::fs::DirEntry| {
            let executable = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
            executable == program || executable == bench.path("drive")
        };
        let left = || std::fs::read_dir("/proc").unwrap().flatten().filter(is_ours).count();
        assert!(eventually(GONE_WITHIN, || left() == 0).is_some(), "{} left", left());
    }
}

#[test]
fn the_end_of_the_program_ends_everything_it_started() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = bench.probe(&[]);
        plan.command = ["/bin/sh", "-c", "setsid sleep 1000 & echo started; exit 7"]
            .map(str::to_owned)
            .into();
        let start = Instant::now();
        let driven = bench.drive(&plan);
        assert_eq!((driven.code, driven.stdout.as_str()), (7, "started\n"));
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_gone(&driven.enforced.unwrap());
    }
    // Outside the same lines leave it behind.
    let script = "setsid sleep 1000 >/dev/null 2>&1 & echo $!";
    let output = as_ordinary(Path::new("/bin/sh")).args(["-c", script]).output().unwrap();
    let left: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn signals_reach_the_program_through_the_first_process() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = bench.probe(&[]);
        let script = "trap 'echo ending; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
        plan.command = ["/bin/sh", "-c", script].map(str::to_owned).into();
        let (mut driver, enforced) = bench.start(&plan);
        let first = *processes_of(&enforced).iter().min().unwrap();
        kill_process(Pid::from_raw(first).unwrap(), Signal::TERM).unwrap();
        let mut said = String::new();
        driver.0.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((driver.0.wait().unwrap().code(), said.as_str()), (Some(3), "ending\n"));
    }
}

#[test]
fn the_first_process_cannot_be_ended_from_inside() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        // SIGTERM to it comes back to the program, by which that ends.
        let driven = bench.drive(&bench.probe(&["kill-init"]));
        assert!(
            driven.code == 128 + 15 || driven.stdout == "still here\n",
            "{}",
            driven.code
        );
    }
}

#[test]
fn a_program_that_ends_by_a_signal_is_told_apart() {
    let bench = Bench::new(Caller::Ordinary);
    let mut plan = bench.probe(&[]);
    plan.command = ["/bin/sh", "-c", "kill -SEGV $$"].map(str::to_owned).into();
    assert_eq!(bench.drive(&plan).code, 128 + 11);
}

#[test]
fn forks_memory_files_and_sizes_are_limited() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let limits = Limits {
            processes: 40,
            disk_bytes: 8 << 20,
            inodes: 100,
            file_bytes: 4 << 20,
            ..Limits::default()
        };
        let says = |arguments: &[&str]| bench.says_with(arguments, |plan| plan.limits = limits);
        let forks = says(&["forkbomb"]);
        assert!(forks.ends_with("children, then errno 11"), "{forks}");
        let children: u32 = forks.split(' ').next().unwrap().parse().unwrap();
        assert!((30..=40).contains(&children), "{forks}");
        // It is this limit that holds them: with twice as much there are twice as many.
        let twice = Limits {
            processes: 80,
            ..limits
        };
        let forks = bench.says_with(&["forkbomb"], |plan| plan.limits = twice);
        let children: u32 = forks.split(' ').next().unwrap().parse().unwrap();
        assert!((70..=80).contains(&children), "{forks}");
        let files = says(&["inodes", "/tmp"]);
        assert!(files.ends_with("errno 28"), "{files}");
        // A file over its limit ends the program by SIGXFSZ, and one below it fills the disk first.
        let mut plan = bench.probe(&["fill", "/tmp"]);
        plan.limits = limits;
        assert_eq!(bench.drive(&plan).code, 128 + 25);
        plan.limits.file_bytes = 1 << 30;
        assert_eq!(bench.drive(&plan).stdout, "8 MiB, then errno 28\n");
    }
}

#[test]
fn two_compartments_of_one_user_do_not_count_against_each_other() {
    for caller in everybody() {
        let benches = [Bench::new(caller), Bench::new(caller)];
        let started = benches.each_ref().map(|bench| {
            let mut plan = bench.probe(&["daemon"]);
            plan.limits.processes = 5;
            bench.start(&plan)
        });
        let tables = started.each_ref().map(|(_, enforced)| processes_of(enforced));
        assert!(tables.iter().all(|table| table.len() >= 2), "{tables:?}");
        let users = started.each_ref().map(|(_, enforced)| enforced.host_uid());
        if caller == Caller::Root {
            assert_ne!(users[0], users[1]);
        }
        for (mut driver, enforced) in started {
            driver.kill();
            assert_gone(&enforced);
        }
    }
}

#[test]
fn memory_is_capped_for_compartments_of_root() {
    crate::bench::require_root();
    let bench = Bench::new(Caller::Root);
    let mut plan = bench.probe(&["memory", "200"]);
    plan.limits.memory_bytes = 64 << 20;
    plan.require.push(Feature::MemoryLimit);
    let driven = bench.drive(&plan);
    assert!(
        driven.enforced.is_some(),
        "this machine has no control group for memory: {}",
        driven.stderr
    );
    assert_eq!((driven.code, driven.stdout.as_str()), (128 + 9, ""));
    assert_eq!(driven.stderr, "ran out of memory\n");
    // The other half: within the cap the same attempt succeeds.
    plan.limits.memory_bytes = 1 << 30;
    assert_eq!(bench.drive(&plan).stdout, "held 51200 pages\n");
}

#[test]
fn without_a_control_group_each_process_is_held_on_its_own() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = bench.probe(&["memory", "200"]);
        plan.limits.memory_bytes = 64 << 20;
        // Ended by the control group, or by an allocation that failed.
        let driven = bench.drive(&plan);
        assert!(matches!(driven.code, 134 | 137), "{}: {}", driven.code, driven.stdout);
    }
}

#[test]
fn what_a_killed_process_left_behind_is_cleared_by_the_next() {
    crate::bench::require_root();
    let bench = Bench::new(Caller::Root);
    let (mut driver, enforced) = bench.start(&bench.probe(&["daemon"]));
    let left = enforced.memory.unwrap().control_group;
    driver.kill();
    assert!(left.exists());
    // Its processes have to be gone for good, which is up to whoever reaps orphans here.
    let is_cleared = || {
        assert_eq!(bench.drive(&bench.probe(&["echo"])).code, 0);
        !left.exists()
    };
    assert!(
        eventually(Duration::from_secs(10), is_cleared).is_some(),
        "{}",
        left.display()
    );
}

#[test]
fn a_compartment_is_asked_ended_and_awaited_from_several_threads() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut command = bench.command(&bench.probe(&["ignore-term"]));
        command.env("DRIVE_HANDLE", "1");
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            said,
            "alive after SIGTERM, then Killed for 4 waiters\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn what_cannot_be_capped_is_said_and_can_be_required() {
    let bench = Bench::new(Caller::Ordinary);
    let plan = bench.probe(&["echo"]);
    let enforced = bench.drive(&plan).enforced.unwrap();
    let is_said = enforced
        .not_enforced
        .iter()
        .any(|reason| reason.starts_with("memory: not capped: "));
    assert_ne!(enforced.memory.is_some(), is_said, "{enforced:#?}");
    if is_said {
        let mut strict = plan;
        strict.require.push(Feature::MemoryLimit);
        let driven = bench.drive(&strict);
        assert_eq!(driven.code, 125);
        assert!(
            driven.stderr.contains("`memory-limit`: memory: not capped"),
            "{}",
            driven.stderr
        );
    }
}

#[test]
fn fifty_compartments_start_at_once() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let plan = bench.probe(&["echo"]);
        let mut command = bench.command(&plan);
        command.env("DRIVE_AT_ONCE", "50");
        let output = command.output().unwrap();
        assert_eq!(
            output.status.into_raw(),
            0,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "50 ended well\n");
    }
}

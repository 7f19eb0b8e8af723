//! What a program does is seen, and seeing changes nothing: run as root and as an ordinary user.

use std::fs;

use crate::bench::{Bench, everybody};
use cofferdam_sandbox::{Deed, Observation, Plan, Programs};

/// What a plan's program says, and what was seen of it.
fn seen(bench: &Bench, plan: &Plan) -> (String, Vec<Observation>) {
    let path = bench.file("observed", "");
    let mut command = bench.command(plan);
    command.env("DRIVE_OBSERVED", &path);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(bench.enforced().unwrap().is_observed);
    let lines = fs::read_to_string(path).unwrap();
    let observations = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned(),
        observations,
    )
}

#[test]
fn what_is_executed_is_told_with_its_arguments_and_still_runs() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (said, observations) = seen(&bench, &bench.probe(&["spawn", "/usr/bin/true"]));
        assert_eq!(said, "exit status: 0");
        // The program itself is not told, nor anything a runtime does to start.
        let expected = Observation {
            call: "execve".into(),
            process: "probe".into(),
            refused: None,
            deed: Deed::Execute {
                path: Some("/usr/bin/true".into()),
                arguments: vec!["/usr/bin/true".into(), "an argument".into()],
                is_there: true,
            },
        };
        assert_eq!(observations, [expected], "{caller:?}");
    }
}

#[test]
fn a_shell_that_is_looked_for_in_vain_is_told() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = bench.probe(&["spawn", "/bin/sh"]);
        plan.programs = Programs::Only(Vec::new());
        let (said, observations) = seen(&bench, &plan);
        assert_eq!(said, "errno 2");
        let [
            Observation {
                deed: Deed::Execute { path, is_there, .. },
                refused: None,
                ..
            },
        ] = observations.as_slice()
        else {
            panic!("{observations:?}");
        };
        assert_eq!((path.as_deref(), *is_there), (Some("/bin/sh"), false));
    }
}

#[test]
fn where_it_connects_is_told() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (said, observations) = seen(&bench, &bench.probe(&["connect", "169.254.169.254:80"]));
        assert!(said == "errno 13" || said == "errno 101", "{said}");
        let address = Some("169.254.169.254:80".to_owned());
        assert!(
            observations.iter().any(|seen| seen.deed
                == Deed::Connect {
                    address: address.clone()
                }),
            "{observations:?}"
        );
    }
}

/// Each attempt fails exactly as it does unobserved, and each leaves a trace.
#[test]
fn refused_calls_are_told_and_stay_refused() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        for table in ["refused", "absent", "harmless"] {
            let (said, observations) = seen(&bench, &bench.probe(&[table]));
            assert_eq!(said, bench.says(&[table]), "{caller:?} {table}");
            let told = |call: &str| {
                observations
                    .iter()
                    .any(|seen| seen.call == call && seen.refused.is_some())
            };
            let expected: &[&str] = match table {
                "refused" => &[
                    "ptrace",
                    "mount",
                    "keyctl",
                    "add_key",
                    "request_key",
                    "bpf",
                    "setns",
                    "unshare",
                    "clone",
                    "pivot_root",
                    "open_tree",
                    "move_mount",
                    "fsopen",
                    "perf_event_open",
                    "userfaultfd",
                    "init_module",
                    "kexec_load",
                    "reboot",
                    "open_by_handle_at",
                    "fanotify_init",
                    "syslog",
                    "socket",
                    "ioctl",
                    "prctl",
                    "execveat",
                ],
                "absent" => &["io_uring_setup", "io_uring_enter", "io_uring_register"],
                _ => &["process_vm_readv", "pidfd_getfd", "kcmp", "socketpair"],
            };
            for call in expected {
                assert!(told(call), "{caller:?}: `{call}` left no trace");
            }
        }
    }
}

#[test]
fn a_flood_of_refused_calls_is_heard_to_its_end() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (said, observations) = seen(&bench, &bench.probe(&["refused-flood"]));
        assert_eq!(said, "20000 refused");
        assert_eq!(observations.len(), 20_000);
    }
}

//! Calls and kernel files that lead out: refused inside, possible outside.

use std::fs;

use crate::bench::{Bench, Caller, everybody};
use cofferdam_sandbox::{Feature, Programs};

/// The probe says that nothing in its table was allowed.
fn assert_all(text: &str, outcome: &str) {
    assert!(text.lines().count() > 3, "{text}");
    let others: Vec<&str> = text
        .lines()
        .filter(|line| !line.ends_with(&format!(": {outcome}")))
        .collect();
    assert_eq!(others, Vec::<&str>::new());
}

#[test]
fn calls_that_lead_out_are_refused() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        assert_all(&bench.says(&["refused"]), "1");
        assert_all(&bench.says(&["absent"]), "38");
    }
}

/// What only root of the machine may try at all: there the filter has no other half here, since nothing is tried as that.
const NEEDS_ROOT_OF_THE_MACHINE: [&str; 22] = [
    "bpf",
    "userfaultfd",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "swapon",
    "swapoff",
    "acct",
    "open_by_handle_at",
    "syslog",
    "clock_settime",
    "settimeofday",
    "vhangup",
    "prctl mm",
    "iopl",
    "ioperm",
    "perf_event_open",
    "fanotify_init",
    "socket key",
    "socket bluetooth",
    "socket xdp",
];

/// What the table cannot show, since its process is the first one and has left its users behind by then: the battery shows both.
const SHOWN_BY_THE_BATTERY: [&str; 2] = ["ptrace seize init", "clone user"];

/// The other half of the pair: where nothing refuses them, the same attempts succeed, or fail for what they ask and not for what they are.
#[test]
fn the_same_calls_are_not_refused_outside() {
    let bench = Bench::new(Caller::Ordinary);
    assert_all(&bench.says_outside(&["harmless"]), "allowed");
    for caller in everybody() {
        assert_all(&Bench::new(caller).says(&["harmless"]), "1");
    }
    let refused_outside = |table: &str, errno: &str| -> Vec<String> {
        let said = bench.says_as_root_of_nothing(&[table]);
        assert!(said.lines().count() > 3, "{said}");
        let refused = said.lines().filter_map(|line| line.strip_suffix(&format!(": {errno}")));
        refused.map(str::to_owned).collect()
    };
    let mut unproven = refused_outside("refused", "1");
    let is_shown_elsewhere =
        |call: &str| NEEDS_ROOT_OF_THE_MACHINE.contains(&call) || SHOWN_BY_THE_BATTERY.contains(&call);
    unproven.retain(|call| !is_shown_elsewhere(call));
    assert_eq!(unproven, Vec::<String>::new(), "these attempts prove nothing");
    assert_eq!(refused_outside("absent", "38"), ["a call of the future"]);
}

#[test]
fn foreign_calling_conventions_end_the_program() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        for convention in ["x32", "int80"] {
            let driven = bench.drive(&bench.probe(&[convention]));
            assert_eq!(
                (driven.code, driven.stdout.as_str()),
                (128 + 31, ""),
                "{convention}: {}",
                driven.stderr
            );
        }
    }
    // Outside the kernel answers, or says that it has no such convention.
    let bench = Bench::new(Caller::Ordinary);
    for (convention, answers) in [
        ("x32", ["x32 said", "errno 38"]),
        ("int80", ["int80 said", "int80 said"]),
    ] {
        let said = bench.says_outside(&[convention]);
        assert!(answers.iter().any(|answer| said.starts_with(answer)), "{said}");
    }
}

#[test]
fn set_user_id_bits_cannot_be_set_on_what_outlives_the_compartment() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let work = bench.folder("work");
        let text = bench.says_with(&["set-id", work.to_str().unwrap()], |plan| {
            plan.write.push(work.clone())
        });
        assert_all(&text, "1");
    }
}

#[test]
fn the_kernels_own_files_are_gone_from_proc() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        for name in [
            "kallsyms",
            "kcore",
            "keys",
            "sysrq-trigger",
            "sys",
            "sys/kernel/hostname",
            "1/status",
        ] {
            // Not there, or, from Linux 7 on, an empty file or folder in its place.
            let said = bench.says(&["read", &format!("/proc/{name}")]);
            assert!(matches!(said.as_str(), "errno 2" | "" | "errno 21"), "{name}: {said}");
        }
        assert!(bench.says(&["read", "/proc/cpuinfo"]).contains("model name\t: virtual"));
        let groups = bench.says(&["read", "/proc/self/cgroup"]);
        assert_eq!(groups.lines().find(|line| !line.ends_with(":/")), None);
        let enforced = bench.drive(&bench.probe(&["echo"])).enforced.unwrap();
        assert_eq!(enforced.kernel_files, Vec::<String>::new());
    }
}

#[test]
fn a_crash_reaches_no_handler_outside() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        // At 1 nothing is written or piped anywhere; 0 would let a pipe be used, so it cannot be set.
        assert_eq!(bench.says(&["core-limit"]), "1 1, then errno 1");
    }
    let outside = Bench::new(Caller::Ordinary).says_outside(&["core-limit"]);
    assert!(outside.ends_with("then errno 0"), "{outside}");
}

/// Everything in the battery is refused inside, and possible outside: in a throw-away user namespace, never as bare root.
#[test]
fn the_battery_of_escapes_is_refused_inside_and_succeeds_outside() {
    let outcomes = |said: &str| -> Vec<(String, String)> {
        let pair = |line: &str| {
            line.rsplit_once(": ")
                .map(|(name, it)| (name.to_owned(), it.to_owned()))
        };
        said.lines().filter_map(pair).collect()
    };
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (work, canary) = (bench.folder("work"), bench.file("canary", "secret"));
        let argument = format!("{}:{}", work.display(), canary.display());
        let mut plan = bench.probe(&["battery", &argument]);
        plan.programs = Programs::Only(Vec::new());
        plan.write.push(work);
        plan.require.push(Feature::ProgramWalls);
        let driven = bench.drive(&plan);
        let inside = outcomes(&driven.stdout);
        assert!(inside.len() > 60, "{}{}", driven.stdout, driven.stderr);
        let allowed: Vec<_> = inside.iter().filter(|(_, outcome)| outcome == "allowed").collect();
        assert_eq!(allowed, Vec::<&(String, String)>::new(), "{caller:?}");
    }
    let bench = Bench::new(Caller::Ordinary);
    let (work, canary) = (bench.path("work"), bench.path("canary"));
    fs::create_dir(&work).unwrap();
    fs::write(&canary, "secret").unwrap();
    let argument = format!("{}:{}", work.display(), canary.display());
    let outside = outcomes(&bench.says_as_root_of_nothing(&["battery", &argument]));
    let refused: Vec<_> = outside.iter().filter(|(_, outcome)| outcome != "allowed").collect();
    assert!(outside.len() > 60, "{outside:?}");
    assert_eq!(refused, Vec::<&(String, String)>::new(), "these attempts prove nothing");
}

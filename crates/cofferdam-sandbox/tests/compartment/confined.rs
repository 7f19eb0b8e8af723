//! What is enforced is measured, and what cannot be is refused by name: run as root and as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::{Bench, Caller, everybody};
use cofferdam_sandbox::{Feature, Plan};

#[test]
fn everything_that_is_required_by_default_is_measured() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let driven = bench.drive(&bench.probe(&["echo"]));
        assert_eq!((driven.code, driven.stderr.as_str()), (0, ""), "{caller:?}");
        let enforced = driven.enforced.unwrap();
        assert_eq!(enforced.missing(Feature::DEFAULT_REQUIRED), [], "{enforced:#?}");
        assert!(enforced.confirmed_outside, "{caller:?}");
        assert!(
            enforced.walls.memfd_noexec && enforced.walls.noexec_writable,
            "{:?}",
            enforced.walls
        );
        assert_ne!(enforced.host_uid(), Some(0));
        assert_eq!(enforced.groups, Vec::<u32>::new());
        if caller == Caller::Root {
            assert!(enforced.host_uid().unwrap() >= 0x7000_0000);
        }
    }
}

#[test]
fn groups_that_cannot_be_given_up_are_said() {
    crate::bench::require_root();
    let bench = Bench::new(Caller::Ordinary);
    let inner = bench.command(&bench.probe(&["echo"]));
    let with_group = |argument: &std::ffi::OsStr| match argument.to_str() {
        Some("--clear-groups") => "--groups=27".into(),
        _ => argument.to_owned(),
    };
    let output = std::process::Command::new(inner.get_program())
        .args(inner.get_args().map(with_group))
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let enforced = bench.enforced().unwrap();
    assert_eq!(enforced.groups.len(), 1);
    assert!(
        enforced
            .not_enforced
            .iter()
            .any(|reason| reason.starts_with("supplementary groups: kept"))
    );
    // And of root's own nothing is left.
    let bench = Bench::new(Caller::Root);
    assert_eq!(
        bench.drive(&bench.probe(&["echo"])).enforced.unwrap().groups,
        Vec::<u32>::new()
    );
}

#[test]
fn root_of_a_user_namespace_is_not_taken_for_root() {
    let bench = Bench::new(Caller::Ordinary);
    let plan = bench.probe(&["echo"]);
    let inner = bench.command(&plan);
    let mut command = std::process::Command::new("unshare");
    command
        .arg("--map-root-user")
        .arg(inner.get_program())
        .args(inner.get_args());
    if crate::bench::is_root() {
        // Only the ordinary user's namespace has a root that owns nothing.
        let arguments: Vec<_> = inner
            .get_args()
            .skip_while(|argument| *argument != "--clear-groups")
            .skip(1)
            .collect();
        let id = crate::bench::ORDINARY.to_string();
        command = std::process::Command::new("setpriv");
        command
            .args([
                "--reuid",
                &id,
                "--regid",
                &id,
                "--clear-groups",
                "unshare",
                "--map-root-user",
            ])
            .args(arguments);
    }
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let enforced = bench.enforced().unwrap();
    assert!(
        !matches!(enforced.host_uid(), None | Some(0)),
        "{:?}",
        enforced.user_map
    );
}

#[test]
fn a_plan_that_cannot_be_carried_out_is_refused_by_name() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let refused = |change: &dyn Fn(&mut Plan)| {
            let mut plan = bench.probe(&["echo"]);
            change(&mut plan);
            let driven = bench.drive(&plan);
            assert_eq!((driven.code, driven.stdout.as_str()), (125, ""), "{}", driven.stderr);
            assert!(driven.enforced.is_none());
            driven.stderr
        };
        let missing = bench.path("missing");
        assert!(refused(&|plan| plan.read.push(missing.clone())).contains("no such file or directory"));
        assert!(refused(&|plan| plan.write.push("/proc".into())).contains("never granted"));
        assert!(refused(&|plan| plan.directory = "/nowhere".into()).contains("`/nowhere`"));
        assert!(refused(&|plan| plan.command = vec!["/nowhere/program".into()]).contains("/nowhere/program"));
        let impossible = refused(&|plan| plan.require.push(Feature::Landlock(1000)));
        assert!(
            impossible.contains("required and not enforced: `landlock-1000`"),
            "{impossible}"
        );
        let script = bench.file("script", "#!/nowhere/interpreter\n");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let script = script.to_str().unwrap().to_owned();
        assert!(refused(&|plan| plan.command = vec![script.clone()]).contains("/nowhere/interpreter"));
        let data = bench.file("data", "not a program");
        let data = data.to_str().unwrap().to_owned();
        assert!(refused(&|plan| plan.command = vec![data.clone()]).contains("cannot execute"));
    }
}

#[test]
fn the_launcher_started_by_hand_does_nothing() {
    let bench = Bench::new(Caller::Ordinary);
    let started = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = std::process::Command::new(bench.path("drive"));
        command.arg("__launch");
        change(&mut command);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(started(&|_| {}).contains("its environment is not empty"));
    assert!(
        started(&|command| {
            command.env_clear();
        })
        .contains("no plan came")
    );
    assert!(
        started(&|command| {
            command.env_clear().arg("more");
        })
        .contains("takes no arguments")
    );
}

#[test]
fn two_compartments_see_nothing_of_each_other() {
    for caller in everybody() {
        let (one, other) = (Bench::new(caller), Bench::new(caller));
        let mut plan = one.probe(&["daemon"]);
        plan.hostname = "one".to_owned();
        let (mut driver, first) = one.start(&plan);
        let numbers = crate::bench::processes_of(&first);
        assert!(numbers.len() >= 2);
        let seen = other.says(&["processes"]);
        assert_eq!(
            seen.lines()
                .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
                .count(),
            1,
            "{seen}"
        );
        let folder = one.folder.path().file_name().unwrap().to_str().unwrap();
        assert!(!other.says(&["list", "/tmp"]).contains(folder));
        let second = other.drive(&other.probe(&["echo"])).enforced.unwrap();
        for (mine, theirs) in first.namespaces.iter().zip(&second.namespaces) {
            assert_ne!(mine.inode, theirs.inode, "{}", mine.kind);
        }
        for number in numbers {
            let path = format!("/proc/{number}/root");
            assert_eq!(other.says(&["read", &path]), "errno 2");
        }
        driver.kill();
    }
}

#[test]
fn nothing_is_inherited() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let plan = bench.probe(&["environ"]);
        let mut command = bench.command(&plan);
        command.env("SECRET_OF_THE_CALLER", "hunter2");
        let output = command.output().unwrap();
        let wanted: String = plan
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), wanted.trim_end());
        assert_eq!(bench.says(&["descriptors"]), "[0, 1, 2]");
        let seen = bench.says(&["processes"]);
        assert!(seen.starts_with("2 /"), "{seen}");
        assert_eq!(seen.lines().count(), 2, "{seen}");
        assert!(seen.ends_with("init environ Err(Some(2))"), "{seen}");
    }
}

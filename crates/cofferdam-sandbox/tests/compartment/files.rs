//! What of the host's files is there, and what can be done to it: run as root and as an ordinary user.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::bench::{Bench, Caller, everybody, open_to_all};
use cofferdam_sandbox::Plan;

#[test]
fn keys_beside_certificates_are_not_there() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        assert_eq!(bench.says(&["list", "/etc/ssl/private"]), "errno 2");
    }
}

#[test]
fn files_of_the_host_are_not_there() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let canary = bench.file("canary", "secret");
        for path in [
            canary.to_str().unwrap(),
            "/etc/shadow",
            "/root",
            "/proc/1/root",
            "/sys",
            "/var",
            "/run",
        ] {
            assert_eq!(bench.says(&["read", path]), "errno 2", "{path}");
        }
        assert_eq!(bench.says(&["read", "/proc/self/mem"]), "errno 5");
        assert_eq!(bench.says(&["write", "/proc/self/oom_score_adj"]), "errno 30");
        for path in ["/new", "/etc/new", "/usr/new", "/dev/new", "/proc/new"] {
            let said = bench.says(&["write", path]);
            assert!(
                matches!(said.as_str(), "errno 13" | "errno 30" | "errno 2"),
                "{path}: {said}"
            );
        }
        assert_eq!(bench.says(&["write", "/tmp/new"]), "written");
    }
}

#[test]
fn what_is_granted_for_reading_is_readable_and_nothing_more() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let folder = bench.folder("granted");
        let file = folder.join("file");
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        if crate::bench::is_root() && caller == Caller::Ordinary {
            std::os::unix::fs::chown(&file, Some(crate::bench::ORDINARY), None).unwrap();
        }
        let file = file.to_str().unwrap();
        let grant = |plan: &mut Plan| plan.read.push(folder.clone());
        assert_eq!(bench.says_with(&["read", file], grant), "text");
        assert_eq!(bench.says_with(&["write", file], grant), "errno 30");
        assert_eq!(fs::read_to_string(file).unwrap(), "text");
    }
}

#[test]
fn what_is_granted_for_writing_belongs_to_its_owner_afterwards() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let folder = bench.folder("granted");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let owner = fs::metadata(&folder).unwrap().uid();
        let file = folder.join("new");
        let grant = |plan: &mut Plan| plan.write.push(folder.clone());
        assert_eq!(
            bench.says_with(&["write", file.to_str().unwrap()], grant),
            "written",
            "{caller:?}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "written");
        assert_eq!(fs::metadata(&file).unwrap().uid(), owner, "{caller:?}");
        let copy = folder.join("copy");
        fs::copy("/usr/bin/true", &copy).unwrap();
        assert_eq!(bench.says_with(&["exec", copy.to_str().unwrap()], grant), "errno 13");
        // Nor by the loader's way, which would need no right to execute.
        let mut plan = bench.probe(&["loader", copy.to_str().unwrap()]);
        grant(&mut plan);
        assert_eq!(bench.drive(&plan).code, 127);
    }
}

#[test]
fn a_root_owned_folder_is_written_by_a_compartment_of_root() {
    crate::bench::require_root();
    let bench = Bench::new(Caller::Root);
    let driven = bench.drive(&{
        let folder = bench.folder("work");
        let mut plan = bench.probe(&["write", folder.join("new").to_str().unwrap()]);
        plan.write.push(folder);
        plan
    });
    assert_eq!(driven.stdout, "written\n");
    let enforced = driven.enforced.unwrap();
    assert!(
        enforced.mounts.iter().any(|mount| mount.idmapped && !mount.read_only),
        "{:?}",
        enforced.mounts
    );
    assert_eq!(fs::metadata(bench.path("work/new")).unwrap().uid(), 0);
}

#[test]
fn where_owners_cannot_be_mapped_a_folder_that_is_theirs_alone_is_refused() {
    crate::bench::require_root();
    let bench = Bench::new(Caller::Root);
    let folder = bench.folder("work");
    // A file system without mapped owners, mounted for this one driver only.
    let drive = |mode: &str, is_written: bool| {
        let deed = if is_written { "write" } else { "list" };
        let target = if is_written { folder.join("new") } else { folder.clone() };
        let mut plan = bench.probe(&[deed, target.to_str().unwrap()]);
        let grants = if is_written { &mut plan.write } else { &mut plan.read };
        grants.push(folder.clone());
        let inner = bench.command(&plan);
        let mount = format!("mount -t ramfs -o mode={mode} none \"$0\" && exec \"$@\"");
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", &mount]).arg(&folder);
        let output = command
            .arg(inner.get_program())
            .args(inner.get_args())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for is_written in [false, true] {
        let (code, said, reason) = drive("700", is_written);
        assert_eq!((code, said.as_str()), (Some(125), ""));
        assert!(reason.starts_with("cannot map the owner of `"), "{reason}");
    }
    assert_eq!(drive("777", true), (Some(0), "written\n".to_owned(), String::new()));
    assert_eq!(drive("755", false).0, Some(0));
}

#[test]
fn the_pipes_can_be_opened_again_by_name() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = bench.probe(&[]);
        let script = "echo out > /dev/stdout; echo error > /dev/stderr; cat /dev/stdin";
        plan.command = ["/bin/sh", "-c", script].map(str::to_owned).into();
        let driven = bench.drive(&plan);
        assert_eq!(
            (driven.stdout.as_str(), driven.stderr.as_str()),
            ("out\n", "error\n"),
            "{caller:?}"
        );
    }
}

#[test]
fn a_link_granted_appears_as_what_it_led_to_at_launch() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let real = bench.folder("real");
        fs::write(real.join("file"), "real").unwrap();
        let secret = bench.folder("secret");
        fs::write(secret.join("file"), "secret").unwrap();
        let link = bench.path("link");
        symlink(&real, &link).unwrap();
        open_to_all(&real);
        let file = link.join("file");
        assert_eq!(
            bench.says_with(&["read", file.to_str().unwrap()], |plan| plan.read.push(link.clone())),
            "real"
        );
        // A link inside a granted folder leads nowhere that is not granted.
        let inside = real.join("way-out");
        symlink(secret.join("file"), &inside).unwrap();
        assert_eq!(
            bench.says_with(&["read", inside.to_str().unwrap()], |plan| plan.read.push(real.clone())),
            "errno 2"
        );
    }
}

#[test]
fn a_link_swapped_in_at_launch_shows_nothing_new() {
    use std::sync::atomic::{AtomicBool, Ordering};
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (work, secret) = (bench.folder("work"), bench.folder("secret"));
        fs::write(secret.join("file"), "secret").unwrap();
        let (data, real, link) = (work.join("data"), work.join("real"), work.join("link"));
        fs::create_dir(&real).unwrap();
        fs::write(real.join("file"), "real").unwrap();
        symlink(&secret, &link).unwrap();
        let done = AtomicBool::new(false);
        let seen: Vec<(i32, String)> = std::thread::scope(|scope| {
            // The hostile neighbour: a folder and a link take turns under one name.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::rename(&real, &data).unwrap();
                    fs::rename(&data, &real).unwrap();
                    fs::rename(&link, &data).unwrap();
                    fs::rename(&data, &link).unwrap();
                }
            });
            let start = || {
                let mut plan = bench.probe(&["read", data.join("file").to_str().unwrap()]);
                plan.write = vec![work.clone()];
                plan.read = vec![data.clone()];
                let driven = bench.drive(&plan);
                (driven.code, driven.stdout + &driven.stderr)
            };
            let seen = (0..60).map(|_| start()).collect();
            done.store(true, Ordering::Relaxed);
            seen
        });
        let is_real = |(code, said): &(i32, String)| *code == 0 && said == "real\n";
        // Once it is mounted, the name above it may be gone: then there is nothing to read.
        let is_nothing = |(code, said): &(i32, String)| *code == 0 && said.starts_with("errno ");
        let is_refused = |(code, _): &(i32, String)| *code == 125;
        let others: Vec<_> = seen
            .iter()
            .filter(|it| !is_real(it) && !is_nothing(it) && !is_refused(it))
            .collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(seen.iter().any(is_refused), "the neighbour never got its turn");
    }
}

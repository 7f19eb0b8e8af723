//! What a program inside sees and can do: run as root and as an ordinary user.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::bench::{Bench, Caller, everybody, open_to_all};
use cofferdam_sandbox::{Feature, Plan, Programs};

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
fn keys_beside_certificates_are_not_there() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        assert_eq!(bench.says(&["list", "/etc/ssl/private"]), "errno 2");
    }
}

#[test]
fn calls_that_lead_out_are_refused() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        assert_all(&bench.says(&["refused"]), "1");
        assert_all(&bench.says(&["absent"]), "38");
    }
}

/// The other half of the pair: where nothing refuses them, the same attempts succeed.
#[test]
fn harmless_attempts_succeed_outside_and_are_refused_inside() {
    let bench = Bench::new(Caller::Ordinary);
    let outside = std::process::Command::new(bench.path("probe"))
        .arg("harmless")
        .output()
        .unwrap();
    assert_all(String::from_utf8(outside.stdout).unwrap().trim_end(), "allowed");
    assert_all(&bench.says(&["harmless"]), "1");
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
fn what_was_written_cannot_be_executed() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        assert_eq!(bench.says(&["copy-exec", "/usr/bin/true"]), "errno 13");
        let said = bench.says(&["memfd-exec", "/usr/bin/true"]);
        assert!(said == "errno 13" || said == "errno 1", "{said}");
        // The other half: where the plan lets the private folders execute, the copy runs and says nothing.
        assert_eq!(
            bench.says_with(&["copy-exec", "/usr/bin/true"], |plan| {
                plan.executable_tmp = true;
                plan.require.retain(|feature| *feature != Feature::NoexecWritable);
            }),
            ""
        );
    }
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
}

#[test]
fn there_is_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    TcpStream::connect(address).unwrap();
    for caller in everybody() {
        let bench = Bench::new(caller);
        let said = bench.says(&["connect", &address.to_string()]);
        assert!(said == "errno 13" || said == "errno 101", "{said}");
        let said = bench.says(&["connect", "169.254.169.254:80"]);
        assert!(said == "errno 13" || said == "errno 101", "{said}");
    }
}

#[test]
fn the_own_loopback_connects_inside_and_to_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for caller in everybody() {
        let bench = Bench::new(caller);
        // Refused by nobody listening there, not by a rule: the loopback is another one.
        assert_eq!(
            bench.says_with(&["connect", &address], |plan| plan.loopback = true),
            "errno 111"
        );
        assert_eq!(
            bench.says_with(&["connect", "10.0.0.1:80"], |plan| plan.loopback = true),
            "errno 101"
        );
        assert_eq!(bench.says_with(&["loopback"], |plan| plan.loopback = true), "connected");
        assert_eq!(bench.says(&["loopback"]), "errno 13");
    }
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
fn only_listed_programs_run_where_they_are_listed() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let only = |plan: &mut Plan| {
            plan.programs = Programs::Only(vec!["/usr/bin/true".into()]);
            plan.require.push(Feature::ProgramWalls);
        };
        assert_eq!(bench.says_with(&["exec", "/usr/bin/true"], only), "");
        assert_eq!(bench.says_with(&["exec", "/bin/true"], only), "");
        for shell in ["/bin/sh", "/usr/bin/bash", "/usr/bin/env"] {
            assert_eq!(bench.says_with(&["exec", shell], only), "errno 2", "{shell}");
        }
        let by_loader = bench.drive(&{
            let mut plan = bench.probe(&["loader", "/bin/sh"]);
            only(&mut plan);
            plan
        });
        assert_eq!(by_loader.code, 127, "{}", by_loader.stdout);
        // In sight because a folder with it is granted, but not listed: Landlock refuses it.
        let folder = bench.folder("tools");
        fs::copy("/usr/bin/true", folder.join("other")).unwrap();
        let other = folder.join("other");
        let other = other.to_str().unwrap();
        let granted = |plan: &mut Plan| {
            only(plan);
            plan.read.push(folder.clone());
        };
        assert_eq!(bench.says_with(&["exec", other], granted), "errno 13");
        // Nor does the loader run what is granted as data; in the program's own files it finds libraries.
        let mut plan = bench.probe(&["loader", other]);
        granted(&mut plan);
        assert_eq!(bench.drive(&plan).code, 127);
        plan.program_files = std::mem::take(&mut plan.read);
        assert_eq!(bench.drive(&plan).code, 0);
    }
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
fn a_socket_is_connected_to_when_it_is_named_and_no_other_is() {
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;
    for caller in everybody() {
        let bench = Bench::new(caller);
        let folder = bench.folder("sockets");
        let (named, other) = (folder.join("named"), folder.join("other"));
        for path in [&named, &other] {
            let listener = UnixListener::bind(path).unwrap();
            // Open to everybody, so that only the compartment stands between.
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    stream.and_then(|mut stream| stream.write_all(b"hello")).unwrap();
                }
            });
        }
        let connect = |path: &std::path::Path, grant: &dyn Fn(&mut Plan)| {
            bench.says_with(&["unix", path.to_str().unwrap()], |plan| grant(plan))
        };
        let nothing = |plan: &mut Plan| plan.read.push(folder.clone());
        assert_eq!(connect(&named, &nothing), "errno 1");
        let one = |plan: &mut Plan| {
            plan.read.push(folder.clone());
            plan.sockets.push(named.clone());
        };
        assert_eq!(connect(&named, &one), "hello", "{caller:?}");
        assert_eq!(
            connect(&other, &one),
            "errno 13",
            "{caller:?}: in the same granted folder"
        );
        let alone = |plan: &mut Plan| plan.sockets.push(named.clone());
        assert_eq!(connect(&named, &alone), "hello", "{caller:?}");
        assert_eq!(connect(&other, &alone), "errno 2");
        // What commands the machine is refused by name, and by where a link leads.
        let engine = folder.join("docker.sock");
        let _listener = UnixListener::bind(&engine).unwrap();
        let link = bench.path("innocent");
        symlink(&engine, &link).unwrap();
        for path in [engine, link] {
            let mut plan = bench.probe(&["echo"]);
            plan.sockets.push(path);
            let driven = bench.drive(&plan);
            assert_eq!(driven.code, 125);
            assert!(driven.stderr.contains("control of the host"), "{}", driven.stderr);
        }
    }
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
        assert!(inside.len() > 35, "{}{}", driven.stdout, driven.stderr);
        let allowed: Vec<_> = inside.iter().filter(|(_, outcome)| outcome == "allowed").collect();
        assert_eq!(allowed, Vec::<&(String, String)>::new(), "{caller:?}");
    }
    let bench = Bench::new(Caller::Ordinary);
    let (work, canary) = (bench.path("work"), bench.path("canary"));
    fs::create_dir(&work).unwrap();
    fs::write(&canary, "secret").unwrap();
    let mut control = std::process::Command::new("unshare");
    control.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--net",
        "--uts",
        "--ipc",
    ]);
    control.arg(bench.path("probe")).arg("battery");
    control.arg(format!("{}:{}", work.display(), canary.display()));
    let output = control.output().unwrap();
    let outside = outcomes(&String::from_utf8_lossy(&output.stdout));
    let refused: Vec<_> = outside.iter().filter(|(_, outcome)| outcome != "allowed").collect();
    assert!(outside.len() > 35, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(refused, Vec::<&(String, String)>::new(), "these attempts prove nothing");
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

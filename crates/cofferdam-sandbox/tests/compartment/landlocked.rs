//! Compartments without namespaces: what they keep from a program all the same, each with what the same program does outside.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cofferdam_sandbox::{Feature, Masks, Plan, Programs, Tier};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::bench::{Bench, Caller, Running, as_ordinary, eventually, everybody};

const GONE_WITHIN: Duration = Duration::from_secs(2);

/// A plan for the probe without namespaces.
fn beside(bench: &Bench, arguments: &[&str]) -> Plan {
    let mut plan = bench.probe(arguments);
    plan.give_up_namespaces();
    plan
}

fn says(bench: &Bench, arguments: &[&str], change: impl FnOnce(&mut Plan)) -> String {
    bench.says_with(arguments, |plan| {
        plan.give_up_namespaces();
        change(plan);
    })
}

/// A process of the user who launches, that waits until the test has ended.
fn bystander() -> Running {
    let sleep = as_ordinary(Path::new("/bin/sleep"))
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // What becomes the user is closed to that user until it executes.
    let comm = format!("/proc/{}/comm", sleep.id());
    let began = std::time::Instant::now();
    while fs::read_to_string(&comm).unwrap() != "sleep\n" {
        assert!(began.elapsed().as_secs() < 60, "it does not start");
        std::thread::sleep(Duration::from_millis(1));
    }
    Running(sleep)
}

/// Every line of a table of attempts, as (what, outcome).
fn table(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter_map(|line| line.rsplit_once(": ")).collect()
}

/// All that the outside allows, the inside refuses, in pairs.
fn assert_refused(outside: &str, inside: &str) {
    let (outside, inside) = (table(outside), table(inside));
    assert_eq!(outside.len(), inside.len());
    for ((what, allowed), (_, refused)) in outside.iter().zip(inside) {
        assert_eq!(*allowed, "allowed", "{what} outside, which would prove nothing");
        assert!(
            ["errno 1", "errno 13", "errno 22"].contains(&refused),
            "{what}: {refused}"
        );
    }
}

#[test]
fn what_it_has_is_measured_and_what_it_lacks_is_said() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let driven = bench.drive(&beside(&bench, &["environ"]));
        assert_eq!((driven.code, driven.stderr.as_str()), (0, ""), "{caller:?}");
        let enforced = driven.enforced.unwrap();
        assert_eq!(enforced.missing(Tier::Landlocked.required()), [], "{enforced:#?}");
        assert_eq!(enforced.tier(), Tier::Landlocked);
        assert!(enforced.confirmed_outside, "{caller:?}");
        for namespaced in [
            Feature::PidNamespace,
            Feature::NetworkNamespace,
            Feature::PivotRoot,
            Feature::ProgramWalls,
        ] {
            assert!(!enforced.has(namespaced), "{namespaced}");
        }
        assert!(
            enforced
                .not_enforced
                .iter()
                .any(|what| what.starts_with("namespaces: none"))
        );
        let folder = enforced.landlocked.as_ref().unwrap().folder.display().to_string();
        let home = format!("HOME={folder}/home\n");
        assert!(driven.stdout.contains(&home) && driven.stdout.contains(&format!("TMPDIR={folder}/tmp\n")));
        assert!(!Path::new(&folder).exists(), "its folder is removed");
        if caller == Caller::Root {
            assert!(
                enforced.host_uid().unwrap() >= 0x7000_0000,
                "root becomes somebody else"
            );
        }
    }
}

#[test]
fn files_are_what_is_granted_and_no_more() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let secret = bench.file("secret", "host secret");
        let (read, write) = (bench.folder("read"), bench.folder("write"));
        fs::write(read.join("file"), "granted").unwrap();
        fs::set_permissions(&write, fs::Permissions::from_mode(0o777)).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        assert_eq!(bench.says_outside(&["read", &text(&secret)]), "host secret");
        assert_eq!(says(&bench, &["read", &text(&secret)], |_| {}), "errno 13");
        assert_eq!(says(&bench, &["list", "/"], |_| {}), "errno 13");
        assert_eq!(says(&bench, &["list", "/proc"], |_| {}), "errno 13");
        assert_eq!(says(&bench, &["write", &text(&bench.path("new"))], |_| {}), "errno 13");
        let granted = |plan: &mut Plan| {
            plan.read = vec![read.clone()];
            plan.write = vec![write.clone()];
        };
        assert_eq!(says(&bench, &["read", &text(&read.join("file"))], granted), "granted");
        assert_eq!(says(&bench, &["write", &text(&read.join("new"))], granted), "errno 13");
        assert_eq!(says(&bench, &["write", &text(&write.join("new"))], granted), "written");
        assert_eq!(fs::read_to_string(write.join("new")).unwrap(), "written");
        // A link in a granted folder leads nowhere that is not granted.
        std::os::unix::fs::symlink(&secret, read.join("link")).unwrap();
        assert_eq!(says(&bench, &["read", &text(&read.join("link"))], granted), "errno 13");
    }
}

#[test]
fn what_landlock_leaves_open_about_files_the_filter_closes() {
    let bench = Bench::new(Caller::Ordinary);
    let secret = bench.file("secret", "host secret");
    let path = secret.to_str().unwrap();
    assert_refused(
        &bench.says_outside(&["touch", path]),
        &says(&bench, &["touch", path], |_| {}),
    );
    assert_eq!(says(&bench, &["truncate", path], |_| {}), "errno 13");
    // Granted for reading is not granted for changing what is beside the contents.
    let granted = |plan: &mut Plan| plan.read = vec![secret.clone()];
    assert_refused(
        &bench.says_outside(&["opened", path]),
        &says(&bench, &["opened", path], granted),
    );
    assert_eq!(fs::read_to_string(&secret).unwrap(), "host secret");
    assert_eq!(bench.says_outside(&["truncate", path]), "truncated");
}

#[test]
fn processes_of_the_same_user_cannot_be_read_reached_or_slowed() {
    let bench = Bench::new(Caller::Ordinary);
    let mut other = bystander();
    let number = other.0.id().to_string();
    assert_refused(
        &bench.says_outside(&["process", &number]),
        &says(&bench, &["process", &number], |_| {}),
    );
    // The kernel says nothing of whom a signal to everybody reached: neither the supervisor, nor the driver, which stands where
    // the gate does, nor anybody else.
    let driven = bench.drive(&beside(&bench, &["signal-all"]));
    assert_eq!(driven.code, 0, "{}", driven.stderr);
    assert!(other.0.try_wait().unwrap().is_none());
    assert_eq!(bench.says_outside(&["signal", &number]), "signalled");
    assert!(!other.0.wait().unwrap().success());
}

#[test]
fn no_socket_is_made() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        assert_refused(&bench.says_outside(&["sockets"]), &says(&bench, &["sockets"], |_| {}));
        let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = service.local_addr().unwrap().to_string();
        assert_eq!(bench.says_outside(&["connect", &address]), "connected");
        assert_eq!(says(&bench, &["connect", &address], |_| {}), "errno 1");
        let name = format!("cofferdam-test-{}", bench.path("x").display());
        let unnamed = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let named = UnixListener::bind(bench.path("service")).unwrap();
        fs::set_permissions(bench.path("service"), fs::Permissions::from_mode(0o777)).unwrap();
        for listener in [unnamed, named] {
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    stream.unwrap().write_all(b"hello").unwrap();
                }
            });
        }
        let path = bench.path("service").display().to_string();
        for attempt in [["abstract", name.as_str()], ["unix", path.as_str()]] {
            assert_eq!(bench.says_outside(&attempt), "hello");
            assert_eq!(says(&bench, &attempt, |_| {}), "errno 1");
        }
    }
}

#[test]
fn only_listed_programs_of_the_system_are_run() {
    let bench = Bench::new(Caller::Ordinary);
    let sealed = |plan: &mut Plan| plan.programs = Programs::Only(Vec::new());
    let listed = |plan: &mut Plan| plan.programs = Programs::Only(vec!["/bin/true".into()]);
    assert_eq!(says(&bench, &["spawn", "/bin/true"], listed), "exit status: 0");
    for program in ["/bin/true", "/bin/sh"] {
        assert_eq!(says(&bench, &["exec", program], sealed), "errno 13", "{program}");
        assert_eq!(says(&bench, &["copy-exec", program], sealed), "errno 13", "{program}");
    }
    assert_eq!(
        says(&bench, &["memfd-exec", "/usr/share/common-licenses/GPL-3"], sealed),
        "errno 1"
    );
    // The loader runs, and reads no program that is not listed.
    if cfg!(target_arch = "x86_64") {
        let mut plan = beside(&bench, &["loader", "/bin/true"]);
        sealed(&mut plan);
        let driven = bench.drive(&plan);
        assert!(
            driven.stderr.contains("cannot open shared object file"),
            "{}",
            driven.stderr
        );
    }
}

/// Processes that run the probe of this bench.
fn left(bench: &Bench) -> usize {
    let (probe, drive) = (bench.path("probe"), bench.path("drive"));
    let is_ours = |entry: &fs::DirEntry| {
        let executable = fs::read_link(entry.path().join("exe")).unwrap_or_default();
        executable == probe || executable == drive
    };
    fs::read_dir("/proc").unwrap().flatten().filter(is_ours).count()
}

#[test]
fn nothing_outlives_the_process_that_launched_it() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (mut driver, enforced) = bench.start(&beside(&bench, &["daemon"]));
        assert!(
            eventually(GONE_WITHIN, || left(&bench) >= 4).is_some(),
            "{}",
            left(&bench)
        );
        driver.kill();
        assert!(
            eventually(GONE_WITHIN, || left(&bench) == 0).is_some(),
            "{} left",
            left(&bench)
        );
        let folder = enforced.landlocked.unwrap().folder;
        assert!(
            eventually(GONE_WITHIN, || !folder.exists()).is_some(),
            "{}",
            folder.display()
        );
    }
}

/// The same command as another user than all other tests have, where there is a choice.
fn as_another(command: Command, user: &str) -> Command {
    let as_user = |word: &std::ffi::OsStr| match word.to_str() {
        Some("1001") => user.into(),
        _ => word.to_owned(),
    };
    let mut other = Command::new(command.get_program());
    other.args(command.get_args().map(as_user));
    other.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    other
}

#[test]
fn killing_the_launching_process_at_any_moment_of_a_start_leaves_nothing() {
    // Other tests make such folders at the same time: what is left is told by its user.
    const NOBODY_ELSE: &str = "1017";
    let folders = || {
        let output = Command::new("find")
            .args([
                "/tmp",
                "-maxdepth",
                "1",
                "-name",
                "cofferdam-run-*",
                "-uid",
                NOBODY_ELSE,
            ])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let bench = Bench::new(Caller::Ordinary);
    let plan = beside(&bench, &["daemon"]);
    for step in 0..40 {
        let command = as_another(bench.command(&plan), NOBODY_ELSE);
        fs::set_permissions(bench.path("enforced.json"), fs::Permissions::from_mode(0o666)).unwrap();
        let mut driver = Running({ command }.spawn().unwrap());
        std::thread::sleep(Duration::from_micros(700 * step));
        driver.kill();
    }
    let took = eventually(GONE_WITHIN, || left(&bench) == 0 && folders().is_empty());
    assert!(took.is_some(), "{} left, {}", left(&bench), folders());
}

#[test]
fn the_end_of_the_program_ends_everything_it_started() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = beside(&bench, &[]);
        let script = "setsid sleep 1000 & echo $!; exit 7";
        plan.command = ["/bin/sh", "-c", script].map(str::to_owned).into();
        let driven = bench.drive(&plan);
        assert_eq!(driven.code, 7, "{}", driven.stderr);
        let number: i32 = driven.stdout.trim().parse().unwrap();
        let is_there = || test_kill_process(Pid::from_raw(number).unwrap()).is_ok();
        assert!(eventually(GONE_WITHIN, || !is_there()).is_some());
        // One that forks as fast as it can is caught as well.
        let driven = bench.drive(&beside(&bench, &["forkbomb"]));
        assert!(driven.stdout.contains("then errno 11"), "{}", driven.stdout);
        assert!(
            eventually(GONE_WITHIN, || left(&bench) == 0).is_some(),
            "{} left",
            left(&bench)
        );
    }
    // Outside the same lines leave it behind.
    let script = "setsid sleep 1000 >/dev/null 2>&1 & echo $!";
    let output = as_ordinary(Path::new("/bin/sh")).args(["-c", script]).output().unwrap();
    let left: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
}

/// Hops from process to process: each makes the next and ends.
#[test]
fn what_hops_from_process_to_process_is_caught() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = beside(&bench, &[]);
        let hop = "hop() { (hop) & exit; }; echo started; (hop) & sleep 1000";
        plan.command = ["/bin/sh", "-c", hop].map(str::to_owned).into();
        let (mut driver, enforced) = bench.start(&plan);
        driver.kill();
        let folder = enforced.landlocked.unwrap().folder;
        // Removed only when nothing of it lives any more.
        assert!(
            eventually(GONE_WITHIN, || !folder.exists()).is_some(),
            "{}",
            folder.display()
        );
    }
}

#[test]
fn a_secret_in_a_granted_folder_refuses_and_one_that_appears_ends_it() {
    let bench = Bench::new(Caller::Ordinary);
    let granted = bench.folder("granted");
    let masks = Masks {
        names: vec![".env".to_owned()],
        ..Masks::default()
    };
    let mut plan = beside(&bench, &["hunt", granted.to_str().unwrap()]);
    plan.read = vec![granted.clone()];
    plan.masks = masks;
    fs::write(granted.join(".env"), "hunter2").unwrap();
    let refused = bench.drive(&plan);
    assert_eq!(refused.code, 125);
    assert!(
        refused.stderr.contains("without namespaces nothing can be masked"),
        "{}",
        refused.stderr
    );
    fs::remove_file(granted.join(".env")).unwrap();
    // Nothing is there: it runs to its end.
    let driven = bench.drive(&plan);
    assert_eq!(
        (driven.code, driven.stdout.as_str()),
        (0, "ready\nnever seen\n"),
        "{}",
        driven.stderr
    );
    let (mut driver, _enforced) = bench.start(&plan);
    fs::write(granted.join(".env"), "nothing yet").unwrap();
    assert_eq!(driver.0.wait().unwrap().code(), Some(137), "ended, and not by itself");
}

#[test]
fn what_needs_namespaces_is_refused_in_words() {
    type Change = fn(&mut Plan);
    let wants: [(&str, Change); 4] = [
        ("granted hosts", |plan| plan.ports = vec![443]),
        ("UNIX sockets", |plan| plan.sockets = vec!["/run/x".into()]),
        ("a browser", |plan| plan.browser = true),
        ("mask-strict", |plan| plan.require.push(Feature::MaskStrict)),
    ];
    for (what, change) in wants {
        let mut plan = Plan::sealed("/usr/bin/true");
        plan.masks.names = vec![".env".to_owned()];
        plan.give_up_namespaces();
        plan.check().unwrap();
        change(&mut plan);
        let refused = plan.check().unwrap_err().to_string();
        assert!(
            refused.contains("namespaces are given up") && refused.contains(what),
            "{refused}"
        );
    }
}

/// In a throw-away user namespace in which no other can be made, as its root or as an ordinary user.
fn where_no_namespace_can_be_made(bench: &Bench, plan: &Plan, as_root: bool) -> (i32, String, String) {
    let inner = bench.command(plan);
    let mut words = inner.get_args().collect::<Vec<_>>().into_iter().rev();
    let (report, plan) = (words.next().unwrap(), words.next().unwrap());
    let mut command = if crate::bench::is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "1001", "--regid", "1001", "--clear-groups", "unshare"]);
        command
    } else {
        Command::new("unshare")
    };
    let map = if as_root {
        "--map-root-user"
    } else {
        "--map-current-user"
    };
    let script =
        "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"";
    command.args(["--user", map, "--keep-caps", "sh", "-c", script, "sh"]);
    command
        .arg(bench.path("drive"))
        .arg(plan)
        .arg(report)
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn it_starts_where_no_namespace_can_be_made_and_only_when_told_to() {
    let bench = Bench::new(Caller::Ordinary);
    let (code, _, stderr) = where_no_namespace_can_be_made(&bench, &bench.probe(&["environ"]), false);
    assert_eq!(code, 125);
    assert!(stderr.contains("cannot make the namespaces"), "{stderr}");
    let plan = beside(&bench, &["environ"]);
    let (code, stdout, stderr) = where_no_namespace_can_be_made(&bench, &plan, false);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("HOME=/tmp/cofferdam-run-"), "{stdout}");
    // A root that has nobody to become is refused.
    let (code, _, stderr) = where_no_namespace_can_be_made(&bench, &plan, true);
    assert_eq!(code, 125);
    assert!(stderr.contains("no server runs as root"), "{stderr}");
}

/// The battery of escapes, which succeeds in a throw-away user namespace (`escapes.rs`), and the table of calls.
#[test]
fn the_battery_of_escapes_is_refused() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (work, canary) = (bench.folder("work"), bench.file("canary", "secret"));
        fs::set_permissions(&work, fs::Permissions::from_mode(0o777)).unwrap();
        let argument = format!("{}:{}", work.display(), canary.display());
        let mut plan = beside(&bench, &["battery", &argument]);
        plan.programs = Programs::Only(Vec::new());
        plan.write.push(work);
        let driven = bench.drive(&plan);
        let tried = table(&driven.stdout);
        assert!(tried.len() > 60, "{}{}", driven.stdout, driven.stderr);
        let allowed = tried.iter().filter(|(_, outcome)| *outcome == "allowed");
        let allowed: Vec<&str> = allowed.map(|(name, _)| *name).collect();
        // Only root can empty that set, and without new privileges nothing is gained by it.
        let kept: &[&str] = match caller {
            Caller::Root => &[],
            Caller::Ordinary => &["capability in the bounding set"],
        };
        assert_eq!(allowed, kept, "{caller:?}");
        let said = says(&bench, &["refused"], |_| {});
        let allowed: Vec<_> = table(&said)
            .into_iter()
            .filter(|(_, outcome)| *outcome != "1")
            .collect();
        assert_eq!(allowed, Vec::new(), "{caller:?}");
    }
}

#[test]
fn runtimes_start_and_work() {
    let bench = Bench::new(Caller::Ordinary);
    let prints = |command: &[&str]| {
        let mut plan = beside(&bench, &[]);
        plan.command = command.iter().map(|word| (*word).to_owned()).collect();
        plan.programs = Programs::Only(Vec::new());
        let driven = bench.drive(&plan);
        assert_eq!(driven.code, 0, "{command:?}: {}{}", driven.stdout, driven.stderr);
        driven.stdout.trim_end().to_owned()
    };
    let script = "const fs = require('fs'); const os = require('os'); const { Worker } = require('worker_threads');
        fs.writeFileSync(os.homedir() + '/file', 'text');
        new Worker('require(\"worker_threads\").parentPort.postMessage(1)', { eval: true }).on('message', () =>
          console.log(os.cpus().length > 0, os.totalmem() > 0, process.memoryUsage().rss > 0,
            fs.readFileSync(os.homedir() + '/file', 'utf8')));";
    assert_eq!(prints(&["/usr/bin/node", "-e", script]), "true true true text");
    let script = "import os, threading, sqlite3, asyncio, tempfile
assert os.cpu_count() > 0
threading.Thread(target=lambda: None).start()
asyncio.run(asyncio.sleep(0))
db = sqlite3.connect(tempfile.mkstemp()[1]); db.execute('create table t (c)'); db.commit()
print('done')";
    assert_eq!(prints(&["/usr/bin/python3", "-c", script]), "done");
}

/// A line of the program's own reaches whoever holds it, as with namespaces.
#[test]
fn it_is_spoken_to_by_its_pipes() {
    let bench = Bench::new(Caller::Ordinary);
    let mut driver = Running(
        bench
            .command(&beside(&bench, &["echo"]))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    driver.0.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    let mut line = String::new();
    BufReader::new(driver.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "a line\n");
    assert!(driver.0.wait().unwrap().success());
}

//! Attempts on what lies ready outside: processes, descriptors, sockets, terminals. Each succeeds outside, as the ordinary
//! user that nothing else bounds, and is refused inside.

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::bench::{Bench, Caller, ORDINARY, as_ordinary, everybody};

/// A process of the ordinary user, ended with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(as_ordinary(Path::new("/bin/sleep")).arg("1000").spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It may have ended before.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn processes_outside_cannot_be_signalled() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut sleeper = Sleeper::start();
        let number = sleeper.0.id().to_string();
        assert_eq!(bench.says(&["signal", &number]), "errno 3");
        // Everybody it can reach: itself, and the first process, which takes no orders.
        let said = bench.says(&["signal-all"]);
        assert!(said == "signalled" || said == "errno 3", "{said}");
        assert!(sleeper.is_alive());
    }
    let bench = Bench::new(Caller::Ordinary);
    let mut sleeper = Sleeper::start();
    assert_eq!(
        bench.says_outside(&["signal", &sleeper.0.id().to_string()]),
        "signalled"
    );
    assert!(!sleeper.0.wait().unwrap().success());
    // Everybody, where everybody is one: in a process table of its own.
    let script = "sleep 1000 & \"$0\" signal-all; wait $!; echo $?";
    let apart = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"])
        .args(["sh", "-c", script])
        .arg(bench.path("probe"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(apart.stdout).unwrap(), "signalled\n143\n");
}

#[test]
fn neither_descriptors_nor_the_working_folder_of_the_caller_are_inherited() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let secret = bench.folder("secret");
        fs::write(secret.join("canary"), "secret").unwrap();
        let with_more = |inner: &Command| {
            let mut command = Command::new("sh");
            command.args(["-c", "exec 7<canary && exec \"$@\"", "sh"]);
            command.arg(inner.get_program()).args(inner.get_args());
            let output = command.current_dir(&secret).stdin(Stdio::null()).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
        };
        let mut outside = as_ordinary(&bench.path("probe"));
        outside.arg("descriptors");
        // Among others, when this test's own parent left some open.
        assert!(with_more(&outside).starts_with("[0, 1, 2, 7"));
        assert_eq!(with_more(&bench.command(&bench.probe(&["descriptors"]))), "[0, 1, 2]");
        let mut outside = as_ordinary(&bench.path("probe"));
        outside.args(["read", "canary"]);
        assert_eq!(with_more(&outside), "secret");
        assert_eq!(with_more(&bench.command(&bench.probe(&["read", "canary"]))), "errno 2");
        assert_eq!(
            with_more(&bench.command(&bench.probe(&["read", "/proc/self/cwd/canary"]))),
            "errno 2"
        );
    }
}

#[test]
fn a_set_user_id_program_gives_nobody_elses_rights() {
    crate::bench::require_root();
    for caller in everybody() {
        let bench = Bench::new(caller);
        let folder = bench.folder("tools");
        let program = folder.join("elevated");
        fs::copy(bench.path("probe"), &program).unwrap();
        // Another ordinary user's, so that the other half is none of root.
        std::os::unix::fs::chown(&program, Some(ORDINARY + 1), Some(ORDINARY + 1)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
        let outside = as_ordinary(&program).arg("users").output().unwrap();
        assert_eq!(String::from_utf8(outside.stdout).unwrap(), "1001 1002\n");
        let mut plan = bench.probe(&["users"]);
        plan.command[0] = program.to_str().unwrap().to_owned();
        plan.program_files.push(folder);
        assert_eq!(bench.drive(&plan).stdout, "65532 65532\n", "{caller:?}");
    }
}

/// Hands this file to whoever connects.
fn hands_over(listener: UnixListener, file: &Path) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let file = fs::File::open(file).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let descriptors = [std::os::fd::AsFd::as_fd(&file)];
            let mut space = [std::mem::MaybeUninit::uninit(); 64];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
            let byte = [std::io::IoSlice::new(b"x")];
            sendmsg(stream.unwrap(), &byte, &mut control, SendFlags::empty()).unwrap();
        }
    });
}

#[test]
fn no_descriptor_is_handed_in_where_no_socket_is_granted() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, canary) = (bench.folder("sockets"), bench.file("canary", "secret"));
        let path = folder.join("service");
        hands_over(UnixListener::bind(&path).unwrap(), &canary);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let service = path.to_str().unwrap();
        assert_eq!(bench.says_outside(&["receive", service]), "secret");
        let said = bench.says_with(&["receive", service], |plan| plan.read.push(folder.clone()));
        assert_eq!(said, "errno 1", "{caller:?}");
    }
}

#[test]
fn sockets_without_a_file_are_out_of_reach_even_where_others_are_granted() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let name = bench.path("abstract").to_str().unwrap().to_owned();
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                stream.and_then(|mut stream| stream.write_all(b"hello")).unwrap();
            }
        });
        let granted = bench.path("granted");
        let _granted = UnixListener::bind(&granted).unwrap();
        assert_eq!(bench.says_outside(&["abstract", &name]), "hello");
        assert_eq!(bench.says(&["abstract", &name]), "errno 1");
        let said = bench.says_with(&["abstract", &name], |plan| plan.sockets.push(granted));
        assert!(matches!(said.as_str(), "errno 111" | "errno 1"), "{caller:?}: {said}");
    }
}

/// What a command prints that has a terminal of its own.
fn on_a_terminal(inner: &Command) -> String {
    let words: Vec<_> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[test]
fn the_terminal_of_the_caller_cannot_be_typed_into() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut outside = as_ordinary(&bench.path("probe"));
        let possible = on_a_terminal(outside.arg("terminal"));
        assert!(
            possible.contains("terminal true\n") && possible.contains("own allowed\n"),
            "{possible}"
        );
        // Some kernels have a switch of their own against it, and say so by another error.
        assert!(
            possible.contains("typing allowed\n") || possible.contains("typing errno 5\n"),
            "{possible}"
        );
        let inside = on_a_terminal(&bench.command(&bench.probe(&["terminal"])));
        assert_eq!(
            inside, "terminal false\ntyping errno 1\nconsole errno 1\nown errno 2\n",
            "{caller:?}"
        );
    }
}

#[test]
fn nothing_gets_a_better_place_in_the_queue() {
    for caller in everybody() {
        let said = Bench::new(caller).says(&["priority"]);
        for line in said.lines() {
            let refused = ["errno 1", "errno 13", "errno 30"]
                .iter()
                .any(|errno| line.ends_with(errno));
            assert!(refused, "{caller:?}: {said}");
        }
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}

#[test]
fn where_a_namespace_cannot_be_made_nothing_starts() {
    let bench = Bench::new(Caller::Ordinary);
    let start = |setting: &str| {
        let inner = bench.command(&bench.probe(&["echo"]));
        let words = inner.get_args().skip_while(|word| *word != "--clear-groups").skip(1);
        let words: Vec<_> = if crate::bench::is_root() {
            words.collect()
        } else {
            std::iter::once(inner.get_program()).chain(inner.get_args()).collect()
        };
        let script = format!("{setting}exec \"$@\"");
        let mut command = as_ordinary(Path::new("/usr/bin/unshare"));
        command
            .args(["--user", "--map-root-user", "sh", "-c", &script, "sh"])
            .args(words);
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for kind in ["user", "pid", "mnt", "ipc", "uts", "net"] {
        let (code, said) = start(&format!("echo 0 > /proc/sys/user/max_{kind}_namespaces; "));
        assert_eq!(code, Some(125), "{kind}: {said}");
        assert!(!said.is_empty(), "{kind}");
    }
    // The other half: in the same place with nothing taken away.
    assert_eq!(start(""), (Some(0), String::new()));
}

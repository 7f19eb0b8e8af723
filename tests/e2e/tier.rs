//! A server without namespaces: nothing starts so by itself, and where a manifest gives them up it is told, recorded and confined.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::driven::node_server;
use crate::podman::{Bench, Who};
use crate::support::{ALL_RECORDS, Conversation, STUCK, Stage, fixture, listed, rule_of, said_in, text};

/// An ordinary user that no other test is; a passwd entry is not needed where the home is named.
const USER: u32 = 65534;
const WAIVED: [&str; 2] = ["--waive", "namespaces"];

/// A machine on which no namespace can be made, for an ordinary user: a throw-away user namespace that allows no other.
struct Narrow {
    folder: TempDir,
}

impl Narrow {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cofferdam-tier-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let narrow = Self { folder };
        std::fs::copy(env!("CARGO_BIN_EXE_cofferdam"), narrow.path("cofferdam")).unwrap();
        std::fs::copy(fixture(), narrow.path("fixture_server")).unwrap();
        for name in ["home", "workspace"] {
            std::fs::create_dir(narrow.path(name)).unwrap();
            std::fs::set_permissions(narrow.path(name), std::fs::Permissions::from_mode(0o700)).unwrap();
            narrow.give(&narrow.path(name));
        }
        narrow
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the user's own.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("workspace").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        self.give(&path);
        path
    }

    fn give(&self, path: &Path) {
        if nix::unistd::geteuid().is_root() {
            nix::unistd::chown(path, Some(USER.into()), Some(USER.into())).unwrap();
        }
    }

    /// A command of the user there.
    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        if nix::unistd::geteuid().is_root() {
            let user = USER.to_string();
            command = Command::new("setpriv");
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "unshare"]);
        }
        let script =
            "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"";
        command.args(["--user", "--map-current-user", "--keep-caps", "sh", "-c", script, "sh"]);
        command.arg(program).args(words);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    fn gate(&self, words: &[&str]) -> Command {
        let home = self.path("home");
        let home = ["--home", home.to_str().unwrap()];
        self.command(&self.path("cofferdam"), &[&home, words].concat())
    }

    fn run(&self, words: &[&str]) -> Output {
        self.gate(words).output().unwrap()
    }

    fn add(&self, options: &[&str], line: &[&str]) -> Output {
        self.run(&[&["add", "fixture", "--yes"], options, &["--"], line].concat())
    }

    fn add_fixture(&self, options: &[&str]) -> Output {
        self.add(options, &[self.path("fixture_server").to_str().unwrap()])
    }

    fn write_policy(&self, text: &str) {
        for folder in ["home/config", "home/config/policy"] {
            let folder = self.path(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
            self.give(&folder);
        }
        let file = self.path("home/config/policy/default.cedar");
        std::fs::write(&file, text).unwrap();
        self.give(&file);
    }

    fn converse(&self) -> Conversation {
        let mut gate = Conversation::with(self.gate(&["run", "fixture"]));
        gate.initialize("2025-11-25");
        gate
    }

    fn records(&self) -> Vec<Value> {
        listed(&self.run(&ALL_RECORDS))
    }
}

const PERMIT: &str = "permit(principal, action, resource);\n";

#[test]
fn without_a_waiver_nothing_starts_and_the_way_out_is_named() {
    let narrow = Narrow::new();
    let refused = narrow.add_fixture(&[]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(
        said.contains("cannot make the namespaces") && said.contains("`--waive namespaces` of `add`"),
        "{said}"
    );
    assert!(!narrow.path("home/config/servers/fixture").exists());
    let examined = narrow.run(&["doctor"]);
    let said = text(&examined.stdout);
    assert_eq!(examined.status.code(), Some(5), "{said}");
    assert!(
        said.contains("landlocked: a server starts only without namespaces, with `waive = [\"namespaces\"]`")
            && said.contains("given up namespaces: none")
            && said.contains("process-fence"),
        "{said}"
    );
    let examined = narrow.run(&["--format", "json", "doctor"]);
    let facts: Value = serde_json::from_slice(&examined.stdout).unwrap();
    assert_eq!(facts["backends"][0]["tier"], "landlocked", "{facts}");
    // What a person took the waiver from does not start either.
    let added = narrow.add_fixture(&WAIVED);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let manifest = narrow.path("home/config/servers/fixture/manifest.toml");
    let waived = std::fs::read_to_string(&manifest).unwrap();
    assert!(waived.contains("waive = [\"namespaces\"]"), "{waived}");
    std::fs::write(&manifest, waived.replace("waive = [\"namespaces\"]", "waive = []")).unwrap();
    let refused = narrow.run(&["call", "fixture", "look"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
}

#[test]
fn what_a_waiver_gives_up_is_said_recorded_and_seen_by_policies() {
    let narrow = Narrow::new();
    let added = narrow.add_fixture(&WAIVED);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(said.contains("gives up  `namespaces`, waived: Landlock"), "{said}");
    let checked = narrow.run(&["manifest", "check", "fixture"]);
    assert!(
        text(&checked.stderr).contains("gives up `namespaces`"),
        "{}",
        text(&checked.stderr)
    );
    let configuration = narrow.path("home/client.json");
    let own = narrow.path("cofferdam");
    let entry = json!({"mcpServers": {"fixture": {"command": own, "args": ["run", "fixture"]}}});
    std::fs::write(&configuration, entry.to_string()).unwrap();
    narrow.give(&configuration);
    let listed = narrow.run(&["status", "--config", configuration.to_str().unwrap()]);
    let said = text(&listed.stdout);
    assert!(
        said.contains("gives up `namespaces`, waived"),
        "{said}{}",
        text(&listed.stderr)
    );
    narrow.write_policy(PERMIT);
    let mut gate = narrow.converse();
    let answer = gate.call("echo", json!({"message": "hello"}));
    assert_eq!(said_in(&answer), "hello", "{answer}");
    assert!(gate.end().success());
    let records = narrow.records();
    let open = records.iter().rfind(|record| record["kind"] == "open").unwrap();
    assert_eq!(open["facts"]["opening"]["waived"], json!(["namespaces"]), "{open}");
    let enforced = &records.iter().rfind(|record| record["kind"] == "enforcement").unwrap()["facts"];
    assert!(
        enforced["landlocked"]["refuses_signals"] == true && enforced["landlocked"]["refuses_processes"] == true,
        "{enforced}"
    );
    let given_up = enforced["not_enforced"].as_array().unwrap();
    assert!(
        given_up
            .iter()
            .any(|what| what.as_str().unwrap().starts_with("namespaces: none"))
    );
    let same = enforced["namespaces"].as_array().unwrap();
    assert!(
        same.iter().all(|namespace| namespace["inode"] == namespace["ours"]),
        "{enforced}"
    );
    // A policy can refuse calls of such a server.
    narrow.write_policy(&format!(
        "{PERMIT}forbid (principal, action in Action::\"call\", resource) when {{ context.tier == \"landlocked\" }};\n"
    ));
    let mut gate = narrow.converse();
    let refused = gate.call("echo", json!({"message": "hello"}));
    assert!(rule_of(&refused).starts_with("policy/"), "{refused}");
}

#[test]
fn a_server_without_namespaces_reaches_no_file_process_or_network_of_its_user() {
    let narrow = Narrow::new();
    narrow.write_policy(PERMIT);
    let secret = narrow.file("id_rsa", "private key");
    let reading = narrow.path("reading");
    std::fs::create_dir(&reading).unwrap();
    std::fs::write(reading.join("file"), "granted").unwrap();
    let added = narrow.add_fixture(&[&WAIVED[..], &["--read", reading.to_str().unwrap()]].concat());
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut gate = narrow.converse();
    let service = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = service.local_addr().unwrap().to_string();
    let socket = narrow.path("service");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        listener
            .incoming()
            .for_each(|stream| stream.unwrap().write_all(b"hello").unwrap())
    });
    let of_gate = format!("/proc/{}/cmdline", gate.child.id());
    let outside = narrow.path("workspace/outside");
    // The same user, with nothing around it, does all of it: it would.
    let bare = |words: &[&str]| {
        text(
            &narrow
                .command(Path::new("/bin/sh"), &[&["-c"], words].concat())
                .output()
                .unwrap()
                .stdout,
        )
    };
    assert_eq!(bare(&[&format!("cat {}", secret.display())]), "private key");
    assert!(bare(&[&format!("cat {of_gate}")]).contains("fixture"));
    assert_eq!(
        bare(&[&format!("echo x > {0} && cat {0} && rm {0}", outside.display())]),
        "x\n"
    );
    let mut look = |arguments: Value| said_in(&gate.call("look", arguments)).to_owned();
    assert_eq!(look(json!({"read": reading.join("file")})), "granted");
    assert!(look(json!({"read": secret})).contains("Permission denied"));
    assert!(look(json!({"read": of_gate})).contains("Permission denied"));
    assert!(look(json!({"write": outside})).contains("Permission denied"));
    assert!(look(json!({"connect": address})).contains("Operation not permitted"));
    let mut refused = |tool: &str, arguments: Value| said_in(&gate.call(tool, arguments)).to_owned();
    assert!(refused("socket", json!({"path": socket})).contains("Operation not permitted"));
    for words in [json!(["/bin/sh", "-c", "id"]), json!(["/usr/bin/id"])] {
        assert!(
            refused("execute", json!({"words": words})).contains("Permission denied"),
            "{words}"
        );
    }
    assert!(gate.end().success());
    assert!(!outside.exists());
    // An attempt is evidence.
    let records = narrow.records();
    let tried = |call: &str| records.iter().any(|record| record["facts"]["call"] == call);
    assert!(tried("socket") && tried("execve"), "{records:#?}");
}

#[test]
fn what_cannot_be_had_without_namespaces_is_refused_in_the_users_words() {
    let narrow = Narrow::new();
    let refused = narrow.add_fixture(&[&WAIVED[..], &["--network", "api.example.org:443"]].concat());
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(
        said.contains("`[network] allow` grants hosts, which cannot be had without them"),
        "{said}"
    );
    let project = narrow.path("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join(".env"), "TOKEN=hunter2").unwrap();
    let refused = narrow.add_fixture(&[&WAIVED[..], &["--read", project.to_str().unwrap()]].concat());
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(said.contains("/.env` lies in a granted folder"), "{said}");
    let refused = narrow.add_fixture(&[&WAIVED[..], &["--waive", "seccomp"]].concat());
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("`seccomp` cannot be waived"));
}

/// The protocol's own server for files, on node: it answers, reads and writes what is granted, and nothing else.
#[test]
fn a_real_server_answers() {
    let narrow = Narrow::new();
    narrow.write_policy(PERMIT);
    let granted = narrow.path("workspace/granted");
    std::fs::create_dir(&granted).unwrap();
    narrow.give(&granted);
    let secret = narrow.file("secret", "private key");
    let line = [
        node_server("server-filesystem"),
        vec![granted.to_str().unwrap().to_owned()],
    ]
    .concat();
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let added = narrow.add(&[&WAIVED[..], &["--write", granted.to_str().unwrap()]].concat(), &line);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut gate = narrow.converse();
    let file = granted.join("note");
    let wrote = gate.call("write_file", json!({"path": file, "content": "a note"}));
    assert!(said_in(&wrote).contains("Successfully wrote"), "{wrote}");
    let read = gate.call("read_text_file", json!({"path": file}));
    assert_eq!(said_in(&read), "a note", "{read}");
    let refused = gate.call("read_text_file", json!({"path": secret}));
    assert!(!refused.to_string().contains("private key"), "{refused}");
    assert!(gate.end().success());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "a note");
}

/// Whoever kills the gate ends the server, and its folder goes with it.
#[test]
fn sigkill_of_the_gate_leaves_no_process_and_no_folder() {
    let narrow = Narrow::new();
    narrow.write_policy(PERMIT);
    let programs = ["--execute", "/bin/sh", "--execute", "setsid", "--execute", "sleep"];
    let added = narrow.add_fixture(&[&WAIVED[..], &programs].concat());
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut gate = narrow.converse();
    let left = gate.call("daemon", json!({}));
    assert_eq!(said_in(&left), "left\n", "{left}");
    let home = said_in(&gate.call("look", json!({}))).to_owned();
    let home = home.lines().find_map(|line| line.strip_prefix("HOME=")).unwrap();
    let folder = Path::new(home).parent().unwrap().to_owned();
    assert!(folder.exists());
    let number = folder.file_name().unwrap().to_str().unwrap().to_owned();
    // What it started has the folder in its environment.
    let living = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let has_folder = |entry: &std::fs::DirEntry| {
            std::fs::read(entry.path().join("environ")).is_ok_and(|environment| text(&environment).contains(&number))
        };
        entries.filter(has_folder).count()
    };
    assert!(living() >= 2, "the server, and what it left behind");
    gate.child.kill().unwrap();
    let began = Instant::now();
    while living() > 0 || folder.exists() {
        assert!(began.elapsed() < STUCK, "{} live on", living());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Root becomes somebody of whom there is no other process.
#[test]
fn root_gives_itself_up() {
    if !nix::unistd::geteuid().is_root() {
        return without_a_waiver_nothing_starts_and_the_way_out_is_named();
    }
    let stage = Stage::new();
    std::fs::set_permissions(
        stage.workspace().parent().unwrap(),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let added = stage.add("fixture", &WAIVED, &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let seen = gate.call("look", json!({"read": "/etc/shadow"}));
    assert!(said_in(&seen).contains("Permission denied"), "{seen}");
    assert!(gate.end().success());
    let records = stage.records();
    let enforced = &records.iter().rfind(|record| record["kind"] == "enforcement").unwrap()["facts"];
    let who = enforced["inside_ids"][0].as_u64().unwrap();
    assert!(who >= 0x7000_0000, "{enforced}");
    assert_eq!(enforced["groups"], json!([]), "{enforced}");
}

/// The gate in a container with the walls that its engine makes by itself: the engine masks `/proc` and its filter
/// allows no namespace.
#[test]
fn in_a_stock_container_a_server_starts_only_by_its_waiver() {
    for who in [Who::Root, Who::User] {
        let bench = Bench::new(who);
        let programs = [env!("CARGO_BIN_EXE_cofferdam"), &fixture()];
        let image = bench.image("gate", &programs, "", |root| {
            for folder in ["root", "tmp"] {
                std::fs::create_dir(root.join(folder)).unwrap();
            }
            std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        });
        let script =
            "umask 077; mkdir -p \"$1/home/config/policy\"; echo \"$2\" > \"$1/home/config/policy/default.cedar\"";
        let workspace = bench.workspace();
        let made = bench
            .command("sh")
            .args(["-c", script, "sh"])
            .arg(&workspace)
            .arg(PERMIT)
            .status()
            .unwrap();
        assert!(made.success());
        let gate = |words: &[&str]| {
            let mut command = bench.command("podman");
            // A machine that itself is one may not raise limits, nor make control groups.
            command.args([
                "run",
                "--rm",
                "--ulimit=nofile=1024:1024",
                "--ulimit=nproc=1024:1024",
                "--cgroups=disabled",
            ]);
            command.args(["--network=none", "--tmpfs=/tmp", "-v"]);
            command.arg(format!("{}:/gate", workspace.display()));
            command.args([&image, "cofferdam", "--home", "/gate/home"]).args(words);
            command.output().unwrap()
        };
        let program = "/usr/bin/fixture_server";
        let refused = gate(&["add", "fixture", "--yes", "--", program]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(5), "{who:?}: {said}");
        assert!(said.contains("waive = [\"namespaces\"]"), "{who:?}: {said}");
        let added = gate(&["add", "fixture", "--yes", "--waive", "namespaces", "--", program]);
        assert!(added.status.success(), "{who:?}: {}", text(&added.stderr));
        let called = gate(&["call", "fixture", "echo", "{\"message\": \"hello\"}"]);
        let said = text(&called.stdout);
        assert!(said.contains("hello"), "{who:?}: {said}{}", text(&called.stderr));
        let looked = gate(&[
            "call",
            "fixture",
            "look",
            "{\"read\": \"/proc/1/environ\", \"write\": \"/gate/home/x\"}",
        ]);
        let said = text(&looked.stdout);
        assert_eq!(
            said.matches("Permission denied").count(),
            2,
            "{who:?}: {said}{}",
            text(&looked.stderr)
        );
    }
}

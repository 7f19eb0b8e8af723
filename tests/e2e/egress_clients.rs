//! Clients that come in packages, and a real fetch server from before it judged addresses, against servers of the test.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::egress::{Scene, Server, execute};
use crate::support::{Conversation, STUCK, fixture, said_in, text};

/// The Python with `requests`, `httpx` and the fetch server.
fn python() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let python = target.join("servers/fetch/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run `cargo xtask servers`",
        python.display()
    );
    python.to_str().unwrap().to_owned()
}

#[test]
fn clients_of_python_need_no_proxy() {
    let scene = Scene::new();
    let server = Server::start(&scene.site, false);
    let url = format!("http://api.test:{}/hello", server.port);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture/scripts.py");
    let (python, script) = (python(), script.canonicalize().unwrap());
    let allow = [
        format!("api.test:{}", server.port),
        format!("127.0.0.1:{}", server.port),
    ];
    let mut gate = scene.run_with(&allow, &[], &[], &[&python, script.to_str().unwrap()]);
    for script in [
        "import requests,sys; print(requests.get(sys.argv[1], timeout=9).text)",
        "import httpx,sys; print(httpx.get(sys.argv[1], timeout=9).text)",
        "import asyncio,httpx,sys
async def main():
    async with httpx.AsyncClient() as client:
        print((await client.get(sys.argv[1], timeout=9)).text)
asyncio.run(main())",
    ] {
        let said = execute(&mut gate, &[script, &url]);
        assert!(said.contains("hello from outside"), "{script}: {said}");
        let elsewhere = url.replace("api.test", "other.test");
        let said = execute(&mut gate, &[script, &elsewhere]);
        assert!(!said.contains("hello from outside"), "{script}: {said}");
    }
    assert!(gate.end().success());
}

fn fetched(server: &mut Conversation, url: &str) -> bool {
    let answer = server.call("fetch", json!({"url": url, "raw": true}));
    said_in(&answer).contains("hello from outside")
}

#[test]
fn a_fetch_server_reaches_what_is_granted_in_no_other_form() {
    let scene = Scene::new();
    let (server, neighbour) = (Server::start(&scene.site, false), Server::start(&scene.site, false));
    let port = neighbour.port;
    let python = python();
    let words = [python.as_str(), "-m", "mcp_server_fetch", "--ignore-robots-txt"];
    let forms: Vec<String> = [
        "127.0.0.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "localhost",
        "other.test",
    ]
    .iter()
    .map(|host| format!("http://{host}:{port}/hello"))
    .collect();
    let granted = format!("http://api.test:{}", server.port);
    let redirected = format!("{granted}/to/127.0.0.1:{port}/hello");

    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("PATH", "/usr/bin:/bin");
    let mut bare = scene.start(&command);
    for url in forms.iter().chain([&redirected]) {
        assert!(fetched(&mut bare, url), "bare, {url} is reached: {}", bare.said());
    }
    bare.end();

    let allow = [
        format!("api.test:{}", server.port),
        format!("127.0.0.1:{}", server.port),
    ];
    let mut gated = scene.run_with(&allow, &[], &[], &words);
    assert!(fetched(&mut gated, &format!("{granted}/hello")), "{}", gated.said());
    for url in forms.iter().chain([&redirected]) {
        assert!(!fetched(&mut gated, url), "{url} was reached");
    }
    for metadata in [
        "169.254.169.254/latest",
        "[fd00:ec2::254]/latest",
        "100.100.100.200/",
        "168.63.129.16/",
    ] {
        let url = format!("http://{metadata}");
        let answer = gated.call("fetch", json!({"url": url}));
        assert_eq!(answer["result"]["isError"], true, "{url}: {answer}");
        let redirected = format!("{granted}/to/{metadata}");
        let answer = gated.call("fetch", json!({"url": redirected}));
        assert_eq!(answer["result"]["isError"], true, "{redirected}: {answer}");
    }
    assert!(gated.end().success());
    let connections = scene.connections();
    let ours = format!("127.0.0.1:{}", server.port);
    let opened = connections.iter().filter(|facts| facts["event"] == "open");
    assert!(opened.clone().count() >= 2, "{connections:?}");
    assert!(opened.clone().all(|facts| facts["address"] == ours), "{connections:?}");
}

/// A database of the test on the loopback, ended with it.
struct Database {
    child: Child,
    _folder: tempfile::TempDir,
    port: u16,
}

const DATABASE_PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

impl Database {
    fn start() -> Self {
        // `nobody`: a database does not start as root, nor as a user without a name.
        const USER: u32 = 65_534;
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(USER), Some(USER)).unwrap();
        let as_user = |program: &str| {
            let path = Path::new(DATABASE_PROGRAMS).join(program);
            assert!(path.exists(), "this test needs {}", path.display());
            let mut command = Command::new("setpriv");
            let id = USER.to_string();
            command
                .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
                .arg(path);
            command.current_dir("/").stdin(Stdio::null());
            command
        };
        let made = as_user("initdb")
            .args(["-A", "trust", "-U", "somebody", "-N", "-D"])
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .unwrap()
            .port();
        let child = as_user("postgres")
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["-h", "127.0.0.1", "-k", "", "-F", "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < STUCK, "the database does not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self {
            child,
            _folder: folder,
            port,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        // SIGINT: a fast end, with its own processes.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let _ = self.child.wait();
    }
}

#[test]
fn a_database_client_reaches_its_database() {
    let scene = Scene::new();
    let database = Database::start();
    let allow = [
        format!("api.test:{}", database.port),
        format!("127.0.0.1:{}", database.port),
    ];
    let (client, port) = (format!("{DATABASE_PROGRAMS}/psql"), database.port.to_string());
    let mut gate = scene.run_with(&allow, &[], &["--execute", &client], &[&fixture()]);
    let ask = |host: &str| {
        let words = [
            &client, "-h", host, "-p", &port, "-U", "somebody", "-d", "postgres", "-tAc",
        ];
        [&words[..], &["select repeat('row ', 40000), 6*7"]]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let mut said_by = |host: &str| {
        let words = ask(host);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        execute(&mut gate, &words)
    };
    let said = said_by("api.test");
    assert!(said.contains("|42") && said.len() > 160_000, "{}", said.len());
    assert!(!said_by("other.test").contains("|42"));
    assert!(gate.end().success());
}

//! Connections of a server, without one variable for a proxy: what is granted is reached, and nothing else.
//!
//! Names are given addresses in a mount namespace of the gate's own, with an `/etc/hosts` of the test; that needs root.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Conversation, Stage, fixture, said_in, text, within};

/// A server of the test on the loopback, ended with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Serves a folder, over TLS with a certificate of this name in it.
    pub(crate) fn start(folder: &Path, tls: bool) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture/https.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(folder);
        if tls {
            command.args([folder.join("certificate.pem"), folder.join("key.pem")]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|cause| panic!("this test needs /usr/bin/python3: {cause}"));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ours, and possibly gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Names that have addresses in these tests.
pub(crate) const NAMES: &str =
    "127.0.0.1 localhost api.test other.test\n169.254.169.254 rebound.test\n10.255.0.1 inner.test\n";

/// A server that can execute programs, with these grants; `api.test`, `other.test` and `rebound.test` have addresses.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) hosts: PathBuf,
    pub(crate) site: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root: it gives names addresses in a mount namespace"
        );
        let stage = Stage::new();
        let hosts = stage.workspace().join("hosts");
        std::fs::write(&hosts, NAMES).unwrap();
        let site = stage.workspace().join("site");
        std::fs::create_dir(&site).unwrap();
        std::fs::write(site.join("hello"), "hello from outside\n").unwrap();
        Self { stage, hosts, site }
    }

    /// Writes a certificate for `api.test` that is its own authority, and gives its path.
    fn certificate(&self) -> String {
        let (certificate, _key) = crate::support::certificate(&self.site, "api.test");
        certificate.to_str().unwrap().to_owned()
    }

    /// Adds a server that can execute programs, and starts it.
    pub(crate) fn run(&self, allow: &[String], tls: &[String]) -> Conversation {
        let mut options = vec!["--read", self.site.to_str().unwrap()];
        options.extend(PROGRAMS.iter().flat_map(|program| ["--execute", program]));
        self.run_with(allow, tls, &options, &[&fixture()])
    }

    /// Adds a server with these grants and words for `add`, and starts it.
    pub(crate) fn run_with(
        &self,
        allow: &[String],
        tls: &[String],
        options: &[&str],
        command: &[&str],
    ) -> Conversation {
        let hosts: Vec<&str> = allow.iter().flat_map(|host| ["--network", host]).collect();
        let added = self.stage.add("net", &[&hosts[..], options].concat(), command);
        assert!(added.status.success(), "{}", text(&added.stderr));
        if !tls.is_empty() {
            self.stage.edit_manifest("net", |manifest| {
                manifest.replacen("[network]\n", &format!("[network]\ntls = {tls:?}\n"), 1)
            });
        }
        self.start(&self.stage.command(&["run", "net"]))
    }

    /// Starts a server where the names have their addresses.
    pub(crate) fn start(&self, server: &Command) -> Conversation {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
            .arg(&self.hosts);
        let mut conversation = Conversation::with(within(command, server));
        conversation.initialize("2025-03-26");
        conversation
    }

    /// Facts of what egress put on record, oldest first, without that of `add`.
    pub(crate) fn connections(&self) -> Vec<Value> {
        let records = self.stage.records();
        let began = records.iter().rposition(|record| record["kind"] == "open").unwrap();
        records[began..]
            .iter()
            // What the compartment saw the program attempt is of the same kind, and no event of egress.
            .filter(|record| record["kind"] == "connection" && record["facts"]["event"].is_string())
            .map(|record| record["facts"].clone())
            .collect()
    }
}

/// What the server executes in these tests.
const PROGRAMS: [&str; 5] = [
    "/usr/bin/curl",
    "/usr/bin/node",
    "/usr/bin/python3",
    "/usr/bin/git",
    "/usr/lib/git-core/git-remote-https",
];

/// What a program inside prints.
pub(crate) fn execute(gate: &mut Conversation, words: &[&str]) -> String {
    said_in(&gate.call("execute", json!({"words": words}))).to_owned()
}

const PYTHON_URLLIB: &str =
    "import sys,urllib.request;print(urllib.request.urlopen(sys.argv[1],timeout=9).read().decode())";
const PYTHON_ASYNCIO: &str = "import asyncio,sys
async def main(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b'GET /hello HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n')
    print((await reader.read()).decode())
asyncio.run(main(sys.argv[1], int(sys.argv[2])))";
/// The way of axios and of most clients that are older than `fetch`.
const NODE_HTTP: &str = "const f=require('http').get(process.argv[1],r=>r.setEncoding('utf8').on('data',d=>console.log(d)));f.on('error',e=>console.log('failed',e.code))";
const NODE_FETCH: &str =
    "fetch(process.argv[1]).then(r=>r.text()).then(console.log,e=>console.log('failed',e.cause?.code))";

#[test]
fn programs_reach_what_is_granted_by_name() {
    let scene = Scene::new();
    let server = Server::start(&scene.site, false);
    let port = server.port.to_string();
    let mut gate = scene.run(&[format!("api.test:{port}"), format!("127.0.0.1:{port}")], &[]);
    let url = format!("http://api.test:{port}/hello");
    for words in [
        &["/usr/bin/curl", "-sS", &url][..],
        &["/usr/bin/node", "-e", NODE_FETCH, &url],
        &["/usr/bin/node", "-e", NODE_HTTP, &url],
        &["/usr/bin/python3", "-c", PYTHON_URLLIB, &url],
        &["/usr/bin/python3", "-c", PYTHON_ASYNCIO, "api.test", &port],
    ] {
        let said = execute(&mut gate, words);
        assert!(
            said.contains("hello from outside"),
            "{words:?}: {said}\n{}",
            gate.said()
        );
    }
    let variables = said_in(&gate.call("look", json!({}))).to_ascii_lowercase();
    assert!(!variables.contains("proxy"), "{variables}");
    assert!(gate.end().success());
    let connections = scene.connections();
    let opened: Vec<&Value> = connections.iter().filter(|facts| facts["event"] == "open").collect();
    assert_eq!(opened.len(), 5, "{connections:?}");
    assert_eq!(opened[0]["wanted"], format!("api.test:{port}"));
    assert_eq!(opened[0]["address"], format!("127.0.0.1:{port}"));
    let ends: Vec<&Value> = connections.iter().filter(|facts| facts["event"] == "end").collect();
    assert_eq!(ends.len(), 5, "{connections:?}");
    for end in ends {
        assert!(
            end["sent"].as_u64().unwrap() > 20 && end["received"].as_u64().unwrap() > 20,
            "{end}"
        );
    }
}

#[test]
fn tls_passes_under_the_name_of_the_host_only() {
    let scene = Scene::new();
    let certificate = scene.certificate();
    let server = Server::start(&scene.site, true);
    let port = server.port;
    let (api, other) = (format!("api.test:{port}"), format!("other.test:{port}"));
    let mut gate = scene.run(
        &[api.clone(), other.clone(), format!("127.0.0.1:{port}")],
        &[api, other],
    );
    let curl = ["/usr/bin/curl", "-sS", "--cacert", &certificate];
    let said = execute(
        &mut gate,
        &[&curl[..], &[&format!("https://api.test:{port}/hello")]].concat(),
    );
    assert!(said.contains("hello from outside"), "{said}");
    let repository = scene.site.join("repository.git");
    let made = Command::new("sh")
        .args(["-c", "git init -q --bare \"$0\" && git -C \"$0\" update-server-info"])
        .arg(&repository)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let config = format!("http.sslCAInfo={certificate}");
    let url = format!("https://api.test:{port}/repository.git");
    let said = execute(&mut gate, &["/usr/bin/git", "-c", &config, "ls-remote", &url]);
    assert!(said.contains("exit status: 0"), "{said}");

    // Another name in the first message than the one that was asked for, none, and no TLS at all.
    let swapped = format!("api.test:{port}:other.test:{port}");
    let (https, http) = (
        format!("https://api.test:{port}/hello"),
        format!("http://other.test:{port}/hello"),
    );
    for words in [
        [&curl[..], &["--connect-to", &swapped, &https]].concat(),
        vec!["/usr/bin/curl", "-sS", &http],
    ] {
        let said = execute(&mut gate, &words);
        assert!(!said.contains("hello from outside"), "{words:?}: {said}");
    }
    assert!(gate.end().success());
    let connections = scene.connections();
    let refused: Vec<&Value> = connections.iter().filter(|facts| facts["event"] == "refused").collect();
    assert_eq!(refused.len(), 2, "{connections:?}");
    assert!(
        refused.iter().all(|facts| facts["rule"] == "egress/tls-name"),
        "{refused:?}"
    );
    assert!(refused[0]["why"].as_str().unwrap().contains("api.test"), "{refused:?}");
}

#[test]
fn this_machine_is_reached_by_its_own_name_where_that_is_granted() {
    let scene = Scene::new();
    let (server, neighbour) = (Server::start(&scene.site, false), Server::start(&scene.site, false));
    let mut gate = scene.run(&[format!("localhost:{}", server.port)], &[]);
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let url = format!("http://{host}:{}/hello", server.port);
        let said = execute(&mut gate, &["/usr/bin/curl", "-sS", &url]);
        assert!(said.contains("hello from outside"), "{host}: {said}");
        let url = format!("http://{host}:{}/hello", neighbour.port);
        let said = execute(&mut gate, &["/usr/bin/curl", "-sS", &url]);
        assert!(!said.contains("hello from outside"), "{host}: {said}");
    }
    assert!(gate.end().success());
}

#[test]
fn any_resolver_is_answered_here_and_hears_nothing_more() {
    const ASK: &str = r#"
import socket, struct, sys
def ask(name, kind, to, stream=False):
    labels = b"".join(bytes([len(l)]) + l for l in name.split(b"."))
    q = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    s.settimeout(9)
    s.connect((to, 53))
    if stream:
        s.sendall(struct.pack("!H", len(q)) + q)
        r = s.recv(4096)[2:]
    else:
        s.send(q)
        r = s.recv(4096)
    return r[3] & 15, struct.unpack("!H", r[6:8])[0]
for to in ["8.8.8.8", "1.1.1.1", "127.0.0.53", "2001:4860:4860::8888"]:
    for stream in [False, True]:
        print(to, ask(b"api.test", 1, to, stream), ask(b"api.test", 65, to, stream), ask(b"secret.evil.test", 16, to, stream))
"#;
    let scene = Scene::new();
    let mut gate = scene.run(&["api.test:443".to_owned()], &[]);
    let said = execute(&mut gate, &["/usr/bin/python3", "-c", ASK]);
    // A connected socket takes an answer from the address it asked and from no other.
    assert_eq!(said.matches("(0, 1) (0, 0) (3, 0)").count(), 8, "{said}");
    assert!(gate.end().success());
}

#[test]
fn a_program_that_guards_itself_takes_the_addresses_for_public() {
    const GUARD: &str = "import ipaddress,socket;a=ipaddress.ip_address(socket.gethostbyname('api.test'));print('global',a.is_global,'private',a.is_private)";
    let scene = Scene::new();
    let mut gate = scene.run(&["api.test:443".to_owned()], &[]);
    let said = execute(&mut gate, &["/usr/bin/python3", "-c", GUARD]);
    assert!(said.contains("global True private False"), "{said}");
    assert!(gate.end().success());
}

#[test]
fn what_is_open_when_the_session_ends_is_ended_on_record() {
    const HOLD: &str = "import socket,sys,os\ns=socket.create_connection(('api.test',int(sys.argv[1])))\nif os.fork()==0:\n os.setsid()\n s.recv(1)\nprint('open')";
    let scene = Scene::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let mut gate = scene.run(&[format!("api.test:{port}"), format!("127.0.0.1:{port}")], &[]);
    gate.post(
        "tools/call",
        json!({"name": "execute", "arguments": {"words": ["/usr/bin/python3", "-c", HOLD, port.to_string()]}}),
    );
    let (held, _) = server.accept().unwrap();
    assert!(gate.end().success());
    drop(held);
    let connections = scene.connections();
    let events: Vec<&Value> = connections.iter().map(|facts| &facts["event"]).collect();
    assert_eq!(events, ["open", "end"], "{connections:?}");
    let verified = scene.stage.verify();
    assert!(
        !verified.is_empty() && verified.iter().all(|verdict| verdict["intact"] == true),
        "{verified:?}"
    );
}

#[test]
fn a_person_can_look_around_but_not_connect() {
    let stage = Stage::new();
    let added = stage.add("net", &["--network", "api.test:443"], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    assert!(
        text(&added.stderr).contains("network   api.test:443"),
        "{}",
        text(&added.stderr)
    );
    let entered = stage.run(&["enter", "net", "--", "/bin/cat", "/etc/resolv.conf"]);
    assert_eq!(text(&entered.stdout), "");
    assert!(
        text(&entered.stderr).contains("without network here"),
        "{}",
        text(&entered.stderr)
    );
}

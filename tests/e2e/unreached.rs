//! What is not granted is not reached, in no form of its name or address: without a container and in one.
//!
//! Names are given addresses in a mount namespace of the gate's own, as in `egress.rs`; that needs root.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::egress::{Scene, Server, execute};
use crate::podman::{Bench, Who};
use crate::support::{Conversation, text};

/// Names that are not allowed, allowed with another port, or allowed and leading to what nobody granted; and addresses, in every form.
const REFUSED: [&str; 27] = [
    "evil.test",
    "api.test.evil.test",
    "other.test",
    "api.test",
    "API.Test",
    "rebound.test",
    "inner.test",
    "missing.invalid",
    "*.test",
    "api.test%00.evil.test",
    "\u{e4}pi.test",
    "127.0.0.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "100.100.100.200",
    "168.63.129.16",
    "93.184.216.34",
    "28.0.0.200",
];

/// Forms of this machine's address by which the same server is reached where nothing stands between.
const OUTSIDE: [&str; 7] = [
    "127.0.0.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "localhost",
    "[::ffff:127.0.0.1]",
];

/// Grants of names alone: not of the addresses that they lead to, and of one name on another port.
fn names_alone(port: u16) -> Vec<String> {
    let mut allow: Vec<String> = ["api.test", "rebound.test", "inner.test", "missing.invalid"]
        .map(|name| format!("{name}:{port}"))
        .into();
    allow.push("other.test:1".to_owned());
    allow
}

fn url(host: &str, port: u16) -> String {
    format!("http://{host}:{port}/hello")
}

/// The positive control.
fn is_reached_outside(port: u16) {
    for host in OUTSIDE {
        let outside = Command::new("curl").args(["-sS", &url(host, port)]).output().unwrap();
        let said = text(&outside.stdout);
        assert!(said.contains("hello"), "{host}: {}", text(&outside.stderr));
    }
}

fn is_not_reached(gate: &mut Conversation, port: u16) {
    for host in REFUSED {
        let said = execute(gate, &["/usr/bin/curl", "-sS", "-g", "-m", "20", &url(host, port)]);
        assert!(
            !said.contains("hello from outside") && !said.contains("exit status: 0"),
            "{host}: {said}"
        );
    }
}

fn is_on_record(connections: &[Value], port: u16) {
    let rule_of = |wanted: &str| {
        let found = connections.iter().find(|facts| facts["wanted"] == *wanted);
        found.unwrap_or_else(|| panic!("{wanted}: {connections:?}"))["rule"].clone()
    };
    for (wanted, rule) in [
        ("evil.test".to_owned(), "egress/name-not-allowed"),
        ("api.test.evil.test".to_owned(), "egress/name-not-allowed"),
        (format!("other.test:{port}"), "egress/port-not-allowed"),
        (format!("api.test:{port}"), "egress/resolved-address"),
        (format!("rebound.test:{port}"), "egress/resolved-address"),
        (format!("inner.test:{port}"), "egress/resolved-address"),
        (format!("missing.invalid:{port}"), "egress/resolved-address"),
        (format!("127.0.0.1:{port}"), "egress/address-not-allowed"),
        (format!("[::1]:{port}"), "egress/address-not-allowed"),
        (format!("169.254.169.254:{port}"), "egress/address-not-allowed"),
        (format!("[fd00:ec2::254]:{port}"), "egress/address-not-allowed"),
        (format!("28.0.0.200:{port}"), "egress/address-not-allowed"),
    ] {
        assert_eq!(rule_of(&wanted), rule, "{wanted}");
    }
    assert!(
        connections.iter().all(|facts| facts["event"] == "refused"),
        "{connections:?}"
    );
}

#[test]
fn everything_else_is_refused_and_on_record() {
    let scene = Scene::new();
    let server = Server::start(&scene.site, false);
    is_reached_outside(server.port);
    let mut gate = scene.run(&names_alone(server.port), &[]);
    is_not_reached(&mut gate, server.port);
    let told = gate.said();
    assert!(told.contains("was refused `evil.test`"), "{told}");
    assert!(
        told.contains("manifest allow") && told.contains("host evil.test:443"),
        "{told}"
    );
    assert!(gate.end().success());
    is_on_record(&scene.connections(), server.port);
}

#[test]
fn nor_is_it_reached_from_a_container() {
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("hello"), "hello from outside\n").unwrap();
    let server = Server::start(site.path(), false);
    is_reached_outside(server.port);
    for who in [Who::Root, Who::User] {
        let bench = Bench::new(who);
        let programs = [&crate::support::fixture(), "/usr/bin/curl"];
        let image = bench.image("curl", &programs, "ENTRYPOINT [\"fixture_server\"]\n", |_| {});
        let allow = names_alone(server.port);
        let mut options = vec!["--image", &image];
        options.extend(allow.iter().flat_map(|host| ["--network", host]));
        let added = bench.add("net", &options, &[]);
        assert!(added.status.success(), "{}", text(&added.stderr));
        let mut gate = bench.converse("net");
        is_not_reached(&mut gate, server.port);
        assert!(gate.end().success(), "{who:?}");
        let records = bench.records();
        let began = records.iter().rposition(|record| record["kind"] == "open").unwrap();
        let of_egress = |record: &&Value| record["kind"] == "connection" && record["facts"]["event"].is_string();
        let connections: Vec<Value> = records[began..]
            .iter()
            .filter(of_egress)
            .map(|record| record["facts"].clone())
            .collect();
        is_on_record(&connections, server.port);
    }
}

/// A name that leads to a granted address first and to an inner one later is judged by where it leads each time.
#[test]
fn a_name_that_moves_to_an_inner_address_is_refused_from_then_on() {
    let scene = Scene::new();
    let server = Server::start(&scene.site, false);
    let port = server.port;
    let inner = TcpListener::bind(("127.0.0.2", port)).unwrap();
    std::thread::spawn(move || {
        for stream in inner.incoming() {
            let mut stream = stream.unwrap();
            // Read to where the request ends, or the answer would be taken back by a reset.
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello from within\n").unwrap();
        }
    });
    let outside = Command::new("curl")
        .args(["-sS", &url("127.0.0.2", port)])
        .output()
        .unwrap();
    assert_eq!(
        text(&outside.stdout),
        "hello from within\n",
        "{}",
        text(&outside.stderr)
    );
    let mut gate = scene.run(&[format!("api.test:{port}"), format!("127.0.0.1:{port}")], &[]);
    let mut asked = || execute(&mut gate, &["/usr/bin/curl", "-sS", "-m", "20", &url("api.test", port)]);
    assert!(asked().contains("hello from outside"));
    // In place, since the file is mounted where the gate reads it.
    std::fs::write(&scene.hosts, "127.0.0.2 api.test\n").unwrap();
    let said = asked();
    assert!(!said.contains("hello from"), "{said}");
    // And back again: nothing was remembered either way.
    std::fs::write(&scene.hosts, crate::egress::NAMES).unwrap();
    assert!(asked().contains("hello from outside"));
    assert!(gate.end().success());
    let connections = scene.connections();
    let refused: Vec<&Value> = connections.iter().filter(|facts| facts["event"] == "refused").collect();
    assert_eq!(refused.len(), 1, "{connections:?}");
    assert_eq!(refused[0]["rule"], "egress/resolved-address", "{refused:?}");
}

/// What one server may reach is no way out for its neighbour: each has doors of its own.
#[test]
fn grants_of_one_server_do_not_serve_another() {
    let scene = Scene::new();
    let server = Server::start(&scene.site, false);
    let port = server.port;
    let options = ["--execute", "/usr/bin/curl"];
    let fixture = crate::support::fixture();
    let own = [format!("api.test:{port}"), format!("127.0.0.1:{port}")];
    let mut granted = scene.run_with(&own, &[], &options, &[&fixture]);
    let other = ["--network", "other.test:1"];
    let added = scene.stage.add("other", &[&other[..], &options].concat(), &[&fixture]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut neighbour = scene.start(&scene.stage.command(&["run", "other"]));
    let ask = |gate: &mut Conversation| execute(gate, &["/usr/bin/curl", "-sS", "-m", "20", &url("api.test", port)]);
    for _ in 0..2 {
        assert!(ask(&mut granted).contains("hello from outside"));
        assert!(!ask(&mut neighbour).contains("hello from outside"));
    }
    // Nor by the address under which the other one knows it, which is the same in each.
    let address = execute(
        &mut granted,
        &[
            "/usr/bin/curl",
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{remote_ip}",
            &url("api.test", port),
        ],
    );
    let address = address.lines().next().unwrap().to_owned();
    let said = execute(
        &mut neighbour,
        &["/usr/bin/curl", "-sS", "-m", "20", &url(&address, port)],
    );
    assert!(!said.contains("hello from outside"), "{address}: {said}");
    assert!(granted.end().success() && neighbour.end().success());
}

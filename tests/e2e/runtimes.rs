//! Servers of runtimes that have walls and networks of their own ideas: Go, linked statically, and the Java virtual machine. Bare and
//! gated they answer the same, and they reach what is granted and nothing else, without one variable for a proxy.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use serde_json::json;

use crate::driven::{Case, Client, Folder, installed, root};
use crate::egress::{Scene, Server};
use crate::support::said_in;

/// A real server in Go that no library can be put under.
fn go_server() -> String {
    installed("go/node_modules/kubernetes-mcp-server-linux-amd64/bin/kubernetes-mcp-server-linux-amd64")
}

/// The launch line of a server that the virtual machine compiles as it starts.
fn java_server() -> Vec<String> {
    let java = "/usr/bin/java";
    assert!(
        std::path::Path::new(java).exists(),
        "this test needs {java} with its compiler, 17 or newer"
    );
    let source = root().join("tests/fixture/Server.java");
    // One collector and one compiler: it lives for a moment.
    let quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    [&[java][..], &quick, &[source.to_str().unwrap()]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_static_go_server_answers_as_it_does_bare() {
    let case = Case {
        name: "kubernetes",
        server: [go_server(), "--kubeconfig".to_owned(), "@ROOT@/cluster.yaml".to_owned()].into(),
        folder: Folder::Filled,
        ..Case::default()
    };
    case.is_the_same_with(Client::Python("legacy"));
}

#[test]
fn a_server_of_the_java_virtual_machine_answers_as_it_does_bare() {
    let case = Case {
        name: "jvm",
        server: java_server(),
        folder: Folder::Empty,
        ..Case::default()
    };
    case.is_the_same_with(Client::Python("legacy"));
}

/// As much of a cluster as is asked for its namespaces: one.
fn cluster() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(|stream| one_answer(stream.unwrap())));
    port
}

fn one_answer(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let asked = lines.next().unwrap_or_default();
    // To the end of the request, or the answer would be taken back by a reset.
    let _rest = lines.take_while(|line| !line.is_empty()).count();
    let path = asked.split_whitespace().nth(1).unwrap_or_default();
    let namespaces = json!({"name": "namespaces", "singularName": "namespace", "namespaced": false, "kind": "Namespace", "verbs": ["get", "list"]});
    let answer = match path.split('?').next().unwrap_or_default() {
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        "/api/v1" => json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [namespaces]}),
        _ => {
            json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "dry-dock"}}]})
        }
    };
    let body = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A client that went away is none of the cluster's business.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

#[test]
fn a_static_go_server_reaches_its_cluster_and_no_other() {
    let scene = Scene::new();
    let (own, other) = (cluster(), cluster());
    let configuration = scene.site.join("cluster.yaml");
    let leads_to = |host: &str, port: u16| {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters: [{{name: c, cluster: {{server: 'http://{host}:{port}'}}}}]\n\
             contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
        );
        std::fs::write(&configuration, text).unwrap();
    };
    leads_to("api.test", own);
    let server = go_server();
    let words = [
        &server,
        "--list-output",
        "yaml",
        "--kubeconfig",
        configuration.to_str().unwrap(),
    ];
    let allow = [format!("api.test:{own}"), format!("127.0.0.1:{own}")];
    let options = ["--read", scene.site.to_str().unwrap()];
    let mut gated = scene.run_with(&allow, &[], &options, &words);
    for (host, port, is_granted) in [
        ("api.test", own, true),
        ("api.test", other, false),
        ("other.test", own, false),
    ] {
        leads_to(host, port);
        if !is_granted {
            // The positive control: bare, it is reached.
            let mut bare = Command::new(words[0]);
            bare.args(&words[1..])
                .env("PATH", "/usr/bin:/bin")
                .env("HOME", "/nowhere");
            let mut bare = scene.start(&bare);
            let reached = bare.call("namespaces_list", json!({}));
            assert!(said_in(&reached).contains("dry-dock"), "{host}:{port}: {reached}");
            bare.end();
            gated = scene.start(&scene.stage.command(&["run", "net"]));
        }
        let answer = gated.call("namespaces_list", json!({}));
        assert_eq!(
            said_in(&answer).contains("dry-dock"),
            is_granted,
            "{host}:{port}: {answer}"
        );
        gated.hang_up();
        assert!(gated.wait().success());
        let connections = scene.connections();
        let mut opened = connections.iter().filter(|facts| facts["event"] == "open");
        assert_eq!(opened.clone().count() > 0, is_granted, "{connections:?}");
        assert!(opened.all(|facts| facts["address"] == format!("127.0.0.1:{own}")));
    }
}

#[test]
fn a_client_of_the_java_virtual_machine_reaches_what_is_granted() {
    let scene = Scene::new();
    let server = Server::start(&scene.site, false);
    let allow = [
        format!("api.test:{}", server.port),
        format!("127.0.0.1:{}", server.port),
    ];
    let line = java_server();
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let mut gate = scene.run_with(&allow, &[], &[], &words);
    let mut fetch = |host: &str| {
        let url = format!("http://{host}:{}/hello", server.port);
        gate.call("fetch", json!({"text": url}))
    };
    let reached = fetch("api.test");
    assert_eq!(said_in(&reached), "hello from outside\n", "{reached}");
    for host in ["other.test", "169.254.169.254"] {
        let refused = fetch(host);
        assert_eq!(refused["result"]["isError"], true, "{refused}");
    }
    assert!(gate.end().success());
}

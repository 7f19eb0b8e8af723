//! Ten servers of npm and PyPI, several at once in one store: installed, run where there is no network at all, updated, rolled back, pruned.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::install_python::command;
use crate::listing_server::Person;
use crate::support::{Conversation, Stage, text, within};

/// A server's package at two versions, and a call that needs nothing.
struct Packaged {
    name: &'static str,
    launcher: &'static [&'static str],
    package: &'static str,
    separator: &'static str,
    versions: [&'static str; 2],
    arguments: &'static [&'static str],
    call: (&'static str, &'static str),
    /// Stands in the answer.
    expected: &'static str,
}

const NPX: &[&str] = &["npx", "-y"];
const UVX: &[&str] = &["uvx"];

const fn npm(name: &'static str, package: &'static str, versions: [&'static str; 2]) -> Packaged {
    Packaged {
        name,
        launcher: NPX,
        package,
        separator: "@",
        versions,
        arguments: &[],
        call: ("", "{}"),
        expected: "",
    }
}

const fn python(name: &'static str, package: &'static str, versions: [&'static str; 2]) -> Packaged {
    Packaged {
        launcher: UVX,
        separator: "==",
        ..npm(name, package, versions)
    }
}

const PACKAGED: [Packaged; 10] = [
    Packaged {
        call: ("read_graph", "{}"),
        expected: "entities",
        ..npm(
            "memory",
            "@modelcontextprotocol/server-memory",
            ["2026.7.4", "2026.8.31"],
        )
    },
    Packaged {
        arguments: &["/usr/share/doc"],
        call: ("list_allowed_directories", "{}"),
        expected: "/usr/share/doc",
        ..npm(
            "files",
            "@modelcontextprotocol/server-filesystem",
            ["2026.7.10", "2026.8.31"],
        )
    },
    Packaged {
        call: (
            "sequentialthinking",
            r#"{"thought": "so", "nextThoughtNeeded": false, "thoughtNumber": 1, "totalThoughts": 1}"#,
        ),
        expected: "thoughtNumber",
        ..npm(
            "thinking",
            "@modelcontextprotocol/server-sequential-thinking",
            ["2026.7.4", "2026.8.31"],
        )
    },
    Packaged {
        call: ("echo", r#"{"message": "hello"}"#),
        expected: "hello",
        ..npm(
            "everything",
            "@modelcontextprotocol/server-everything",
            ["2026.8.18", "2026.8.31"],
        )
    },
    Packaged {
        call: ("resolve-library-id", r#"{"libraryName": "x", "query": "x"}"#),
        expected: "content",
        ..npm("context7", "@upstash/context7-mcp", ["4.0.7", "4.1.1"])
    },
    Packaged {
        call: ("search_repositories", r#"{"query": "x"}"#),
        expected: "fetch failed",
        ..npm(
            "github",
            "@modelcontextprotocol/server-github",
            ["2025.3.28", "2025.4.8"],
        )
    },
    Packaged {
        call: ("get_current_time", r#"{"timezone": "Asia/Tokyo"}"#),
        expected: "+09:00",
        ..python("time", "mcp-server-time", ["2026.10.10", "2026.10.19"])
    },
    Packaged {
        call: ("git_status", r#"{"repo_path": "/usr"}"#),
        expected: "content",
        ..python("git", "mcp-server-git", ["2026.10.10", "2026.10.19"])
    },
    Packaged {
        call: ("fetch", r#"{"url": "https://example.com/"}"#),
        expected: "robots.txt",
        ..python("fetch", "mcp-server-fetch", ["2026.10.19", "2026.10.24"])
    },
    Packaged {
        call: ("search", r#"{"query": "x"}"#),
        expected: "content",
        ..python("duckduckgo", "duckduckgo-mcp-server", ["0.6.1", "0.7.0"])
    },
];

impl Packaged {
    fn add(&self, stage: &Stage) {
        let spec = format!("{}{}{}", self.package, self.separator, self.versions[0]);
        let words = [
            &["add", self.name, "--yes", "--"],
            self.launcher,
            &[&spec],
            self.arguments,
        ]
        .concat();
        let added = command(stage, &words).output().unwrap();
        let said = text(&added.stderr);
        assert!(added.status.success(), "{}: {said}", self.name);
        assert!(
            said.contains(&format!("installed {} {}", self.package, self.versions[0])),
            "{said}"
        );
    }

    /// What the manifest has.
    fn version(&self, stage: &Stage) -> String {
        let manifest = std::fs::read_to_string(stage.manifest(self.name)).unwrap();
        let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
        line.unwrap().trim_matches('"').to_owned()
    }

    /// Starts it in a network namespace in which nothing is: there is no registry, for nobody.
    fn answers_at(&self, stage: &Stage, version: &str) {
        assert_eq!(self.version(stage), version, "{}", self.name);
        let mut outer = Command::new("unshare");
        outer.arg("--net");
        let mut gate = Conversation::with(within(outer, &command(stage, &["run", self.name])));
        gate.initialize("2025-11-25");
        let (tool, arguments) = self.call;
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        let answer = gate.call(tool, arguments);
        assert!(answer.to_string().contains(self.expected), "{}: {answer}", self.name);
        assert!(gate.end().success(), "{}", self.name);
    }

    fn update(&self, stage: &Stage) {
        let words = ["manifest", "update", self.name, "--to", self.versions[1]];
        let (status, said) = Person::with(command(stage, &words)).agrees_to_all();
        assert!(status.success(), "{}: {said}", self.name);
        let [old, new] = self.versions;
        assert!(said.contains(old) && said.contains(new), "{said}");
    }

    fn there_and_back(&self, stage: &Stage) {
        let [old, new] = self.versions;
        self.add(stage);
        self.answers_at(stage, old);
        self.update(stage);
        self.answers_at(stage, new);
        let back = stage.run(&["manifest", "rollback", self.name, "--yes"]);
        assert!(back.status.success(), "{}: {}", self.name, text(&back.stderr));
        self.answers_at(stage, old);
    }
}

fn store(stage: &Stage) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(stage.home().join("data/store")).unwrap();
    folders
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect()
}

#[test]
fn ten_servers_are_installed_run_without_a_registry_updated_rolled_back_and_pruned() {
    let stage = Stage::new();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _worker in 0..3 {
            scope.spawn(|| {
                while let Some(one) = PACKAGED.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one.there_and_back(&stage);
                }
            });
        }
    });
    // Each has the version that counts and the one to go forward to.
    assert_eq!(store(&stage).len(), 2 * PACKAGED.len(), "{:?}", store(&stage));
    assert_eq!(stage.run(&["install", "prune", "--yes"]).status.code(), Some(3));
    for one in &PACKAGED[1..] {
        std::fs::remove_dir_all(stage.manifest(one.name).parent().unwrap()).unwrap();
    }
    let pruned = stage.run(&["install", "prune", "--yes"]);
    assert!(pruned.status.success(), "{}", text(&pruned.stderr));
    assert_eq!(store(&stage).len(), 2, "{:?}", store(&stage));
    let left = &PACKAGED[0];
    left.answers_at(&stage, left.versions[0]);
    // No run connected anywhere: what did were installs.
    let records = stage.records();
    let sessions = |is_meant: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        let meant = records.iter().filter(|record| is_meant(record));
        meant.map(|record| record["session"].to_string()).collect()
    };
    let connected = sessions(&|record| record["facts"]["event"] == "open");
    let installs = sessions(&|record| record["facts"]["opening"]["for"] == json!("install"));
    assert!(
        !connected.is_empty() && connected.is_subset(&installs),
        "{connected:?} {installs:?}"
    );
}

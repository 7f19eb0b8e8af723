//! DESIGN section 3, checked: what each crate may depend on, and where `unsafe` may stand.
//!
//! Cargo refuses only cycles; a leaf that quietly gains an edge still builds. So each crate of the workspace has an
//! allow-list of its direct normal dependencies here, and a new one is a change that a reviewer sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::workspace::metadata;

/// What one crate may use.
struct Rule {
    name: &'static str,
    /// Direct normal dependencies, ours and others'.
    direct: &'static [&'static str],
    /// How many of those may be others' (DESIGN section 3 caps the crates that everything stands on).
    others_max: usize,
    /// Packages that must not be reached at all, however indirectly.
    never: &'static [&'static str],
    /// Whether `unsafe` code may stand here.
    unsafe_code: bool,
}

const OTHERS_MAX_OF_BASE: usize = 5;
const NO_CAP: usize = usize::MAX;
/// An async runtime, and what would bring the network.
const ASYNC: &[&str] = &["tokio", "async-std", "smol", "hyper", "reqwest", "mio"];

const RULES: &[Rule] = &[
    Rule {
        name: "cofferdam-protocol",
        direct: &["memchr", "serde", "serde_json", "unicode-case-mapping"],
        others_max: OTHERS_MAX_OF_BASE,
        never: ASYNC,
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam-manifest",
        direct: &[
            "base64ct",
            "cofferdam-protocol",
            "ed25519-dalek",
            "serde",
            "serde_json",
            "serde_json_canonicalizer",
            "sha2",
            "thiserror",
            "toml",
            "toml_edit",
            "zeroize",
        ],
        others_max: NO_CAP,
        never: ASYNC,
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam-inspect",
        direct: &[
            // One automaton over all terms and token prefixes, instead of a search for each.
            "aho-corasick",
            "base64ct",
            "brush-parser",
            "cofferdam-manifest",
            "cofferdam-protocol",
            "jsonschema",
            // Quotes, escapes and tokens are looked for in whole registers.
            "memchr",
            "serde",
            "serde_json",
            "sqlparser",
            "thiserror",
            // Compatibility forms and marks: what looks alike reads alike.
            "unicode-normalization",
            "url",
        ],
        others_max: NO_CAP,
        never: ASYNC,
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam-policy",
        direct: &[
            "cedar-policy",
            "cofferdam-inspect",
            "cofferdam-manifest",
            "cofferdam-protocol",
            "serde",
            "serde_json",
            "thiserror",
        ],
        others_max: NO_CAP,
        never: ASYNC,
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam-audit",
        direct: &["rustix", "serde_json", "sha2", "thiserror", "zstd"],
        others_max: OTHERS_MAX_OF_BASE,
        never: ASYNC,
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam-ledger",
        direct: &[
            "rand_core",
            "rustix",
            "serde",
            "serde_json",
            "signed_note",
            "thiserror",
            "tlog_tiles",
        ],
        others_max: NO_CAP,
        never: ASYNC,
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam-sandbox",
        direct: &["libc", "rustix", "serde", "serde_json"],
        others_max: OTHERS_MAX_OF_BASE,
        never: ASYNC,
        unsafe_code: true,
    },
    Rule {
        name: "cofferdam-scan",
        direct: &[
            "cofferdam-inspect",
            "cofferdam-manifest",
            "jsonc-parser",
            "saphyr-parser",
            "serde",
            "serde_json",
            "thiserror",
            "toml",
        ],
        others_max: NO_CAP,
        never: ASYNC,
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam-ship",
        direct: &[
            // JetStream for fleets, and the runtime it needs, on the sink's own thread.
            "async-nats",
            "base64ct",
            "cofferdam-audit",
            "futures-util",
            // Signatures of webhooks.
            "hmac",
            "rustix",
            // TLS to collectors, by the system's certificates unless others are named.
            "rustls",
            "rustls-native-certs",
            "serde_json",
            "sha2",
            "thiserror",
            "tokio",
            // HTTP without a runtime.
            "ureq",
            "zeroize",
        ],
        others_max: NO_CAP,
        // The one library crate that reaches the network.
        never: &[],
        unsafe_code: false,
    },
    Rule {
        name: "cofferdam",
        direct: &[
            "age",
            "anyhow",
            "chacha20poly1305",
            "clap",
            "clap_complete",
            "getrandom",
            "cofferdam-audit",
            "cofferdam-inspect",
            "cofferdam-ledger",
            "cofferdam-manifest",
            "cofferdam-policy",
            "cofferdam-protocol",
            "cofferdam-sandbox",
            "cofferdam-scan",
            "hmac",
            "cofferdam-ship",
            "memchr",
            "nix",
            // Exports for analysts.
            "parquet",
            "rpassword",
            "rustix",
            "scrypt",
            "serde",
            "serde_json",
            "sha2",
            "signal-hook",
            "simple-dns",
            "thiserror",
            "zeroize",
            "toml",
            "tokio",
        ],
        others_max: NO_CAP,
        never: &[],
        unsafe_code: false,
    },
    Rule {
        name: "xtask",
        direct: &["anyhow", "serde_json"],
        others_max: 2,
        never: ASYNC,
        unsafe_code: false,
    },
];

/// The only crate that may ever depend on Cedar.
const CEDAR_USER: &str = "cofferdam-policy";

/// Checks this workspace against the rules.
///
/// # Errors
/// Every rule that is broken, one a line.
pub(crate) fn check() -> Result<()> {
    let packages = members(&metadata(&[])?);
    let mut broken = violations(&packages);
    broken.extend(missing_forbids(&packages)?);
    if broken.is_empty() {
        return Ok(());
    }
    bail!(
        "the rules of xtask/src/dependencies.rs are broken:\n  {}",
        broken.join("\n  ")
    )
}

/// One package of the workspace, as far as the rules look at it.
#[derive(Debug, Default, Clone)]
struct Member {
    name: String,
    direct: BTreeSet<String>,
    /// Everything reached by normal dependencies.
    reached: BTreeSet<String>,
    /// The root files of its libraries and programs.
    sources: Vec<String>,
}

fn members(metadata: &Value) -> Vec<Member> {
    let ours: BTreeSet<&str> = list(metadata, "workspace_members").filter_map(Value::as_str).collect();
    let packages: BTreeMap<&str, &Value> = list(metadata, "packages")
        .map(|package| (text(package, "id"), package))
        .collect();
    let edges = normal_edges(metadata);
    let name_of = |id: &str| packages.get(id).map_or(id, |package| text(package, "name")).to_owned();
    let member = |id: &&str| {
        let package = packages.get(id)?;
        let targets = list(package, "targets").filter(|target| is_shipped(target));
        Some(Member {
            name: name_of(id),
            direct: edges
                .get(id)
                .into_iter()
                .flatten()
                .map(|dependency| name_of(dependency))
                .collect(),
            reached: reach(id, &edges).into_iter().map(name_of).collect(),
            sources: targets.map(|target| text(target, "src_path").to_owned()).collect(),
        })
    };
    ours.iter().filter_map(member).collect()
}

/// From a package's id to the ids of its normal (not build, not test) dependencies.
fn normal_edges(metadata: &Value) -> BTreeMap<&str, Vec<&str>> {
    let nodes = metadata
        .get("resolve")
        .into_iter()
        .flat_map(|resolve| list(resolve, "nodes"));
    let is_normal =
        |dependency: &&Value| list(dependency, "dep_kinds").any(|kind| kind.get("kind").is_none_or(Value::is_null));
    nodes
        .map(|node| {
            (
                text(node, "id"),
                list(node, "deps")
                    .filter(is_normal)
                    .map(|dependency| text(dependency, "pkg"))
                    .collect(),
            )
        })
        .collect()
}

fn reach<'a>(from: &str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&str> = edges.get(from).cloned().unwrap_or_default();
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            waiting.extend(edges.get(id).into_iter().flatten());
        }
    }
    reached
}

fn is_shipped(target: &Value) -> bool {
    list(target, "kind")
        .filter_map(Value::as_str)
        .any(|kind| kind == "lib" || kind == "bin")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn violations(members: &[Member]) -> Vec<String> {
    let mut broken = Vec::new();
    for member in members {
        let name = &member.name;
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            broken.push(format!("`{name}` has no rule"));
            continue;
        };
        for dependency in member
            .direct
            .iter()
            .filter(|dependency| !rule.direct.contains(&dependency.as_str()))
        {
            broken.push(format!("`{name}` depends on `{dependency}`, which is not on its list"));
        }
        let others = member
            .direct
            .iter()
            .filter(|dependency| !dependency.starts_with("cofferdam"))
            .count();
        if others > rule.others_max {
            broken.push(format!(
                "`{name}` has {others} direct dependencies of others, {} are allowed",
                rule.others_max
            ));
        }
        for package in rule.never.iter().filter(|package| member.reached.contains(**package)) {
            broken.push(format!("`{name}` reaches `{package}`, which it never may"));
        }
        if name != CEDAR_USER && member.direct.iter().any(|dependency| dependency.starts_with("cedar-")) {
            broken.push(format!("`{name}` depends on Cedar, which only `{CEDAR_USER}` may"));
        }
    }
    broken
}

/// The root files that lack `#![forbid(unsafe_code)]` and may not.
fn missing_forbids(members: &[Member]) -> Result<Vec<String>> {
    let free = |member: &&Member| RULES.iter().any(|rule| rule.name == member.name && rule.unsafe_code);
    let mut broken = Vec::new();
    for source in members
        .iter()
        .filter(|member| !free(member))
        .flat_map(|member| &member.sources)
    {
        let forbids = fs::read_to_string(source)?
            .lines()
            .any(|line| line.trim() == "#![forbid(unsafe_code)]");
        if !forbids {
            broken.push(format!("`{source}` does not say `#![forbid(unsafe_code)]`"));
        }
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Member, members, violations};

    fn member(name: &str, direct: &[&str]) -> Member {
        let direct = direct.iter().map(ToString::to_string).collect();
        Member {
            name: name.to_owned(),
            direct,
            ..Member::default()
        }
    }

    #[test]
    fn this_workspace_keeps_the_rules() {
        super::check().unwrap();
    }

    #[test]
    fn an_edge_that_is_not_listed_is_found() {
        assert_eq!(violations(&[member("cofferdam-audit", &["sha2"])]), [""; 0]);
        let broken = violations(&[member("cofferdam-audit", &["cofferdam-protocol"])]);
        assert_eq!(
            broken,
            ["`cofferdam-audit` depends on `cofferdam-protocol`, which is not on its list"]
        );
    }

    #[test]
    fn cedar_belongs_to_policy_alone() {
        assert_eq!(violations(&[member("cofferdam-policy", &["cedar-policy"])]), [""; 0]);
        let broken = violations(&[member("cofferdam", &["cedar-policy"])]);
        assert!(
            broken
                .iter()
                .any(|line| line.contains("which only `cofferdam-policy` may")),
            "{broken:?}"
        );
    }

    #[test]
    fn a_crate_without_a_rule_is_found() {
        assert_eq!(
            violations(&[member("cofferdam-new", &[])]),
            ["`cofferdam-new` has no rule"]
        );
    }

    #[test]
    fn a_runtime_is_found_through_another_package_but_not_through_tests() {
        let dependency = |package: &str, kind: Option<&str>| json!({"pkg": package, "dep_kinds": [{"kind": kind}]});
        let mut metadata = json!({
            "workspace_members": ["p"],
            "packages": [
                {"id": "p", "name": "cofferdam-protocol", "targets": []},
                {"id": "s", "name": "serde", "targets": []},
                {"id": "t", "name": "tokio", "targets": []},
            ],
            "resolve": {"nodes": [
                {"id": "p", "deps": [dependency("s", None)]},
                {"id": "s", "deps": [dependency("t", None)]},
                {"id": "t", "deps": []},
            ]},
        });
        assert_eq!(
            violations(&members(&metadata)),
            ["`cofferdam-protocol` reaches `tokio`, which it never may"]
        );
        metadata["resolve"]["nodes"][0]["deps"] = json!([dependency("t", Some("dev"))]);
        assert_eq!(violations(&members(&metadata)), [""; 0]);
    }
}

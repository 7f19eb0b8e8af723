//! Two manifests compared: what widens a right weighs more than what narrows one, and no difference goes untold.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;

use cofferdam_manifest::Direction::{Changed, Narrowed, Widened};
use cofferdam_manifest::{Change, ChangeKind, Digest, Direction, Manifest, Subject, Weight, diff_manifests, parse};

const TEXT: &str = r#"
[launch]
command = ["/usr/bin/node", "/srv/index.js"]
directory = "/srv"
program = ["/srv"]
digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
[launch.package]
registry = "npm"
name = "x"
version = "1.0.0"
integrity = "sha512-abc="
[filesystem]
read = ["/data"]
write = ["/out"]
mask = ["*.secret"]
[network]
allow = ["api.example.org:443"]
[programs]
allow = ["git"]
[sockets]
allow = ["/run/app/socket"]
[environment]
pass = ["LANG"]
[environment.set]
MODE = "safe"
[limits]
idle_minutes = 5
[secrets.token]
source = "keyring:x"
ttl = "10m"
deliver = "fd"
[isolation]
require = ["seccomp"]
[client]
allow = ["roots"]
[tools.read]
pin = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
consent = "ask"
[tools.read.arguments.path]
role = "path"
"#;

fn manifest() -> Manifest {
    parse(TEXT, "m").unwrap()
}

/// The changes that one edit of the text makes.
fn edited(from: &str, to: &str) -> Vec<Change> {
    assert!(TEXT.contains(from), "{from}");
    let after = parse(&TEXT.replacen(from, to, 1), "m").unwrap_or_else(|error| panic!("{error}"));
    let changes = diff_manifests(&manifest(), &after, None);
    assert!(diff_manifests(&after, &after, None).is_empty());
    changes
}

fn subject(change: &Change) -> String {
    match &change.subject {
        Subject::Section(name) => name.clone(),
        other => other.to_string(),
    }
}

/// What is edited, into what, which section tells it, and where that right moves.
const EDITS: &[(&str, &str, &str, Direction)] = &[
    ("\"/srv/index.js\"]", "\"/srv/other.js\"]", "launch.command", Changed),
    ("directory = \"/srv\"\n", "", "launch.directory", Changed),
    (
        "program = [\"/srv\"]",
        "program = [\"/srv\", \"/opt\"]",
        "launch.program",
        Widened,
    ),
    ("1111111", "1111112", "launch.digest", Changed),
    ("\"1.0.0\"", "\"1.0.1\"", "launch.package", Changed),
    (
        "read = [\"/data\"]",
        "read = [\"/data\", \"/data/more\"]",
        "filesystem.read",
        Widened,
    ),
    ("read = [\"/data\"]", "read = []", "filesystem.read", Narrowed),
    (
        "write = [\"/out\"]",
        "write = [\"/out\", \"/data\"]",
        "filesystem.write",
        Widened,
    ),
    (
        "allow = [\"api.example.org:443\"]",
        "allow = [\"example.org:443\"]",
        "network.allow",
        Changed,
    ),
    ("mask = [\"*.secret\"]", "mask = []", "filesystem.mask", Widened),
    (
        "mask = [\"*.secret\"]",
        "mask = [\"*.secret\", \"*.private\"]",
        "filesystem.mask",
        Narrowed,
    ),
    (
        "allow = [\"git\"]",
        "allow = [\"git\", \"/bin/sh\"]",
        "programs.allow",
        Widened,
    ),
    ("[programs]\nallow = [\"git\"]\n", "", "programs.allow", Narrowed),
    ("allow = [\"/run/app/socket\"]", "allow = []", "sockets.allow", Narrowed),
    (
        "pass = [\"LANG\"]",
        "pass = [\"LANG\", \"TZ\"]",
        "environment.pass",
        Widened,
    ),
    ("MODE = \"safe\"", "MODE = \"unsafe\"", "environment.set.MODE", Changed),
    ("MODE = \"safe\"", "", "environment.set.MODE", Changed),
    ("idle_minutes = 5", "", "limits.idle_minutes", Widened),
    (
        "idle_minutes = 5",
        "idle_minutes = 5\nmemory = \"1 GiB\"",
        "limits.memory",
        Narrowed,
    ),
    ("\"10m\"", "\"15m\"", "secrets.token", Changed),
    ("require = [\"seccomp\"]", "require = []", "isolation.require", Widened),
    (
        "require = [\"seccomp\"]",
        "require = [\"seccomp\", \"x\"]",
        "isolation.require",
        Narrowed,
    ),
    (
        "allow = [\"roots\"]",
        "allow = [\"sampling\", \"roots\"]",
        "client.allow",
        Widened,
    ),
    ("2222222", "2222223", "`read`", Changed),
    ("consent = \"ask\"", "consent = \"allow\"", "`read`", Widened),
    ("consent = \"ask\"", "consent = \"deny\"", "`read`", Narrowed),
    ("role = \"path\"", "role = \"prose\"", "`read`", Changed),
];

#[test]
fn each_right_is_said_to_be_wider_or_narrower() {
    for (from, to, section, direction) in EDITS.iter().copied() {
        let changes = edited(from, to);
        let [change] = changes.as_slice() else {
            panic!("{from}: {changes:#?}")
        };
        assert_eq!(
            (subject(change).as_str(), change.kind),
            (section, ChangeKind::Right(direction)),
            "{from}"
        );
        let weight = if direction == Narrowed {
            Weight::Notable
        } else {
            Weight::Risky
        };
        assert_eq!(change.weight, weight, "{from}");
    }
}

#[test]
fn another_kind_of_compartment_and_another_image_are_told() {
    let with = |isolation: &str| {
        let text = format!("[launch]\ncommand = [\"/bin/x\"]\n[isolation]\n{isolation}\n");
        parse(&text, "m").unwrap_or_else(|error| panic!("{error}"))
    };
    let image = |digit: &str| {
        let digest = digit.repeat(64);
        with(&format!("backend = \"oci\"\nimage = \"a@sha256:{digest}\""))
    };
    let subjects = |before: &Manifest, after: &Manifest| -> Vec<String> {
        diff_manifests(before, after, None).iter().map(subject).collect()
    };
    assert_eq!(subjects(&image("0"), &image("1")), ["isolation.image"]);
    assert_eq!(
        subjects(&with(""), &image("0")),
        ["isolation.backend", "isolation.image"]
    );
}

#[test]
fn a_folder_that_is_no_longer_writable_is_still_readable() {
    let changes = edited(
        "read = [\"/data\"]\nwrite = [\"/out\"]",
        "read = [\"/data\", \"/out\"]\nwrite = []",
    );
    let [change] = changes.as_slice() else {
        panic!("{changes:#?}")
    };
    assert_eq!(subject(change), "filesystem.write");
}

#[test]
fn what_differs_and_is_not_understood_is_told_all_the_same() {
    // Twice the same entry means nothing, and is another manifest.
    let changes = edited("read = [\"/data\"]", "read = [\"/data\", \"/out\"]");
    assert!(
        matches!(changes.as_slice(), [change] if change.weight == Weight::Risky && change.summary.contains("cannot be shown")),
        "{changes:#?}"
    );
}

#[test]
fn it_reads_like_this() {
    let mut after = manifest();
    after.filesystem.write = vec!["/srv/\u{202e}out".into()];
    after
        .tools
        .insert("fresh".into(), after.tools.get("read").unwrap().clone());
    after.launch.digest = Some(Digest::of(b"program"));
    let mut shown = String::new();
    for change in diff_manifests(&manifest(), &after, None) {
        writeln!(shown, "{} {}: {}", change.weight, change.subject, change.summary).unwrap();
        for detail in change.details {
            writeln!(shown, "  {detail}").unwrap();
        }
    }
    insta::assert_snapshot!(shown, @r#"
    risky filesystem.read: changed
      + /srv/\u{202e}out
      - /out
    risky filesystem.write: changed
      + /srv/\u{202e}out
      - /out
    risky launch.digest: another program is pinned
      accepted: "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      now: "sha256:1310ca2c8932dbd118668bd97442558a3e1f546b5e15c69699dfbd6024f548d8"
    risky tools: allows more
      + fresh
    "#);
}

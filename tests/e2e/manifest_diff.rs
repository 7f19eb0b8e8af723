//! `manifest diff`: what changed since a server was accepted, in words, and nothing of it dangerous to look at.

use std::time::Instant;

use serde_json::{Value, json};

use crate::driven::node_server;
use crate::listing_server::{Listing, tool};
use crate::support::{STUCK, Stage, said_in, text};

#[test]
fn nothing_changed_is_said_and_is_fine() {
    let listing = Listing::new(&[tool("read", "Reads one file.")]);
    let diff = listing.stage.run(&["manifest", "diff", "listing"]);
    assert_eq!(diff.status.code(), Some(0), "{}", text(&diff.stderr));
    assert_eq!(text(&diff.stdout), "listing: nothing changed since it was accepted\n");
}

#[test]
fn each_change_is_told_the_weightiest_first() {
    let mut write = tool("write", "Writes.");
    write["annotations"] = json!({"destructiveHint": true});
    let listing = Listing::new(&[tool("read", "Reads one file."), write.clone()]);
    write["annotations"] = json!({"destructiveHint": false});
    write["inputSchema"]["properties"]["mode"] = json!({"type": "string"});
    listing.lists(&[tool("read", "Reads any file."), write, tool("fresh", "Is new.")]);
    listing.program("# another version");
    let diff = listing.stage.run(&["manifest", "diff", "listing"]);
    assert_eq!(diff.status.code(), Some(1), "{}", text(&diff.stderr));
    let script = listing.script();
    let expected = format!(
        "listing: 5 changes since it was accepted\n\
        \x20 risky     program  files of the program that changed: 1\n\
        \x20             {}\n\
        \x20 risky     `read`  the description changed\n\
        \x20             Reads [-one-]{{+any+}} file.\n\
        \x20 risky     `write`  it no longer says that it may destroy what is there\n\
        \x20             `destructiveHint`: true → false\n\
        \x20 additive  `fresh`  a new tool, hidden until it is accepted\n\
        \x20             {{+Is new.+}}\n\
        \x20             inputSchema: {{\"properties\":{{\"message\":{{\"type\":\"string\"}}}},\"type\":\"object\"}}\n\
        \x20 additive  `write`  input `mode`: a new optional property\n\
        \x20             now: {{\"type\":\"string\"}}\n",
        script.display()
    );
    assert_eq!(text(&diff.stdout), expected);
    assert!(text(&diff.stderr).contains("digest sha256:"), "{}", text(&diff.stderr));
    let (exit, document) = listing.diff();
    assert_eq!((exit, document["changes"].as_array().unwrap().len()), (1, 5));
    assert_eq!(document["changes"][0]["kind"], "program-changed");
}

/// Servers list other tools to clients with other capabilities.
#[test]
fn a_list_that_is_only_shorter_is_no_change() {
    let all = [tool("one", "First."), tool("two", "Second.")];
    let listing = Listing::new(&all);
    let before = listing.manifest_text();
    listing.lists(&all[..1]);
    let (exit, document) = listing.diff();
    assert_eq!((exit, &document["unlisted"]), (0, &json!(["two"])));
    let accepted = listing.stage.run(&["manifest", "accept", "listing"]);
    assert_eq!(accepted.status.code(), Some(3), "{}", text(&accepted.stderr));
    listing.lists(&[all[0].clone(), tool("three", "Third.")]);
    let accepted = listing.accept(&listing.digest());
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    let after = listing.manifest_text();
    assert!(
        after.starts_with(&before) && after.contains("[tools.two]") && after.contains("[tools.three]"),
        "{after}"
    );
    listing.lists(&all);
    assert_eq!(listing.call("two").status.code(), Some(0), "still accepted");
}

/// It lists 12, 13 or 17 tools, as the client can do less or more; all of them were accepted.
#[test]
fn a_real_server_that_lists_fewer_tools_to_some_clients_did_not_change() {
    let stage = Stage::new();
    let server = node_server("server-everything");
    let words: Vec<&str> = server.iter().map(String::as_str).collect();
    let added = stage.add("everything", &[], &words);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let diff = stage.run(&["manifest", "diff", "everything"]);
    assert_eq!(
        diff.status.code(),
        Some(0),
        "{}{}",
        text(&diff.stdout),
        text(&diff.stderr)
    );
    let mut gate = stage.converse(&["everything"]);
    gate.initialize("2025-11-25");
    let listed = gate.request("tools/list", json!({}));
    let accepted = stage.run(&["--format", "json", "tools", "everything"]);
    let accepted: Value = serde_json::from_slice(&accepted.stdout).unwrap();
    let (few, all) = (
        listed["result"]["tools"].as_array().unwrap().len(),
        accepted.as_array().unwrap().len(),
    );
    assert!(few < all && few > 0, "{few} of {all}");
    assert!(said_in(&gate.call("echo", json!({"message": "x"}))).contains('x'));
}

#[test]
fn what_a_server_says_is_shown_and_steers_nothing() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    let hidden = "Reads.\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{e0041}\u{200b}\nlisting: nothing changed";
    listing.lists(&[
        tool("read", hidden),
        tool("ne\u{1b}[2Jw\u{202e}", "\u{2066}x"),
        tool("a\nb", "line"),
    ]);
    for options in [&["--full"][..], &[]] {
        let diff = listing.stage.run(&[&["manifest", "diff", "listing"], options].concat());
        for shown in [text(&diff.stdout), text(&diff.stderr)] {
            let is_plain = |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{e0041}\u{200b}\u{2066}".contains(c));
            assert!(shown.chars().all(is_plain), "{shown:?}");
            assert!(!shown.contains("\nlisting: nothing"), "{shown}");
        }
        assert!(
            text(&diff.stdout).contains("\\u{1b}]0;owned\\u{7}"),
            "{}",
            text(&diff.stdout)
        );
    }
    assert!(listing.accept(&listing.digest()).status.success());
    let manifest = listing.manifest_text();
    assert!(
        manifest.contains("[tools.read]") && !manifest.contains("new"),
        "no manifest can name such a tool: {manifest}"
    );
    let (exit, document) = listing.diff();
    assert_eq!(
        (exit, document["changes"].as_array().unwrap().len()),
        (1, 0),
        "it is told all the same"
    );
    assert_eq!(listing.call("read").status.code(), Some(0));
}

#[test]
fn an_endless_description_is_cut_on_the_screen_and_whole_on_request() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    let words = "word ".repeat(190_000);
    listing.lists(&[tool("read", &format!("Reads.\n{words} the end"))]);
    let began = Instant::now();
    let shown = text(&listing.stage.run(&["manifest", "diff", "listing"]).stdout);
    assert!(began.elapsed() < STUCK);
    assert!(
        shown.len() < 2_000 && shown.contains("more characters") && shown.contains("`--full`"),
        "{shown}"
    );
    let full = text(&listing.stage.run(&["manifest", "diff", "listing", "--full"]).stdout);
    assert!(full.len() > words.len() && full.contains("the end"), "{}", full.len());
}

/// Looking at an update must not let it leave anything behind.
#[test]
fn a_program_nobody_accepted_writes_nothing_while_it_is_looked_at() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    let planted = listing.writable().join("planted");
    let start = format!("try: open({:?}, 'w')\nexcept OSError: pass", planted.to_str().unwrap());
    listing.program(&start);
    assert_eq!(listing.diff().0, 1);
    assert!(!planted.exists());
    assert!(listing.accept(&listing.digest()).status.success());
    assert_eq!(listing.call("read").status.code(), Some(0));
    assert!(planted.exists(), "once accepted it has its rights");
}

#[test]
fn a_server_that_cannot_be_observed_is_told_and_nothing_is_written() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    listing.program("sys.exit(3)");
    let before = listing.manifest_text();
    for verb in ["diff", "accept"] {
        let failed = listing.stage.run(&["manifest", verb, "listing"]);
        let said = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(4), "{said}");
        assert!(
            said.contains("could not be observed") && said.contains("read-only"),
            "{said}"
        );
    }
    assert_eq!(listing.manifest_text(), before);
}

#[test]
fn two_manifests_are_compared_without_starting_anything() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    let proposed = listing.stage.workspace().join("proposed.toml");
    let wider = listing
        .manifest_text()
        .replace("[client]\nallow = []", "[client]\nallow = [\"sampling\"]")
        .replace("consent = \"allow\"", "consent = \"deny\"");
    std::fs::write(&proposed, wider).unwrap();
    let sessions = listing.stage.records().len();
    let compare = |one: &str, other: &str| listing.stage.run(&["manifest", "diff", one, "--against", other]);
    let diff = compare("listing", proposed.to_str().unwrap());
    assert_eq!(diff.status.code(), Some(1), "{}", text(&diff.stderr));
    let shown = text(&diff.stdout);
    assert!(
        shown.contains("risky     client.allow  allows more\n              + sampling\n")
            && shown.contains("notable   `read`  it needs more consent\n              allow → deny\n"),
        "{shown}"
    );
    let own = listing.stage.manifest("listing");
    assert_eq!(compare("listing", own.to_str().unwrap()).status.code(), Some(0));
    assert_eq!(
        compare(proposed.to_str().unwrap(), own.to_str().unwrap()).status.code(),
        Some(1)
    );
    assert_eq!(listing.stage.records().len(), sessions, "nothing was started");
    let alone = listing.stage.run(&["manifest", "diff", proposed.to_str().unwrap()]);
    assert_eq!(alone.status.code(), Some(2), "{}", text(&alone.stderr));
    assert_eq!(Stage::new().run(&["manifest", "diff", "nobody"]).status.code(), Some(4));
}

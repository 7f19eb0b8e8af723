//! `manifest accept`: what is accepted is what was seen, whole, once, by whoever says so.

use std::path::Path;

use serde_json::json;

use crate::listing_server::{Listing, Person, tool};
use crate::support::text;

const ACCEPT: &[&str] = &["manifest", "accept", "listing"];

fn changed() -> Listing {
    let listing = Listing::new(&[tool("read", "Reads one file.")]);
    listing.lists(&[tool("read", "Reads any file.")]);
    listing
}

#[test]
fn without_a_terminal_only_the_digest_that_was_shown_accepts() {
    let listing = changed();
    let before = listing.manifest_text();
    let asked = listing.stage.run(ACCEPT);
    let digest = listing.digest();
    assert_eq!(asked.status.code(), Some(3));
    assert!(
        text(&asked.stderr).contains(&format!("--yes --digest {digest}")),
        "{}",
        text(&asked.stderr)
    );
    assert_eq!(listing.stage.run(&[ACCEPT, &["--yes"]].concat()).status.code(), Some(2));
    assert_eq!(
        listing
            .stage
            .run(&[ACCEPT, &["--digest", &digest]].concat())
            .status
            .code(),
        Some(2)
    );
    assert_eq!(listing.accept("sha256:0").status.code(), Some(2));
    assert_eq!(listing.manifest_text(), before);
    assert_eq!(
        listing.call("read").status.code(),
        Some(1),
        "held back until it is accepted"
    );
    let accepted = listing.accept(&digest);
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    assert_eq!(text(&listing.call("read").stdout), "called read\n");
    assert_eq!(listing.diff().0, 0);
    let checked = text(&listing.stage.run(&["manifest", "check", "listing"]).stdout);
    assert!(checked.contains(&digest), "{checked}");
}

#[test]
fn rights_consent_and_a_persons_own_words_stay() {
    let listing = changed();
    listing.stage.edit_manifest("listing", |text| {
        format!("# Ann's.\n{text}")
            .replace("[client]\nallow = []", "[client]\nallow = [\"roots\"] # for now")
            .replace("consent = \"allow\"", "consent = \"deny\" # until Monday")
    });
    listing.program("# another version");
    let before = listing.manifest_text();
    assert!(listing.accept(&listing.digest()).status.success());
    let after = listing.manifest_text();
    let without_pins = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with("pin = ") && !line.starts_with("digest = "))
            .map(str::to_owned)
            .collect()
    };
    assert_ne!(after, before);
    assert_eq!(without_pins(&after), without_pins(&before));
}

#[test]
fn what_changed_between_looking_and_accepting_is_not_accepted() {
    let listing = changed();
    let (digest, before) = (listing.digest(), listing.manifest_text());
    listing.lists(&[tool("read", "Reads any file and sends it away.")]);
    let refused = listing.accept(&digest);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    listing.lists(&[tool("read", "Reads any file.")]);
    listing.program("# exchanged");
    assert_eq!(listing.accept(&digest).status.code(), Some(1), "another program");
    assert_eq!(listing.manifest_text(), before);
    listing.stage.edit_manifest("listing", |text| {
        text.replace("[client]\nallow = []", "[client]\nallow = [\"sampling\"]")
    });
    listing.stage.run(&["manifest", "check", "listing"]);
    assert_eq!(listing.accept(&digest).status.code(), Some(1), "another right");
}

#[test]
fn additions_take_one_key() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    listing.lists(&[tool("read", "Reads."), tool("fresh", "Is new.")]);
    let mut person = Person::at(&listing.stage, ACCEPT);
    person.is_asked("accept as shown? [y/N]");
    person.types("n");
    assert_eq!(person.end().0.code(), Some(3));
    assert_eq!(listing.diff().0, 1);
    let mut person = Person::at(&listing.stage, ACCEPT);
    let said = person.is_asked("accept as shown? [y/N]").to_owned();
    assert!(said.contains("{+Is new.+}"), "shown before it is asked: {said}");
    person.types("y");
    assert!(person.end().0.success());
    assert_eq!(text(&listing.call("fresh").stdout), "called fresh\n");
}

/// What lies behind the end of what is shown could be anything.
#[test]
fn an_addition_that_is_not_seen_whole_takes_its_name() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    let mut fresh = tool("fresh", "Is new.");
    fresh["inputSchema"]["properties"]["message"]["description"] =
        json!(format!("{}with a signature", "a message ".repeat(300)));
    listing.lists(&[tool("read", "Reads."), fresh]);
    let mut person = Person::at(&listing.stage, ACCEPT);
    let said = person.is_asked("type fresh to accept it").to_owned();
    assert!(said.contains("more characters") && said.contains("`--full`"), "{said}");
    person.types("y");
    assert_eq!(person.end().0.code(), Some(3));
    let mut person = Person::at(&listing.stage, &[ACCEPT, &["--full"]].concat());
    let said = person.is_asked("accept as shown? [y/N]").to_owned();
    assert!(said.contains("with a signature"), "{said}");
    person.types("y");
    assert!(person.end().0.success());
}

#[test]
fn everything_else_is_accepted_by_name() {
    let mut bad = tool("bad", "Is new.");
    bad["inputSchema"] = json!({"type": "object", "$ref": "https://example.org/elsewhere"});
    let listing = Listing::new(&[tool("read", "Reads."), tool("write", "Writes.")]);
    listing.lists(&[
        tool("read", "Reads!"),
        tool("write", "Writes!"),
        tool("plain", "Is new."),
        bad,
    ]);
    let before = listing.manifest_text();
    let mut person = Person::at(&listing.stage, ACCEPT);
    let said = person.is_asked("type bad to accept it").to_owned();
    assert!(
        said.contains("finding") && said.contains("tool/schema-unusable"),
        "{said}"
    );
    person.types("bad");
    person.is_asked("type read to accept it");
    person.types("y");
    let (status, said) = person.end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert_eq!(listing.manifest_text(), before);
    let mut person = Person::at(&listing.stage, ACCEPT);
    for name in ["bad", "read", "write"] {
        person.is_asked(&format!("type {name} to accept it"));
        person.types(name);
    }
    let (status, said) = person.end();
    assert!(status.success(), "{said}");
    assert_eq!(listing.diff().0, 0);
}

#[test]
fn a_changed_program_is_named_even_when_its_tools_are_the_same() {
    let listing = Listing::new(&[tool("read", "Reads.")]);
    listing.program("# another version");
    let mut person = Person::at(&listing.stage, ACCEPT);
    person.is_asked("type program to accept it");
    person.types("program");
    assert!(person.end().0.success());
    assert_eq!(listing.call("read").status.code(), Some(0));
}

#[test]
fn a_manifest_that_changes_while_a_person_thinks_is_not_written_over() {
    let listing = changed();
    let mut person = Person::at(&listing.stage, ACCEPT);
    person.is_asked("type read to accept it");
    listing.stage.edit_manifest("listing", |text| {
        text.replace("[client]\nallow = []", "[client]\nallow = [\"roots\"]")
    });
    let edited = listing.manifest_text();
    person.types("read");
    let (status, said) = person.end();
    assert_eq!(status.code(), Some(4), "{said}");
    assert!(said.contains("changed by somebody else"), "{said}");
    assert_eq!(listing.manifest_text(), edited);
}

#[test]
fn of_two_that_accept_at_once_none_leaves_half_behind() {
    let listing = changed();
    let mut first = Person::at(&listing.stage, ACCEPT);
    let mut second = Person::at(&listing.stage, ACCEPT);
    first.is_asked("type read to accept it");
    second.is_asked("type read to accept it");
    first.types("read");
    second.types("read");
    let ends = [first.end(), second.end()];
    let mut codes: Vec<_> = ends.iter().map(|(status, _)| status.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(4)], "{ends:?}");
    assert_eq!(listing.diff().0, 0);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::os::unix::fs::chown(to, None, None).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The states a killed process leaves behind, made by hand; `contract/folder.rs` has every step.
#[test]
fn a_killed_acceptance_counts_whole_or_not_at_all() {
    let listing = changed();
    let folder = listing.stage.manifest("listing").parent().unwrap().to_owned();
    let (old, new) = (
        listing.stage.workspace().join("old"),
        listing.stage.workspace().join("new"),
    );
    copy(&folder, &old);
    let old_text = listing.manifest_text();
    assert!(listing.accept(&listing.digest()).status.success());
    copy(&folder, &new);
    let new_text = listing.manifest_text();
    let restore = |from: &Path| {
        std::fs::remove_dir_all(&folder).unwrap();
        copy(from, &folder);
    };
    restore(&old);
    copy(&new, &folder.join(".draft"));
    std::fs::write(folder.join(".draft/manifest.toml"), "[laun").unwrap();
    assert_eq!(
        listing.stage.run(&["manifest", "check", "listing"]).status.code(),
        Some(0)
    );
    assert_eq!(listing.manifest_text(), old_text, "a draft is nothing");
    for moved in [&[][..], &["program.json"], &["program.json", "definitions.json"]] {
        restore(&old);
        copy(&new, &folder.join(".next"));
        for file in moved {
            std::fs::rename(folder.join(".next").join(file), folder.join(file)).unwrap();
        }
        assert_eq!(text(&listing.call("read").stdout), "called read\n", "{moved:?}");
        assert_eq!(listing.manifest_text(), new_text, "{moved:?}");
    }
    for file in ["manifest.toml", "definitions.json", "program.json"] {
        restore(&new);
        let whole = std::fs::read(folder.join(file)).unwrap();
        std::fs::write(folder.join(file), &whole[..whole.len() / 2]).unwrap();
        assert_eq!(listing.call("read").status.code(), Some(4), "half of {file}");
    }
}

/// A disk that is full while the files are written: what was accepted still counts, and once there is room nothing is in the way.
#[test]
fn a_full_disk_leaves_what_was_accepted() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root to mount a small tmpfs; CI has it"
    );
    let listing = changed();
    let digest = listing.digest();
    let servers = listing.stage.home().join("config/servers");
    let script = r#"cp -a "$1" "$2" && mount -t tmpfs -o size=64k,mode=0700 tmpfs "$1" && cp -a "$2/." "$1" || exit 90
        cat /dev/zero > "$1/.fill" 2>/dev/null
        program=$3 home=$4 digest=$5 servers=$1
        cofferdam() { "$program" --home "$home" manifest "$@"; }
        cofferdam accept listing --yes --digest "$digest"; echo "full $?"
        cofferdam check listing; echo "then $?"
        rm "$servers/.fill"
        cofferdam accept listing --yes --digest "$digest"; echo "room $?"
        cofferdam check listing"#;
    let output = std::process::Command::new("unshare")
        .args(["-m", "/bin/sh", "-c", script, "sh"])
        .arg(&servers)
        .arg(listing.stage.workspace().join("copy"))
        .arg(env!("CARGO_BIN_EXE_cofferdam"))
        .arg(listing.stage.home())
        .arg(&digest)
        .env_remove("CI")
        .current_dir("/")
        .output()
        .unwrap();
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(errors.contains("No space left on device"), "{errors}");
    let told: Vec<&str> = said.lines().collect();
    assert_eq!(
        (told[0], told[2], told[3]),
        ("full 4", "then 0", "room 0"),
        "{said}{errors}"
    );
    assert!(
        told[1].starts_with("listing: ok") && !told[1].contains(&digest),
        "{said}"
    );
    assert!(told[4].contains(&digest), "{said}");
}

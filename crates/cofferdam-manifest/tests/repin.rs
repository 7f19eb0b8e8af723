//! Moving pins leaves a person's own text alone.
#![expect(clippy::unwrap_used, reason = "tests")]

use cofferdam_manifest::{Consent, Digest, Manifest, RepinError, Tool, parse, repin};

const TEXT: &str = r#"# Ann looks after this one.
[launch]
command = ["/usr/bin/node", "/srv/index.js"]   # as packaged
program = ["~/srv"]
digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" # 2.0

[tools.read]
consent = "deny"  # until Monday
pin = "sha256:2222222222222222222222222222222222222222222222222222222222222222"

[tools.read.arguments.path]
role = "path"

[filesystem]
read = ["~/notes"] # nothing else
"#;

fn wanted(text: &str) -> Manifest {
    let mut manifest = parse(text, "m").unwrap();
    manifest.launch.digest = Some(Digest::of(b"program"));
    if let Some(read) = manifest.tools.get_mut("read") {
        read.pin = Digest::of(b"read");
    }
    let fresh = Tool {
        pin: Digest::of(b"fresh"),
        consent: Consent::Allow,
        arguments: std::collections::BTreeMap::new(),
    };
    manifest.tools.insert("a \"b\".c".into(), fresh);
    manifest
}

#[test]
fn everything_but_the_pins_stays_as_it_was_written() {
    let wanted = wanted(TEXT);
    let text = repin(TEXT, &wanted).unwrap();
    let expected = TEXT
        .replace(&"1".repeat(64), &Digest::of(b"program").to_hex())
        .replace(&"2".repeat(64), &Digest::of(b"read").to_hex());
    let new = text.strip_prefix(&expected).unwrap();
    assert!(
        new.starts_with("\n[tools.\"a") && new.contains("consent = \"allow\""),
        "{text}"
    );
    assert_eq!(parse(&text, "m").unwrap(), wanted);
    assert_eq!(repin(&text, &wanted).unwrap(), text, "once is enough");
}

#[test]
fn any_way_of_writing_tables_is_understood() {
    let hex = "3".repeat(64);
    for text in [
        "launch = {command = [\"/x\"]}\n".to_owned(),
        "launch.command = [\"/x\"]\n".to_owned(),
        format!("tools.read = {{pin = \"sha256:{hex}\"}}\nlaunch.command = [\"/x\"]\n"),
        format!("tools.read.pin = \"sha256:{hex}\"\ntools.read.consent = \"ask\"\n[launch]\ncommand = [\"/x\"]\n"),
        format!("[launch]\ncommand = [\"/x\"]\r\n[tools]\nread.pin = \"sha256:{hex}\"\n"),
        format!("[tools]\n[tools.'read']\n'pin' = 'sha256:{hex}'\n[launch]\ncommand = [\"/x\"]"),
        Manifest::new(parse(TEXT, "m").unwrap().launch).to_toml(),
    ] {
        let wanted = wanted(&text);
        let moved = repin(&text, &wanted);
        assert_eq!(parse(&moved.unwrap_or_default(), "m").as_ref(), Ok(&wanted), "{text}");
    }
}

#[test]
fn nothing_but_pins_is_ever_moved() {
    let mut other = wanted(TEXT);
    other.filesystem.write.push("/srv/out".into());
    assert_eq!(repin(TEXT, &other), Err(RepinError::NotFaithful));
    let mut fewer = wanted(TEXT);
    fewer.tools.remove("read");
    assert_eq!(repin(TEXT, &fewer), Err(RepinError::NotFaithful));
    let mut unseen = wanted(TEXT);
    let hidden = unseen.tools.values().next().cloned().unwrap();
    unseen.tools.insert("re\u{200b}ad".into(), hidden);
    assert_eq!(
        repin(TEXT, &unseen),
        Err(RepinError::NotFaithful),
        "no manifest can name it"
    );
    let inline = "tools = {}\nlaunch = {command = [\"/x\"]}\n";
    assert_eq!(repin(inline, &wanted(inline)), Err(RepinError::NotFaithful));
    assert_eq!(repin("tools = 1", &other), Err(RepinError::NotAManifest));
    assert_eq!(repin("[launch", &other), Err(RepinError::NotAManifest));
}

//! Writing and reading agree, for any manifest; any text is answered; the digest is of the meaning.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{
    Argument, Backend, ClientRequest, Consent, Day, Deliver, Digest, Endpoint, Image, Launch, Limits, Manifest,
    OnInstructions, Package, Profile, Programs, Role, Secret, Suppression, Tool, parse,
};
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert_eq, proptest};

fn launch() -> Launch {
    Launch {
        command: vec![
            "/usr/bin/node".into(),
            "/srv/a \"b\"\\/index.js".into(),
            "--x=\u{202e}\n".into(),
        ],
        directory: Some("/srv".into()),
        program: vec!["/srv/node_modules".into()],
        digest: Some(Digest::of(b"program")),
        package: None,
    }
}

/// A manifest that uses every section.
fn full() -> Manifest {
    let mut manifest = Manifest::new(launch());
    manifest.launch.package = Some(Package {
        registry: "npm".into(),
        name: "@scope/server".into(),
        version: "1.2.3-rc.1".into(),
        integrity: "sha512-abc=".into(),
        exceptions: vec!["young".into()],
    });
    manifest.filesystem.read = vec!["~".into(), "~/projects".into(), "/srv/data".into()];
    manifest.filesystem.write = vec!["/srv/out".into()];
    manifest.answers.instructions = OnInstructions::Fence;
    let known = Suppression {
        tools: vec!["read \"file\"".into()],
        reason: "looked at".into(),
        until: Day::parse("2027-03-31").unwrap(),
    };
    manifest.suppress.insert("argument/secret".into(), known);
    manifest.filesystem.mask = vec!["tokens/*.json".into()];
    manifest.network.tls = vec!["db.example.com:5433".parse().unwrap()];
    manifest.network.allow = ["api.github.com:443", "[2001:db8::1]:8443", "db.example.com:5433"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    manifest.programs = Programs {
        allow: vec!["git".into(), "/opt/tool".into()],
    };
    manifest.sockets.allow = vec!["/run/user/1000/app/socket".into()];
    manifest.environment.pass = vec!["LANG".into()];
    manifest.environment.set = BTreeMap::from([("TZ".into(), "UTC\u{7f}".into())]);
    manifest.limits = Limits {
        memory_bytes: 512 << 20,
        message_bytes: 5000,
        idle_minutes: Some(7),
        cpu_percent: Some(150),
        files: 77,
        ..Limits::default()
    };
    let hosts: Vec<Endpoint> = vec!["api.github.com:443".parse().unwrap()];
    let source = "keyring:github".to_owned();
    let secret = Secret {
        source,
        ttl_seconds: 600,
        deliver: Deliver::Egress,
        hosts,
        header: Some("Authorization".into()),
    };
    manifest.secrets.insert("GITHUB_TOKEN".into(), secret);
    manifest.isolation.require = vec!["landlock-6".into()];
    manifest.isolation.waive = vec!["masks".into()];
    manifest.isolation.profile = Some(Profile::Browser);
    manifest.client.allow = vec![ClientRequest::Roots, ClientRequest::Sampling];
    let argument = Argument {
        role: Some(Role::SqlIdentifier),
        within: vec!["~/projects".into()],
    };
    let arguments = BTreeMap::from([("a.b \"c\"".into(), argument), ("plain".into(), Argument::default())]);
    let tool = Tool {
        pin: Digest::of(b"1"),
        consent: Consent::Two,
        arguments,
    };
    manifest.tools.insert("odd name. \u{1f600}".into(), tool);
    manifest.tools.insert(
        "read_file".into(),
        Tool {
            pin: Digest::of(b"2"),
            consent: Consent::Deny,
            arguments: BTreeMap::new(),
        },
    );
    manifest
}

/// A server that comes as an image.
fn contained() -> Manifest {
    let mut manifest = Manifest::new(Launch {
        command: vec!["server".into()],
        ..Launch {
            program: Vec::new(),
            ..launch()
        }
    });
    manifest.isolation.backend = Backend::Oci;
    manifest.isolation.image = Some(Image {
        reference: format!("localhost:5000/server@sha256:{}", "0".repeat(64)),
        engine: Some("/opt/podman".into()),
        runtime: Some("runsc".into()),
    });
    manifest
}

#[test]
fn every_section_is_read_back_as_it_was_written() {
    for manifest in [full(), contained(), Manifest::new(launch())] {
        let text = manifest.to_toml();
        let again = parse(&text, "full.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(again, manifest);
        assert_eq!(again.to_toml(), text, "writing is stable");
        assert_eq!(again.digest(), manifest.digest());
    }
}

#[test]
fn the_digest_is_of_the_meaning() {
    let spare = "[launch]\ncommand = [\"/bin/x\"]\n";
    let wordy =
        "# a comment\nlaunch = { command = ['/bin/x'] }\n[limits]\nopen_files = 1_024\nmessage = \"16384KiB\"\n";
    let other = "[launch]\ncommand = [\"/bin/x\"]\n[limits]\nopen_files = 1025\n";
    let digest = |text: &str| parse(text, "x").unwrap().digest();
    assert_eq!(digest(spare), digest(wordy));
    assert_ne!(digest(spare), digest(other));
    assert_ne!(digest(spare), digest("[launch]\ncommand = [\"/bin/x\", \"\"]\n"));
    assert_eq!(
        digest(spare),
        digest("[launch]\ncommand = [\"/bin/x\"]\n[programs]\n"),
        "no section and an empty one both mean nothing"
    );
}

#[test]
fn what_is_not_enforced_yet_is_named() {
    let sections: Vec<String> = full().not_yet().into_iter().map(|missing| missing.section).collect();
    assert_eq!(sections, ["secrets"]);
    assert_eq!(contained().not_yet(), []);
    assert_eq!(Manifest::new(launch()).not_yet(), []);
}

#[test]
fn home_is_expanded_and_own_folders_are_never_granted() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap();
    let own = home.join(".config/cofferdam");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::create_dir(home.join("projects")).unwrap();
    std::os::unix::fs::symlink(&own, home.join("projects/innocent")).unwrap();
    std::os::unix::fs::symlink("/proc", home.join("projects/kernel")).unwrap();
    let with = |read: &str, write: &str| {
        let mut manifest = Manifest::new(launch());
        manifest
            .filesystem
            .read
            .extend((!read.is_empty()).then(|| PathBuf::from(read)));
        manifest
            .filesystem
            .write
            .extend((!write.is_empty()).then(|| PathBuf::from(write)));
        manifest
            .resolve(&home, std::slice::from_ref(&own))
            .map(|manifest| manifest.filesystem)
            .map_err(|e| e.to_string())
    };
    assert_eq!(with("~/projects", "").unwrap().read, [home.join("projects")]);
    assert_eq!(with("~/missing", "").unwrap().read, [home.join("missing")]);
    for (read, write, reason) in [
        ("~", "", "contains Cofferdam's own folder"),
        ("~/.config", "", "contains Cofferdam's own folder"),
        ("~/.config/cofferdam/manifests", "", "is Cofferdam's own folder"),
        ("~/projects/innocent", "", "is Cofferdam's own folder"),
        ("~/projects/kernel", "", "the kernel's own interface"),
        ("", home.to_str().unwrap(), "contains Cofferdam's own folder"),
    ] {
        let refusal = with(read, write).unwrap_err();
        assert!(refusal.contains(reason), "{read}{write}: {refusal}");
    }
}

#[test]
fn a_home_reached_by_a_link_is_still_the_home() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::fs::create_dir(folder.path().join("home")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("home"), &link).unwrap();
    let mut manifest = Manifest::new(launch());
    manifest.filesystem.write.push(folder.path().join("home"));
    let refusal = manifest.resolve(&link, &[]).unwrap_err().to_string();
    assert!(
        refusal.contains("the home folder holds files that shells execute"),
        "{refusal}"
    );
    assert!(manifest.resolve(Path::new("/nonexistent"), &[]).is_ok());
}

#[test]
fn a_hostile_manifest_is_answered_at_once() {
    let keys: String = (0..100_000).map(|n| format!("k{n}=1\n")).collect();
    let lists = format!("a = {}", "[".repeat(200_000));
    let closed = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let tables = format!("a = {}1{}", "{a=".repeat(100_000), "}".repeat(100_000));
    let dotted = format!("{}a = 1", "a.".repeat(200_000));
    let header = format!("[{}a]\nb = 1", "a.".repeat(200_000));
    let arguments = format!("[launch]\ncommand = [\"/x\", {}]", "\"a://b:c@d\", ".repeat(1_000));
    let tools: String = (0..4_000).map(|n| format!("[tools.t{n}]\nx{n} = 1\n")).collect();
    for text in [
        keys,
        lists,
        closed,
        tables,
        dotted,
        header,
        arguments,
        tools,
        "\n".repeat(1_000_000),
        "x".repeat(2 << 20),
    ] {
        let error = parse(&text, "x").unwrap_err();
        assert!(!error.diagnostics().is_empty() && error.diagnostics().len() <= 20);
        assert!(error.to_string().len() < 20_000);
    }
}

/// Strings with what TOML has to escape in them.
fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "\"", "\\", "\n", "\t", "'", "'''", "\u{7f}", "\u{202e}", "#", "é", "😀", "=", "[", " ",
    ]);
    prop::collection::vec(
        odd.prop_map(str::to_owned)
            .boxed()
            .prop_union("[a-zA-Z0-9._-]{1,6}".boxed()),
        1..6,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_strings_are_read_back(words in prop::collection::vec(text(), 0..5), value in text(), count in 1_u32..10_000) {
        let mut manifest = Manifest::new(launch());
        manifest.launch.command.extend(words.iter().cloned());
        manifest.filesystem.read = vec![PathBuf::from(format!("/srv/{value}"))];
        manifest.environment.set.insert("PLAIN".into(), value);
        manifest.limits.calls_per_minute = count;
        manifest.limits.memory_bytes = (16 << 20) + u64::from(count);
        // A random path may hold `//` or `/./`, which mean nothing: reading takes them out.
        let once = parse(&manifest.to_toml(), "x").unwrap();
        prop_assert_eq!(&once.launch.command, &manifest.launch.command);
        prop_assert_eq!(&once.environment, &manifest.environment);
        prop_assert_eq!(&once.limits, &manifest.limits);
        prop_assert_eq!(&parse(&once.to_toml(), "x").unwrap(), &once);
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let answer = parse(&text, "x").map_err(|error| error.to_string());
        prop_assert_eq!(answer.clone(), parse(&text, "x").map_err(|error| error.to_string()));
    }

    #[test]
    fn any_damage_to_a_manifest_is_answered(at in 0_usize..4000, cut in 0_usize..40, put in "[\\x00-\\x7f]{0,4}") {
        let mut characters: Vec<char> = full().to_toml().chars().collect();
        let at = at.min(characters.len());
        let end = (at + cut).min(characters.len());
        characters.splice(at..end, put.chars());
        let damaged: String = characters.into_iter().collect();
        match parse(&damaged, "x") {
            // What still checks must survive being written.
            Ok(manifest) => prop_assert_eq!(parse(&manifest.to_toml(), "x").unwrap(), manifest),
            Err(error) => {
                let last = damaged.lines().count() + 1;
                for diagnostic in error.diagnostics() {
                    prop_assert_eq!(diagnostic.line.clamp(1, last), diagnostic.line);
                }
                prop_assert_eq!(error.diagnostics().is_empty(), false);
            }
        }
    }
}

//! A project's manifest counts on the user's word or a trusted key's, and on nothing the project itself can write.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use cofferdam_manifest::{
    AcceptedProject, AcceptedProjects, AcceptedProjectsFault, Authority, Deliver, Digest, Launch, Manifest, Objection,
    ProjectManifest, Secret, Signature, SignatureError, SigningKey, TrustedKey, Verdict, can_name_server, judge, sign,
};
use proptest::prelude::any;
use proptest::{prop_assert_eq, proptest};

const FOLDER: &str = "/home/me/shop";
const FILE: &str = "/home/me/shop/.cofferdam/db.toml";
const LIST: &str = "/home/me/.config/cofferdam/accepted-projects";
const KEYS: &str = "/home/me/.config/cofferdam/keys/ann.pub";

fn manifest() -> Manifest {
    Manifest::new(Launch {
        command: vec!["/usr/bin/node".into()],
        directory: None,
        program: Vec::new(),
        digest: Some(Digest::of(b"program")),
        package: None,
    })
}

fn project<'p>(manifest: &'p Manifest, signature: Option<&'p Signature>) -> ProjectManifest<'p> {
    ProjectManifest {
        name: "db",
        folder: Path::new(FOLDER),
        file: Path::new(FILE),
        manifest,
        signature,
    }
}

fn accepting(manifest: &Manifest, path: &str) -> AcceptedProjects {
    let entry = AcceptedProject {
        digest: manifest.digest(),
        path: path.into(),
        comment: String::new(),
    };
    AcceptedProjects::empty(Path::new(LIST)).with(entry).unwrap()
}

fn nothing() -> AcceptedProjects {
    AcceptedProjects::empty(Path::new(LIST))
}

fn signing_key() -> SigningKey {
    let mut random = [7; 32];
    random.first_mut().map(|first| *first = 1).unwrap();
    SigningKey::generate(&mut random).unwrap()
}

fn trusted_at(file: &str) -> Vec<TrustedKey> {
    let line = format!("{} Ann", signing_key().public_key());
    vec![TrustedKey::parse(line.as_bytes(), Path::new(file)).unwrap()]
}

fn objections(verdict: Verdict<'_>) -> Vec<Objection> {
    match verdict {
        Verdict::Refused(objections) => {
            for objection in &objections {
                assert!(!objection.help().is_empty());
            }
            objections
        }
        Verdict::Counts { authority, .. } => panic!("it counts: {authority:?}"),
    }
}

#[test]
fn nobodys_word_is_no_word() {
    let manifest = manifest();
    let refused = objections(judge(&project(&manifest, None), &nothing(), &trusted_at(KEYS), &[]));
    assert_eq!(
        refused,
        [Objection::NobodyVouches {
            digest: manifest.digest()
        }]
    );
    assert_eq!(
        refused[0].to_string(),
        format!(
            "nobody vouches for this manifest: it is neither accepted by you nor signed; its digest is {}",
            manifest.digest()
        )
    );
}

#[test]
fn the_user_accepts_this_manifest_at_this_place() {
    let manifest = manifest();
    let accepted = accepting(&manifest, FILE);
    let Verdict::Counts { authority, .. } = judge(&project(&manifest, None), &accepted, &[], &["other"]) else {
        panic!("it counts")
    };
    assert_eq!(authority, Authority::Accepted(accepted.iter().next().unwrap()));

    let mut changed = manifest.clone();
    changed.filesystem.write.push("/srv".into());
    let refused = objections(judge(&project(&changed, None), &accepted, &[], &[]));
    let (accepted_digest, found) = (manifest.digest(), changed.digest());
    assert_eq!(
        refused,
        [Objection::ChangedSinceAccepted {
            accepted: accepted_digest,
            found
        }]
    );

    let elsewhere = accepting(&manifest, "/home/me/other/.cofferdam/db.toml");
    let refused = objections(judge(&project(&manifest, None), &elsewhere, &[], &[]));
    assert!(
        matches!(refused.as_slice(), [Objection::NobodyVouches { .. }]),
        "{refused:?}"
    );
}

#[test]
fn a_key_outside_the_project_vouches_and_one_inside_does_not() {
    let manifest = manifest();
    let signature = sign("db", &manifest, &signing_key());
    let signed = project(&manifest, Some(&signature));
    let (keys, none) = (trusted_at(KEYS), nothing());
    let Verdict::Counts {
        authority,
        manifest: judged,
    } = judge(&signed, &none, &keys, &[])
    else {
        panic!("it counts")
    };
    assert_eq!(authority, Authority::Signed(&keys[0]));
    assert_eq!(judged, &manifest);

    for file in [
        "/home/me/shop/keys/ann.pub",
        "/home/me/shop/ann.pub",
        "/home/me/shop",
        "ann.pub",
        "../keys/ann.pub",
        "/home/me/other/../shop/ann.pub",
        "/home/me/keys/../keys/ann.pub",
    ] {
        let refused = objections(judge(&signed, &nothing(), &trusted_at(file), &[]));
        assert_eq!(refused, [Objection::KeyInProject { file: file.into() }], "{file}");
    }
    // The same key in both places: the one outside counts.
    let both = [trusted_at("/home/me/shop/ann.pub"), trusted_at(KEYS)].concat();
    assert!(matches!(judge(&signed, &nothing(), &both, &[]), Verdict::Counts { .. }));
    // A folder whose name merely begins alike is another folder.
    assert!(matches!(
        judge(&signed, &nothing(), &trusted_at("/home/me/shopping/ann.pub"), &[]),
        Verdict::Counts { .. }
    ));
}

#[test]
fn a_signature_over_something_else_does_not_count() {
    let manifest = manifest();
    let mut other = manifest.clone();
    other.environment.pass.push("LANG".into());
    let signature = sign("db", &other, &signing_key());
    let refused = objections(judge(
        &project(&manifest, Some(&signature)),
        &nothing(),
        &trusted_at(KEYS),
        &[],
    ));
    assert!(matches!(
        refused.as_slice(),
        [Objection::Signature(SignatureError::OtherManifest { .. })]
    ));
    let refused = objections(judge(&project(&other, Some(&signature)), &nothing(), &[], &[]));
    assert!(matches!(
        refused.as_slice(),
        [Objection::Signature(SignatureError::UntrustedKey { .. })]
    ));
    // What the user accepted counts whatever lies beside it.
    let accepted = accepting(&manifest, FILE);
    assert!(matches!(
        judge(&project(&manifest, Some(&signature)), &accepted, &[], &[]),
        Verdict::Counts { .. }
    ));
}

#[test]
fn a_list_the_project_could_write_does_not_count() {
    let manifest = manifest();
    for file in [
        "/home/me/shop/accepted-projects",
        "accepted-projects",
        "/home/me/x/../shop/accepted",
    ] {
        let entry = accepting(&manifest, FILE).iter().next().unwrap().clone();
        let list = AcceptedProjects::empty(Path::new(file)).with(entry).unwrap();
        let refused = objections(judge(&project(&manifest, None), &list, &[], &[]));
        assert_eq!(refused, [Objection::ListInProject { file: file.into() }], "{file}");
    }
}

#[test]
fn a_users_name_is_never_taken() {
    let manifest = manifest();
    let accepted = accepting(&manifest, FILE);
    for (name, user_name) in [("db", "db"), ("Db", "dB"), ("my-db", "my_db"), ("my.db", "MY-DB")] {
        let named = ProjectManifest {
            name,
            ..project(&manifest, None)
        };
        let refused = objections(judge(&named, &accepted, &[], &["other", user_name]));
        assert_eq!(
            refused,
            [Objection::ShadowsServer {
                name: name.into(),
                user_name: user_name.into()
            }]
        );
    }
    for name in [
        "",
        ".db",
        "-db",
        "d b",
        "d/b",
        "d\u{200b}b",
        "dß",
        "..",
        &"d".repeat(65),
    ] {
        assert!(!can_name_server(name), "{name}");
        let named = ProjectManifest {
            name,
            ..project(&manifest, None)
        };
        let refused = objections(judge(&named, &accepted, &[], &[]));
        assert_eq!(refused, [Objection::NotAServerName { name: name.into() }]);
    }
    assert!(can_name_server("d") && can_name_server(&"d".repeat(64)) && can_name_server("0.a_b-c"));
}

#[test]
fn no_word_lets_a_project_bind_secrets_or_leave_its_program_unpinned() {
    let mut manifest = manifest();
    manifest.launch.digest = None;
    let secret = Secret {
        source: "keyring:github".into(),
        ttl_seconds: 60,
        deliver: Deliver::Fd,
        hosts: Vec::new(),
        header: None,
    };
    for name in ["A", "B", "C", "D", "E", "F", "G"] {
        manifest.secrets.insert(name.into(), secret.clone());
    }
    let signature = sign("db", &manifest, &signing_key());
    let accepted = accepting(&manifest, FILE);
    let refused = objections(judge(
        &project(&manifest, Some(&signature)),
        &accepted,
        &trusted_at(KEYS),
        &[],
    ));
    let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "a project cannot bind your secrets: it names `A`, `B`, `C`, `D`, `E`, 2 more",
            "the program is not pinned: `launch.digest` is missing"
        ]
    );
}

#[test]
fn paths_that_could_lead_elsewhere_are_refused() {
    let manifest = manifest();
    let accepted = accepting(&manifest, FILE);
    let judged = |folder: &str, file: &str| {
        let placed = ProjectManifest {
            folder: Path::new(folder),
            file: Path::new(file),
            ..project(&manifest, None)
        };
        objections(judge(&placed, &accepted, &[], &[]))
    };
    assert!(matches!(
        judged("shop", "shop/db.toml").first(),
        Some(Objection::NotCanonical { .. })
    ));
    assert!(matches!(
        judged("/home/me/shop/..", FILE).first(),
        Some(Objection::NotCanonical { .. })
    ));
    let outside = judged("/home/me/sho", FILE);
    assert!(
        matches!(outside.as_slice(), [Objection::NotInProject { .. }]),
        "{outside:?}"
    );
    // A project that is the home folder holds the user's own list.
    assert!(matches!(
        judged("/home/me", FILE).as_slice(),
        [Objection::ListInProject { .. }]
    ));
    assert!(matches!(
        judged("/", FILE).as_slice(),
        [Objection::ListInProject { .. }]
    ));
}

#[test]
fn the_list_is_kept_as_it_was_written() {
    let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
    let text = format!("# mine\n\n{one} \"/a b/c.toml\" read with Ann\n{two} \"/d\"\n");
    let list = AcceptedProjects::parse(text.as_bytes(), Path::new(LIST)).unwrap();
    assert_eq!(list.to_text(), text);
    assert_eq!(list.entry(Path::new("/a b/c.toml")).unwrap().comment, "read with Ann");
    assert_eq!(
        list.without(Path::new("/d")).to_text(),
        format!("# mine\n\n{one} \"/a b/c.toml\" read with Ann\n")
    );
    assert_eq!(list.without(Path::new("/e")), list);
    let replaced = list
        .with(AcceptedProject {
            digest: two,
            path: "/a b/c.toml".into(),
            comment: " again ".into(),
        })
        .unwrap();
    assert_eq!(
        replaced.to_text(),
        format!("# mine\n\n{two} \"/d\"\n{two} \"/a b/c.toml\" again\n")
    );
}

#[test]
fn a_bad_list_is_refused_as_a_whole() {
    let digest = Digest::of(b"1");
    let fault = |text: &str| {
        let error = AcceptedProjects::parse(text.as_bytes(), Path::new(LIST)).unwrap_err();
        assert!(!error.help().is_empty());
        (error.line, error.fault)
    };
    let good = format!("{digest} \"/a\"");
    assert_eq!(
        fault(&format!("{good}\nsha256:12 \"/b\"")),
        (2, AcceptedProjectsFault::NotADigest)
    );
    assert_eq!(fault(&format!("{digest}")), (1, AcceptedProjectsFault::NotAPath));
    assert_eq!(fault(&format!("{digest} /a")), (1, AcceptedProjectsFault::NotAPath));
    assert_eq!(fault(&format!("{digest} \"/a")), (1, AcceptedProjectsFault::NotAPath));
    assert_eq!(
        fault(&format!("{digest} \"/a\"b")),
        (1, AcceptedProjectsFault::NotAPath)
    );
    assert_eq!(
        fault(&format!("{digest} \"a\"")),
        (1, AcceptedProjectsFault::NotCanonical)
    );
    assert_eq!(
        fault(&format!("{digest} \"/a/../b\"")),
        (1, AcceptedProjectsFault::NotCanonical)
    );
    assert_eq!(
        fault(&format!("{good}\n\n{good}")),
        (3, AcceptedProjectsFault::SecondEntry)
    );
    assert_eq!(
        fault(&format!("{digest} \"/a\\u002f.//\"\n{good}")),
        (2, AcceptedProjectsFault::SecondEntry)
    );
    assert_eq!(
        fault(&format!("{digest} \"/a\u{202e}\"")),
        (1, AcceptedProjectsFault::Invisible)
    );
    assert_eq!(
        fault(&format!("{good} {}", "c".repeat(201))),
        (1, AcceptedProjectsFault::BadComment)
    );
    let error = AcceptedProjects::parse(b"\xff", Path::new(LIST)).unwrap_err();
    assert_eq!(error.to_string(), format!("`{LIST}`: not text: invalid UTF-8"));
    let many: String = (0..10_001).map(|n| format!("{digest} \"/{n}\"\n")).collect();
    assert_eq!(fault(&many).1, AcceptedProjectsFault::TooLong);
}

proptest! {
    #[test]
    fn whatever_is_accepted_is_read_back(path in "(/[^/\u{0}]{1,8}){1,4}", comment in ".{0,30}", digest in any::<[u8; 32]>()) {
        let entry = AcceptedProject { digest: Digest::from_bytes(digest), path: PathBuf::from(path), comment };
        let Ok(list) = nothing().with(entry.clone()) else { return Ok(()) };
        let again = AcceptedProjects::parse(list.to_text().as_bytes(), Path::new(LIST)).unwrap();
        prop_assert_eq!(&again, &list);
        prop_assert_eq!(again.entry(&entry.path).unwrap().digest, entry.digest);
    }

    #[test]
    fn any_list_is_answered_and_written_as_it_was_read(text in "(sha256:[0-9a-f]{64}| |\"/[a-z\\\\]{0,3}\"|#|\n|[a-z\t]{1,3}){0,12}") {
        if let Ok(list) = AcceptedProjects::parse(text.as_bytes(), Path::new(LIST)) {
            let again = AcceptedProjects::parse(list.to_text().as_bytes(), Path::new(LIST)).unwrap();
            prop_assert_eq!(again, list);
        }
    }
}

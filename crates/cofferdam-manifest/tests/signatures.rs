//! Signatures: of this manifest by that key, and nothing else passes.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use base64ct::{Base64, Encoding as _};
use cofferdam_manifest::{
    Consent, Digest, KEY_FILE_BYTES_MAX, KeyError, KeyFault, Launch, Manifest, PublicKey, Signature, SignatureError,
    SigningKey, Tool, TrustedKey, parse, sign, verify,
};
use proptest::prelude::any;
use proptest::{prop_assert, proptest};

fn key(seed: u8) -> SigningKey {
    let mut random = [seed; 32];
    random[0] = !seed;
    SigningKey::generate(&mut random).unwrap()
}

fn trusted(key: &SigningKey, comment: &str) -> TrustedKey {
    let line = format!("{} {comment}\n", key.public_key());
    TrustedKey::parse(line.as_bytes(), Path::new("/etc/cofferdam/keys/ann.pub")).unwrap()
}

fn manifest() -> Manifest {
    let mut manifest = Manifest::new(Launch {
        command: vec!["/usr/bin/node".into(), "/srv/index.js".into()],
        directory: None,
        program: vec!["/srv".into()],
        digest: Some(Digest::of(b"program")),
        package: None,
    });
    let tool = Tool {
        pin: Digest::of(b"definition"),
        consent: Consent::Ask,
        arguments: std::collections::BTreeMap::new(),
    };
    manifest.tools.insert("read".into(), tool);
    manifest
}

#[test]
fn what_was_signed_is_verified_through_files() {
    let (ann, bob) = (key(1), key(2));
    let keys = [trusted(&bob, ""), trusted(&ann, "Ann, laptop")];
    let text = sign("db", &manifest(), &ann).to_text();
    let signature = Signature::parse(text.as_bytes(), Path::new("manifest.sig")).unwrap();
    assert_eq!(signature, sign("db", &manifest(), &ann));
    assert_eq!(signature.claimed_key(), &ann.public_key());
    let signer = verify("db", &manifest(), &signature, &keys).unwrap();
    assert_eq!((signer.key(), signer.comment()), (&ann.public_key(), "Ann, laptop"));
    let written = manifest().to_toml();
    assert!(
        verify("db", &parse(&written, "m.toml").unwrap(), &signature, &keys).is_ok(),
        "layout is not signed"
    );
}

/// What is signed is documented; another program can check it from the documentation alone.
#[test]
fn the_signed_text_is_the_documented_one() {
    let signature = sign("db", &manifest(), &key(1)).to_text();
    let (public, bytes) = signature.lines().last().unwrap().split_once(' ').unwrap();
    let public = Base64::decode_vec(public.strip_prefix("ed25519:").unwrap()).unwrap();
    let verifying = ed25519_dalek::VerifyingKey::try_from(public.as_slice()).unwrap();
    let bytes = Base64::decode_vec(bytes).unwrap();
    let text = format!("cofferdam manifest 1\ndb\n{}\n", manifest().digest());
    let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
    assert!(verifying.verify_strict(text.as_bytes(), &signature).is_ok());
}

#[test]
fn another_key_or_another_manifest_is_refused_and_told_apart() {
    let (ann, bob) = (key(1), key(2));
    let keys = [trusted(&ann, "Ann")];
    let by_bob = sign("db", &manifest(), &bob);
    let error = verify("db", &manifest(), &by_bob, &keys).unwrap_err();
    assert_eq!(error, SignatureError::UntrustedKey { key: bob.public_key() });
    assert!(verify("db", &manifest(), &sign("db", &manifest(), &ann), &[]).is_err());

    let mut other = manifest();
    other.tools.get_mut("read").unwrap().pin = Digest::of(b"another definition");
    let error = verify("db", &other, &sign("db", &manifest(), &ann), &keys).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the signature is not one of `Ann` over this manifest for a server `db`"
    );
    assert!(error.help().contains("changed after signing"), "{}", error.help());

    let error = verify("db-admin", &manifest(), &sign("db", &manifest(), &ann), &keys).unwrap_err();
    assert!(
        matches!(&error, SignatureError::OtherManifest { name, .. } if name == "db-admin"),
        "a signed manifest in another one's place: {error}"
    );

    // Bob's signature under Ann's name.
    let forged = by_bob
        .to_text()
        .replace(&bob.public_key().to_string(), &ann.public_key().to_string());
    let forged = Signature::parse(forged.as_bytes(), Path::new("x.sig")).unwrap();
    assert!(matches!(
        verify("db", &manifest(), &forged, &keys),
        Err(SignatureError::OtherManifest { .. })
    ));
}

#[test]
fn every_flipped_bit_of_a_manifest_is_refused() {
    let ann = key(1);
    let keys = [trusted(&ann, "")];
    let signature = sign("db", &manifest(), &ann);
    // Without remarks and defaults, so that every bit means something.
    let lines = [
        "[launch]".to_owned(),
        "command = [\"/usr/bin/node\", \"/srv/index.js\"]".to_owned(),
        "program = [\"/srv\"]".to_owned(),
        format!("digest = \"{}\"", Digest::of(b"program")),
        "[tools.read]".to_owned(),
        format!("pin = \"{}\"", Digest::of(b"definition")),
    ];
    let text = lines.join("\n").into_bytes();
    assert_eq!(parse(&lines.join("\n"), "m").unwrap(), manifest());
    let mut other_meanings = 0;
    for (at, mask) in bits(&text) {
        let mut flipped = text.clone();
        flipped[at] ^= mask;
        let Some(flipped) = std::str::from_utf8(&flipped)
            .ok()
            .and_then(|text| parse(text, "m").ok())
        else {
            continue;
        };
        assert_ne!(flipped.digest(), manifest().digest(), "byte {at}, bit {mask:#04x}");
        // One bit of each byte: verifying costs milliseconds, and sees nothing but the digest.
        if mask == 1 << (at % 8) {
            assert!(
                verify("db", &flipped, &signature, &keys).is_err(),
                "byte {at}, bit {mask:#04x}"
            );
        }
        other_meanings += 1;
    }
    assert!(other_meanings > 100, "{other_meanings}");
}

#[test]
fn every_flipped_bit_of_a_signature_file_is_refused() {
    let ann = key(1);
    let keys = [trusted(&ann, "")];
    let text = sign("db", &manifest(), &ann).to_text();
    let line = text.lines().last().unwrap();
    let original = Signature::parse(line.as_bytes(), Path::new("x")).unwrap();
    for (at, mask) in bits(line.as_bytes()) {
        let mut flipped = line.as_bytes().to_vec();
        flipped[at] ^= mask;
        if let Ok(flipped) = Signature::parse(&flipped, Path::new("x")) {
            assert_ne!(flipped, original, "byte {at}, bit {mask:#04x}");
        }
    }
    let (public, signature) = line.split_once(' ').unwrap();
    let bytes = Base64::decode_vec(signature).unwrap();
    for (at, mask) in bits(&bytes) {
        let mut flipped = bytes.clone();
        flipped[at] ^= mask;
        let flipped = format!("{public} {}", Base64::encode_string(&flipped));
        let flipped = Signature::parse(flipped.as_bytes(), Path::new("x")).unwrap();
        assert!(
            verify("db", &manifest(), &flipped, &keys).is_err(),
            "byte {at}, bit {mask:#04x}"
        );
    }
}

#[test]
fn every_flipped_bit_of_a_trusted_key_is_refused() {
    let ann = key(1);
    let signature = sign("db", &manifest(), &ann);
    let line = ann.public_key().to_string();
    let is_trusted = |line: &[u8]| {
        let key = TrustedKey::parse(line, Path::new("x.pub"));
        key.is_ok_and(|key| verify("db", &manifest(), &signature, &[key]).is_ok())
    };
    assert!(is_trusted(line.as_bytes()));
    for (at, mask) in bits(line.as_bytes()) {
        let mut flipped = line.clone().into_bytes();
        flipped[at] ^= mask;
        assert!(!is_trusted(&flipped), "byte {at}, bit {mask:#04x}");
    }
    for (at, mask) in bits(ann.public_key().as_bytes()) {
        let mut flipped = *ann.public_key().as_bytes();
        flipped[at] ^= mask;
        assert!(!is_trusted(
            format!("ed25519:{}", Base64::encode_string(&flipped)).as_bytes()
        ));
    }
}

fn bits(bytes: &[u8]) -> impl Iterator<Item = (usize, u8)> + use<> {
    (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)))
}

/// RFC 8410 section 10: the example private key and its public key.
const RFC_8410_SEED: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
const RFC_8410_PUBLIC: &str = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

fn pem(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[test]
fn the_private_key_of_rfc_8410_is_read_and_written() {
    let text = pem("PRIVATE KEY", RFC_8410_SEED);
    for spelled in [text.clone(), text.replace('\n', "\r\n"), format!("\n{text}\n\n")] {
        let key = SigningKey::from_pem(spelled.as_bytes(), Path::new("key.pem")).unwrap();
        assert_eq!(key.public_key().to_string(), RFC_8410_PUBLIC);
        assert_eq!(key.to_pem().dangerous_bytes(), text.as_bytes());
    }
}

#[test]
fn no_debug_output_holds_a_secret() {
    let key = SigningKey::from_pem(pem("PRIVATE KEY", RFC_8410_SEED).as_bytes(), Path::new("key.pem")).unwrap();
    assert_eq!(
        format!("{key:?}"),
        format!("SigningKey {{ public_key: PublicKey({RFC_8410_PUBLIC}), .. }}")
    );
    assert_eq!(format!("{:?}", key.to_pem()), "PrivateKeyPem(..)");
    let mangled = pem(
        "PRIVATE KEY",
        &RFC_8410_SEED.replace("Mt", "!!").replacen("MC4C", "MC4D", 1),
    );
    let error = SigningKey::from_pem(mangled.as_bytes(), Path::new("key.pem")).unwrap_err();
    for piece in ["1NRy", "INTuct", "EdVhC"] {
        assert!(
            !format!("{error} {error:?} {}", error.help()).contains(piece),
            "{error:?}"
        );
    }
}

/// Line and fault of a private key that is refused.
fn private(text: &str) -> (usize, KeyFault) {
    let error = SigningKey::from_pem(text.as_bytes(), Path::new("key.pem")).expect_err("refused");
    (error.line, error.fault)
}

#[test]
fn malformed_private_keys_are_refused() {
    let good = pem("PRIVATE KEY", RFC_8410_SEED);
    assert_eq!(private(""), (0, KeyFault::Nothing));
    assert_eq!(private("ed25519:abc"), (1, KeyFault::NotPem));
    assert_eq!(private(&pem("PUBLIC KEY", RFC_8410_SEED)), (1, KeyFault::NotPem));
    assert_eq!(
        private(&pem("ENCRYPTED PRIVATE KEY", RFC_8410_SEED)),
        (1, KeyFault::Encrypted)
    );
    assert_eq!(
        private(&pem("OPENSSH PRIVATE KEY", RFC_8410_SEED)),
        (1, KeyFault::OtherForm)
    );
    assert_eq!(
        private(&good.replace("-----END PRIVATE KEY-----", "")),
        (0, KeyFault::NoEnd)
    );
    assert_eq!(
        private(&good.replace("END PRIVATE", "END PUBLIC")),
        (0, KeyFault::NoEnd)
    );
    assert_eq!(private(&format!("{good}{good}")), (4, KeyFault::NoEnd));
    assert_eq!(private(&pem("PRIVATE KEY", "")), (2, KeyFault::NotEd25519));
    assert_eq!(private(&pem("PRIVATE KEY", "MC4C")), (2, KeyFault::NotEd25519));
    assert_eq!(private(&pem("PRIVATE KEY", "MC4")), (2, KeyFault::NotBase64));
    assert_eq!(
        private(&pem("PRIVATE KEY", &RFC_8410_SEED.replace("AQAw", "AQ Aw"))).0,
        2
    );
    // X25519 (1.3.101.110), and a key with one byte more.
    let der = Base64::decode_vec(RFC_8410_SEED).unwrap();
    let of = |der: &[u8]| private(&pem("PRIVATE KEY", &Base64::encode_string(der)));
    let mut agreement = der.clone();
    agreement[11] = 0x6e;
    assert_eq!(of(&agreement), (2, KeyFault::NotEd25519));
    assert_eq!(of(&[der.as_slice(), &[0]].concat()), (2, KeyFault::NotEd25519));
    assert_eq!(of(&der[..47]), (2, KeyFault::NotEd25519));
    let endless = "x".repeat(KEY_FILE_BYTES_MAX + 1);
    assert_eq!(
        private(&endless).1,
        KeyFault::TooLarge {
            bytes: KEY_FILE_BYTES_MAX + 1
        }
    );
    let error = SigningKey::from_pem(b"-----BEGIN\n\xff", Path::new("key.pem")).unwrap_err();
    assert_eq!((error.line, error.fault), (2, KeyFault::NotUtf8));
}

/// Line and fault of a public key that is refused.
fn public(text: &str) -> (usize, KeyFault) {
    let error = TrustedKey::parse(text.as_bytes(), Path::new("ann.pub")).expect_err("refused");
    (error.line, error.fault)
}

#[test]
fn malformed_public_keys_are_refused() {
    let good = RFC_8410_PUBLIC;
    assert_eq!(public(""), (0, KeyFault::Nothing));
    assert_eq!(public("# only a remark\n\n"), (0, KeyFault::Nothing));
    assert_eq!(public(&format!("# Ann's\n{good}\n\n{good}")), (4, KeyFault::SecondLine));
    assert_eq!(
        public(&good.replace("ed25519", "ED25519")),
        (1, KeyFault::NotAPublicKey)
    );
    assert_eq!(
        public("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI ann"),
        (1, KeyFault::NotAPublicKey)
    );
    assert_eq!(public(&pem("PUBLIC KEY", "x")), (1, KeyFault::NotAPublicKey));
    assert_eq!(public(&pem("PRIVATE KEY", "x")), (1, KeyFault::PrivateKey));
    assert_eq!(public(&good.replace('=', "")), (1, KeyFault::NotBase64));
    assert_eq!(
        public(&good.replace("uE=", "uF=")),
        (1, KeyFault::NotBase64),
        "bits that stand for nothing"
    );
    assert_eq!(
        public("ed25519:AAAA"),
        (1, KeyFault::OtherLength { found: 3, wanted: 32 })
    );
    assert_eq!(public(&format!("{good} Ann\u{202e}")), (1, KeyFault::Invisible));
    assert_eq!(
        public(&format!("{good} {}", "a".repeat(201))),
        (1, KeyFault::LongComment)
    );
    // The eight points of small order, in their canonical spelling: the first is the neutral one.
    for weak in [
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ] {
        assert_eq!(public(&format!("ed25519:{weak}")), (1, KeyFault::Weak));
    }
    let fine = TrustedKey::parse(
        format!("# Ann's\r\n\r\n{good}  Ann, at work \r\n").as_bytes(),
        Path::new("ann.pub"),
    );
    assert_eq!(fine.unwrap().comment(), "Ann, at work");
}

#[test]
fn errors_name_file_line_and_the_way_out() {
    let error: KeyError = TrustedKey::parse(b"\ned25519:AAAA", Path::new("/keys/a\u{1b}nn.pub")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`/keys/a\\u{1b}nn.pub`, line 2: 3 bytes where 32 belong"
    );
    assert!(error.help().starts_with("a public key is one line"), "{}", error.help());
    let error = Signature::parse(b"ed25519:AAAA BBBB", Path::new("m.sig")).unwrap_err();
    assert_eq!(error.to_string(), "`m.sig`, line 1: not a signature");
    let error = Signature::parse(b"", Path::new("m.sig")).unwrap_err();
    assert_eq!(error.to_string(), "`m.sig`: there is nothing in it");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(ed25519:|-----BEGIN |#| |\n|[A-Za-z0-9+/=]{1,44}){0,6}") {
        for content in [bytes.as_slice(), text.as_bytes()] {
            let file = Path::new("x");
            if let Ok(signature) = Signature::parse(content, file) {
                prop_assert!(verify("db", &manifest(), &signature, &[trusted(&key(1), "")]).is_err());
            }
            if let Ok(key) = TrustedKey::parse(content, file) {
                prop_assert!(key.key().to_string().parse::<PublicKey>().is_ok());
            }
            prop_assert!(SigningKey::from_pem(content, file).is_err());
        }
    }
}

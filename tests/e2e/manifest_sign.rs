//! Keys and signatures: who may say what a manifest is, and from which files.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::listing_server::{Listing, tool};
use crate::support::{Stage, text};

fn listing() -> Listing {
    Listing::new(&[tool("read", "Reads.")])
}

fn path(stage: &Stage, name: &str) -> String {
    stage.workspace().join(name).to_str().unwrap().to_owned()
}

fn mode(path: impl AsRef<std::path::Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A new private key in the workspace; its public line.
pub(crate) fn new_key(stage: &Stage, name: &str) -> String {
    let made = stage.run(&["manifest", "key", "new", &path(stage, name), "--comment", name]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    text(&made.stdout)
}

/// Trusts a public line; the file that says so.
pub(crate) fn trust(stage: &Stage, name: &str, line: &str) -> PathBuf {
    let folder = stage.home().join("config/keys");
    std::fs::create_dir_all(&folder).unwrap();
    mode(&folder, 0o700);
    let file = folder.join(format!("{name}.pub"));
    std::fs::write(&file, line).unwrap();
    mode(&file, 0o600);
    file
}

pub(crate) fn sign(stage: &Stage, target: &str, key: &str) -> Output {
    stage.run(&["manifest", "sign", target, "--key", &path(stage, key)])
}

fn check(stage: &Stage) -> Output {
    stage.run(&["manifest", "check", "listing"])
}

fn refused(output: &Output, why: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(why), "{why:?} is not in {said}");
}

#[test]
fn a_signature_is_checked_wherever_one_lies() {
    let listing = listing();
    let stage = &listing.stage;
    let ann = new_key(stage, "ann");
    assert!(sign(stage, "listing", "ann").status.success());
    refused(&check(stage), "is not trusted here");
    refused(&listing.call("read"), "is not trusted here");
    let file = trust(stage, "ann", &ann);
    let checked = text(&check(stage).stdout);
    assert!(
        checked.contains(&format!("signed by ann ({})", file.display())),
        "{checked}"
    );
    assert_eq!(listing.call("read").status.code(), Some(0));
    let opened = stage
        .records()
        .into_iter()
        .rfind(|record| record["kind"] == "open")
        .unwrap();
    assert!(
        opened.to_string().contains("signed by") || opened.to_string().contains("signed_by"),
        "{opened}"
    );
    stage.edit_manifest("listing", |text| text.replace("allow = []", "allow = [ ]"));
    assert_eq!(check(stage).status.code(), Some(0), "layout is not signed");
    stage.edit_manifest("listing", |text| {
        text.replace("consent = \"allow\"", "consent = \"deny\"")
    });
    refused(
        &check(stage),
        "not one of `ann` over this manifest for a server `listing`",
    );
    refused(&listing.call("read"), "not one of `ann`");
    assert!(sign(stage, "listing", "ann").status.success());
    assert_eq!(check(stage).status.code(), Some(0));
}

#[test]
fn what_is_accepted_anew_is_signed_anew() {
    let listing = listing();
    let stage = &listing.stage;
    trust(stage, "ann", &new_key(stage, "ann"));
    assert!(sign(stage, "listing", "ann").status.success());
    listing.lists(&[tool("read", "Reads!")]);
    let accepted = listing.accept(&listing.digest());
    assert!(
        text(&accepted.stderr).contains("manifest sign listing"),
        "{}",
        text(&accepted.stderr)
    );
    assert_eq!(listing.call("read").status.code(), Some(0));
    assert!(!text(&check(stage).stdout).contains("signed by"));
}

#[test]
fn a_signature_does_not_count_for_another_server_or_when_it_is_damaged() {
    let listing = listing();
    let stage = &listing.stage;
    trust(stage, "ann", &new_key(stage, "ann"));
    assert!(sign(stage, "listing", "ann").status.success());
    let signature = stage.manifest("listing").with_extension("sig");
    let other = stage.home().join("config/servers/other");
    std::fs::create_dir(&other).unwrap();
    mode(&other, 0o700);
    for file in std::fs::read_dir(signature.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, other.join(file.file_name().unwrap())).unwrap();
    }
    refused(&stage.run(&["run", "other"]), "for a server `other`");
    let whole = std::fs::read(&signature).unwrap();
    for half in [0, whole.len() / 2, whole.len() - 8] {
        std::fs::write(&signature, &whole[..half]).unwrap();
        refused(&check(stage), "manifest.sig");
    }
    std::fs::remove_file(&signature).unwrap();
    let elsewhere = stage.workspace().join("elsewhere.sig");
    std::fs::write(&elsewhere, &whole).unwrap();
    symlink(&elsewhere, &signature).unwrap();
    refused(&check(stage), "is a link");
}

#[test]
fn a_private_key_is_private_or_not_used() {
    let listing = listing();
    let stage = &listing.stage;
    new_key(stage, "ann");
    let key = stage.workspace().join("ann");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = stage.run(&["manifest", "key", "new", key.to_str().unwrap()]);
    refused(&again, "File exists");
    mode(&key, 0o640);
    refused(&sign(stage, "listing", "ann"), "others can read the private file");
    mode(&key, 0o600);
    symlink(&key, stage.workspace().join("link")).unwrap();
    refused(&sign(stage, "listing", "link"), "is a link");
    let open = stage.workspace().join("open");
    std::fs::create_dir(&open).unwrap();
    mode(&open, 0o777);
    std::fs::copy(&key, open.join("ann")).unwrap();
    refused(&sign(stage, "listing", "open/ann"), "where others can rename it");
    refused(&sign(stage, "listing", "no-such"), "No such file");
    let public = stage.run(&["manifest", "key", "public", key.to_str().unwrap()]);
    assert!(text(&public.stdout).starts_with("ed25519:"), "{}", text(&public.stderr));
    std::fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGEgc2VjcmV0IHRo\n",
    )
    .unwrap();
    let broken = sign(stage, "listing", "ann");
    refused(&broken, "ann");
    assert!(!text(&broken.stderr).contains("MC4CAQ"), "{}", text(&broken.stderr));
    assert!(!stage.manifest("listing").with_extension("sig").exists());
}

#[test]
fn a_key_that_others_could_have_put_there_is_not_trusted() {
    let listing = listing();
    let stage = &listing.stage;
    let ann = new_key(stage, "ann");
    let file = trust(stage, "ann", &ann);
    assert!(sign(stage, "listing", "ann").status.success());
    mode(&file, 0o666);
    refused(&check(stage), "others can write");
    mode(&file, 0o600);
    let folder = file.parent().unwrap();
    mode(folder, 0o777);
    refused(&check(stage), "others can write");
    mode(folder, 0o700);
    let elsewhere = stage.workspace().join("ann.pub");
    std::fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    refused(&check(stage), "is a link");
    std::fs::remove_file(&file).unwrap();
    std::fs::rename(folder, stage.workspace().join("keys")).unwrap();
    symlink(stage.workspace().join("keys"), folder).unwrap();
    refused(&check(stage), "is not a folder, or a link to one");
    std::fs::remove_file(folder).unwrap();
    trust(stage, "bad", "ed25519:AAAA nobody\n");
    refused(&check(stage), "bad.pub");
}

/// `/etc` as the organisation would have it, in a mount namespace of its own; nothing redirects the program there.
fn with_organisation_keys(stage: &Stage, line: &str, keys_mode: &str) -> Output {
    let etc = stage.workspace().join("etc");
    let script = "mkdir -p \"$1/cofferdam/keys\" && cp /etc/passwd /etc/group \"$1\" \
        && printf '%s' \"$2\" > \"$1/cofferdam/keys/org.pub\" && chmod \"$3\" \"$1/cofferdam/keys\" \
        && mount --bind \"$1\" /etc && shift 3 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    command.arg(&etc).arg(line).arg(keys_mode);
    let mut command = stage.command_in(command, &["manifest", "check", "listing"]);
    command.output().unwrap()
}

#[test]
fn the_organisations_keys_are_roots_and_lie_in_one_place() {
    let listing = listing();
    let stage = &listing.stage;
    let org = new_key(stage, "org");
    assert!(sign(stage, "listing", "org").status.success());
    let redirected = stage
        .command(&["manifest", "check", "listing"])
        .env("COFFERDAM_KEYS", stage.workspace())
        .env("XDG_CONFIG_HOME", stage.workspace())
        .output()
        .unwrap();
    refused(&redirected, "is not trusted here");
    let checked = with_organisation_keys(stage, &org, "755");
    let said = text(&checked.stdout);
    assert!(
        said.contains("signed by org (/etc/cofferdam/keys/org.pub)"),
        "{said}{}",
        text(&checked.stderr)
    );
    std::fs::remove_dir_all(stage.workspace().join("etc")).unwrap();
    refused(
        &with_organisation_keys(stage, &org, "777"),
        "others can write to `/etc/cofferdam/keys`",
    );
}

#[test]
fn a_file_is_signed_for_the_server_it_is_meant_for() {
    let listing = listing();
    let stage = &listing.stage;
    new_key(stage, "ann");
    let file = stage.workspace().join("proposed.toml");
    std::fs::copy(stage.manifest("listing"), &file).unwrap();
    let target = file.to_str().unwrap();
    assert_eq!(sign(stage, target, "ann").status.code(), Some(2), "for which server?");
    let key = path(stage, "ann");
    let signed = stage.run(&["manifest", "sign", target, "--key", &key, "--name", "listing"]);
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let line = std::fs::read_to_string(file.with_extension("sig")).unwrap();
    assert!(sign(stage, "listing", "ann").status.success());
    let own = std::fs::read_to_string(stage.manifest("listing").with_extension("sig")).unwrap();
    assert_eq!(line, own, "the same meaning under the same name");
    std::fs::write(&file, "[launch]\ncommand = [\"relative\"]\n").unwrap();
    let bad = stage.run(&["manifest", "sign", target, "--key", &key, "--name", "listing"]);
    assert_eq!(bad.status.code(), Some(4), "{}", text(&bad.stderr));
}

#[test]
fn required_features_are_checked_by_name_before_anything_runs() {
    let listing = listing();
    listing.stage.edit_manifest("listing", |text| {
        text.replace("require = []", "require = [\"no-such-wall\"]")
    });
    refused(&check(&listing.stage), "no-such-wall");
    let file = listing.stage.manifest("listing");
    refused(
        &listing.stage.run(&["manifest", "check", file.to_str().unwrap()]),
        "no-such-wall",
    );
}

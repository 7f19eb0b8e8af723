//! Manifests that a working tree brings along: they count only on the user's word or a trusted key's, and never take what is the user's.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::listing_server::{Listing, Person, tool};
use crate::manifest_sign::{new_key, sign, trust};
use crate::scripted::Scripted;
use crate::support::{Stage, text};

/// A repository in the workspace that brings the server `shop`: what `listing` was added as, which is gone from the user's own.
struct Repository {
    listing: Listing,
}

impl Repository {
    fn new() -> Self {
        let listing = Listing::new(&[tool("read", "Reads.")]);
        let repository = Self { listing };
        std::fs::create_dir_all(repository.root().join(".git")).unwrap();
        std::fs::create_dir_all(repository.root().join("sub/deep")).unwrap();
        let servers = repository.root().join(".cofferdam/servers");
        std::fs::create_dir_all(&servers).unwrap();
        let own = repository.stage().manifest("listing");
        std::fs::rename(own.parent().unwrap(), servers.join("shop")).unwrap();
        repository
    }

    fn stage(&self) -> &Stage {
        &self.listing.stage
    }

    fn root(&self) -> PathBuf {
        self.stage().workspace().join("repository")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root().join(".cofferdam/servers/shop").join(name)
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file(file)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        std::fs::write(self.file(file), text.replace(from, to)).unwrap();
    }

    fn run_in(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.stage().command(arguments).current_dir(folder).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(&self.root(), arguments)
    }

    fn call(&self) -> Output {
        self.run(&["call", "shop", "read", "{}"])
    }

    fn digest(&self) -> String {
        let shown = self.run(&["--format", "json", "manifest", "diff", "shop"]);
        let document: serde_json::Value =
            serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{}", text(&shown.stderr)));
        document["digest"].as_str().unwrap().to_owned()
    }

    fn accept(&self) -> Output {
        self.run(&["manifest", "accept", "shop", "--yes", "--digest", &self.digest()])
    }

    fn refused(&self, why: &str) {
        let refused = self.call();
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(4), "{said}");
        assert!(said.contains(why), "{why:?} is not in {said}");
        assert!(said.contains("help: "), "the way out is missing in {said}");
    }
}

#[test]
fn it_counts_from_the_moment_the_user_accepted_exactly_it() {
    let repository = Repository::new();
    repository.refused("nobody vouches for this manifest");
    let digest = repository.digest();
    repository.refused(&digest);
    assert_eq!(repository.run(&["manifest", "accept", "shop"]).status.code(), Some(3));
    let all = repository.run_in(&repository.root().join("sub/deep"), &["manifest", "check"]);
    assert_eq!(all.status.code(), Some(4), "{}", text(&all.stdout));
    assert!(text(&all.stderr).contains("nobody vouches"), "{}", text(&all.stderr));
    let other = format!("sha256:{}", "0".repeat(64));
    let wrong = repository.run(&["manifest", "accept", "shop", "--yes", "--digest", &other]);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong.stderr));
    repository.refused("nobody vouches");
    let accepted = repository.accept();
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    let all = repository.run(&["manifest", "check"]);
    assert!(all.status.success(), "{}", text(&all.stderr));
    assert!(
        text(&all.stdout).starts_with("shop: ok, 1 tools"),
        "{}",
        text(&all.stdout)
    );
    assert_eq!(
        text(&repository.call().stdout),
        "called read\n",
        "{}",
        text(&repository.call().stderr)
    );
    let opened = repository
        .stage()
        .records()
        .into_iter()
        .rfind(|record| record["kind"] == "open")
        .unwrap();
    assert!(
        opened.to_string().contains(".cofferdam/servers/shop/manifest.toml"),
        "{opened}"
    );

    repository.edit(
        "manifest.toml",
        "[client]\nallow = []",
        "[client]\nallow = [\"sampling\"]",
    );
    repository.refused("changed since you accepted it");
    let diff = repository.run(&["manifest", "diff", "shop"]);
    assert_eq!(diff.status.code(), Some(1));
    assert_eq!(
        text(&diff.stdout),
        "shop: 1 change in the project since you accepted it\n  risky     client.allow  allows more\n              + sampling\n"
    );
    assert!(repository.accept().status.success());
    assert_eq!(repository.call().status.code(), Some(0));
    repository.edit("manifest.toml", "allow = [\"sampling\"]", "allow = []");
    repository.refused("changed since you accepted it");
}

#[test]
fn a_person_is_shown_all_of_it_and_types_its_name() {
    let repository = Repository::new();
    let root = repository.root();
    let mut person = Person::at(repository.stage(), &["manifest", "accept", root.to_str().unwrap()]);
    let said = person.is_asked("type shop to accept it").to_owned();
    for part in [
        "launch.command",
        "/usr/bin/python3",
        "filesystem.write",
        "{+Reads.+}",
        "digest sha256:",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    person.types("shop");
    let (status, said) = person.end();
    assert!(status.success(), "{said}");
    assert_eq!(repository.call().status.code(), Some(0));
}

#[test]
fn it_is_found_from_within_its_repository_and_never_above() {
    let repository = Repository::new();
    assert!(repository.accept().status.success());
    let call = |folder: &Path| repository.run_in(folder, &["call", "shop", "read", "{}"]).status.code();
    assert_eq!(call(&repository.root().join("sub/deep")), Some(0));
    let inner = repository.root().join("sub/inner");
    std::fs::create_dir_all(inner.join(".git")).unwrap();
    std::fs::create_dir_all(inner.join("deep")).unwrap();
    assert_eq!(call(&inner.join("deep")), Some(4), "another repository begins here");
    assert_eq!(call(Path::new("/")), Some(4));
    std::fs::remove_dir(repository.root().join(".git")).unwrap();
    assert_eq!(
        call(&repository.root().join("sub")),
        Some(4),
        "without a repository only the folder itself"
    );
    assert_eq!(call(&repository.root()), Some(0));
}

#[test]
fn it_never_takes_the_users_names_secrets_or_word() {
    let repository = Repository::new();
    let stage = repository.stage();
    let script = repository.listing.script();
    let words = ["/usr/bin/python3", script.to_str().unwrap(), "/no/such/file"];
    assert!(repository.accept().status.success());
    std::fs::create_dir_all(stage.home().join("config/servers/Shop")).unwrap();
    repository.refused("a project cannot take the name `shop`: you have a server `Shop`");
    std::fs::remove_dir(stage.home().join("config/servers/Shop")).unwrap();
    std::fs::write(
        &script,
        std::fs::read_to_string(&script).unwrap().replace(
            "json.load(open(sys.argv[1]))",
            "[{\"name\": \"mine\", \"inputSchema\": {\"type\": \"object\"}}]",
        ),
    )
    .unwrap();
    assert!(stage.add("shop", &[], &words).status.success());
    let called = repository.run(&["call", "shop", "mine", "{}"]);
    assert_eq!(
        text(&called.stdout),
        "called mine\n",
        "the user's own comes first: {}",
        text(&called.stderr)
    );
}

#[test]
fn a_manifest_that_asks_for_secrets_or_does_not_pin_its_program_is_refused_to_everybody() {
    let repository = Repository::new();
    let key = new_key(repository.stage(), "ann");
    trust(repository.stage(), "ann", &key);
    let whole = std::fs::read_to_string(repository.file("manifest.toml")).unwrap();
    let secret = "[secrets.token]\nsource = \"keyring:x\"\ndeliver = \"fd\"\n";
    std::fs::write(repository.file("manifest.toml"), format!("{whole}\n{secret}")).unwrap();
    for why in ["nobody vouches", "cannot bind your secrets"] {
        repository.refused(why);
    }
    let accepted = repository.accept();
    assert!(
        text(&accepted.stderr).contains("cannot bind your secrets"),
        "{}",
        text(&accepted.stderr)
    );
    assert_eq!(accepted.status.code(), Some(4));
    let signed = sign(
        repository.stage(),
        repository.file("manifest.toml").to_str().unwrap(),
        "ann",
    );
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    repository.refused("cannot bind your secrets");
    let unpinned: String = whole
        .lines()
        .filter(|line| !line.starts_with("digest"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(repository.file("manifest.toml"), unpinned).unwrap();
    assert!(
        sign(
            repository.stage(),
            repository.file("manifest.toml").to_str().unwrap(),
            "ann"
        )
        .status
        .success()
    );
    repository.refused("the program is not pinned");
}

#[test]
fn a_signature_of_a_trusted_key_counts_for_this_name_only() {
    let repository = Repository::new();
    let ann = new_key(repository.stage(), "ann");
    let manifest = repository.file("manifest.toml");
    assert!(
        sign(repository.stage(), manifest.to_str().unwrap(), "ann")
            .status
            .success()
    );
    repository.refused("is not trusted here");
    trust(repository.stage(), "ann", &ann);
    assert_eq!(
        repository.call().status.code(),
        Some(0),
        "{}",
        text(&repository.call().stderr)
    );
    let other = repository.root().join(".cofferdam/servers/store");
    std::fs::create_dir(&other).unwrap();
    for file in ["manifest.toml", "manifest.sig", "definitions.json", "program.json"] {
        std::fs::copy(repository.file(file), other.join(file)).unwrap();
    }
    let swapped = repository.run(&["call", "store", "read", "{}"]);
    assert_eq!(swapped.status.code(), Some(4));
    assert!(
        text(&swapped.stderr).contains("for a server `store`"),
        "{}",
        text(&swapped.stderr)
    );
    repository.edit("manifest.toml", "consent = \"allow\"", "consent = \"deny\"");
    repository.refused("not one of `ann` over this manifest");
}

#[test]
fn links_out_of_the_project_and_damaged_files_are_refused() {
    let repository = Repository::new();
    assert!(repository.accept().status.success());
    for file in ["definitions.json", "program.json", "manifest.toml"] {
        let whole = std::fs::read(repository.file(file)).unwrap();
        std::fs::write(repository.file(file), &whole[..whole.len() / 2]).unwrap();
        let damaged = repository.call();
        let is_own_copy = file == "program.json";
        assert_eq!(
            damaged.status.code(),
            Some(if is_own_copy { 0 } else { 4 }),
            "{file}: {}",
            text(&damaged.stderr)
        );
        let outside = repository.stage().workspace().join(file);
        std::fs::write(&outside, &whole).unwrap();
        std::fs::remove_file(repository.file(file)).unwrap();
        symlink(&outside, repository.file(file)).unwrap();
        assert_eq!(repository.call().status.code(), Some(4), "{file} leads out");
        std::fs::remove_file(repository.file(file)).unwrap();
        std::fs::write(repository.file(file), &whole).unwrap();
        assert_eq!(repository.call().status.code(), Some(0), "{file} is whole again");
    }
}

/// The pins of a repository say what the content is; when it was last looked at is not theirs to say.
#[test]
fn a_projects_own_index_vouches_for_nothing() {
    let repository = Repository::new();
    let program = std::fs::read_to_string(repository.file("program.json")).unwrap();
    assert!(repository.accept().status.success());
    let script = repository.listing.script();
    let original = std::fs::read_to_string(&script).unwrap();
    let other = original.replace("called ", "CALLED ");
    std::fs::write(&script, &other).unwrap();
    // The index of the changed file, with the digest of the accepted one.
    let data = repository.stage().workspace().join("data/tools.json");
    let out = repository.listing.writable();
    let words = ["/usr/bin/python3", script.to_str().unwrap(), data.to_str().unwrap()];
    let grants = ["--read", data.to_str().unwrap(), "--write", out.to_str().unwrap()];
    let lying = Stage::new();
    // A file younger than two seconds is hashed whatever its index says.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert!(lying.add("listing", &grants, &words).status.success());
    let fresh = std::fs::read_to_string(lying.manifest("listing").with_file_name("program.json")).unwrap();
    let hashes = |text: &str| -> Vec<String> {
        text.split("sha256:")
            .skip(1)
            .map(|rest| rest.chars().take(64).collect())
            .collect()
    };
    let mut forged = fresh.clone();
    for (now, accepted) in hashes(&fresh).iter().zip(hashes(&program)) {
        forged = forged.replace(now.as_str(), &accepted);
    }
    std::fs::write(repository.file("program.json"), forged).unwrap();
    std::fs::remove_dir_all(repository.stage().home().join("config/projects")).unwrap();
    repository.refused("is not the one that was accepted");
    std::fs::write(&script, original).unwrap();
    assert_eq!(
        repository.call().status.code(),
        Some(0),
        "{}",
        text(&repository.call().stderr)
    );
}

#[test]
fn an_update_of_an_accepted_project_moves_its_pins_in_the_working_tree() {
    let repository = Repository::new();
    assert!(repository.accept().status.success());
    repository
        .listing
        .lists(&[tool("read", "Reads!"), tool("fresh", "Is new.")]);
    let accepted = repository.accept();
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    assert_eq!(
        repository.call().status.code(),
        Some(0),
        "{}",
        text(&repository.call().stderr)
    );
    let manifest = std::fs::read_to_string(repository.file("manifest.toml")).unwrap();
    assert!(manifest.contains("[tools.fresh]"), "{manifest}");
    assert!(
        !std::fs::read_to_string(repository.file("program.json"))
            .unwrap()
            .contains("true,\"stat\":[1")
    );
}

#[test]
fn the_list_of_accepted_projects_is_ours_or_refused() {
    let repository = Repository::new();
    assert!(repository.accept().status.success());
    let list = repository.stage().home().join("config/accepted-projects");
    let whole = std::fs::read(&list).unwrap();
    std::fs::write(&list, &whole[..whole.len() / 2]).unwrap();
    repository.refused("accepted-projects");
    std::fs::remove_file(&list).unwrap();
    let elsewhere = repository.stage().workspace().join("list");
    std::fs::write(&elsewhere, &whole).unwrap();
    symlink(&elsewhere, &list).unwrap();
    repository.refused("is a link");
}

/// Whoever writes the repository also writes its pins: a program that is pinned in name only could be exchanged the day after.
#[test]
fn a_program_that_is_pinned_in_part_only_counts_for_nobody() {
    let repository = Repository::new();
    let stage = repository.stage();
    let whole = std::fs::read_to_string(repository.file("manifest.toml")).unwrap();
    let script = repository.listing.script();
    let words = format!("program = [\"{}\"]", script.display());
    assert!(whole.contains(&words), "{whole}");
    // The pins of another program: nothing of this one is pinned, and its folder is granted as data.
    let other = stage.workspace().join("other");
    std::fs::create_dir(&other).unwrap();
    let other = Scripted::write(stage, "other/other", "");
    assert!(
        stage
            .add("other", &[], &["/usr/bin/python3", other.to_str().unwrap()])
            .status
            .success()
    );
    let pins = stage.manifest("other").with_file_name("program.json");
    let digest = |text: &str| text.lines().find(|line| line.starts_with("digest")).unwrap().to_owned();
    let other_digest = digest(&std::fs::read_to_string(stage.manifest("other")).unwrap());
    std::fs::copy(pins, repository.file("program.json")).unwrap();
    let forged = whole
        .replace(&words, "program = []")
        .replace(&digest(&whole), &other_digest)
        .replace("read = [", &format!("read = [\"{}\", ", script.display()));
    std::fs::write(repository.file("manifest.toml"), forged).unwrap();
    repository.refused("is not pinned whole");
    let accepted = repository.accept();
    assert!(
        text(&accepted.stderr).contains("is not pinned whole"),
        "{}",
        text(&accepted.stderr)
    );
}

#[test]
fn a_server_is_added_to_a_project_and_accepted_for_whoever_added_it() {
    let repository = Repository::new();
    let folder = repository.root().join(".cofferdam/servers/second");
    let script = Scripted::write(repository.stage(), "second", "");
    let words = [
        "add",
        "second",
        "--project",
        "--yes",
        "--",
        "/usr/bin/python3",
        script.to_str().unwrap(),
    ];
    let added = repository.run_in(&repository.root().join("sub/deep"), &words);
    assert!(added.status.success(), "{}", text(&added.stderr));
    assert!(folder.join("manifest.toml").exists());
    let program = std::fs::read_to_string(folder.join("program.json")).unwrap();
    assert!(
        program.contains("[0,0,0,0,0]"),
        "nothing of this machine's files stands in it: {program}"
    );
    let call = || repository.run(&["call", "second", "echo", "{}"]);
    assert_eq!(call().status.code(), Some(0), "{}", text(&call().stderr));
    let again = repository.run(&words);
    assert_eq!(again.status.code(), Some(4), "{}", text(&again.stderr));
    let elsewhere = repository.stage().workspace().join("elsewhere");
    std::fs::rename(&folder, &elsewhere).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    let replaced = repository.run(&[&["add", "--replace"], &words[1..]].concat());
    assert_eq!(replaced.status.code(), Some(4), "{}", text(&replaced.stderr));
    assert_eq!(call().status.code(), Some(4), "a link out of the project");
}

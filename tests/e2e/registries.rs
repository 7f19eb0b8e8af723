//! A company's registry, behind a token, a certificate authority of its own and a proxy with a password: for the install alone, never
//! shown, never on record.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;

use crate::support::{Stage, certificate, said_in, text};

const TOKEN: &str = "npm-token-0123456789";
const PASSWORD: &str = "proxy-word-0123456789";

/// A registry and a proxy of the test's own.
pub(crate) struct Company {
    pub(crate) stage: Stage,
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    registry: u16,
    proxy: u16,
}

impl Company {
    pub(crate) fn new(name: &str) -> Self {
        let stage = Stage::new();
        let folder = stage.workspace();
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        certificate(&folder, name);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture/registry.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([
                file("certificate.pem"),
                file("key.pem"),
                TOKEN.to_owned(),
                PASSWORD.to_owned(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|cause| panic!("this test needs /usr/bin/python3: {cause}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let mut ports = line.split_whitespace().map(|port| port.parse().unwrap());
        Self {
            registry: ports.next().unwrap(),
            proxy: ports.next().unwrap(),
            stage,
            child,
            lines,
        }
    }

    /// Writes the user's own configuration of npm.
    fn configure(&self, lines: &str) {
        let home: PathBuf = self.stage.home().parent().unwrap().into();
        let authority = self.stage.workspace().join("certificate.pem");
        std::fs::write(home.join(".npmrc"), format!("cafile={}\n{lines}", authority.display())).unwrap();
    }

    /// As a user whose configuration has the registry's token.
    pub(crate) fn with_token() -> Self {
        let company = Self::new("localhost");
        let place = format!("localhost:{}/npm/", company.registry);
        company.configure(&format!(
            "@ours:registry=https://{place}\n//{place}:_authToken={TOKEN}\n"
        ));
        company
    }

    fn add(&self, options: &[&str]) -> Output {
        let words = [&["add", "ours", "--yes"], options, &["--", "npx", "-y", "@ours/server"]].concat();
        self.stage.command(&words).env("OURS_TOKEN", TOKEN).output().unwrap()
    }

    /// Nothing secret stands in what was said, in what was installed, or in the record.
    fn shows_nothing(&self, said: &str) {
        let stores = ["data", "state", "config"].map(|name| self.stage.home().join(name));
        for secret in [TOKEN, PASSWORD] {
            assert!(!said.contains(secret), "{said}");
            let found = Command::new("grep")
                .args(["-rl", secret])
                .args(&stores)
                .output()
                .unwrap();
            assert_eq!(text(&found.stdout), "", "{secret}");
        }
    }

    fn asked(mut self) -> String {
        self.child.kill().unwrap();
        let mut all = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut all).unwrap();
        all
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        // Ours, and possibly gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What uv is told beside: the index's authority, and these.
fn add_python(company: &Company, options: &[&str], package: &str, variables: &[(&str, &str)]) -> Output {
    let words = [&["add", "ours", "--yes"], options, &["--", "uvx", package]].concat();
    let mut add = crate::install_python::command(&company.stage, &words);
    add.env("SSL_CERT_FILE", company.stage.workspace().join("certificate.pem"));
    add.envs(variables.iter().copied()).output().unwrap()
}

/// What was added says which proxy it came through, shows no password, and answers.
fn came_through_the_proxy(company: Company, added: &Output, registry: &str) {
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(
        said.contains(&format!("the proxy localhost:{}", company.proxy)),
        "{said}"
    );
    company.shows_nothing(&said);
    answers(&company.stage);
    let asked = company.asked();
    assert!(
        asked.contains("proxy registry.test:") && asked.contains(registry),
        "{asked}"
    );
}

#[test]
fn an_index_with_a_token_is_used_by_uv_and_the_token_is_nowhere_else() {
    let company = Company::new("localhost");
    let place = format!("localhost:{}/pypi/simple/", company.registry);
    let index = |user: &str| format!("https://{user}{place}");
    let refused = add_python(&company, &[], "ours-server", &[("UV_DEFAULT_INDEX", &index(""))]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("401"), "{said}");

    // The user's own configuration of uv, as npm's test has the user's own of npm.
    let home: PathBuf = company.stage.home().parent().unwrap().into();
    std::fs::create_dir_all(home.join(".config/uv")).unwrap();
    let setting = format!("index-url = \"{}\"\n", index(&format!("me:{TOKEN}@")));
    std::fs::write(home.join(".config/uv/uv.toml"), setting).unwrap();
    let added = add_python(&company, &[], "ours-server", &[]);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(
        said.contains("installed ours-server 1.0.0 from localhost, wheels only"),
        "{said}"
    );
    company.shows_nothing(&said);
    answers(&company.stage);

    // Code that is built would see the token, whoever said yes to it.
    let refused = add_python(&company, &["--replace", "--build"], "ours-source", &[]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("a password that this code would see"), "{said}");
    company.shows_nothing(&said);
    answers(&company.stage);
    let asked = company.asked();
    assert!(asked.contains("registry /pypi/files/ours_server"), "{asked}");
    assert!(!asked.contains("ours_source"), "{asked}");
}

#[test]
fn a_proxy_is_all_that_an_install_by_uv_reaches() {
    let company = Company::new("registry.test");
    let index = format!("https://me:{TOKEN}@registry.test:{}/pypi/simple/", company.registry);
    let proxy = |word: &str| format!("http://me:{word}@localhost:{}", company.proxy);
    let add = |word: &str| {
        let variables = [("UV_DEFAULT_INDEX", index.as_str()), ("HTTPS_PROXY", &proxy(word))];
        add_python(&company, &[], "ours-server", &variables)
    };
    let refused = add("wrong-word");
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && !said.contains("wrong-word"), "{said}");
    let added = add(PASSWORD);
    came_through_the_proxy(company, &added, "registry /pypi/");
}

#[test]
fn a_source_is_built_after_a_yes_and_sees_nothing_of_the_user() {
    let company = Company::new("localhost");
    let index = format!("https://localhost:{}/open/simple/", company.registry);
    let variables = [("UV_DEFAULT_INDEX", index.as_str()), ("OURS_TOKEN", TOKEN)];
    let refused = add_python(&company, &[], "ours-source", &variables);
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("`--build` builds sources"),
        "{said}"
    );
    assert!(!company.stage.manifest("ours").exists());

    let added = add_python(&company, &["--build"], "ours-source", &variables);
    let said = text(&added.stderr);
    assert!(
        added.status.success() && said.contains("sources built as you said"),
        "{said}"
    );
    let manifest = std::fs::read_to_string(company.stage.manifest("ours")).unwrap();
    assert!(manifest.contains("exceptions = [\"source-build\"]"), "{manifest}");
    answers(&company.stage);
    let built = Command::new("find")
        .arg(company.stage.home())
        .args(["-name", "ours_built.txt"])
        .output()
        .unwrap();
    let saw = std::fs::read_to_string(text(&built.stdout).trim()).unwrap();
    assert!(saw.contains("UV_CACHE_DIR") && !saw.contains("OURS_TOKEN"), "{saw}");
    company.shows_nothing(&said);
}

pub(crate) fn answers(stage: &Stage) {
    let mut gate = stage.converse(&["ours"]);
    gate.initialize("2025-11-25");
    assert_eq!(said_in(&gate.call("t", json!({}))), "ours");
    assert!(gate.end().success());
}

#[test]
fn a_token_of_the_users_configuration_opens_its_registry_and_is_nowhere_else() {
    let company = Company::new("localhost");
    let place = format!("localhost:{}/npm/", company.registry);
    company.configure(&format!("@ours:registry=https://{place}\n"));
    let refused = company.add(&[]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("401"), "{said}");

    company.configure(&format!(
        "@ours:registry=https://{place}\n//{place}:_authToken=${{OURS_TOKEN}}\n"
    ));
    let added = company.add(&[]);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(
        said.contains("install scripts that did not run: @ours/server"),
        "{said}"
    );
    company.shows_nothing(&said);
    answers(&company.stage);

    // Said yes to, its install script runs, and sees no token.
    let added = company.add(&["--replace", "--scripts"]);
    let said = text(&added.stderr);
    assert!(added.status.success() && said.contains("install scripts ran"), "{said}");
    let ran = Command::new("find")
        .arg(company.stage.home())
        .args(["-name", "ran"])
        .output()
        .unwrap();
    let ran = std::fs::read_to_string(text(&ran.stdout).trim()).unwrap();
    assert!(ran.contains("npm_config_cache") && !ran.contains("_authToken"), "{ran}");
    let manifest = std::fs::read_to_string(company.stage.manifest("ours")).unwrap();
    assert!(manifest.contains("exceptions = [\"install-scripts\"]"), "{manifest}");
    company.shows_nothing(&said);
    answers(&company.stage);
}

#[test]
fn a_proxy_is_all_that_an_install_reaches() {
    // The name leads nowhere: who comes to the registry comes through the proxy.
    let company = Company::new("registry.test");
    let place = format!("registry.test:{}/npm/", company.registry);
    let proxy = |word: &str| {
        format!(
            "fetch-retries=0\nhttps-proxy=http://me:{word}@localhost:{}\n",
            company.proxy
        )
    };
    let rest = format!("@ours:registry=https://{place}\n//{place}:_authToken={TOKEN}\n");
    company.configure(&format!("{rest}{}", proxy("wrong-word")));
    let refused = company.add(&[]);
    assert!(!refused.status.success());
    assert!(
        !text(&refused.stderr).contains("wrong-word"),
        "{}",
        text(&refused.stderr)
    );

    company.configure(&format!("{rest}{}", proxy(PASSWORD)));
    let added = company.add(&[]);
    came_through_the_proxy(company, &added, "registry /npm/");
}

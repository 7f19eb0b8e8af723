//! Every client's own way of writing a server: read, rewritten, and put back to the byte.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use cofferdam_scan::{CLIENTS, EditFault, Entry, Format, Server, Shape, entries, restore, rewrite};

const OURS: [&str; 3] = ["/opt/cofferdam/bin/cofferdam", "run", "files"];

fn ours() -> Vec<String> {
    OURS.iter().map(|word| (*word).to_owned()).collect()
}

/// The shape of a client's first file of this format.
fn shape(client: &str, format: Format) -> Shape {
    let client = CLIENTS.iter().find(|one| one.id == client).unwrap();
    let file = client.files.iter().find(|file| file.shape.format == format);
    file.unwrap().shape
}

fn named<'a>(entries: &'a [Entry], name: &str) -> &'a Entry {
    entries
        .iter()
        .find(|entry| entry.name == name)
        .unwrap_or_else(|| panic!("{name} in {entries:?}"))
}

/// The entry `files` starts `expected`; rewritten it starts us, the rest of the file stays, and put back it is the file that was.
fn there_and_back(client: &str, format: Format, text: &str, expected: &[&str]) -> String {
    let shape = shape(client, format);
    let found = entries(text, &shape).unwrap();
    let entry = named(&found, "files");
    let Server::Stdio(line) = &entry.server else {
        panic!("{entry:?}")
    };
    assert_eq!(line.command, expected);
    assert_eq!(line.protected_as(), None);

    let (rewritten, undo) = rewrite(text, &shape, &entry.path, &ours()).unwrap();
    let now = entries(&rewritten, &shape).unwrap();
    let Server::Stdio(line) = &named(&now, "files").server else {
        panic!("{rewritten}")
    };
    assert_eq!(line.command, OURS, "{rewritten}");
    assert_eq!(line.protected_as(), Some("files"));
    assert_eq!(now.len(), found.len());
    for (before, after) in found.iter().zip(&now).filter(|(before, _)| before.name != "files") {
        assert_eq!(before, after);
    }
    let restored = restore(&rewritten, &shape, &entry.path, &undo);
    assert_eq!(restored.as_deref(), Ok(text), "{undo:?}\n{rewritten}");
    rewritten
}

#[test]
fn json_with_comments_order_and_odd_spacing() {
    let text = "{\r\n  // mine\r\n  \"theme\": \"dark\",\r\n  \"mcpServers\" : {\r\n\t\"files\": { \"args\": [ \"-y\", \"pkg\", /* where */ \"/srv\", ], \"env\": {\"A\": \"1\"},\r\n\t  \"command\": \"npx\", \"disabled\": false, \"x-mine\": 7 },\r\n    \"far\": {\"url\": \"https://example.com/mcp\"},\r\n  },\r\n}";
    let rewritten = there_and_back("cursor", Format::Jsonc, text, &["npx", "-y", "pkg", "/srv"]);
    assert_eq!(
        rewritten,
        text.replace("[ \"-y\", \"pkg\", /* where */ \"/srv\", ]", "[\"run\", \"files\"]")
            .replace("\"npx\"", "\"/opt/cofferdam/bin/cofferdam\"")
    );
}

#[test]
fn arguments_are_put_in_where_there_were_none() {
    for text in [
        "{\"mcpServers\":{\"files\":{\"command\":\"/bin/srv\"}}}",
        "{\n  \"mcpServers\": {\n    \"files\": {\n      \"command\": \"/bin/srv\", // which\n      \"env\": {}\n    }\n  }\n}\n",
    ] {
        there_and_back("claude-desktop", Format::Jsonc, text, &["/bin/srv"]);
    }
    for text in [
        "model = \"x\"\n[mcp_servers.files]\ncommand = \"/bin/srv\" # which\nenv = { A = \"1\" }\n",
        "[mcp_servers]\nfiles = { command = '/bin/srv', env = { A = \"1\" } }\n",
        "[mcp_servers]\nfiles.command = \"/bin/srv\"\nfiles.cwd = \"/srv\"\n",
        "mcp_servers.files.command = \"/bin/srv\"\n",
    ] {
        there_and_back("codex", Format::Toml, text, &["/bin/srv"]);
    }
    for text in [
        "extensions:\n  files:\n    type: stdio\n    cmd: /bin/srv # which\n    timeout: 300\n",
        "extensions:\n  files: {type: stdio, cmd: /bin/srv}\n",
    ] {
        there_and_back("goose", Format::Yaml, text, &["/bin/srv"]);
    }
    let text = "mcpServers:\n  - command: /bin/srv\n    name: files\n  - name: other\n    command: x\n";
    there_and_back("continue", Format::Yaml, text, &["/bin/srv"]);
}

#[test]
fn each_clients_own_names() {
    let opencode = r#"{"mcp": {"files": {"type": "local", "command": ["npx", "-y", "pkg"], "environment": {"A": "1"}, "enabled": false}}}"#;
    there_and_back("opencode", Format::Jsonc, opencode, &["npx", "-y", "pkg"]);
    let zed = r#"{"context_servers": {"files": {"source": "custom", "command": "npx", "args": ["pkg"], "env": {}}}}"#;
    there_and_back("zed", Format::Jsonc, zed, &["npx", "pkg"]);
    let nested = r#"{"context_servers": {"files": {"command": {"path": "npx", "args": ["pkg"], "env": {"A": "1"}}, "settings": {}}}}"#;
    there_and_back("zed", Format::Jsonc, nested, &["npx", "pkg"]);
    let vscode = r#"{"inputs": [{"id": "key", "type": "promptString", "password": true}], "servers": {"files": {"type": "stdio", "command": "npx", "args": ["pkg"], "envFile": "${workspaceFolder}/.env"}}}"#;
    there_and_back("vscode", Format::Jsonc, vscode, &["npx", "pkg"]);
    let claude = r#"{"numStartups": 3, "projects": {"/srv/x": {"mcpServers": {"files": {"type": "stdio", "command": "npx", "args": ["pkg"], "env": {}}}}}}"#;
    there_and_back("claude-code", Format::Jsonc, claude, &["npx", "pkg"]);
    let goose = "extensions:\n  files:\n    args:\n    - -y\n    - pkg\n    bundled: null\n    cmd: npx\n    enabled: true\n    env_keys: [TOKEN]\n    envs: {}\n    type: stdio\n";
    there_and_back("goose", Format::Yaml, goose, &["npx", "-y", "pkg"]);
    let codex = "# mine\n[mcp_servers.files]\nargs = [\n  \"-y\", # always\n  \"pkg\",\n]\ncommand = \"npx\"\nenv_vars = [\"TOKEN\"]\nstartup_timeout_sec = 20\n\n[profiles.x]\na = 1\n";
    there_and_back("codex", Format::Toml, codex, &["npx", "-y", "pkg"]);
}

#[test]
fn what_belongs_to_an_entry_is_read() {
    let text = r#"{"servers": {
        "a": {"command": "x", "args": ["${input:key}"], "env": {"TOKEN": "${env:TOKEN}"}, "envFile": ".env", "cwd": "${workspaceFolder}"},
        "b": {"type": "http", "url": "https://example.com"},
        "c": {"command": 7},
        "d": {"command": "x", "args": "not a list"},
        "e": {"command": "/usr/bin/cofferdam", "args": ["--home", "/h", "run", "e"], "disabled": true},
        "f": {"command": "cofferdam", "args": ["run", "--", "npx"]},
        "g": 1 }}"#;
    let found = entries(text, &shape("vscode", Format::Jsonc)).unwrap();
    let stdio = |name: &str| match &named(&found, name).server {
        Server::Stdio(line) => line.clone(),
        other => panic!("{other:?}"),
    };
    let a = stdio("a");
    assert_eq!(a.environment, [("TOKEN".to_owned(), "${env:TOKEN}".to_owned())]);
    assert_eq!(a.environment_file.as_deref(), Some(".env"));
    assert_eq!(a.directory.as_deref(), Some("${workspaceFolder}"));
    assert!(matches!(&named(&found, "b").server, Server::Remote { address } if address == "https://example.com"));
    for name in ["c", "d", "g"] {
        assert!(matches!(named(&found, name).server, Server::Unclear { .. }), "{name}");
    }
    assert_eq!(stdio("e").protected_as(), Some("e"));
    assert!(named(&found, "e").is_disabled);
    assert_eq!(
        stdio("f").protected_as(),
        None,
        "a command that nobody accepted is not protected"
    );
}

#[test]
fn later_edits_of_the_rest_survive_and_edits_of_the_line_are_not_overwritten() {
    let text = "{\n  \"mcpServers\": {\n    \"files\": {\"command\": \"npx\", \"args\": [\"pkg\"]}\n  }\n}\n";
    let shape = shape("cursor", Format::Jsonc);
    let path = vec!["mcpServers".to_owned(), "files".to_owned()];
    let (rewritten, undo) = rewrite(text, &shape, &path, &ours()).unwrap();
    let edited = rewritten
        .replace(
            "\"files\": {",
            "\"other\": {\"command\": \"x\"},\n    \"files\": {\"timeout\": 5, ",
        )
        .replace("{\n  \"mcp", "{\n  // new\n  \"mcp");
    let expected = edited
        .replace("\"/opt/cofferdam/bin/cofferdam\"", "\"npx\"")
        .replace("[\"run\", \"files\"]", "[\"pkg\"]");
    assert_eq!(restore(&edited, &shape, &path, &undo).unwrap(), expected);

    let touched = rewritten.replace("\"run\", \"files\"", "\"run\", \"files\", \"--verbose\"");
    let refused = restore(&touched, &shape, &path, &undo).unwrap_err();
    assert!(matches!(refused, EditFault::Unexpected(_)), "{refused:?}");
    let gone = restore("{}", &shape, &path, &undo).unwrap_err();
    assert_eq!(gone, EditFault::Missing);
}

#[test]
fn a_file_that_cannot_be_read_names_its_line() {
    let fault = entries(
        "{\n  \"mcpServers\": {\n    \"a\": {,}\n  }\n}",
        &shape("cursor", Format::Jsonc),
    )
    .unwrap_err();
    assert_eq!(fault.line, Some(3), "{fault}");
}

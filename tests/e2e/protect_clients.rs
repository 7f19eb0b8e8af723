//! Every client that `protect` knows, in its own format and its users' odd shapes: protected, read as the client would read it, driven by a
//! real client, and put back to the byte.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::driven::{Client, installed, python, transcript};
use crate::support::{Stage, fixture, text};

/// How a client reads its file.
#[derive(Clone, Copy)]
enum Format {
    /// JSON and nothing more.
    Json,
    /// With comments and trailing commas: a part of JavaScript.
    Jsonc,
    Toml,
    Yaml,
}

/// A client's file, with `@PROGRAM@` for the server's program, and the way to its entry.
struct Written {
    client: &'static str,
    file: &'static str,
    format: Format,
    content: &'static str,
    entry: &'static str,
}

const WRITTEN: &[Written] = &[
    Written {
        client: "amazon-q",
        file: ".aws/amazonq/mcp.json",
        format: Format::Json,
        content: r#"{"mcpServers":{"one":{"command":"@PROGRAM@","args":[],"env":{"GREETING":"wave"},"timeout":120000}}}"#,
        entry: "/mcpServers/one",
    },
    Written {
        client: "claude-code",
        file: ".claude.json",
        format: Format::Json,
        content: "{\n  \"numStartups\": 3,\n  \"projects\": {\n    \"/srv/x\": {\n      \"mcpServers\": {\n        \"one\": {\"type\": \"stdio\", \"command\": \"@PROGRAM@\", \"args\": [], \"env\": {\"GREETING\": \"wave\"}}\n      },\n      \"history\": [\"\\u00fc\", \"\u{fc}\"]\n    }\n  }\n}",
        entry: "/projects/~1srv~1x/mcpServers/one",
    },
    Written {
        client: "claude-code",
        file: ".mcp.json",
        format: Format::Json,
        content: "{\n\t\"mcpServers\": {\n\t\t\"one\": {\n\t\t\t\"args\": [],\n\t\t\t\"env\": { \"GREETING\": \"${NO_SUCH_VARIABLE_HERE:-wave}\" },\n\t\t\t\"command\": \"@PROGRAM@\"\n\t\t}\n\t}\n}\n",
        entry: "/mcpServers/one",
    },
    Written {
        client: "claude-desktop",
        file: "Claude/claude_desktop_config.json",
        format: Format::Json,
        content: "{\n  \"globalShortcut\": \"\",\n  \"mcpServers\": {\n    \"one\": {\n      \"command\": \"@PROGRAM@\",\n      \"env\": {\"GREETING\": \"wave\"}\n    }\n  }\n}\n",
        entry: "/mcpServers/one",
    },
    Written {
        client: "cline",
        file: "settings/cline_mcp_settings.json",
        format: Format::Json,
        content: "{\n  \"mcpServers\": {\n    \"one\": {\n      \"autoApprove\": [\"echo\"],\n      \"disabled\": false,\n      \"timeout\": 60,\n      \"type\": \"stdio\",\n      \"command\": \"@PROGRAM@\",\n      \"args\": [],\n      \"env\": {\"GREETING\": \"wave\"}\n    }\n  }\n}",
        entry: "/mcpServers/one",
    },
    Written {
        client: "codex",
        file: ".codex/config.toml",
        format: Format::Toml,
        content: "# mine\nmodel = \"x\" # keep\n\n[mcp_servers.one]\ncommand = '@PROGRAM@'\nenv_vars = [\"PASSED\"]\nstartup_timeout_sec = 20\n\n[mcp_servers.one.env]\nGREETING = \"wave\" # so\n\n[profiles.y]\nmodel = \"y\"\n",
        entry: "/mcp_servers/one",
    },
    Written {
        client: "codex",
        file: "project/.codex/config.toml",
        format: Format::Toml,
        content: "[mcp_servers]\none = { command = \"@PROGRAM@\", args = [\n], env = { GREETING = \"wave\" } }\r\n",
        entry: "/mcp_servers/one",
    },
    Written {
        client: "continue",
        file: ".continue/config.yaml",
        format: Format::Yaml,
        content: "name: mine # keep\nversion: 1.0.0\nmcpServers:\n  # the one\n  - name: one\n    command: @PROGRAM@ # so\n    env:\n      GREETING: wave\n  - name: far\n    url: https://example.com\n",
        entry: "/mcpServers/0",
    },
    Written {
        client: "continue",
        file: ".continue/mcpServers/one.json",
        format: Format::Json,
        content: r#"{"mcpServers": {"one": {"command": "@PROGRAM@", "env": {"GREETING": "wave"}}}}"#,
        entry: "/mcpServers/one",
    },
    Written {
        client: "copilot-cli",
        file: ".copilot/mcp-config.json",
        format: Format::Json,
        content: "{\n  \"mcpServers\": {\n    \"one\": {\"type\": \"local\", \"command\": \"@PROGRAM@\", \"args\": [], \"tools\": [\"*\"], \"env\": {\"GREETING\": \"wave\"}}\n  }\n}\n",
        entry: "/mcpServers/one",
    },
    Written {
        client: "cursor",
        file: ".cursor/mcp.json",
        format: Format::Jsonc,
        content: "{\r\n  // mine\r\n  \"mcpServers\" : {\r\n\t\"one\": { /* where */ \"command\":\"@PROGRAM@\" , \"env\": {\"GREETING\": \"wave\",}, \"x-mine\": 7, },\r\n    \"far\": {\"url\": \"https://example.com/mcp\"},\r\n  },\r\n}",
        entry: "/mcpServers/one",
    },
    Written {
        client: "gemini-cli",
        file: ".gemini/settings.json",
        format: Format::Jsonc,
        content: "{\n  \"theme\": \"GitHub\", // keep\n  \"mcpServers\": {\n    \"one\": {\"command\": \"@PROGRAM@\", \"args\": [], \"env\": {\"GREETING\": \"wave\"}, \"timeout\": 15000, \"trust\": false, \"includeTools\": [\"echo\", \"look\"]}\n  }\n}\n",
        entry: "/mcpServers/one",
    },
    Written {
        client: "goose",
        file: "goose/config.yaml",
        format: Format::Yaml,
        content: "GOOSE_MODEL: x # keep\nextensions:\n  one:\n    args: []\n    bundled: null\n    cmd: @PROGRAM@\n    description: ''\n    enabled: true\n    env_keys:\n    - PASSED\n    envs:\n      GREETING: wave\n    timeout: 300\n    type: stdio\n  developer:\n    type: builtin\n    enabled: true\n",
        entry: "/extensions/one",
    },
    Written {
        client: "junie",
        file: ".junie/mcp/mcp.json",
        format: Format::Json,
        content: r#"{"mcpServers": {"one": {"command": "@PROGRAM@", "args": [], "env": {"GREETING": "wave"}}}}"#,
        entry: "/mcpServers/one",
    },
    Written {
        client: "kiro",
        file: ".kiro/settings/mcp.json",
        format: Format::Json,
        content: "{\n  \"mcpServers\": {\n    \"one\": {\"command\": \"@PROGRAM@\", \"args\": [], \"env\": {\"GREETING\": \"wave\"}, \"disabled\": false, \"autoApprove\": [], \"disabledTools\": [\"exit\"]}\n  }\n}\n",
        entry: "/mcpServers/one",
    },
    Written {
        client: "lm-studio",
        file: ".lmstudio/mcp.json",
        format: Format::Json,
        content: "{\n  \"mcpServers\": {\n    \"one\": {\n      \"command\": \"@PROGRAM@\",\n      \"env\": {\n        \"GREETING\": \"wave\"\n      }\n    }\n  }\n}",
        entry: "/mcpServers/one",
    },
    Written {
        client: "mcp-json",
        file: "mcp.json",
        format: Format::Json,
        content: r#"{"servers": {"one": {"command": "@PROGRAM@", "env": {"GREETING": "wave"}}}}"#,
        entry: "/servers/one",
    },
    Written {
        client: "opencode",
        file: "opencode.jsonc",
        format: Format::Jsonc,
        content: "{\n  \"$schema\": \"https://example.com/config.json\",\n  \"mcp\": {\n    \"one\": {\n      \"type\": \"local\",\n      \"command\": [\"@PROGRAM@\", /* none */],\n      \"environment\": {\"GREETING\": \"wave\"},\n      \"enabled\": true,\n    },\n    \"far\": {\"type\": \"remote\", \"url\": \"https://example.com\"},\n  },\n}\n",
        entry: "/mcp/one",
    },
    Written {
        client: "roo",
        file: ".roo/mcp.json",
        format: Format::Json,
        content: "{\n  \"mcpServers\": {\n    \"one\": {\"command\": \"@PROGRAM@\", \"args\": [], \"env\": {\"GREETING\": \"wave\"}, \"alwaysAllow\": [\"echo\"], \"disabled\": false}\n  }\n}\n",
        entry: "/mcpServers/one",
    },
    Written {
        client: "vscode",
        file: ".vscode/mcp.json",
        format: Format::Jsonc,
        content: "{\n  \"inputs\": [{\"type\": \"promptString\", \"id\": \"key\", \"password\": true}],\n  \"servers\": {\n    // a comment, with \"quotes\"\n    \"one\": {\n      \"type\": \"stdio\",\n      \"command\": \"@PROGRAM@\",\n      \"args\": [],\n      \"env\": {\"GREETING\": \"wave\", \"API_KEY\": \"${input:key}\"},\n      \"dev\": {\"watch\": \"**/*.js\"},\n    },\n  },\n}\n",
        entry: "/servers/one",
    },
    Written {
        client: "vscode",
        file: "Code/User/settings.json",
        format: Format::Jsonc,
        content: "{\n    \"editor.fontSize\": 13,\n    \"mcp\": {\n        \"servers\": {\n            \"one\": {\"command\": \"@PROGRAM@\", \"env\": {\"GREETING\": \"wave\"}}\n        }\n    },\n    // the end\n}\n",
        entry: "/mcp/servers/one",
    },
    Written {
        client: "windsurf",
        file: ".codeium/windsurf/mcp_config.json",
        format: Format::Json,
        content: r#"{"mcpServers": {"one": {"command": "@PROGRAM@", "args": [], "env": {"GREETING": "wave"}, "disabledTools": []}, "far": {"serverUrl": "https://example.com"}}}"#,
        entry: "/mcpServers/one",
    },
    Written {
        client: "zed",
        file: "zed/settings.json",
        format: Format::Jsonc,
        content: "// Zed settings\n{\n  \"theme\": \"One Dark\",\n  \"context_servers\": {\n    \"one\": {\n      \"source\": \"custom\",\n      \"enabled\": true,\n      \"command\": \"@PROGRAM@\",\n      \"args\": [],\n      \"env\": {\"GREETING\": \"wave\"},\n    },\n  },\n}\n",
        entry: "/context_servers/one",
    },
    Written {
        client: "zed",
        file: ".zed/settings.json",
        format: Format::Jsonc,
        content: "{\"context_servers\": {\"one\": {\"command\": {\"path\": \"@PROGRAM@\", \"args\": [], \"env\": {\"GREETING\": \"wave\"}}, \"settings\": {}}}}\n",
        entry: "/context_servers/one",
    },
];

/// JavaScript reads its own part of it, and the `yaml` package the rest.
const READ_WITH_NODE: &str = r#"
const text = require("node:fs").readFileSync(process.argv[1], "utf8");
const read = process.argv[2] === "yaml" ? require(process.argv[3]).parse : (text) => eval("(" + text + "\n)");
console.log(JSON.stringify(read(text)));
"#;
const READ_WITH_PYTHON: &str =
    "import json, sys, tomllib; print(json.dumps(tomllib.loads(open(sys.argv[1], newline='').read())))";

impl Format {
    /// The file as its client's own parser has it; none of ours.
    fn read(self, file: &Path) -> Value {
        let with_node = |format: &str| {
            let mut node = Command::new("node");
            node.args(["-e", READ_WITH_NODE]).arg(file).arg(format);
            node.arg(installed("clients/node_modules/yaml"));
            node
        };
        let mut command = match self {
            Self::Json => return serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap(),
            Self::Jsonc => with_node("jsonc"),
            Self::Yaml => with_node("yaml"),
            Self::Toml => {
                let mut python = Command::new(python());
                python.args(["-c", READ_WITH_PYTHON]).arg(file);
                python
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", file.display(), text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What the client starts for this entry, with what it puts in and passes on.
fn launch_line(entry: &Value) -> Vec<String> {
    let part = entry
        .get("command")
        .filter(|command| command.is_object())
        .unwrap_or(entry);
    let member = |names: &[&str]| names.iter().find_map(|name| part.get(name)).unwrap_or(&Value::Null);
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut line = vec!["env".to_owned()];
    for (name, value) in member(&["env", "envs", "environment"]).as_object().unwrap() {
        let value = value.as_str().unwrap();
        let put_in = value
            .strip_prefix("${NO_SUCH_VARIABLE_HERE:-")
            .map(|rest| rest.trim_end_matches('}'));
        let put_in = put_in.unwrap_or(if value.starts_with('$') { "put in" } else { value });
        line.push(format!("{name}={put_in}"));
    }
    let passed = texts(member(&["env_vars", "env_keys"]));
    line.extend(passed.iter().map(|name| format!("{name}=passed on")));
    let command = member(&["command", "cmd", "path"]);
    line.extend(command.as_str().map(str::to_owned));
    line.extend(texts(command));
    line.extend(texts(member(&["args"])));
    line
}

fn there_and_back(written: &Written) {
    let about = format!("{} {}", written.client, written.file);
    let stage = Stage::new();
    let file = stage.workspace().join(written.file);
    let content = written.content.replace("@PROGRAM@", &fixture());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &content).unwrap();
    let before = written.format.read(&file);

    let config = ["--client", written.client, "--config", file.to_str().unwrap()];
    let output = stage.run(&[&["protect", "--yes"], &config[..]].concat());
    assert!(output.status.success(), "{about}: {}", text(&output.stderr));
    let after = written.format.read(&file);
    let mut unchanged = after.clone();
    *unchanged.pointer_mut(written.entry).unwrap() = before.pointer(written.entry).unwrap().clone();
    assert_eq!(unchanged, before, "{about}: the rest means what it meant");

    let line = launch_line(after.pointer(written.entry).unwrap());
    assert!(
        line.iter().any(|word| word == env!("CARGO_BIN_EXE_cofferdam")),
        "{about}: {line:?}"
    );
    assert!(!line.contains(&fixture()), "{about}: {line:?}");
    let told = transcript(Client::Python("legacy"), "sealed.json", &stage.workspace(), &line);
    let told: Value = serde_json::from_str(&told).unwrap();
    let steps = told["steps"].as_array().unwrap();
    assert!(
        steps[0]["result"]["tools"].as_array().unwrap().len() > 10,
        "{about}: {told}"
    );
    assert_eq!(steps[1]["result"]["content"][0]["text"], "sealed", "{about}: {told}");
    let seen = steps[2]["result"]["content"][0]["text"].as_str().unwrap();
    assert!(seen.contains("GREETING=wave"), "{about}: {seen}");
    let is_passed = line.iter().any(|word| word == "PASSED=passed on");
    assert_eq!(seen.contains("PASSED=passed on"), is_passed, "{about}: {seen}");

    let undone = stage.run(&[&["unprotect"], &config[..]].concat());
    assert!(undone.status.success(), "{about}: {}", text(&undone.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), content, "{about}");
}

#[test]
fn each_client_goes_there_and_back_and_starts_the_gate_between() {
    let refused = Stage::new().run(&["status", "--client", "nobody"]);
    let said = text(&refused.stderr);
    let known = said.split("known are ").nth(1).unwrap().trim();
    let mut written: Vec<&str> = WRITTEN.iter().map(|one| one.client).collect();
    written.dedup();
    assert_eq!(written.join(", "), known, "each client that is known has a file here");

    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _worker in 0..3 {
            scope.spawn(|| {
                while let Some(one) = WRITTEN.get(next.fetch_add(1, Ordering::Relaxed)) {
                    there_and_back(one);
                }
            });
        }
    });
}

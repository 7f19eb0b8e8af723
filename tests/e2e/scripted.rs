//! A hostile server in a few lines of Python, for what the fixture server does not do.

use std::path::PathBuf;

use crate::support::{Stage, text};

/// Everything a server must do to be added; `body` runs first for every request and ends with `continue` where it answered.
const FRAME: &str = r#"import json, sys, time
MODE = sys.argv[-1]
ECHO = {"name": "echo", "description": "Says it again.", "inputSchema": {"type": "object", "properties": {"message": {"type": "string"}}}}
def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
for line in sys.stdin:
    message = json.loads(line)
    sys.stderr.write(line)
    sys.stderr.flush()
    if isinstance(message, list):
        message = message[0]
    id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if id is None or method is None:
        continue
    result = {}
BODY
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}}
    if method == "tools/list":
        result = {"tools": [ECHO]}
    if method == "tools/call":
        result = {"content": [{"type": "text", "text": json.dumps(params)}]}
    say({"jsonrpc": "2.0", "id": id, "result": result})
"#;

pub(crate) struct Scripted<'a> {
    stage: &'a Stage,
    name: String,
}

impl<'a> Scripted<'a> {
    /// The script's path; it is not added.
    pub(crate) fn write(stage: &Stage, name: &str, body: &str) -> PathBuf {
        let path = stage.workspace().join(format!("{name}.py"));
        std::fs::write(&path, FRAME.replace("BODY", body)).unwrap();
        path
    }

    /// Adds it in mode `quiet`, in which it behaves.
    pub(crate) fn add(stage: &'a Stage, name: &str, body: &str) -> Self {
        let path = Self::write(stage, name, body);
        let added = stage.add(name, &[], &["/usr/bin/python3", path.to_str().unwrap(), "quiet"]);
        assert!(added.status.success(), "{}", text(&added.stderr));
        Self {
            stage,
            name: name.to_owned(),
        }
    }

    /// From now on it runs in another mode.
    pub(crate) fn become_(self, mode: &str) {
        self.stage
            .edit_manifest(&self.name, |text| text.replace("\"quiet\"", &format!("{mode:?}")));
    }
}

//! A small MCP client of our own, for `add`, `tools --live`, `call` and `demo`. It speaks through a gate like any other client.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::gate::escaped;

/// Revision offered in `initialize`: the newest that has it.
const LEGACY_REVISION: &str = "2025-11-25";
/// Revision spoken to servers that have no `initialize`.
const MODERN_REVISION: &str = "2026-07-28";
/// Messages that may wait to be read.
const WAITING_MAX: usize = 256;

/// Why the conversation failed.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// The server, or the gate, ended the stream.
    Closed,
    /// No answer in time.
    Silent { method: String, seconds: u64 },
    /// An error answer: code and message, as the server wrote it.
    Refused { method: String, code: i64, message: String },
    /// An answer that is no JSON-RPC answer.
    Malformed(String),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the server ended before it answered"),
            Self::Silent { method, seconds } => write!(f, "no answer to `{method}` within {seconds} seconds"),
            Self::Refused { method, code, message } => {
                // One line, whatever the server wrote.
                let message = escaped(message.as_bytes());
                write!(f, "`{method}` was answered with error {code}: {message}")
            }
            Self::Malformed(what) => write!(f, "an answer cannot be read: {what}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Which requests of the server the client answers, beside an error for everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declares {
    /// Every client capability, so that a server shows everything it has; requests get empty or declining answers.
    Everything,
    /// Nothing.
    Nothing,
}

/// One conversation.
pub(crate) struct McpClient {
    to_server: Box<dyn Write + Send>,
    from_server: Receiver<Value>,
    declares: Declares,
    timeout: Duration,
    next_id: u64,
    /// `_meta` of every request, for servers of the modern era.
    meta: Option<Value>,
    /// Whether `notifications/tools/list_changed` came since it was last looked at.
    tools_changed: bool,
    /// Whether the server asked for the client's roots.
    pub(crate) has_asked_roots: bool,
}

impl std::fmt::Debug for McpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpClient")
            .field("next_id", &self.next_id)
            .finish_non_exhaustive()
    }
}

impl McpClient {
    /// A client over the two ends of a stdio transport; every request has `timeout`.
    pub(crate) fn new(
        from_server: impl Read + Send + 'static,
        to_server: Box<dyn Write + Send>,
        declares: Declares,
        timeout: Duration,
    ) -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(from_server).split(b'\n') {
                let Ok(line) = line else { return };
                let Ok(value) = serde_json::from_slice(&line) else {
                    continue;
                };
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self {
            to_server,
            from_server: receiver,
            declares,
            timeout,
            next_id: 0,
            meta: None,
            has_asked_roots: false,
            tools_changed: false,
        }
    }

    /// Opens the conversation in whichever era the server speaks; gives its capabilities.
    pub(crate) fn open(&mut self) -> Result<Value, ClientError> {
        let info = json!({"name": "cofferdam", "version": env!("CARGO_PKG_VERSION")});
        let capabilities = self.capabilities();
        let params = json!({"protocolVersion": LEGACY_REVISION, "capabilities": capabilities, "clientInfo": info});
        match self.request("initialize", params) {
            Ok(result) => {
                self.notify("notifications/initialized")?;
                Ok(result.get("capabilities").cloned().unwrap_or(Value::Null))
            }
            Err(ClientError::Refused { .. }) => {
                self.meta = Some(json!({
                    "io.modelcontextprotocol/protocolVersion": MODERN_REVISION,
                    "io.modelcontextprotocol/clientCapabilities": capabilities,
                    "io.modelcontextprotocol/clientInfo": info,
                }));
                let result = self.request("server/discover", json!({}))?;
                Ok(result.get("capabilities").cloned().unwrap_or(Value::Null))
            }
            Err(other) => Err(other),
        }
    }

    fn capabilities(&self) -> Value {
        match self.declares {
            Declares::Everything => json!({
                "roots": {"listChanged": true},
                "sampling": {"tools": {}, "context": {}},
                "elicitation": {"form": {}, "url": {}},
                "tasks": {"list": {}, "cancel": {}, "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}}},
            }),
            Declares::Nothing => json!({}),
        }
    }

    /// One request and its result.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.next_id += 1;
        let id = self.next_id;
        let mut params = match params {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        if let Some(meta) = &self.meta {
            params.insert("_meta".to_owned(), meta.clone());
        }
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        let deadline = Instant::now() + self.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.from_server.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(ClientError::Silent {
                        method: method.to_owned(),
                        seconds: self.timeout.as_secs(),
                    });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(ClientError::Closed),
            };
            if message.get("id") == Some(&json!(id)) && message.get("method").is_none() {
                return answer(method, &message);
            }
            self.take_aside(&message)?;
        }
    }

    /// Every element of a paged list, e.g. `tools` of `tools/list`.
    pub(crate) fn list(&mut self, method: &str, member: &str) -> Result<Vec<Value>, ClientError> {
        let mut all = Vec::new();
        let mut params = json!({});
        for _page in 0..LIST_PAGES_MAX {
            let mut result = self.request(method, params)?;
            match result.get_mut(member).map(Value::take) {
                Some(Value::Array(elements)) => all.extend(elements),
                _ => return Err(ClientError::Malformed(format!("`{method}` has no array `{member}`"))),
            }
            match result.get("nextCursor").and_then(Value::as_str) {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return Ok(all),
            }
        }
        Err(ClientError::Malformed(format!(
            "`{method}` has more than {LIST_PAGES_MAX} pages"
        )))
    }

    /// Whether the server says that its tools changed, now or within `quiet`.
    pub(crate) fn tools_change_within(&mut self, quiet: Duration) -> Result<bool, ClientError> {
        let deadline = Instant::now() + quiet;
        loop {
            match self
                .from_server
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(message) => self.take_aside(&message)?,
                Err(RecvTimeoutError::Timeout) => return Ok(std::mem::take(&mut self.tools_changed)),
                Err(RecvTimeoutError::Disconnected) => return Err(ClientError::Closed),
            }
        }
    }

    fn notify(&mut self, method: &str) -> Result<(), ClientError> {
        self.send(&json!({"jsonrpc": "2.0", "method": method}))
    }

    fn send(&mut self, message: &Value) -> Result<(), ClientError> {
        let line = format!("{message}\n");
        self.to_server
            .write_all(line.as_bytes())
            .and_then(|()| self.to_server.flush())
            .map_err(|_gone| ClientError::Closed)
    }

    /// Anything that is not the answer waited for.
    fn take_aside(&mut self, message: &Value) -> Result<(), ClientError> {
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
        if method == "notifications/tools/list_changed" {
            self.tools_changed = true;
        }
        let Some(id) = message.get("id").filter(|_| !method.is_empty()) else {
            return Ok(());
        };
        self.has_asked_roots |= method == "roots/list";
        let reply = match (method, self.declares) {
            ("ping", _) => json!({"jsonrpc": "2.0", "id": id, "result": {}}),
            ("roots/list", Declares::Everything) => json!({"jsonrpc": "2.0", "id": id, "result": {"roots": []}}),
            ("elicitation/create", Declares::Everything) => {
                json!({"jsonrpc": "2.0", "id": id, "result": {"action": "decline"}})
            }
            _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "not offered"}}),
        };
        self.send(&reply)
    }
}

/// Pages of a list that are followed.
const LIST_PAGES_MAX: usize = 64;

fn answer(method: &str, message: &Value) -> Result<Value, ClientError> {
    if let Some(result) = message.get("result") {
        return Ok(result.clone());
    }
    let error = message
        .get("error")
        .ok_or_else(|| ClientError::Malformed(format!("`{method}` has neither result nor error")))?;
    let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
    let message = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    Err(ClientError::Refused {
        method: method.to_owned(),
        code,
        message,
    })
}

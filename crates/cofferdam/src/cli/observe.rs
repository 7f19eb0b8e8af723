//! A server watched once: started sealed through a gate, asked for everything it lists.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::client::{ClientError, Declares, McpClient};
use crate::failure::{Exit, Failure};
use crate::gate::{Ended, Pipes, process_words};
use crate::home::Home;
use crate::session::Session;

/// How long a server must be quiet before its list counts as settled.
const QUIET: Duration = Duration::from_millis(300);
/// How often a list may change while it is observed.
const LIST_CHANGES_MAX: u32 = 8;

/// What a server listed.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Raw tool definitions, in the server's order.
    pub(crate) tools: Vec<String>,
    pub(crate) prompts: Vec<String>,
    pub(crate) resources: Vec<String>,
    /// What it offers and answered with an error when it was asked to list it, in words.
    pub(crate) unlisted: Vec<String>,
    /// It asked for the client's roots.
    pub(crate) has_asked_roots: bool,
}

/// A conversation with a gated session that runs on a thread of its own.
pub(crate) fn converse<T>(
    home: &Home,
    session: Session,
    (declares, timeout): (Declares, Duration),
    talk: impl FnOnce(&mut McpClient) -> Result<T, Failure>,
) -> Result<(T, Ended), Failure> {
    let pipe = || io::pipe().map_err(|cause| Failure::not_enforced(format!("no pipe can be made: {cause}")));
    let ((from_client, to_gate), (from_gate, to_client)) = (pipe()?, pipe()?);
    let said = SharedLines::default();
    let pipes = Pipes {
        from_client: Box::new(from_client),
        to_client: Box::new(to_client),
        operator: Box::new(said.clone()),
        hang_up: Vec::new(),
    };
    let mut client = McpClient::new(from_gate, Box::new(to_gate), declares, timeout);
    std::thread::scope(|scope| {
        let gate = scope.spawn(move || session.run(home, pipes, None));
        let talked = talk(&mut client);
        drop(client);
        let ended = gate
            .join()
            .map_err(|_panic| Failure::not_enforced("the gate ended abnormally"))??;
        match talked {
            Ok(value) => Ok((value, ended)),
            Err(failure) => Err(explain(failure, &ended, &said)),
        }
    })
}

/// A failed conversation, with how the server ended and the last it said.
fn explain(failure: Failure, ended: &Ended, said: &SharedLines) -> Failure {
    let last: Vec<String> = said.last_lines(6);
    let mut what = format!("{} (the server: {})", failure.what, process_words(ended.process));
    for line in &last {
        what.push_str("\n  ");
        what.push_str(line);
    }
    Failure { what, ..failure }
}

/// Everything the server lists once it is quiet.
pub(crate) fn observe(client: &mut McpClient) -> Result<Observed, Failure> {
    listed(client).map_err(|error| {
        Failure::new(
            Exit::Misconfigured,
            format!("the server could not be observed: {error}"),
        )
    })
}

fn listed(client: &mut McpClient) -> Result<Observed, ClientError> {
    let capabilities = client.open()?;
    let offers = |what: &str| capabilities.get(what).is_some_and(Value::is_object);
    let mut observed = Observed::default();
    if offers("tools") {
        observed.tools = settled_tools(client)?.iter().map(ToString::to_string).collect();
    }
    if offers("prompts") {
        let prompts = listed_or_refused(client, "prompts", &mut observed.unlisted)?;
        observed.prompts = names(&prompts, "name");
    }
    if offers("resources") {
        let resources = listed_or_refused(client, "resources", &mut observed.unlisted)?;
        observed.resources = names(&resources, "uri");
    }
    observed.has_asked_roots = client.has_asked_roots;
    Ok(observed)
}

/// Prompts or resources, which are shown and not pinned. A server may have to reach something to list them: its own
/// error answer is no reason to turn it away. Tools are pinned, so there an error is one.
fn listed_or_refused(
    client: &mut McpClient,
    what: &str,
    unlisted: &mut Vec<String>,
) -> Result<Vec<Value>, ClientError> {
    match client.list(&format!("{what}/list"), what) {
        Err(refused @ ClientError::Refused { .. }) => {
            unlisted.push(refused.to_string());
            Ok(Vec::new())
        }
        listed => listed,
    }
}

/// Some servers add tools once they know the client: listed again until nothing changes any more.
fn settled_tools(client: &mut McpClient) -> Result<Vec<Value>, ClientError> {
    let mut tools = client.list("tools/list", "tools")?;
    for _change in 0..LIST_CHANGES_MAX {
        if !client.tools_change_within(QUIET)? {
            return Ok(tools);
        }
        tools = client.list("tools/list", "tools")?;
    }
    Err(ClientError::Malformed(format!(
        "the tool list changed more than {LIST_CHANGES_MAX} times"
    )))
}

fn names(elements: &[Value], key: &str) -> Vec<String> {
    elements
        .iter()
        .filter_map(|element| element.get(key))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// What the gate and the server's stderr said, kept for the error message.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedLines(std::sync::Arc<Mutex<Vec<u8>>>);

/// Kept of what was said.
const SAID_BYTES_MAX: usize = 64 * 1024;

impl SharedLines {
    pub(crate) fn last_lines(&self, count: usize) -> Vec<String> {
        let said = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = text.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .map(|line| (*line).to_owned())
            .collect()
    }
}

impl io::Write for SharedLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut said = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        said.extend_from_slice(bytes);
        let excess = said.len().saturating_sub(SAID_BYTES_MAX);
        said.drain(..excess);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! `call NAME TOOL JSON`: one tool call through the gate, for people and scripts.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::Call;
use super::observe::converse;
use super::output::Output;
use crate::client::{ClientError, Declares, McpClient};
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::session::Session;

/// Makes the call; exit 1 when it is refused or the tool reports an error.
pub(crate) fn run(home: &Home, args: Call, output: &mut Output) -> Result<Exit, Failure> {
    let arguments: Value = serde_json::from_str(&args.arguments)
        .map_err(|error| Failure::usage(format!("the arguments are not JSON: {error}")))?;
    if !arguments.is_object() {
        return Err(Failure::usage("the arguments are not a JSON object")
            .help("for example: cofferdam call files read_file '{\"path\": \"/data/a\"}'"));
    }
    let contract = Contract::load(home, &args.name)?;
    let session = Session::pinned(&contract)?;
    let timeout = Duration::from_secs(args.timeout);
    let talk = |client: &mut McpClient| one_call(client, &args.tool, &arguments);
    let (result, _ended) = converse(home, session, (Declares::Nothing, timeout), talk)?;
    print(&result, output)?;
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
    Ok(if is_error { Exit::Findings } else { Exit::Fine })
}

fn one_call(client: &mut McpClient, tool: &str, arguments: &Value) -> Result<Value, Failure> {
    let called = client
        .open()
        .and_then(|_capabilities| client.request("tools/call", json!({"name": tool, "arguments": arguments})));
    called.map_err(|error| match error {
        ClientError::Refused { .. } => Failure::new(Exit::Findings, error.to_string()),
        _ => Failure::new(Exit::Findings, format!("the call has no answer: {error}")),
    })
}

/// Text as text, everything else as JSON.
fn print(result: &Value, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.line(&result.to_string());
    }
    let content = result
        .get("content")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for part in content {
        match part.get("text").and_then(Value::as_str) {
            Some(text) => text
                .lines()
                .try_for_each(|line| output.line(&crate::gate::escaped(line.as_bytes())))?,
            None => output.line(&part.to_string())?,
        }
    }
    if content.is_empty() {
        output.line(&result.to_string())?;
    }
    Ok(())
}

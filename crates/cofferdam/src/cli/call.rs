//! `call NAME TOOL JSON`: one tool call through the gate, for people and scripts.

use std::fmt::Write as _;
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
    let session = Session::pinned(home, &contract)?;
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
        return output.line(&ascii_json(result));
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
            None => output.line(&ascii_json(part))?,
        }
    }
    if content.is_empty() {
        output.line(&ascii_json(result))?;
    }
    Ok(())
}

/// The same value in ASCII without control characters, so that a server's bytes never steer a terminal (RFC 8259, section 7).
fn ascii_json(value: &Value) -> String {
    let text = value.to_string();
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && !character.is_ascii_control() {
            ascii.push(character);
            continue;
        }
        // Only inside strings: between tokens serde_json writes none.
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(ascii, "\\u{unit:04x}");
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ascii_json;

    #[test]
    fn json_is_ascii_and_means_the_same() {
        let value = json!({"\u{9b}2J": "ä\u{202e}\u{7f}\u{1b}🙂\n"});
        let ascii = ascii_json(&value);
        assert!(ascii.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{ascii}");
        assert_eq!(serde_json::from_str::<Value>(&ascii).unwrap(), value);
    }
}

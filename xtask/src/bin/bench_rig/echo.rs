//! The server under every subject: one tool, `echo`, answered as fast as text can be found and copied.

use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::pump::unbuffered;

/// How a call of the load generator begins; the digits of the id follow.
pub(crate) const CALL_HEAD: &str = r#"{"jsonrpc":"2.0","id":"#;
/// What follows the id of a call of `echo`; the message follows.
const CALL_MIDDLE: &str = r#","method":"tools/call","params":{"name":"echo","arguments":{"message":""#;
/// What ends a call.
pub(crate) const CALL_TAIL: &str = "\"}}}\n";
/// What follows the id of an answer; the message follows.
pub(crate) const ANSWER_MIDDLE: &str = r#","result":{"content":[{"type":"text","text":"Echo: "#;
/// What ends an answer.
pub(crate) const ANSWER_TAIL: &str = "\"}]}}\n";

const BUFFER_BYTES: usize = 1 << 20;

/// What follows the id of a call of the tool named `tool`: some gateways rename it.
pub(crate) fn call_middle(tool: &str) -> String {
    CALL_MIDDLE.replace("\"echo\"", &format!("\"{tool}\""))
}

/// Serves until stdin ends.
///
/// # Errors
/// A pipe breaks, or a line is not JSON.
pub(crate) fn serve() -> Result<()> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, unbuffered(std::io::stdin())?);
    let mut output = unbuffered(std::io::stdout())?;
    let (mut line, mut answer) = (Vec::new(), Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        answer.clear();
        if answer_call(&line, &mut answer).is_none() {
            answer.clear();
            answer_any(&line, &mut answer)?;
        }
        if !answer.is_empty() {
            output.write_all(&answer)?;
        }
        line.clear();
    }
    Ok(())
}

/// Answers a line that is spelled exactly as the load generator spells a call; `None` for every other line.
fn answer_call(line: &[u8], answer: &mut Vec<u8>) -> Option<()> {
    let rest = line.strip_prefix(CALL_HEAD.as_bytes())?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (id, rest) = rest.split_at_checked(digits)?;
    let message = rest
        .strip_prefix(CALL_MIDDLE.as_bytes())?
        .strip_suffix(CALL_TAIL.as_bytes())?;
    for part in [
        CALL_HEAD.as_bytes(),
        id,
        ANSWER_MIDDLE.as_bytes(),
        message,
        ANSWER_TAIL.as_bytes(),
    ] {
        answer.extend_from_slice(part);
    }
    Some(())
}

/// Answers whatever else a client may ask; notifications get nothing.
fn answer_any(line: &[u8], answer: &mut Vec<u8>) -> Result<()> {
    let request: Value = serde_json::from_slice(line).context("a line is not JSON")?;
    let Some(id) = request.get("id") else { return Ok(()) };
    let outcome = match request.get("method").and_then(Value::as_str) {
        Some("initialize") => json!({"result": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "echo", "version": "1"},
        }}),
        Some("ping") => json!({"result": {}}),
        Some("tools/list") => json!({"result": {"tools": [{
            "name": "echo",
            "description": "Gives the message back",
            "inputSchema": {
                "type": "object",
                "properties": {"message": {"type": "string"}},
                "required": ["message"],
            },
        }]}}),
        Some("tools/call") => {
            let message = request
                .pointer("/params/arguments/message")
                .and_then(Value::as_str)
                .unwrap_or_default();
            json!({"result": {"content": [{"type": "text", "text": format!("Echo: {message}")}]}})
        }
        _ => json!({"error": {"code": -32601, "message": "method not found"}}),
    };
    let mut whole = json!({"jsonrpc": "2.0", "id": id});
    if let (Some(whole), Some(outcome)) = (whole.as_object_mut(), outcome.as_object()) {
        whole.extend(outcome.clone());
    }
    serde_json::to_writer(&mut *answer, &whole)?;
    answer.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{answer_any, answer_call};

    #[test]
    fn both_ways_to_answer_a_call_agree() {
        let line = b"{\"jsonrpc\":\"2.0\",\"id\":42,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"message\":\"a \\\" b\"}}}\n";
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        answer_call(line, &mut fast).unwrap();
        answer_any(line, &mut slow).unwrap();
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(read(&fast), read(&slow));
        assert_eq!(read(&fast)["result"]["content"][0]["text"], json!("Echo: a \" b"));
    }

    #[test]
    fn a_notification_gets_no_answer() {
        let mut answer = Vec::new();
        answer_any(
            br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            &mut answer,
        )
        .unwrap();
        assert_eq!(answer, b"");
    }
}

//! Lines the gate writes itself: in-band refusals (DESIGN section 9), its own list requests, cancellations.

use cofferdam_protocol::{Era, Id, Reason};
use serde_json::{Value, json};

use crate::approvals::{Question, question_lines};

/// JSON-RPC error code of a refusal: outside -32768 to -32000, which the specification reserves.
pub(crate) const REFUSED_CODE: i64 = 4030;
/// JSON-RPC "method not found", for what the request's era does not know.
const METHOD_NOT_FOUND_CODE: i64 = -32601;
/// Keys of ours in `_meta`.
const META_RULE: &str = "dev.cofferdam/rule";
const META_RECORD: &str = "dev.cofferdam/record";

/// A line written by the gate, to either side.
#[derive(Debug)]
pub(crate) struct Authored {
    line: Vec<u8>,
    facts: String,
    is_refusal: bool,
}

impl Authored {
    /// The bytes, newline included.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The record's facts, compact JSON.
    pub(crate) fn facts(&self) -> &str {
        &self.facts
    }

    /// Whether it says no: then it lets nothing through, whoever reads it.
    pub(crate) const fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    fn new(message: &Value, about: &Value) -> Self {
        Self {
            line: format!("{message}\n").into_bytes(),
            facts: about.to_string(),
            is_refusal: false,
        }
    }
}

/// What is told to the peer whose request does not pass.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    /// The request's id; `None` where the line did not name one that can be trusted.
    pub(crate) id: Option<&'a Id>,
    /// The request's method, where known.
    pub(crate) method: Option<&'a str>,
    pub(crate) era: Era,
    /// Stable rule id.
    pub(crate) rule: &'a str,
    /// Lowercase, no command in it.
    pub(crate) why: &'a str,
    /// `SESSION:SEQ`, to look up in the record; empty where the record did not take it.
    pub(crate) record: &'a str,
}

/// The in-band answer to a refused request: a tool result with `isError` for `tools/call`, a JSON-RPC error for everything else.
pub(crate) fn refuse(refusal: &Refusal<'_>) -> Authored {
    let id = refusal.id.map_or(Value::Null, id_value);
    let (record, meta) = if refusal.record.is_empty() {
        (", not recorded".to_owned(), json!({META_RULE: refusal.rule}))
    } else {
        let meta = json!({META_RULE: refusal.rule, META_RECORD: refusal.record});
        (format!(", record {}", refusal.record), meta)
    };
    let text = format!("refused by cofferdam: {} (rule {}{record})", refusal.why, refusal.rule);
    let message = if refusal.method == Some("tools/call") && refusal.id.is_some() {
        let mut result = json!({"content": [{"type": "text", "text": text}], "isError": true, "_meta": meta});
        if let (Era::Modern(_), Some(members)) = (refusal.era, result.as_object_mut()) {
            members.insert("resultType".to_owned(), json!("complete"));
        }
        json!({"jsonrpc": "2.0", "id": id, "result": result})
    } else {
        let unknown = refusal.rule == Reason::UnknownMethod.id() || refusal.rule == Reason::WrongDirection.id();
        let code = if unknown { METHOD_NOT_FOUND_CODE } else { REFUSED_CODE };
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text, "data": meta}})
    };
    let about = json!({"authored": "refusal", "rule": refusal.rule, "refers": refusal.record, "id": refusal.id.map(ToString::to_string)});
    Authored {
        is_refusal: true,
        ..Authored::new(&message, &about)
    }
}

/// Tells the server that the client's request `id` is over.
pub(crate) fn cancel(id: &Id, why: &str) -> Authored {
    let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id_value(id), "reason": why}});
    Authored::new(
        &message,
        &json!({"authored": "cancellation", "id": id.to_string(), "why": why}),
    )
}

/// The gate's own `tools/list`, sent when a call comes before any list. `meta` is the raw `_meta` of a modern request.
pub(crate) fn list_tools(id: &Id, cursor: Option<&str>, meta: Option<&str>) -> Authored {
    let mut params = serde_json::Map::new();
    if let Some(cursor) = cursor {
        params.insert("cursor".to_owned(), json!(cursor));
    }
    if let Some(Ok(meta)) = meta.map(serde_json::from_str::<Value>) {
        params.insert("_meta".to_owned(), meta);
    }
    let message = json!({"jsonrpc": "2.0", "id": id_value(id), "method": "tools/list", "params": params});
    Authored::new(&message, &json!({"authored": "list", "id": id.to_string()}))
}

/// Asks the client's user about a call (2025-06-18, 2025-11-25).
pub(crate) fn elicit(id: &Id, question: &Question) -> Authored {
    let message =
        json!({"jsonrpc": "2.0", "id": id_value(id), "method": "elicitation/create", "params": form(question)});
    Authored::new(
        &message,
        &json!({"authored": "elicitation", "id": id.to_string(), "question": question.id}),
    )
}

/// The same as an answer to the call itself (2026-07-28): the client comes again with what `state` is good for.
pub(crate) fn input_required(id: &Id, key: &str, question: &Question, state: &str) -> Authored {
    let mut params = form(question);
    if let Some(members) = params.as_object_mut() {
        members.insert("mode".to_owned(), json!("form"));
    }
    let requests = json!({key: {"method": "elicitation/create", "params": params}});
    let result = json!({"resultType": "input_required", "inputRequests": requests, "requestState": state});
    let message = json!({"jsonrpc": "2.0", "id": id_value(id), "result": result});
    Authored::new(
        &message,
        &json!({"authored": "input-required", "id": id.to_string(), "question": question.id}),
    )
}

/// The form that asks: rendered by us, without a default, and without a command.
fn form(question: &Question) -> Value {
    let lines = question_lines(question).join("\n");
    let consent = json!({"type": "string", "title": "Consent", "enum": ["allow", "deny"], "description": "allow: this call, once; deny: for the rest of the session"});
    json!({
        "message": format!("Cofferdam asks: shall this call pass?\n{lines}"),
        "requestedSchema": {"type": "object", "properties": {"consent": consent}, "required": ["consent"]},
    })
}

/// A call waits for consent; `token` is raw JSON. What the server reports later must be more, so a second counts next to nothing.
pub(crate) fn progress(token: &str, question: &str, waited_ms: u64) -> Authored {
    let token: Value = serde_json::from_str(token).unwrap_or_default();
    let seconds = u32::try_from(waited_ms / 1_000).unwrap_or(u32::MAX);
    let words = format!("waiting for consent, {seconds} s (id {question})");
    let params = json!({"progressToken": token, "progress": f64::from(seconds) * 1e-9, "message": words});
    Authored::new(
        &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}),
        &json!({"authored": "progress", "question": question}),
    )
}

fn id_value(id: &Id) -> Value {
    match id {
        Id::Number(number) => json!(number),
        Id::Text(text) => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_protocol::{Era, Id, Revision};
    use serde_json::Value;

    use super::{Refusal, refuse};

    fn answer(method: &str, era: Era, rule: &str) -> Value {
        let id = Id::Number(7);
        let refusal = Refusal {
            id: Some(&id),
            method: Some(method),
            era,
            rule,
            why: "because",
            record: "ab:3",
        };
        serde_json::from_slice(refuse(&refusal).line()).unwrap()
    }

    #[test]
    fn a_refused_call_is_a_tool_result_in_both_eras() {
        let legacy = answer("tools/call", Era::Legacy(None), "tool/changed");
        assert_eq!(legacy["result"]["isError"], true);
        assert_eq!(legacy["result"]["_meta"]["dev.cofferdam/rule"], "tool/changed");
        assert_eq!(legacy["result"].get("resultType"), None);
        let modern = answer("tools/call", Era::Modern(Some(Revision::V2026_07_28)), "tool/changed");
        assert_eq!(modern["result"]["resultType"], "complete");
    }

    #[test]
    fn everything_else_is_an_error_outside_the_reserved_range_or_method_not_found() {
        assert_eq!(
            answer("prompts/get", Era::Legacy(None), "client-request/not-granted")["error"]["code"],
            4030
        );
        assert_eq!(
            answer("no/such", Era::Legacy(None), "protocol/unknown-method")["error"]["code"],
            -32601
        );
    }
}

//! `tools/list` answers: what they list, and how to leave tools out without touching another byte.

use std::borrow::Cow;
use std::ops::Range;

use cofferdam_protocol::{Message, elements, members};

use crate::finding::{Confidence, Finding};
use crate::redaction::Redaction;
use crate::rule::TOOL_LIST_UNREADABLE;

/// How long a client may keep a list we shortened, in milliseconds (2026-07-28 `ttlMs`): an acceptance must show soon.
const FILTERED_TTL_MS_MAX: u64 = 5_000;

/// One tool as a server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTool<'a> {
    /// Its `name`, decoded.
    pub name: Cow<'a, str>,
    /// Its whole definition, raw JSON text as sent.
    pub definition: &'a str,
}

/// A `tools/list` result that cannot be read as one: it must not be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListUnreadable;

impl std::fmt::Display for ListUnreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the tool list is not an array of objects with string names")
    }
}

impl std::error::Error for ListUnreadable {}

impl ListUnreadable {
    /// The same as a finding: a list that cannot be read must not reach a client.
    #[must_use]
    pub fn finding(self) -> Finding {
        Finding::new(
            &TOOL_LIST_UNREADABLE,
            Confidence::High,
            "/result/tools",
            self.to_string(),
        )
    }
}

/// A definition that cannot be read: nothing can be said about it.
pub(crate) fn unreadable_definition() -> Finding {
    Finding::new(
        &TOOL_LIST_UNREADABLE,
        Confidence::High,
        "",
        "the definition is not one JSON value of bounded size and depth",
    )
}

/// The tools in the raw `result` of a `tools/list` answer, in order.
///
/// # Errors
/// `tools` is missing or not an array of objects that each have a string `name`.
pub fn listed_tools(result: &str) -> Result<Vec<ListedTool<'_>>, ListUnreadable> {
    let tools = member(result, "tools").ok_or(ListUnreadable)?;
    let definitions = elements(tools).map_err(|_cause| ListUnreadable)?;
    definitions
        .into_iter()
        .map(|definition| {
            let name = member(definition, "name").ok_or(ListUnreadable)?;
            let name: Cow<'_, str> = serde_json::from_str::<String>(name)
                .map(Cow::Owned)
                .map_err(|_cause| ListUnreadable)?;
            Ok(ListedTool { name, definition })
        })
        .collect()
}

/// What to replace in `message` so that the tools for which `is_hidden` says so are not in it.
///
/// In the modern era (2026-07-28) a shortened list is also marked `cacheScope: "private"` with a short `ttlMs`.
///
/// # Errors
/// The answer is not a readable tool list: then it must not be forwarded at all.
pub fn hide_tools(
    message: &Message,
    is_modern: bool,
    mut is_hidden: impl FnMut(&ListedTool<'_>) -> bool,
) -> Result<Redaction, ListUnreadable> {
    let result = message.result().ok_or(ListUnreadable)?;
    let mut redaction = Redaction::none();
    let mut kept = Vec::new();
    for tool in listed_tools(result)? {
        if is_hidden(&tool) {
            redaction.hide(&tool.name);
        } else {
            kept.push(tool.definition);
        }
    }
    if redaction.hidden_count == 0 {
        return Ok(redaction);
    }
    let line = message.line();
    let mut list = format!("[{}]", kept.join(","));
    if is_modern {
        mark_private(result, line, &mut list, &mut redaction)?;
    }
    let tools = member(result, "tools").ok_or(ListUnreadable)?;
    redaction.replace(range_in(line, tools).ok_or(ListUnreadable)?, list);
    Ok(redaction)
}

/// Caching fields of a shortened list: replaced where they stand, added behind the list where they do not.
fn mark_private(result: &str, line: &[u8], list: &mut String, redaction: &mut Redaction) -> Result<(), ListUnreadable> {
    match member(result, "cacheScope") {
        Some(scope) => redaction.replace(range_in(line, scope).ok_or(ListUnreadable)?, "\"private\""),
        None => list.push_str(",\"cacheScope\":\"private\""),
    }
    match member(result, "ttlMs") {
        Some(ttl) if ttl.parse::<u64>().is_ok_and(|ms| ms <= FILTERED_TTL_MS_MAX) => {}
        Some(ttl) => redaction.replace(
            range_in(line, ttl).ok_or(ListUnreadable)?,
            FILTERED_TTL_MS_MAX.to_string(),
        ),
        None => list.push_str(&format!(",\"ttlMs\":{FILTERED_TTL_MS_MAX}")),
    }
    Ok(())
}

/// The raw value of one member of an object.
fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    members(object)
        .ok()?
        .into_iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

/// Where `part`, a slice of `line`, lies in it.
fn range_in(line: &[u8], part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= line.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use cofferdam_protocol::{Decoded, Message, decode};

    use super::{hide_tools, listed_tools};

    fn message(line: &str) -> Message {
        match decode(line.as_bytes().to_vec()).unwrap() {
            Decoded::Message(message) => message,
            Decoded::Batch(_) => panic!("one message was meant"),
        }
    }

    fn without(line: &str, is_modern: bool, hidden: &str) -> String {
        let message = message(line);
        let redaction = hide_tools(&message, is_modern, |tool| tool.name == hidden).unwrap();
        String::from_utf8(redaction.apply(message.line()).unwrap()).unwrap()
    }

    #[test]
    fn only_the_hidden_tool_goes() {
        let line = "{\"id\" : 1,\"result\":{ \"x\":1.0,\"tools\" : [ {\"name\":\"a\"} , {\"name\":\"\\u0062\", \"k\":1e2} ] ,\"z\":\"é\"},\"jsonrpc\":\"2.0\"}\n";
        assert_eq!(
            without(line, false, "b"),
            "{\"id\" : 1,\"result\":{ \"x\":1.0,\"tools\" : [{\"name\":\"a\"}] ,\"z\":\"é\"},\"jsonrpc\":\"2.0\"}\n"
        );
        assert_eq!(without(line, false, "neither"), line, "nothing hidden, nothing changed");
    }

    #[test]
    fn a_shortened_modern_list_is_private_and_short_lived() {
        let line = r#"{"jsonrpc":"2.0","id":1,"result":{"ttlMs":60000,"cacheScope":"public","tools":[{"name":"a"},{"name":"b"}]}}"#;
        assert_eq!(
            without(line, true, "a"),
            r#"{"jsonrpc":"2.0","id":1,"result":{"ttlMs":5000,"cacheScope":"private","tools":[{"name":"b"}]}}"#
        );
        let bare = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}"#;
        assert_eq!(
            without(bare, true, "a"),
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"cacheScope":"private","ttlMs":5000}}"#
        );
    }

    #[test]
    fn what_is_not_a_list_is_unreadable() {
        for result in [
            "{}",
            r#"{"tools":{}}"#,
            r#"{"tools":[1]}"#,
            r#"{"tools":[{"name":7}]}"#,
            r#"{"tools":[{"title":"x"}]}"#,
        ] {
            assert!(listed_tools(result).is_err(), "{result}");
        }
    }
}

//! Questions of a server to the user: refused where they ask for secrets or look like ours.

use std::borrow::Cow;

use cofferdam_manifest::Role;
use cofferdam_protocol::{Message, elements, members};
use serde_json::Value;

use crate::finding::{Confidence, Finding, Severity, show_safely};
use crate::role::infer_role;
use crate::rule::Rule;
use crate::text::plain;

pub(super) static ASKS_SECRET: Rule = Rule {
    id: "elicitation/asks-for-secret",
    summary: "a server asks the user for a password, key or token",
    severity: Severity::High,
    help: "give secrets through the manifest's `[secrets]`, never in an answer to a server",
};

pub(super) static IMITATION: Rule = Rule {
    id: "elicitation/imitates-us",
    summary: "a server's question looks like one of ours",
    severity: Severity::High,
    help: "answer only what `cofferdam approvals` shows",
};

/// What people call secrets.
const SECRETS: [&str; 14] = [
    "password",
    "passphrase",
    "passcode",
    "api key",
    "api token",
    "access token",
    "secret key",
    "private key",
    "seed phrase",
    "recovery phrase",
    "credit card",
    "one-time code",
    "verification code",
    "ssh key",
];
/// Words of a question for something to be typed.
const ASKS: [&str; 12] = [
    "enter",
    "provide",
    "type ",
    "paste",
    "share",
    "supply",
    "give",
    "input",
    "what is",
    "confirm your",
    "need your",
    "fill in",
];
/// How our own questions are put.
const OURS: [&str; 4] = ["cofferdam", "approvals allow", "approvals deny", "approvals watch"];
/// Questions of one message that are looked at; with more it cannot be released.
const QUESTIONS_MAX: usize = 64;
/// Error code of 2025-11-25 whose data holds questions.
const URL_ELICITATION_REQUIRED: &str = "-32042";

/// What is suspicious in the raw `params` of an `elicitation/create` request.
#[must_use]
pub fn inspect_elicitation(params: &str) -> Vec<Finding> {
    question(params, "/params")
}

/// Every question to the user that `message` of the server holds, wherever its revision has it: a request of its own (2025-06-18), the
/// data of an error (2025-11-25), the requests in a result (2026-07-28).
pub(super) fn inspect_embedded(message: &Message) -> Vec<Finding> {
    if message.method() == Some("elicitation/create") {
        return message.params().map(inspect_elicitation).unwrap_or_default();
    }
    let mut questions: Vec<(&str, String)> = Vec::new();
    let asked = message.input_requests();
    for (name, request) in asked.into_iter().flat_map(|asked| members(asked).unwrap_or_default()) {
        let is_question = member(request, "method") == Some("\"elicitation/create\"");
        if let (true, Some(params)) = (is_question, member(request, "params")) {
            questions.push((params, show_safely(&format!("/inputRequests/{name}/params"))));
        }
    }
    let error = message
        .error()
        .filter(|error| member(error, "code") == Some(URL_ELICITATION_REQUIRED));
    let data = error.and_then(|error| member(member(error, "data")?, "elicitations"));
    for params in data.and_then(|list| elements(list).ok()).unwrap_or_default() {
        questions.push((params, "/error/data/elicitations".to_owned()));
    }
    if questions.len() > QUESTIONS_MAX {
        return vec![crate::intent::unreadable_line(
            "more questions to the user than are looked at",
        )];
    }
    questions
        .into_iter()
        .flat_map(|(params, at)| question(params, &at))
        .collect()
}

/// The raw value of one member of an object.
fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let members = members(object).ok()?;
    members
        .into_iter()
        .find(|(name, _): &(Cow<'_, str>, _)| name == key)
        .map(|(_, value)| value)
}

fn question(params: &str, at: &str) -> Vec<Finding> {
    let Ok(params) = serde_json::from_str::<Value>(params) else {
        return vec![crate::intent::unreadable_line(
            "a question to the user that cannot be read",
        )];
    };
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(plain).unwrap_or_default();
    let message = text(&params, "message");
    let mut findings = Vec::new();
    if OURS.iter().any(|ours| message.contains(ours)) {
        let at = format!("{at}/message");
        findings.push(Finding::new(
            &IMITATION,
            Confidence::High,
            at,
            "names this program or its questions",
        ));
    }
    // A page of the server's own is where secrets belong by the specification (2025-11-25, elicitation in URL mode).
    if params.get("mode").and_then(Value::as_str) == Some("url") {
        return findings;
    }
    let properties = params.pointer("/requestedSchema/properties").and_then(Value::as_object);
    let mut is_free = false;
    for (name, schema) in properties.into_iter().flatten() {
        if !is_free_text(schema) {
            continue;
        }
        is_free = true;
        let words = format!("{} {}", text(schema, "title"), text(schema, "description"));
        let named = infer_role("", name, Some(schema)) == Role::Secret;
        if named || SECRETS.iter().any(|secret| words.contains(secret)) {
            let name = name.replace('~', "~0").replace('/', "~1");
            let at = show_safely(&format!("{at}/requestedSchema/properties/{name}"));
            let confidence = if named { Confidence::High } else { Confidence::Medium };
            findings.push(Finding::new(&ASKS_SECRET, confidence, at, "asks for a secret"));
        }
    }
    let secret = SECRETS.iter().find(|secret| message.contains(**secret));
    if let (Some(secret), true) = (secret, is_free && ASKS.iter().any(|asks| message.contains(asks))) {
        let at = format!("{at}/message");
        findings.push(Finding::new(
            &ASKS_SECRET,
            Confidence::Medium,
            at,
            format!("asks for a {secret}"),
        ));
    }
    findings
}

/// Whether anything can be typed there: choices, numbers and yes or no give no secret away.
fn is_free_text(schema: &Value) -> bool {
    let is_text = schema.get("type").is_none_or(|kind| kind == "string");
    let format = schema.get("format").and_then(Value::as_str);
    let is_other = matches!(format, Some("email" | "date" | "date-time" | "uri"));
    is_text
        && !is_other
        && ["enum", "oneOf", "const"]
            .iter()
            .all(|choice| schema.get(choice).is_none())
}

#[cfg(test)]
mod tests {
    use super::inspect_elicitation;

    fn rules(params: &str) -> Vec<&'static str> {
        inspect_elicitation(params)
            .iter()
            .map(|finding| finding.rule.id)
            .collect()
    }

    #[test]
    fn questions_for_secrets_are_found() {
        for params in [
            r#"{"message":"Please log in","requestedSchema":{"properties":{"password":{"type":"string"}}}}"#,
            r#"{"message":"Please log in","requestedSchema":{"properties":{"p":{"type":"string","title":"Your API key"}}}}"#,
            r#"{"message":"Enter your pass\u200bword","requestedSchema":{"properties":{"answer":{"type":"string"}}}}"#,
        ] {
            assert!(rules(params).contains(&"elicitation/asks-for-secret"), "{params}");
        }
        assert_eq!(
            rules(r#"{"message":"C\u043efferdam: allow?"}"#),
            ["elicitation/imitates-us"]
        );
        assert_eq!(rules("7x"), ["inspect/not-inspected"]);
    }

    #[test]
    fn honest_questions_pass() {
        for params in [
            r#"{"message":"Which city?","requestedSchema":{"properties":{"city":{"type":"string"}}}}"#,
            r#"{"message":"Reset the password of ann?","requestedSchema":{"properties":{"confirm":{"type":"boolean"}}}}"#,
            r#"{"message":"Give the kind of API key","requestedSchema":{"properties":{"kind":{"type":"string","enum":["read","write"]}}}}"#,
            r#"{"mode":"url","message":"Enter your API key on our page","url":"https://example.com/key","elicitationId":"1"}"#,
        ] {
            assert!(rules(params).is_empty(), "{params}");
        }
    }
}

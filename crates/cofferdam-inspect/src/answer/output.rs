//! The structured content of an answer against the output schema that its tool was accepted with (MCP 2025-06-18 and later).

use cofferdam_protocol::Message;
use serde_json::Value;

use crate::argument::{ArgumentSchema, SchemaUnusable};
use crate::finding::{Confidence, Finding, Severity, show_safely};
use crate::rule::Rule;

/// Where structured content lies in an answer.
const AT: &str = "/result/structuredContent";
/// Findings reported for one answer.
const FINDINGS_MAX: usize = 4;

pub(super) static MISMATCH: Rule = Rule {
    id: "answer/output-schema",
    summary: "an answer is not what the tool's accepted output schema says",
    severity: Severity::Medium,
    help: "clients that trust the schema will read it wrongly: report it to the server's author, or refuse it by policy",
};

/// A tool's output schema, compiled once.
#[derive(Debug)]
pub struct OutputSchema(Result<ArgumentSchema, SchemaUnusable>);

impl OutputSchema {
    /// Compiles the `outputSchema` of a tool definition (raw JSON text); `None` where it has none. Unknown properties are allowed where the
    /// schema allows them. A schema that cannot be used is a finding of each answer.
    #[must_use]
    pub fn compile(definition: &str) -> Option<Self> {
        let definition: Value = serde_json::from_str(definition).ok()?;
        let schema = definition.get("outputSchema")?;
        Some(Self(ArgumentSchema::of(schema.clone())))
    }

    /// What of the answer `message` does not match. An answer that says it is an error, or is none yet (a task, a question), need not.
    #[must_use]
    pub fn check(&self, message: &Message) -> Vec<Finding> {
        if message.result_member("isError") == Some("true") {
            return Vec::new();
        }
        let mismatch = |at: String, words: String| Finding::new(&MISMATCH, Confidence::High, at, words);
        let Some(content) = message.result_member("structuredContent") else {
            let is_answer = message.result_member("content").is_some();
            let missing = || mismatch("/result".to_owned(), "it has no structured content".to_owned());
            return is_answer.then(missing).into_iter().collect();
        };
        let schema = match &self.0 {
            Ok(schema) => schema,
            Err(unusable) => {
                let words = format!("the output schema cannot be used: {}", show_safely(&unusable.cause));
                return vec![mismatch(AT.to_owned(), words)];
            }
        };
        let found = schema.check(Some(content)).into_iter().take(FINDINGS_MAX);
        let found = found.map(|finding| {
            let place = finding.at.strip_prefix("/params/arguments").unwrap_or_default();
            mismatch(
                format!("{AT}{place}"),
                finding.evidence.replace("the arguments", "the content"),
            )
        });
        found.collect()
    }
}

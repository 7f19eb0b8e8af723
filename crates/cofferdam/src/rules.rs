//! `rules`: every reason for which something is refused, by its stable id.

use cofferdam_inspect::rules as inspect_rules;
use cofferdam_policy::POLICY_RULES;
use cofferdam_protocol::Reason;
use cofferdam_scan::SCAN_RULES;
use serde_json::{Value, json};

use crate::cli::output::Output;
use crate::egress::EGRESS_RULES;
use crate::failure::{Exit, Failure};

/// Rules of the gate itself.
const GATE_RULES: &[(&str, &str)] = &[
    (
        crate::gate::RECORD_QUOTA_RULE,
        "the server fills its share of the record: it is slowed, then ended",
    ),
    (
        crate::gate::RECORD_UNAVAILABLE_RULE,
        "the record cannot be written: nothing passes until it can",
    ),
    (
        crate::gate::SECONDS_PER_CALL_RULE,
        "the server did not answer within the manifest's `seconds_per_call`",
    ),
    (
        crate::gate::SESSION_ENDED_RULE,
        "the session ended before the server answered",
    ),
    (
        crate::gate::SERVER_RESTARTED_RULE,
        "the server crashed before it answered, and was started again",
    ),
];

/// Id and summary of every rule, in the order of ids.
pub(crate) fn all() -> Vec<(&'static str, &'static str)> {
    let mut rules: Vec<(&str, &str)> = Reason::ALL.iter().map(|reason| (reason.id(), reason.text())).collect();
    rules.extend(inspect_rules().map(|rule| (rule.id, rule.summary)));
    rules.extend(SCAN_RULES.iter().map(|rule| (rule.id, rule.summary)));
    rules.extend(POLICY_RULES.iter().map(|rule| (rule.id, rule.summary)));
    rules.extend(GATE_RULES);
    rules.extend(EGRESS_RULES);
    rules.sort_unstable();
    rules
}

/// Prints the list.
pub(crate) fn list(output: &mut Output) -> Result<Exit, Failure> {
    let rules = all();
    if output.is_json() {
        let advised: Vec<_> = inspect_rules().chain(SCAN_RULES.iter().copied()).collect();
        let rules: Vec<Value> = rules
            .iter()
            .map(|(id, summary)| match advised.iter().find(|rule| rule.id == *id) {
                Some(rule) => {
                    json!({"id": id, "summary": summary, "severity": rule.severity.word(), "help": rule.help})
                }
                None => json!({"id": id, "summary": summary}),
            })
            .collect();
        output.line(&Value::Array(rules).to_string())?;
        return Ok(Exit::Fine);
    }
    for (id, summary) in rules {
        output.line(&format!("{id:36} {summary}"))?;
    }
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_id_is_there_once() {
        let rules = super::all();
        let mut ids: Vec<_> = rules.iter().map(|(id, _)| *id).collect();
        ids.dedup();
        assert_eq!(ids.len(), rules.len());
    }
}

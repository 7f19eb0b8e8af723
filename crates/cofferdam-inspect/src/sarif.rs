//! SARIF 2.1.0 (OASIS): the form in which code hosts take findings. Own structs; only the members we fill.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::finding::{Finding, Severity};

/// One finding in a file: its path as given, the line (from 1), and the finding.
pub type Located<'a> = (&'a str, u64, &'a Finding);

/// A SARIF log with one run of this program.
#[must_use]
pub fn sarif(version: &str, findings: &[Located<'_>]) -> Value {
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    for (_, _, finding) in findings {
        rules.entry(finding.rule.id).or_insert_with(|| {
            json!({
                "id": finding.rule.id,
                "shortDescription": {"text": finding.rule.summary},
                "help": {"text": finding.rule.help},
                "defaultConfiguration": {"level": level(finding.rule.severity)},
            })
        });
    }
    let order: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(index, id)| (*id, index)).collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|located| result(located, order.get(located.2.rule.id).copied().unwrap_or_default()))
        .collect();
    let driver = json!({"name": "cofferdam", "version": version, "rules": rules.into_values().collect::<Vec<_>>()});
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    })
}

fn result((path, line, finding): &Located<'_>, rule_index: usize) -> Value {
    json!({
        "ruleId": finding.rule.id,
        "ruleIndex": rule_index,
        "level": level(finding.severity),
        "message": {"text": finding.evidence},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}},
            "logicalLocations": [{"fullyQualifiedName": finding.at}],
        }],
        "properties": {"severity": finding.severity.word(), "confidence": finding.confidence.word()},
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::sarif;

    #[test]
    fn each_rule_stands_once_and_results_point_to_it() {
        let finding = crate::unreadable_line("x");
        let log = sarif("1", &[("a.jsonl", 3, &finding), ("a.jsonl", 4, &finding)]);
        assert_eq!(
            log.pointer("/runs/0/tool/driver/rules")
                .and_then(|rules| rules.as_array())
                .map(Vec::len),
            Some(1)
        );
        let result = log.pointer("/runs/0/results/1").unwrap();
        assert_eq!(
            result.pointer("/locations/0/physicalLocation/region/startLine"),
            Some(&4.into())
        );
        assert_eq!(result.get("ruleIndex"), Some(&0.into()));
    }
}

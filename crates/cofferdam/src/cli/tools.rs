//! `tools NAME`: the accepted tools, and with `--live` how the server's list stands against them.

use std::collections::BTreeMap;
use std::time::Duration;

use cofferdam_inspect::show_safely;
use cofferdam_manifest::tool_digest;
use serde_json::{Value, json};

use super::add::{description, findings};
use super::args::Tools;
use super::observe::{converse, observe};
use super::output::{Output, Style};
use crate::client::Declares;
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::session::Session;

/// Seconds a server may take for each answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How a tool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Accepted,
    Same,
    Changed,
    NotListed,
    New,
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Same => "same",
            Self::Changed => "changed",
            Self::NotListed => "not listed",
            Self::New => "new",
        }
    }

    fn is_held_back(self) -> bool {
        matches!(self, Self::Changed | Self::New)
    }
}

/// Shows the tools; exit 1 when something is held back or found.
pub(crate) fn run(home: &Home, args: &Tools, output: &mut Output) -> Result<Exit, Failure> {
    let contract = Contract::load(home, &args.name)?;
    let rows = if args.live {
        live_rows(home, &contract)?
    } else {
        accepted_rows(&contract)
    };
    let mut exit = Exit::Fine;
    let mut list = Vec::new();
    for (name, (standing, definition)) in &rows {
        let found = findings(definition);
        if standing.is_held_back() || !found.is_empty() {
            exit = Exit::Findings;
        }
        let tool = contract.manifest.tools.get(name);
        let consent = tool.map_or_else(|| "none".to_owned(), |tool| tool.consent.to_string());
        if output.is_json() {
            let found: Vec<Value> = found
                .iter()
                .map(|finding| json!({"rule": finding.rule.id, "evidence": finding.evidence}))
                .collect();
            let pin = tool.map(|tool| tool.pin.to_string());
            list.push(
                json!({"name": name, "standing": standing.word(), "consent": consent, "pin": pin, "findings": found}),
            );
            continue;
        }
        let style = if standing.is_held_back() {
            Style::Red
        } else {
            Style::Green
        };
        let (name, word) = (
            output.styled(Style::Bold, &show_safely(name)),
            output.styled(style, standing.word()),
        );
        output.line(&format!("{name}  {word}, consent {consent}"))?;
        for line in description(definition).lines() {
            output.line(&format!("  {}", escaped(line.as_bytes())))?;
        }
        for finding in found {
            output.line(&format!("  finding {}: {}", finding.rule.id, finding.evidence))?;
        }
    }
    if output.is_json() {
        output.line(&Value::Array(list).to_string())?;
    }
    Ok(if rows.is_empty() { Exit::Nothing } else { exit })
}

fn accepted_rows(contract: &Contract) -> BTreeMap<String, (Standing, String)> {
    contract
        .definitions
        .iter()
        .map(|(name, definition)| (name.to_owned(), (Standing::Accepted, definition.to_owned())))
        .collect()
}

/// Starts the server sealed, through a gate that hides nothing, and compares.
fn live_rows(home: &Home, contract: &Contract) -> Result<BTreeMap<String, (Standing, String)>, Failure> {
    let session = Session::unpinned(home, &contract.name, &contract.manifest, "tools --live")?
        .with_own_bytecode(contract.has_foreign_bytecode);
    let (observed, _ended) = converse(home, session, (Declares::Everything, TIMEOUT), observe)?;
    let mut rows: BTreeMap<_, _> = accepted_rows(contract)
        .into_iter()
        .map(|(name, (_, definition))| (name, (Standing::NotListed, definition)))
        .collect();
    for definition in observed.tools {
        let parsed: Value = serde_json::from_str(&definition).unwrap_or_default();
        let name = parsed
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let standing = match (contract.manifest.tools.get(&name), tool_digest(&definition)) {
            (Some(tool), Ok(digest)) if tool.pin == digest => Standing::Same,
            (Some(_), _) => Standing::Changed,
            (None, _) => Standing::New,
        };
        rows.insert(name, (standing, definition));
    }
    Ok(rows)
}

//! `tools NAME`: the accepted tools, and with `--live` how the server's list stands against them.

use std::collections::BTreeMap;
use std::time::Duration;

use cofferdam_inspect::{Finding, Guard, look_alikes, show_safely};
use cofferdam_manifest::tool_digest;
use serde_json::{Value, json};

use super::add_screen::{description, findings};
use super::args::Tools;
use super::observe::{converse, observe};
use super::output::{Output, Style};
use crate::client::Declares;
use crate::contract::{Contract, own_names};
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
    let others = other_tools(home, &contract, output)?;
    let mut exit = Exit::Fine;
    let mut list = Vec::new();
    for (name, (standing, definition)) in &rows {
        let mut found = findings(definition);
        let own = rows.keys().map(|own| ("", own.as_str()));
        found.extend(look_alikes(name, own).into_iter().filter(Finding::blocks_by_default));
        let theirs = others.iter().map(|(server, tool)| (server.as_str(), tool.as_str()));
        let (alike, usual): (Vec<_>, Vec<_>) = look_alikes(name, theirs)
            .into_iter()
            .partition(Finding::blocks_by_default);
        found.extend(alike);
        let roles = roles(&contract, name, definition);
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
                json!({"name": name, "standing": standing.word(), "consent": consent, "pin": pin, "findings": found, "roles": roles}),
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
        if !roles.is_empty() {
            let roles: Vec<String> = roles
                .iter()
                .map(|(argument, role)| format!("{}: {role}", show_safely(argument)))
                .collect();
            output.line(&format!("  arguments  {}", roles.join(", ")))?;
        }
        for finding in usual {
            output.line(&format!("  note: {}", finding.evidence))?;
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

/// Tools that the user's other servers were accepted with, each with its server's name. A contract that cannot be read is named: its
/// tools were not compared.
fn other_tools(home: &Home, contract: &Contract, output: &mut Output) -> Result<Vec<(String, String)>, Failure> {
    let mut others = Vec::new();
    for server in own_names(home)?.into_iter().filter(|server| *server != contract.name) {
        match Contract::read(home, &server) {
            Ok(other) => others.extend(
                other
                    .definitions
                    .iter()
                    .map(|(tool, _)| (server.clone(), tool.to_owned())),
            ),
            Err(_) => output.say(&format!(
                "names were not compared with those of `{}`, which cannot be read",
                show_safely(&server)
            )),
        }
    }
    Ok(others)
}

/// The role of each argument by which its values are judged: what the manifest sets, or what is inferred.
fn roles(contract: &Contract, tool: &str, definition: &str) -> BTreeMap<String, String> {
    let set: BTreeMap<_, _> = contract
        .manifest
        .tools
        .get(tool)
        .into_iter()
        .flat_map(|tool| &tool.arguments)
        .filter_map(|(name, argument)| Some((name.clone(), argument.role?)))
        .collect();
    let parsed: Value = serde_json::from_str(definition).unwrap_or_default();
    let guard = Guard::new(tool, parsed.get("inputSchema"), &set);
    let word = |role| match json!(role) {
        Value::String(word) => word,
        other => other.to_string(),
    };
    let words = guard.roles().map(|(name, role)| {
        let source = if set.contains_key(name) { " (set)" } else { "" };
        (name.to_owned(), format!("{}{source}", word(role)))
    });
    words.collect()
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

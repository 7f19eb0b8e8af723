//! What became of each entry of each client: one line for a person, one object for a program.

use std::path::PathBuf;

use cofferdam_inspect::show_safely;
use cofferdam_scan::Entry;
use serde_json::{Value, json};

use super::discover::Found;
use super::journal::Rewritten;
use super::lately::Recent;
use crate::cli::output::{Output, Style};
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::mend::HOST_TO_NAME;

/// How an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It starts us now, and did not before.
    Protected,
    /// It started us before.
    Already,
    /// It would be protected.
    Intended,
    /// The client starts it by itself.
    Bare,
    /// It has an address: not a program of this machine.
    Remote,
    /// A person wants it so.
    Left,
    /// A person said no.
    Declined,
    /// It is as it was before us.
    Restored,
    /// Nothing of ours was there any more.
    Gone,
    /// Nobody can tell what the client does with it.
    Unclear,
    /// It could not be done.
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Already => "already-protected",
            Self::Intended => "would-be-protected",
            Self::Bare => "not-protected",
            Self::Remote => "remote",
            Self::Left => "left-alone",
            Self::Declined => "declined",
            Self::Restored => "restored",
            Self::Gone => "gone",
            Self::Unclear => "unclear",
            Self::Failed => "failed",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Protected | Self::Already | Self::Restored => Style::Green,
            Self::Bare | Self::Intended | Self::Unclear | Self::Declined => Style::Yellow,
            Self::Failed => Style::Red,
            Self::Remote | Self::Left | Self::Gone => Style::Dim,
        }
    }
}

/// What a contract that holds says of itself.
#[derive(Debug)]
struct Accepted {
    tools: usize,
    /// The trusted key that vouches for it, in words.
    signed_by: Option<String>,
}

/// What became of one entry, or of a file that could not be read.
#[derive(Debug)]
pub(super) struct Outcome {
    client: String,
    file: PathBuf,
    /// As the client shows it; `None` for the whole file.
    entry: Option<String>,
    pub(super) state: State,
    /// The server's name with us.
    pub(super) server: Option<String>,
    why: Option<String>,
    help: Option<String>,
    /// Its server's contract, which was checked and holds.
    accepted: Option<Accepted>,
    /// How its server did lately.
    lately: Option<Recent>,
    /// The lines that would let its server connect, where it cannot.
    unreached: Vec<String>,
    /// What its manifest gives up of the compartment.
    gives_up: Vec<String>,
}

impl Outcome {
    pub(super) fn of_entry(found: &Found, entry: &Entry, state: State) -> Self {
        Self {
            client: found.client.id.to_owned(),
            file: found.path.clone(),
            entry: Some(entry.name.clone()),
            state,
            server: None,
            why: entry.is_disabled.then(|| "the client has it switched off".to_owned()),
            help: None,
            accepted: None,
            lately: None,
            unreached: Vec::new(),
            gives_up: Vec::new(),
        }
    }

    pub(super) fn of_file(found: &Found, failure: &Failure) -> Self {
        Self {
            client: found.client.id.to_owned(),
            file: found.path.clone(),
            entry: None,
            state: State::Failed,
            server: None,
            why: Some(failure.what.clone()),
            help: failure.help.clone(),
            accepted: None,
            lately: None,
            unreached: Vec::new(),
            gives_up: Vec::new(),
        }
    }

    pub(super) fn of_rewritten(one: &Rewritten, outcome: Result<State, Failure>) -> Self {
        let base = Self {
            client: one.client.clone(),
            file: one.file.clone(),
            entry: Some(one.name().clone()),
            state: State::Gone,
            server: Some(one.server.clone()),
            why: None,
            help: None,
            accepted: None,
            lately: None,
            unreached: Vec::new(),
            gives_up: Vec::new(),
        };
        match outcome {
            Ok(state) => Self { state, ..base },
            Err(failure) => base.failed(&failure),
        }
    }

    pub(super) fn lately(self, recent: Recent) -> Self {
        Self {
            lately: Some(recent),
            ..self
        }
    }

    /// The server's contract was checked just now, its program's files too.
    pub(super) fn accepted(self, contract: &Contract) -> Self {
        Self {
            accepted: Some(Accepted {
                tools: contract.manifest.tools.len(),
                signed_by: contract.signed_by.clone(),
            }),
            ..self
        }
    }

    pub(super) fn unreached(self, unreached: Vec<String>) -> Self {
        Self { unreached, ..self }
    }

    pub(super) fn giving_up(self, gives_up: Vec<String>) -> Self {
        Self { gives_up, ..self }
    }

    pub(super) fn served_by(self, server: &str) -> Self {
        Self {
            server: Some(server.to_owned()),
            ..self
        }
    }

    pub(super) fn because(self, why: &str) -> Self {
        Self {
            why: Some(why.to_owned()),
            ..self
        }
    }

    pub(super) fn failed(self, failure: &Failure) -> Self {
        Self {
            state: State::Failed,
            why: Some(failure.what.clone()),
            help: failure.help.clone(),
            ..self
        }
    }

    fn json(&self) -> Value {
        let mut told = json!({
            "client": self.client, "file": self.file, "entry": self.entry, "state": self.state.word(),
            "server": self.server, "why": self.why, "help": self.help,
        });
        if let (Some(accepted), Some(members)) = (&self.accepted, told.as_object_mut()) {
            let accepted = json!({"tools": accepted.tools, "signed_by": accepted.signed_by});
            members.insert("accepted".to_owned(), accepted);
        }
        if let (Some(recent), Some(members)) = (&self.lately, told.as_object_mut()) {
            members.insert("lately".to_owned(), recent.json());
        }
        if let (false, Some(members)) = (self.unreached.is_empty(), told.as_object_mut()) {
            members.insert("unreached".to_owned(), json!(self.unreached));
        }
        if let (false, Some(members)) = (self.gives_up.is_empty(), told.as_object_mut()) {
            members.insert("gives_up".to_owned(), json!(self.gives_up));
        }
        told
    }

    fn text(&self, output: &Output) -> String {
        let mut line = format!("{:20} ", self.state.word());
        line = output.styled(self.state.style(), &line);
        line.push_str(&show_safely(self.entry.as_deref().unwrap_or("(the whole file)")));
        if let Some(server) = &self.server {
            line.push_str(&format!(" as `{server}`"));
        }
        for more in [self.why.as_deref().map(|why| format!("\n    {}", indented(why))), {
            self.help
                .as_deref()
                .map(|help| format!("\n    help: {}", indented(help)))
        }]
        .into_iter()
        .flatten()
        {
            line.push_str(&more);
        }
        if let Some(accepted) = &self.accepted {
            line.push_str(&format!("\n    {}", indented(&accepted.to_string())));
        }
        for what in &self.gives_up {
            line.push_str(&format!("\n    gives up {}", indented(what)));
        }
        for granting in &self.unreached {
            line.push_str(&format!("\n    {}", indented(&in_words(granting))));
        }
        for more in self.lately.iter().flat_map(Recent::lines) {
            line.push_str(&format!("\n    {}", indented(&more)));
        }
        line
    }
}

impl std::fmt::Display for Accepted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tools = match self.tools {
            1 => "1 tool".to_owned(),
            tools => format!("{tools} tools"),
        };
        write!(formatter, "its manifest is accepted: {tools}, the program as pinned")?;
        match &self.signed_by {
            Some(key) => write!(formatter, ", signed by {key}"),
            None => Ok(()),
        }
    }
}

/// What a person should know who wonders why a server that worked does not connect any more.
fn in_words(granting: &str) -> String {
    match granting.strip_suffix(HOST_TO_NAME) {
        Some(_) => format!("it connects nowhere until a host is granted: `{granting}`"),
        None => format!("it asked for a host, which it reaches after `{granting}`"),
    }
}

/// Words that may quote a server or a file, safe for a terminal, each line under the first.
fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| escaped(line.as_bytes())).collect();
    lines.join("\n    ")
}

/// Every outcome, under its client's file.
pub(super) fn print(outcomes: &[Outcome], output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let all: Vec<Value> = outcomes.iter().map(Outcome::json).collect();
        return output.line(&Value::Array(all).to_string());
    }
    if outcomes.is_empty() {
        return output.line("no client has a server here");
    }
    let mut last = None;
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|one, other| (&one.client, &one.file).cmp(&(&other.client, &other.file)));
    for outcome in sorted {
        let head = (&outcome.client, &outcome.file);
        if last != Some(head) {
            let file = escaped(outcome.file.display().to_string().as_bytes());
            output.line(&format!("{}  {file}", output.styled(Style::Bold, &outcome.client)))?;
            last = Some(head);
        }
        output.line(&format!("  {}", outcome.text(output)))?;
    }
    Ok(())
}

/// Fine, unless something failed or nothing was there.
pub(super) fn exit(outcomes: &[Outcome]) -> Exit {
    if outcomes.is_empty() {
        Exit::Nothing
    } else if outcomes.iter().any(|outcome| outcome.state == State::Failed) {
        Exit::Findings
    } else {
        Exit::Fine
    }
}

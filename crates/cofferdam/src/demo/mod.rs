//! `demo`: a deliberately vulnerable MCP server, attacked bare inside a throw-away compartment, then behind the gate.
//!
//! Nothing is simulated on our side: the second half is `add`, `run` and `audit verify` of this very binary. The "machine" that the bare
//! server gives away is a folder of made-up secrets, a process that only waits, and a port that only says hello.

mod attack;
mod server;
mod stage;

use std::time::Duration;

use serde_json::Value;

use crate::cli::output::{Output, Style};
use crate::client::{ClientError, Declares, McpClient};
use crate::failure::{Exit, Failure};
use attack::{ATTACKS, Attack, CI_ATTACK, Evidence};
use stage::Stage;

pub(crate) use server::vulnerable_server;

/// How `demo` was called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Leave the demo's folder behind.
    pub(crate) keep: bool,
}

/// Seconds for one answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How one attack went.
#[derive(Debug)]
enum Outcome {
    /// It got what it wanted; the evidence.
    Succeeded(String),
    /// It did not; what stopped it.
    Failed(String),
}

/// Tells the story; exit 1 when it does not go as it should.
pub(crate) fn run(options: Options, output: &mut Output) -> Result<Exit, Failure> {
    let stage = Stage::set(options.keep)?;
    output.line(&output.styled(
        Style::Bold,
        "A vulnerable MCP server, first as clients start it today, then behind Cofferdam.",
    ))?;
    output.line("The bare half runs in a throw-away compartment that holds only made-up secrets.\n")?;
    let attacks: Vec<&Attack> = ATTACKS.iter().chain([&CI_ATTACK]).collect();
    let bare = attack_all(&stage, &attacks, stage.bare()?)?;
    stage.rewind()?;
    stage.add()?;
    let mut gated = attack_all(&stage, ATTACKS.iter().collect::<Vec<_>>().as_slice(), stage.gated()?)?;
    gated.extend(attack_all(&stage, &[&CI_ATTACK], stage.gated_in_ci()?)?);
    let mut as_it_should = true;
    for (number, (attack, (bare, gated))) in attacks.into_iter().zip(bare.iter().zip(&gated)).enumerate() {
        as_it_should &= matches!((bare, gated), (Outcome::Succeeded(_), Outcome::Failed(_)));
        tell(number + 1, attack, bare, gated, output)?;
    }
    as_it_should &= conclude(&stage, output)?;
    Ok(if as_it_should { Exit::Fine } else { Exit::Findings })
}

fn tell(number: usize, attack: &Attack, bare: &Outcome, gated: &Outcome, output: &mut Output) -> Result<(), Failure> {
    output.line(&format!("{number}. {}", output.styled(Style::Bold, attack.title)))?;
    output.line(&format!(
        "   the client sends   {}",
        crate::gate::escaped(attack.sends.as_bytes())
    ))?;
    for (half, outcome) in [("bare ", bare), ("gated", gated)] {
        let (word, style, text) = match outcome {
            Outcome::Succeeded(evidence) => ("succeeds", Style::Red, evidence),
            Outcome::Failed(why) => ("fails   ", Style::Green, why),
        };
        output.line(&format!(
            "   {half}  {}  {}",
            output.styled(style, word),
            crate::gate::escaped(text.as_bytes())
        ))?;
    }
    output.line("")
}

/// Plays these attacks in one conversation with one server.
fn attack_all(stage: &Stage, attacks: &[&Attack], mut server: stage::Running) -> Result<Vec<Outcome>, Failure> {
    let (reader, writer) = server.pipes()?;
    let mut client = McpClient::new(reader, writer, Declares::Nothing, TIMEOUT);
    client
        .open()
        .map_err(|error| Failure::new(Exit::Findings, format!("the demo's server did not start: {error}")))?;
    let facts = server.facts(stage)?;
    let outcomes = attacks
        .iter()
        .map(|attack| {
            play(attack, &facts, stage, &mut client).and_then(|outcome| still_there(&mut client).map(|()| outcome))
        })
        .collect();
    drop(client);
    server.end();
    outcomes
}

/// A server that died defended nothing: an attack counts as failed only while the server goes on working.
fn still_there(client: &mut McpClient) -> Result<(), Failure> {
    let answered = client.request("ping", Value::Null);
    answered.map(drop).map_err(|error| {
        Failure::new(
            Exit::Findings,
            format!("the demo's server does not work any more: {error}"),
        )
    })
}

/// One attack succeeded if, and only if, what it was after is in the answer or has happened.
fn play(attack: &Attack, facts: &stage::Facts, stage: &Stage, client: &mut McpClient) -> Result<Outcome, Failure> {
    if let Evidence::PoisonedDescription = attack.evidence {
        stage.poison()?;
        let tools = client
            .list("tools/list", "tools")
            .map_err(|error| Failure::new(Exit::Findings, format!("the demo's server does not list: {error}")))?;
        let listed = Value::Array(tools).to_string();
        return Ok(if listed.contains(server::POISON) {
            Outcome::Succeeded(format!("the model reads: {}", server::POISON))
        } else {
            Outcome::Failed("the changed tool is hidden until a person accepts it".to_owned())
        });
    }
    let said = match client.request("tools/call", (attack.call)(facts)) {
        Ok(result) => text_of(&result),
        Err(error @ ClientError::Refused { .. }) => error.to_string(),
        Err(error) => {
            let what = format!("the demo's server does not work any more: {error}");
            return Err(Failure::new(Exit::Findings, what));
        }
    };
    Ok(match &attack.evidence {
        Evidence::InAnswer(wanted) if said.contains(wanted) => Outcome::Succeeded(line_with(&said, wanted)),
        Evidence::VictimGone if !facts.victim_lives() => {
            Outcome::Succeeded("a process of the user was killed".to_owned())
        }
        _ if said.starts_with("refused") => Outcome::Failed(said),
        _ => Outcome::Failed(attack.nothing_found.to_owned()),
    })
}

fn text_of(result: &Value) -> String {
    let parts = result
        .get("content")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    parts
        .iter()
        .filter_map(|part| part.get("text").and_then(Value::as_str))
        .collect::<Vec<_>>()
        .join("\n")
}

fn line_with(text: &str, wanted: &str) -> String {
    text.lines()
        .find(|line| line.contains(wanted))
        .unwrap_or(text)
        .trim()
        .to_owned()
}

/// The record of it all, verified.
fn conclude(stage: &Stage, output: &mut Output) -> Result<bool, Failure> {
    let verified = stage.verify()?;
    let intact = !verified.is_empty() && verified.iter().all(|line| line.contains("\"intact\":true"));
    let records: u64 = verified
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|facts| facts.get("records").and_then(Value::as_u64))
        .sum();
    let words = if intact {
        output.styled(Style::Green, "intact")
    } else {
        output.styled(Style::Red, "broken")
    };
    output.line(&format!(
        "Every line, decision and refusal is in the record: {records} records in {} sessions, {words}.",
        verified.len()
    ))?;
    if let Some(folder) = stage.kept() {
        output.line(&format!(
            "Kept in {}: try `cofferdam --home {}/home audit show`.",
            folder.display(),
            folder.display()
        ))?;
    }
    output.line("Next: `cofferdam add NAME -- COMMAND…` for a server of your own.")?;
    Ok(intact)
}

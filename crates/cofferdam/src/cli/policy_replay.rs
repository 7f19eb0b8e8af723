//! `policy replay`: what a candidate would have changed about the calls on record, before it decides about one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use cofferdam_audit::{Kind, Skim, Skimmed};
use cofferdam_policy::{Asked, Layer, Measured, Moment, POLICY_FILE_BYTES_MAX, Policies, PolicyFile};
use cofferdam_protocol::{Decoded, Message, MessageKind, decode};
use serde_json::json;

use super::audit::{failure, parse_time, store, warn};
use super::output::{Output, Style};
use super::policy::{FIRST_CALL, outcome, supposed};
use super::policy_args::PolicyReplay;
use crate::contract::{Contract, own_names};
use crate::failure::{Exit, Failure, file_failure};
use crate::gate::{Supposed, escaped};
use crate::home::Home;
use crate::own_files::{read_foreign_file, shown};
use crate::policy::{PolicyFiles, pinned_world};

/// Groups of changes that are told apart; what comes beyond is counted together.
const GROUPS_MAX: usize = 10_000;

/// One server's tools, and what decides about them now and under the candidate.
struct Server {
    contract: Contract,
    supposed: Supposed,
    measured: Measured,
    now: Policies,
    then: Policies,
}

/// What was found.
#[derive(Default)]
struct Replayed {
    calls: u64,
    /// Calls that cannot be judged: sealed, no longer readable, or of a server or tool that is not there.
    unjudged: u64,
    /// By server, tool, outcome now and outcome then: how many, the policies that would decide, and one record.
    changes: BTreeMap<[String; 4], (u64, String, String)>,
}

/// Exit 0 where nothing would change, 1 where something would, 3 where there is nothing to replay.
pub(crate) fn replay(home: &Home, args: &PolicyReplay, output: &mut Output) -> Result<Exit, Failure> {
    let files = PolicyFiles::read(home)?;
    let candidate = files.with(candidate_files(&args.candidate)?);
    let mut servers = BTreeMap::new();
    for name in own_names(home)? {
        let contract = Contract::read(home, &name)?;
        let world = pinned_world(home, &contract)?;
        let (supposed, measured) = supposed(&contract);
        let server = Server {
            supposed,
            measured,
            now: files.load(&world)?,
            then: candidate.load(&world)?,
            contract,
        };
        servers.insert(name, server);
    }
    let now = super::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let since = parse_time(&args.since, now).map_err(Failure::usage)?;
    let replayed = replayed(home, &mut servers, since, output)?;
    tell(&replayed, output)?;
    Ok(match (replayed.calls, replayed.changes.is_empty()) {
        (0, _) => Exit::Nothing,
        (_, true) => Exit::Fine,
        (_, false) => Exit::Findings,
    })
}

/// A policy file, or every one of a folder; each stands for the user's file of its name.
fn candidate_files(path: &Path) -> Result<Vec<PolicyFile>, Failure> {
    let paths = if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|cause| file_failure("list", path, &cause))?;
        let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "cedar"));
        paths.sort();
        paths
    } else {
        vec![path.to_owned()]
    };
    if paths.is_empty() {
        return Err(Failure::usage(format!("`{}` has no `.cedar` files", shown(path))));
    }
    let file = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(PolicyFile {
            layer: Layer::User,
            name: format!("candidate/{}", escaped(name.as_bytes())),
            text: read_foreign_file(path, POLICY_FILE_BYTES_MAX)?,
        })
    };
    paths.iter().map(file).collect()
}

fn replayed(
    home: &Home,
    servers: &mut BTreeMap<String, Server>,
    since: u64,
    output: &mut Output,
) -> Result<Replayed, Failure> {
    let found = store(home)?.sessions().map_err(|error| failure(&error))?;
    warn(found.problems.iter(), output);
    let mut replayed = Replayed::default();
    for path in found.items.iter().flat_map(|session| &session.segments) {
        let mut skim = match Skim::open(path) {
            Ok(skim) => skim,
            Err(problem) => {
                warn([&problem].into_iter(), output);
                continue;
            }
        };
        let (server, session) = (skim.header().server.clone(), skim.header().session.clone());
        loop {
            match skim.next_record() {
                Ok(Some(record)) if record.kind == Kind::ClientLine && record.wall_ns >= since => {
                    replayed.judge(servers.get_mut(&server), &record, (&server, &session));
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(problem) => {
                    warn([&problem].into_iter(), output);
                    break;
                }
            }
        }
    }
    Ok(replayed)
}

impl Replayed {
    fn judge(&mut self, server: Option<&mut Server>, record: &Skimmed<'_>, (name, session): (&str, &str)) {
        if record.sealed {
            // It may be a call or anything else.
            self.unjudged += 1;
            return;
        }
        let Some(call) = call_of(record.payload) else { return };
        self.calls += 1;
        let tool = call.param_str("name").unwrap_or_default().into_owned();
        let known = server.and_then(|server| {
            let consent = server.contract.manifest.tools.get(&tool)?.consent;
            Some((server, consent))
        });
        let Some((server, consent)) = known else {
            self.unjudged += 1;
            return;
        };
        let asked = Asked::Call {
            tool: &tool,
            arguments: call.param("arguments"),
        };
        let reads_facts = server.now.reads_facts(asked) || server.then.reads_facts(asked);
        let facts = reads_facts.then(|| server.supposed.facts(&tool, call.param("arguments").unwrap_or("{}")));
        let moment = Moment {
            facts: facts.as_ref(),
            measured: Some(&server.measured),
            now_s: i64::try_from(record.wall_ns / 1_000_000_000).unwrap_or(i64::MAX),
            rates: FIRST_CALL,
            bytes: record.payload.len(),
            ..Moment::default()
        };
        let now = outcome(&server.now, asked, &moment, consent);
        let then = outcome(&server.then, asked, &moment, consent);
        if now.word == then.word {
            return;
        }
        let mut group = [name, &tool, now.word, then.word].map(str::to_owned);
        if self.changes.len() >= GROUPS_MAX && !self.changes.contains_key(&group) {
            group = ["(others)", "", now.word, then.word].map(str::to_owned);
        }
        let record = format!("{}:{}", session.get(..8).unwrap_or(session), record.seq);
        let entry = self.changes.entry(group).or_insert((0, then.by, record));
        entry.0 += 1;
    }
}

/// The call in a recorded line; `None` for anything else.
fn call_of(line: &[u8]) -> Option<Message> {
    match decode(line.to_vec()).ok()? {
        Decoded::Message(message) => {
            let is_call = message.kind() == MessageKind::Request && message.method() == Some("tools/call");
            is_call.then_some(message)
        }
        Decoded::Batch(_) => None,
    }
}

fn tell(replayed: &Replayed, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let changes = replayed.changes.iter().map(|([server, tool, now, then], (count, by, record))| {
            json!({"server": server, "tool": tool, "now": now, "then": then, "calls": count, "by": by, "record": record})
        });
        let report = json!({
            "calls": replayed.calls, "unjudged": replayed.unjudged, "changes": changes.collect::<Vec<_>>(),
        });
        return output.line(&report.to_string());
    }
    for ([server, tool, now, then], (count, by, record)) in &replayed.changes {
        let quoted = |text: &str| escaped(text.as_bytes());
        let then = output.styled(Style::Yellow, then);
        output.line(&format!(
            "{count:>6}  {} {}: {now} → {then}  by {by}  (such as record {record})",
            quoted(server),
            quoted(tool)
        ))?;
    }
    let changed: u64 = replayed.changes.values().map(|(count, ..)| count).sum();
    output.say(&format!(
        "{changed} of {} calls would get another answer",
        replayed.calls
    ));
    if replayed.unjudged > 0 {
        output.say(&format!(
            "{} could not be judged: sealed, or of a server or tool that is not there now",
            replayed.unjudged
        ));
    }
    Ok(())
}

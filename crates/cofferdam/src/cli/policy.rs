//! `policy check|test|accept|defaults`: what the policies say, before they say it to a client.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cofferdam_manifest::{AcceptedProject, Consent, Digest, Profile};
use cofferdam_policy::{
    Asked, CallFacts, DEFAULT_POLICIES, Layer, Level, Measured, Moment, Policies, PolicyFile, Rates, Ruling, policy_ids,
};
use cofferdam_sandbox::{Feature, Tier};
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::{Output, Style};
use super::person::unlocked;
use super::policy_args::{PolicyAccept, PolicySign};
use crate::compartment::tier_of;
use crate::contract::folder::replace_file;
use crate::contract::{Contract, own_names};
use crate::failure::{Exit, Failure, file_failure};
use crate::gate::{Supposed, escaped, measured_on};
use crate::home::Home;
use crate::keys::signing_key;
use crate::own_files::read_own_file;
use crate::policy::{
    PolicyFiles, accepted_policies, pinned_world, project_text, shown, signature, signature_file, unusable,
};
use crate::session::{reach, roots};

/// Prints the shipped policies as they are.
pub(crate) fn defaults(output: &mut Output) -> Result<Exit, Failure> {
    for (_, text) in DEFAULT_POLICIES {
        output.raw(text.as_bytes())?;
    }
    Ok(Exit::Fine)
}

/// Checks every layer against every server; exit 4 when something does not check, 1 when a rule reaches nothing.
pub(crate) fn check(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let files = PolicyFiles::read(home)?;
    let ids = policy_ids(&files.files).map_err(|error| unusable(&error))?;
    let mut exit = Exit::Fine;
    let mut reaching = BTreeSet::new();
    let servers = own_names(home)?;
    for name in &servers {
        let loaded = Contract::read(home, name).and_then(|contract| {
            let world = pinned_world(home, &contract)?;
            if let Some(candidate) = files.candidate() {
                candidate.load(&world)?.check().map_err(|error| unusable(&error))?;
            }
            let policies = files.load(&world)?;
            policies.check().map_err(|error| unusable(&error))?;
            Ok(policies)
        });
        match loaded {
            Ok(policies) => reaching.extend(policies.reaching().into_iter().map(str::to_owned)),
            Err(failure) => {
                output.failure(&failure);
                exit = Exit::Misconfigured;
            }
        }
    }
    for path in &files.unaccepted {
        output.say(&format!(
            "`{}` does not count: nobody accepted it as it is now (`cofferdam policy accept` does)",
            shown(path)
        ));
    }
    let dead: Vec<&String> = match servers.is_empty() {
        true => Vec::new(),
        false => ids.iter().filter(|id| !reaching.contains(*id)).collect(),
    };
    if exit == Exit::Fine && dead.iter().any(|id| !id.starts_with("shipped/")) {
        exit = Exit::Findings;
    }
    tell_checked(output, (&files, &ids, &servers, &dead), exit)?;
    Ok(exit)
}

fn tell_checked(
    output: &mut Output,
    (files, ids, servers, dead): (&PolicyFiles, &[String], &[String], &[&String]),
    exit: Exit,
) -> Result<(), Failure> {
    if output.is_json() {
        let layers = files
            .files
            .iter()
            .map(|file| json!({"layer": file.layer.word(), "file": file.name}));
        let report = json!({
            "ok": exit == Exit::Fine, "digest": files.digest().to_string(), "files": layers.collect::<Vec<_>>(), "policies": ids.len(),
            "servers": servers, "dead": dead,
        });
        return output.line(&report.to_string());
    }
    for file in &files.files {
        output.line(&format!("{:12}  {}", file.layer.word(), file.name))?;
    }
    if exit != Exit::Misconfigured {
        for id in dead {
            let word = output.styled(Style::Yellow, "reaches nothing");
            output.line(&format!("{id}: {word} of any server"))?;
        }
        let count = servers.len();
        let word = output.styled(Style::Green, "ok");
        output.line(&format!(
            "{word}: {} policies fit the tools of {count} servers",
            ids.len()
        ))?;
    }
    Ok(())
}

pub(super) fn check_arguments(arguments: &str) -> Result<(), Failure> {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(_)) => Ok(()),
        _ => Err(Failure::usage("the arguments are no JSON object")
            .help("write them as one, such as '{\"path\": \"/tmp/x\"}'")),
    }
}

/// A server that nobody runs, in a session that has seen nothing, in a compartment that has what the manifest requires of it.
pub(super) fn supposed(contract: &Contract) -> (Supposed, Measured) {
    let manifest = &contract.manifest;
    let is_waived = |feature: Feature| {
        let is_browser = manifest.isolation.profile == Some(Profile::Browser);
        manifest.isolation.waive.iter().any(|name| *name == feature.to_string())
            || is_browser && feature == Feature::NoUserNamespaces
            || manifest.isolation.image.is_some() && feature == Feature::ProgramWalls
    };
    let tier = tier_of(manifest);
    let is_required = |feature: Feature| {
        tier.required().contains(&feature) || tier == Tier::Sealed && feature == Feature::ProgramWalls
    };
    let measured = measured_on(tier, |feature| is_required(feature) && !is_waived(feature));
    (
        Supposed::new(contract.pins(), roots(manifest), reach(manifest)),
        measured,
    )
}

/// Of a call that is the first of its session.
pub(super) const FIRST_CALL: Rates = Rates {
    calls_last_minute: 1,
    calls_last_hour: 1,
    tool_calls_last_minute: 1,
    tool_calls_last_hour: 1,
    refused_last_minute: 0,
    bytes_sent: 0,
};

pub(super) fn moment<'a>(bytes: usize, facts: &'a CallFacts, measured: &'a Measured) -> Moment<'a> {
    Moment {
        facts: Some(facts),
        measured: Some(measured),
        now_s: super::unix_seconds(),
        rates: FIRST_CALL,
        bytes,
        ..Moment::default()
    }
}

/// What would become of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// `allow`, `grant`, `ask`, `person`, `two` or `deny`.
    pub(super) word: &'static str,
    pub(super) by: String,
}

pub(super) fn outcome(policies: &Policies, asked: Asked<'_>, moment: &Moment<'_>, consent: Consent) -> Outcome {
    let Some(least) = Level::least(consent) else {
        return Outcome {
            word: "deny",
            by: "the manifest".to_owned(),
        };
    };
    match policies.rule(asked, moment, least, true) {
        Ruling::Permitted { level, by } => Outcome {
            word: level.word(),
            by: by.to_string(),
        },
        Ruling::Refused { layer, by, .. } => Outcome {
            word: "deny",
            by: layer.map_or_else(|| by.clone(), |layer| format!("{}: {by}", layer.word())),
        },
    }
}

/// One case beside the policies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    server: String,
    tool: String,
    #[serde(default)]
    arguments: serde_json::Map<String, Value>,
    /// `allow`, `grant`, `ask`, `person`, `two` or `deny`.
    expect: String,
}

/// Runs the cases; exit 1 when one does not come out as expected, 3 when there are none.
pub(crate) fn test(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let files = PolicyFiles::read(home)?;
    let mut exit = Exit::Nothing;
    let mut servers = BTreeMap::new();
    for path in case_files(&home.policy())? {
        let cases: Vec<Case> = serde_json::from_str(&read_own_file(&path, CASES_BYTES_MAX)?).map_err(|error| {
            Failure::misconfigured(format!("`{}` holds no test cases: {error}", shown(&path))).help(CASE_HELP)
        })?;
        for case in cases {
            let server = match servers.entry(case.server.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Tested::read(home, &files, &case.server)?),
            };
            let is_right = server.run(&case, output)?;
            exit = match (is_right, exit) {
                (false, _) => Exit::Findings,
                (true, Exit::Nothing) => Exit::Fine,
                (true, exit) => exit,
            };
        }
    }
    if exit == Exit::Nothing {
        output.say(&format!("there are no test cases in `{}`", shown(&home.policy())));
    }
    Ok(exit)
}

/// Bytes of a file of test cases.
const CASES_BYTES_MAX: usize = 4 * 1024 * 1024;
const CASE_HELP: &str = r#"a file is a list of {"server": "…", "tool": "…", "arguments": {…}, "expect": "allow|grant|ask|person|two|deny"}"#;

/// A server that cases are about.
struct Tested {
    contract: Contract,
    policies: Policies,
    supposed: Supposed,
    measured: Measured,
}

impl Tested {
    fn read(home: &Home, files: &PolicyFiles, name: &str) -> Result<Self, Failure> {
        let contract = Contract::read(home, name)?;
        let policies = files.load(&pinned_world(home, &contract)?)?;
        let (supposed, measured) = supposed(&contract);
        Ok(Self {
            contract,
            policies,
            supposed,
            measured,
        })
    }

    fn run(&mut self, case: &Case, output: &mut Output) -> Result<bool, Failure> {
        let tool = self.contract.manifest.tools.get(&case.tool);
        let consent = tool.map_or(Consent::Deny, |tool| tool.consent);
        let arguments = Value::Object(case.arguments.clone()).to_string();
        let asked = Asked::Call {
            tool: &case.tool,
            arguments: Some(&arguments),
        };
        let facts = self.supposed.facts(&case.tool, &arguments);
        let moment = moment(arguments.len(), &facts, &self.measured);
        let outcome = outcome(&self.policies, asked, &moment, consent);
        tell_case(case, &arguments, &outcome, output)
    }
}

fn tell_case(case: &Case, arguments: &str, outcome: &Outcome, output: &mut Output) -> Result<bool, Failure> {
    let is_right = outcome.word == case.expect;
    let call = format!("{} {} {arguments}", case.server, case.tool);
    if output.is_json() {
        let report =
            json!({"ok": is_right, "call": call, "expected": case.expect, "outcome": outcome.word, "by": outcome.by});
        output.line(&report.to_string())?;
    } else if is_right {
        let word = output.styled(Style::Green, "ok");
        output.line(&format!("{word}  {call}: {}", outcome.word))?;
    } else {
        let word = output.styled(Style::Red, "wrong");
        output.line(&format!(
            "{word}  {call}: expected {}, is {} by {}",
            case.expect, outcome.word, outcome.by
        ))?;
    }
    Ok(is_right)
}

fn case_files(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(file_failure("list", folder, &cause)),
    };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    Ok(files)
}

/// Signs a policy file as it is now.
pub(crate) fn sign(home: &Home, args: &PolicySign, output: &mut Output) -> Result<Exit, Failure> {
    let text = project_text(&args.file)?;
    let file = PolicyFile {
        layer: Layer::Project,
        name: shown(&args.file),
        text,
    };
    policy_ids(std::slice::from_ref(&file)).map_err(|error| unusable(&error))?;
    let key = match &args.key {
        Some(key) => signing_key(key)?,
        None => unlocked(&home.approver(), output)?,
    };
    let beside = signature_file(&args.file);
    replace_file(&beside, &signature(&args.file, &file.text, &key))?;
    output.say(&format!("signed with {}; wrote {}", key.public_key(), shown(&beside)));
    Ok(Exit::Fine)
}

/// Accepts the project's policies as they are now.
pub(crate) fn accept(home: &Home, args: &PolicyAccept, output: &mut Output) -> Result<Exit, Failure> {
    let files = PolicyFiles::read(home)?;
    if files.unaccepted.is_empty() {
        output.say("the project in this folder has no policies that are not accepted");
        return Ok(Exit::Nothing);
    }
    let mut list = accepted_policies(home)?;
    for path in &files.unaccepted {
        let text = project_text(path)?;
        let digest = Digest::of(text.as_bytes());
        output.say(&format!("{}\n{}", shown(path), escaped_lines(&text)));
        if !args.yes && !output.is_confirmed("let these policies narrow what servers may do in this project?") {
            return Err(
                Failure::new(Exit::Findings, "nothing was accepted").help("answer `y` on a terminal, or pass `--yes`")
            );
        }
        let entry = AcceptedProject {
            digest,
            path: path.clone(),
            comment: String::new(),
        };
        list = list
            .with(entry)
            .map_err(|error| Failure::misconfigured(error.to_string()).help(error.help()))?;
        output.line(&format!("accepted {digest} {}", shown(path)))?;
    }
    let file = home.accepted_policies();
    Home::make(file.parent().unwrap_or(Path::new("/")))?;
    replace_file(&file, &list.to_text())?;
    Ok(Exit::Fine)
}

/// A text of somebody else's, line by line, safe on a terminal.
fn escaped_lines(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {}\n", escaped(line.as_bytes())))
        .collect()
}

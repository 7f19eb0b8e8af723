//! The screen of `add`: what a server is, what it may reach, what it offers, what was found.

use std::path::{Path, PathBuf};

use cofferdam_inspect::{Finding, Severity, show_safely};
use cofferdam_manifest::Manifest;
use serde_json::Value;

use super::observe::Observed;
use super::output::{Output, Style};
use crate::compartment::given_up;
use crate::contract::Contract;
use crate::failure::Failure;
use crate::gate::escaped;
use crate::refusals::{Refused, in_words};

/// One screen: what it is, what it may reach, what it offers, what was found.
pub(super) fn show(
    contract: &Contract,
    observed: &Observed,
    (notes, refused): (&[String], &[(Refused, String)]),
    output: &mut Output,
) -> Result<(), Failure> {
    let manifest = &contract.manifest;
    output.say(&output.styled(Style::Bold, &contract.name));
    output.say(&format!(
        "  program   {}",
        escaped(manifest.launch.command.join(" ").as_bytes())
    ));
    match &manifest.isolation.image {
        Some(image) => output.say(&format!("  image     {}", escaped(image.reference.as_bytes()))),
        None => output.say(&format!(
            "  pinned    {}, {}",
            counted(contract.program.len(), "file"),
            contract.program.digest()
        )),
    }
    output.say(&format!("  reads     {}", list_of(&manifest.filesystem.read)));
    output.say(&format!("  writes    {}", list_of(&manifest.filesystem.write)));
    output.say(&format!("  executes  {}", programs_in_words(manifest)));
    for program in manifest.programs.allow.iter().filter(|program| runs_any_code(program)) {
        let program = escaped(program.as_bytes());
        output.say(&format!(
            "  note      `{program}` runs any code that is given to it: only what is granted bounds that"
        ));
    }
    for what in given_up(manifest) {
        output.say(&format!("  gives up  {}", escaped(what.as_bytes())));
    }
    let hosts: Vec<String> = manifest.network.allow.iter().map(ToString::to_string).collect();
    output.say(&format!(
        "  network   {}",
        if hosts.is_empty() {
            "none".to_owned()
        } else {
            hosts.join(", ")
        }
    ));
    let refused = refused.iter().map(|(refused, _)| refused);
    for (what, _line) in refused.filter_map(|refused| in_words(&contract.name, refused)) {
        output.say(&format!("  refused   {what}, which it asked for meanwhile"));
    }
    let variables: Vec<&str> = manifest
        .environment
        .set
        .keys()
        .chain(&manifest.environment.pass)
        .map(String::as_str)
        .collect();
    output.say(&format!("  variables {}", variables.join(", ")));
    if !manifest.secrets.is_empty() {
        let names: Vec<&str> = manifest.secrets.keys().map(String::as_str).collect();
        output.say(&format!(
            "  secrets   {} (long-lived: the server gets what the client has)",
            names.join(", ")
        ));
    }
    for note in notes.iter().chain(&observed.unlisted) {
        output.say(&format!("  note      {note}"));
    }
    output.say(&format!(
        "  {}, {}, {}",
        counted(observed.tools.len(), "tool"),
        counted(observed.prompts.len(), "prompt"),
        counted(observed.resources.len(), "resource")
    ));
    show_tools(contract, output);
    for (what, names) in [("prompt", &observed.prompts), ("resource", &observed.resources)] {
        for name in names {
            output.say(&format!("    {what} {}", show_safely(name)));
        }
    }
    Ok(())
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Each tool with the beginning of its description, and what was found.
fn show_tools(contract: &Contract, output: &mut Output) {
    for (name, definition) in contract.definitions.iter() {
        output.say(&format!(
            "    {}  {}",
            output.styled(Style::Bold, &show_safely(name)),
            first_words(definition)
        ));
        for finding in findings(definition) {
            output.say(&format!(
                "      {} {}: {}",
                output.styled(Style::Red, "finding"),
                finding.rule.id,
                finding.evidence
            ));
        }
    }
}

/// Whether a program is a shell, an interpreter, or one that starts whatever it is told to.
fn runs_any_code(program: &str) -> bool {
    const NAMES: [&str; 16] = [
        "sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "env", "xargs", "python", "node", "perl", "ruby", "php",
        "lua", "awk",
    ];
    let name = Path::new(program).file_name().and_then(|name| name.to_str());
    let base = name
        .unwrap_or(program)
        .trim_end_matches(|end: char| end.is_ascii_digit() || end == '.');
    NAMES.contains(&base)
}

/// What it may execute, for people.
fn programs_in_words(manifest: &Manifest) -> String {
    let allow = &manifest.programs.allow;
    if manifest.isolation.image.is_some() {
        return "whatever is in the image".to_owned();
    }
    if allow.is_empty() {
        return "nothing but itself".to_owned();
    }
    escaped(format!("itself, {}", allow.join(", ")).as_bytes())
}

fn list_of(roots: &[PathBuf]) -> String {
    if roots.is_empty() {
        return "nothing".to_owned();
    }
    roots
        .iter()
        .map(|root| escaped(root.display().to_string().as_bytes()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Characters of a description that fit on its tool's line.
const FIRST_WORDS_CHARS: usize = 72;

/// The beginning of a description, for a list; `tools` shows it whole.
fn first_words(definition: &str) -> String {
    let whole = description(definition);
    let line = whole.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(FIRST_WORDS_CHARS).collect();
    if shown.len() < whole.len() {
        shown.push('…');
    }
    escaped(shown.as_bytes())
}

/// A tool's description as its server wrote it. Not safe to print.
pub(crate) fn description(definition: &str) -> String {
    let parsed: Value = serde_json::from_str(definition).unwrap_or_default();
    parsed
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// What inspection says about a definition, its schema and every text in it, from medium on: weaker cues stand in honest texts.
pub(crate) fn findings(definition: &str) -> Vec<Finding> {
    let mut findings = super::inspect::definition_findings(definition);
    findings.retain(|finding| finding.severity >= Severity::Medium);
    findings
}

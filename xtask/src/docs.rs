//! The documents that are generated from the program, and the check that they are up to date.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;
use crate::workspace::Workspace;

/// Help text wraps at this width whatever terminal the task runs in.
const COLUMNS: &str = "100";
/// Verbs nest no deeper (`cofferdam audit tail`); a help text that lists itself must not be followed for ever.
const VERB_DEPTH_MAX: usize = 3;

/// A generated file and how its text comes out of the built program.
struct Document {
    path: &'static str,
    write: fn(&Path) -> Result<String>,
}

const DOCUMENTS: &[Document] = &[
    Document {
        path: "docs/cli.md",
        write: command_line,
    },
    Document {
        path: "docs/rules.md",
        write: rules,
    },
];

/// Writes every document, or with `--check` says which are out of date.
///
/// # Errors
/// The program does not build or prints no help; a document cannot be written or, with `--check`, differs.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {
            let program = build(workspace)?;
            for document in DOCUMENTS {
                let path = workspace.root().join(document.path);
                let text = (document.write)(&program)?;
                fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
            }
            Ok(())
        }
        [only] if only == "--check" => check(workspace),
        _ => bail!("`docs` takes `--check` or nothing"),
    }
}

/// Fails for every document that is not what the program says today.
///
/// # Errors
/// The names of the documents that differ.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let program = build(workspace)?;
    let mut stale = Vec::new();
    for document in DOCUMENTS {
        let written = fs::read_to_string(workspace.root().join(document.path)).unwrap_or_default();
        if written != (document.write)(&program)? {
            stale.push(document.path);
        }
    }
    if !stale.is_empty() {
        bail!("out of date: {} (`cargo xtask docs` writes them)", stale.join(", "));
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    command::run(command::cargo().args(["build", "--quiet", "--locked", "--package", "cofferdam"]))?;
    Ok(workspace.target().join("debug/cofferdam"))
}

/// `docs/cli.md`: the help text of the program and of every verb.
fn command_line(program: &Path) -> Result<String> {
    let mut document = String::from(
        "# Command line\n\nGenerated from the program's own help by `cargo xtask docs`: edit the help, not this file.\n",
    );
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(verb) = waiting.pop() {
        let help = help_of(program, &verb)?;
        let title = std::iter::once("cofferdam")
            .chain(verb.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ");
        document.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", help.trim_end()));
        if verb.len() < VERB_DEPTH_MAX {
            // The last pushed is the first shown, so in reverse.
            waiting.extend(
                verbs_in(&help)
                    .into_iter()
                    .rev()
                    .map(|name| [verb.as_slice(), &[name]].concat()),
            );
        }
    }
    Ok(document)
}

fn help_of(program: &Path, verb: &[String]) -> Result<String> {
    let mut help = Command::new(program);
    help.args(verb)
        .arg("--help")
        .env("COLUMNS", COLUMNS)
        .env("NO_COLOR", "1");
    // No terminal on any descriptor: its width would get into the text.
    let output = help
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("cannot start the built program")?;
    let text = String::from_utf8(output.stdout).context("the help is not UTF-8")?;
    if !output.status.success() || text.trim().is_empty() {
        bail!("`{}` printed no help: {}", command::shown(&help), output.status);
    }
    // Lines are compared as text: what a person cannot see must not differ.
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// `docs/rules.md`: every reason for which something is refused, by its stable id.
fn rules(program: &Path) -> Result<String> {
    let answer = command::output_of(Command::new(program).args(["--format", "json", "rules"]))?;
    rule_table(&serde_json::from_str(&answer).context("`cofferdam rules` did not print JSON")?)
}

fn rule_table(rules: &Value) -> Result<String> {
    let mut document = String::from(
        "# Rules\n\nGenerated from the program's own list by `cargo xtask docs`. Each id is stable: it stands in \
         refusals, in the record and in reports.\n\n| id | what it means |\n| --- | --- |\n",
    );
    for rule in rules.as_array().context("the list of rules is no list")? {
        let text = |key: &str| {
            rule.get(key)
                .and_then(Value::as_str)
                .with_context(|| format!("a rule has no `{key}`"))
        };
        // A bar would end the cell.
        document.push_str(&format!(
            "| `{}` | {} |\n",
            text("id")?,
            text("summary")?.replace('|', "\\|")
        ));
    }
    document.push_str(&sections(rules));
    Ok(document)
}

/// A section for each rule that gives advice.
fn sections(rules: &Value) -> String {
    let mut sections =
        String::from("\n## Findings, one by one\n\nHigh and above block unless somebody decides otherwise.\n");
    for rule in rules.as_array().into_iter().flatten() {
        let text = |key: &str| rule.get(key).and_then(Value::as_str);
        if let (Some(id), Some(summary), Some(severity), Some(help)) =
            (text("id"), text("summary"), text("severity"), text("help"))
        {
            sections.push_str(&format!("\n### `{id}`\n\n{summary}. Severity: {severity} by itself; cues that meet may raise or lower it.\n\nWhat to do: {help}.\n"));
        }
    }
    sections
}

/// The names under `Commands:`, but `help`, which only repeats the others.
fn verbs_in(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{rule_table, verbs_in};

    #[test]
    fn each_rule_is_a_row() {
        let table = rule_table(&json!([{"id": "a/b", "summary": "one | two"}])).unwrap();
        assert!(table.contains("| --- | --- |\n| `a/b` | one \\| two |\n"), "{table}");
        assert!(rule_table(&json!([{"id": "a/b"}])).is_err());
    }

    #[test]
    fn verbs_are_read_from_the_list_of_commands_only() {
        let help = "A program\n\nUsage: x\n\nCommands:\n  run   starts\n        and more of it\n  audit  shows\n  help  this\n\nOptions:\n  -h  help\n";
        assert_eq!(verbs_in(help), ["run", "audit"]);
    }

    #[test]
    fn a_verb_without_verbs_has_none() {
        assert!(verbs_in("Usage: x run\n\nOptions:\n  -h  help\n").is_empty());
    }
}

//! `cargo xtask detect`: what inspection finds of known attacks and flags of honest tools, per source.
//!
//! Data of our own (`tests/detect`) has floors that continuous integration holds. The rows beside the repository
//! (`../shared/corpora`) are measured and printed when they are there. Rules were tuned on the odd rows of `poisoned.jsonl`; the
//! even ones were held out and are shown apart.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::command;
use crate::workspace::Workspace;

/// Least share of attacks found at high, and most honest rows flagged, in per mille, for data of our own.
const FLOORS: &[(&str, Floor)] = &[
    ("own poisoned, tuned on", Floor::Found(980)),
    ("own poisoned, held out", Floor::Found(860)),
    ("own poisoned, rules for all work", Floor::Found(860)),
    ("own poisoned, written last", Floor::Found(780)),
    ("own poisoned, another author", Floor::Found(620)),
    ("own honest tools, another author", Floor::Flagged(25)),
    ("own honest tools, plain and strict", Floor::Flagged(38)),
    ("own honest tools", Floor::Flagged(10)),
    ("own honest tools, at the edge", Floor::Flagged(60)),
    ("own attacking calls", Floor::Found(950)),
    ("own honest calls", Floor::Flagged(5)),
];

#[derive(Debug, Clone, Copy)]
enum Floor {
    Found(usize),
    Flagged(usize),
}

/// Rows of one source: all of one kind, and how many were flagged at high or above.
#[derive(Debug, Default)]
struct Source {
    is_attack: bool,
    rows: usize,
    flagged: usize,
    /// Names of the rows that were judged wrongly.
    wrong: Vec<String>,
}

/// Measures and prints; `--wrong` names what was judged wrongly.
///
/// # Errors
/// The program does not build or prints no verdict for a row, or a floor is not held.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let names_wrong = match arguments {
        [] => false,
        [only] if only == "--wrong" => true,
        _ => bail!("`detect` takes `--wrong` or nothing"),
    };
    command::run(command::cargo().args(["build", "--quiet", "--locked", "--package", "cofferdam"]))?;
    let program = workspace.target().join("debug/cofferdam");
    let mut sources = BTreeMap::new();
    let own = workspace.root().join("tests/detect");
    measure(
        &program,
        "tools",
        &own.join("poisoned.jsonl"),
        &mut sources,
        |index, _| {
            let half = if index % 2 == 0 { "tuned on" } else { "held out" };
            format!("own poisoned, {half}")
        },
    )?;
    measure(&program, "tools", &own.join("rules.jsonl"), &mut sources, |_, _| {
        "own poisoned, rules for all work".to_owned()
    })?;
    // Texts of other styles, written after the rules and looked at since: what is missed is what the rules do not generalise to.
    measure(&program, "tools", &own.join("later.jsonl"), &mut sources, |_, _| {
        "own poisoned, written last".to_owned()
    })?;
    // Honest texts that sound like attacks.
    measure(&program, "tools", &own.join("edge.jsonl"), &mut sources, |_, _| {
        "own honest tools, at the edge".to_owned()
    })?;
    // Written by somebody who saw neither the rules nor the other texts; the first sixty attacks were looked at since.
    measure(&program, "tools", &own.join("unseen.jsonl"), &mut sources, |_, row| {
        let kind = if is_attack(row) { "poisoned" } else { "honest tools" };
        format!("own {kind}, another author")
    })?;
    // Tools of many kinds of servers, and of authors who write strongly; what is flagged of them is known.
    measure(&program, "tools", &own.join("honest.jsonl"), &mut sources, |_, _| {
        "own honest tools, plain and strict".to_owned()
    })?;
    measure(&program, "tools", &own.join("benign.jsonl"), &mut sources, |_, _| {
        "own honest tools".to_owned()
    })?;
    measure(&program, "calls", &own.join("calls.jsonl"), &mut sources, |_, row| {
        let kind = if is_attack(row) { "attacking" } else { "honest" };
        format!("own {kind} calls")
    })?;
    let shared = workspace.root().join("../shared/corpora");
    if shared.join("tools.jsonl").exists() {
        measure(
            &program,
            "tools",
            &shared.join("tools.jsonl"),
            &mut sources,
            |_, row| {
                let corpus = row.get("corpus").and_then(Value::as_str).unwrap_or("unnamed");
                let kind = if is_attack(row) { "attacks" } else { "honest" };
                format!("shared {corpus}, {kind}")
            },
        )?;
        egress_bench(&program, &shared.join("egress-bench"), &mut sources)?;
    } else {
        writeln!(
            std::io::stdout(),
            "no shared rows at `{}`: only our own are measured",
            shared.display()
        )?;
    }
    print(&sources, names_wrong)?;
    hold(&sources)
}

/// Judges every row of `file` and counts it under the source that `name` gives it.
fn measure(
    program: &Path,
    verb: &str,
    file: &Path,
    sources: &mut BTreeMap<String, Source>,
    name: impl Fn(usize, &Value) -> String,
) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let judged = judge(program, verb, file)?;
    if judged.len() != rows.len() {
        bail!(
            "{} verdicts for {} rows of `{}`",
            judged.len(),
            rows.len(),
            file.display()
        );
    }
    for (index, (row, flagged)) in rows.iter().zip(judged).enumerate() {
        let tool = row
            .get("tool")
            .map_or("", |tool| tool.get("name").unwrap_or(tool).as_str().unwrap_or_default());
        count(
            sources.entry(name(index, row)).or_default(),
            is_attack(row),
            flagged,
            tool,
        );
    }
    Ok(())
}

fn is_attack(row: &Value) -> bool {
    row.get("label").and_then(Value::as_u64) == Some(1)
}

fn count(source: &mut Source, is_attack: bool, flagged: bool, name: &str) {
    source.is_attack = is_attack;
    source.rows += 1;
    source.flagged += usize::from(flagged);
    if flagged != is_attack {
        source.wrong.push(name.to_owned());
    }
}

/// Whether each line of `file` has a finding at high or above.
fn judge(program: &Path, verb: &str, file: &Path) -> Result<Vec<bool>> {
    let output = Command::new(program).args(["inspect", verb]).arg(file).output()?;
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!("`inspect {verb}` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    text.lines()
        .map(|line| Ok(blocks(&serde_json::from_str(line)?)))
        .collect()
}

fn blocks(verdict: &Value) -> bool {
    let findings = verdict.get("findings").and_then(Value::as_array).into_iter().flatten();
    findings
        .filter_map(|finding| finding.get("severity")?.as_str())
        .any(|severity| matches!(severity, "high" | "critical"))
}

/// The calls, URLs and definitions among the frames of agent-egress-bench; its answers and sequences are judged elsewhere.
fn egress_bench(program: &Path, folder: &Path, sources: &mut BTreeMap<String, Source>) -> Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let scratch = std::env::temp_dir().join(format!("cofferdam-detect-{}.jsonl", std::process::id()));
    for file in files {
        let case: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
        let text = |pointer: &str| case.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let first = case.pointer("/payload/jsonrpc_messages/0");
        let (verb, line) = match text("/input_type") {
            "url" => (
                "calls",
                json!({"tool": "fetch", "arguments": {"url": text("/payload/url")}}),
            ),
            "mcp_tool_call" => ("calls", first.cloned().unwrap_or_default()),
            "mcp_tool_definition" => ("tools", first.cloned().unwrap_or_default()),
            _ => continue,
        };
        fs::write(&scratch, format!("{line}\n"))?;
        let flagged = judge(program, verb, &scratch)?.first().copied().context("no verdict")?;
        let is_attack = text("/expected_verdict") == "block";
        let kind = if is_attack { "attacks" } else { "honest" };
        count(
            sources.entry(format!("shared egress-bench, {kind}")).or_default(),
            is_attack,
            flagged,
            text("/id"),
        );
    }
    // Nothing depends on a file that is left behind.
    let _ = fs::remove_file(&scratch);
    Ok(())
}

fn print(sources: &BTreeMap<String, Source>, names_wrong: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, source) in sources {
        let words = if source.is_attack { "found" } else { "flagged" };
        writeln!(
            out,
            "{name:36} {:>4} of {:>4} {words:8} {:>5.1} %",
            source.flagged,
            source.rows,
            percent(source)
        )?;
        if names_wrong && !source.wrong.is_empty() {
            writeln!(out, "    wrong: {}", source.wrong.join(", "))?;
        }
    }
    Ok(())
}

fn percent(source: &Source) -> f64 {
    let count = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    100.0 * count(source.flagged) / count(source.rows.max(1))
}

fn hold(sources: &BTreeMap<String, Source>) -> Result<()> {
    for (name, floor) in FLOORS {
        let source = sources
            .get(*name)
            .with_context(|| format!("there are no rows of `{name}`"))?;
        let per_mille = source.flagged * 1000 / source.rows.max(1);
        match floor {
            Floor::Found(least) if per_mille < *least => {
                bail!("{name}: found {per_mille} of 1000, the floor is {least}")
            }
            Floor::Flagged(most) if per_mille > *most => {
                bail!("{name}: flagged {per_mille} of 1000, the most is {most}")
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::blocks;

    #[test]
    fn only_high_and_above_counts() {
        let verdict = |severity: &str| json!({"line": 1, "findings": [{"severity": severity}]});
        assert!(blocks(&verdict("high")) && blocks(&verdict("critical")));
        assert!(!blocks(&verdict("medium")) && !blocks(&json!({"findings": []})));
    }
}

//! `inspect tools|calls FILE|-`: findings line by line, one JSON object in and one out.
//!
//! Composable: nothing of ours is needed but the lines. What cannot be read is a finding, never clean.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use cofferdam_inspect::{
    ArgumentSchema, Facts, Finding, Guard, NoLinks, SecretValues, Severity, inspect_definition, listed_tools, sarif,
    unreadable_line,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::args::{AtLeast, Inspect, InspectVerb};
use super::output::Output;
use crate::failure::{Exit, Failure, file_failure};

/// Bytes of one line that are read; a longer one is a finding.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Inspects each line; exit 1 when anything was found.
pub(crate) fn run(verb: &InspectVerb, output: &mut Output) -> Result<Exit, Failure> {
    let (args, inspect): (&Inspect, fn(&str) -> Vec<Finding>) = match verb {
        InspectVerb::Tools(args) => (args, tools_line),
        InspectVerb::Calls(args) => (args, calls_line),
    };
    let mut lines = Lines::open(&args.file)?;
    let mut tally = Tally::default();
    let mut located = Vec::new();
    while let Some((number, line)) = lines.next()? {
        let mut findings = line.map_or_else(|why| vec![unreadable_line(why)], |line| inspect(&line));
        findings.retain(|finding| finding.severity >= args.at_least.severity());
        tally.add(&findings);
        if output.is_sarif() {
            located.extend(findings.into_iter().map(|finding| (number, finding)));
        } else {
            output.line(&line_of(number, &findings))?;
        }
    }
    if tally.lines == 0 {
        return Err(Failure::new(
            Exit::Nothing,
            format!("`{}` holds no lines, so nothing was inspected", args.file),
        )
        .help("give one JSON object a line, or a whole `tools/list` answer"));
    }
    if output.is_sarif() {
        let located: Vec<_> = located
            .iter()
            .map(|(line, finding)| (args.file.as_str(), *line, finding))
            .collect();
        output.line(&sarif(env!("CARGO_PKG_VERSION"), &located).to_string())?;
    }
    output.say(&tally.words());
    Ok(if tally.lines_with_findings == 0 {
        Exit::Fine
    } else {
        Exit::Findings
    })
}

impl AtLeast {
    fn severity(self) -> Severity {
        match self {
            Self::Info => Severity::Info,
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

fn line_of(number: u64, findings: &[Finding]) -> String {
    let findings: Vec<Value> = findings.iter().map(finding_json).collect();
    json!({"line": number, "findings": findings}).to_string()
}

/// A finding as it is printed everywhere.
pub(crate) fn finding_json(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.id,
        "severity": finding.severity.word(),
        "confidence": finding.confidence.word(),
        "at": finding.at,
        "evidence": finding.evidence,
    })
}

/// What was read and found, for people.
#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    lines_with_findings: u64,
    by_severity: BTreeMap<Severity, u64>,
}

impl Tally {
    fn add(&mut self, findings: &[Finding]) {
        self.lines += 1;
        self.lines_with_findings += u64::from(!findings.is_empty());
        for finding in findings {
            *self.by_severity.entry(finding.severity).or_default() += 1;
        }
    }

    fn words(&self) -> String {
        let counts: Vec<String> = self
            .by_severity
            .iter()
            .rev()
            .map(|(severity, count)| format!("{count} {}", severity.word()))
            .collect();
        let lines = |count: u64| {
            if count == 1 {
                "1 line".to_owned()
            } else {
                format!("{count} lines")
            }
        };
        match self.lines_with_findings {
            0 => format!("inspected {}: nothing found", lines(self.lines)),
            some => format!(
                "inspected {}: findings in {} ({})",
                lines(self.lines),
                some,
                counts.join(", ")
            ),
        }
    }
}

/// A definition, a list of them, or a whole `tools/list` answer.
fn tools_line(line: &str) -> Vec<Finding> {
    if let Err(finding) = read_alike(line) {
        return vec![finding];
    }
    if line.starts_with('[') {
        return match cofferdam_protocol::elements(line) {
            Ok(definitions) => placed("", &definitions),
            Err(_) => vec![unreadable_line("not a list of tools")],
        };
    }
    let Ok(members) = cofferdam_protocol::members(line) else {
        return vec![unreadable_line("not a JSON object")];
    };
    let member = |key: &str| members.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    for (at, list) in [
        ("/result/tools", member("result")),
        ("/tools", member("tools").map(|_| line)),
    ] {
        if let Some(result) = list {
            return match listed_tools(result) {
                Ok(tools) => placed(at, &tools.iter().map(|tool| tool.definition).collect::<Vec<_>>()),
                Err(unreadable) => vec![unreadable.finding()],
            };
        }
    }
    // Rows of detection data wrap the definition.
    named_findings(member("tool").filter(|tool| tool.starts_with('{')).unwrap_or(line))
}

/// Refuses a line that two parsers could read differently, as the gate's decoder does.
fn read_alike(line: &str) -> Result<(), Finding> {
    let wrapped = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"line":{line}}}}}"#);
    match cofferdam_protocol::decode(wrapped.into_bytes()) {
        Ok(_) => Ok(()),
        Err(undecodable) => Err(unreadable_line(undecodable.reason.text())),
    }
}

fn placed(at: &str, definitions: &[&str]) -> Vec<Finding> {
    let each = definitions.iter().enumerate().flat_map(|(index, definition)| {
        named_findings(definition).into_iter().map(move |finding| Finding {
            at: format!("{at}/{index}{}", finding.at),
            ..finding
        })
    });
    each.collect()
}

fn named_findings(definition: &str) -> Vec<Finding> {
    match cofferdam_protocol::members(definition) {
        Ok(members)
            if members
                .iter()
                .any(|(name, value)| name == "name" && value.starts_with('"')) =>
        {
            definition_findings(definition)
        }
        _ => vec![unreadable_line("a tool definition is an object with a string `name`")],
    }
}

/// Everything that inspection says about one tool definition.
pub(crate) fn definition_findings(definition: &str) -> Vec<Finding> {
    let has_schema = cofferdam_protocol::members(definition)
        .is_ok_and(|members| members.iter().any(|(name, _)| name == "inputSchema"));
    let unusable = has_schema.then(|| ArgumentSchema::compile(definition).err()).flatten();
    let mut findings = inspect_definition(definition);
    findings.extend(unusable.map(|unusable| Finding {
        // A call of it is refused; the text itself harms nobody.
        severity: Severity::Medium,
        ..unusable.finding()
    }));
    findings
}

/// One call: `{"tool", "arguments", "schema"?}`, or a `tools/call` request.
fn calls_line(line: &str) -> Vec<Finding> {
    if let Err(finding) = read_alike(line) {
        return vec![finding];
    }
    let Ok(call) = serde_json::from_str::<Value>(line) else {
        return vec![unreadable_line("not one JSON value")];
    };
    let params = call
        .get("params")
        .filter(|_| call.get("method").is_some())
        .unwrap_or(&call);
    let name = params.get("tool").or_else(|| params.get("name"));
    let name = name.and_then(|tool| tool.as_str().or_else(|| tool.get("name")?.as_str()));
    let Some(tool) = name else {
        return vec![unreadable_line("a call is an object with a string `tool`")];
    };
    let empty = json!({});
    let arguments = params.get("arguments").unwrap_or(&empty);
    if !arguments.is_object() {
        return vec![unreadable_line("`arguments` is not an object")];
    }
    let schema = params.get("schema").filter(|schema| !schema.is_null());
    let schema = schema.map(|schema| schema.get("inputSchema").unwrap_or(schema));
    let compiled = schema.map(|schema| ArgumentSchema::compile(&json!({"inputSchema": schema}).to_string()));
    let mut findings = match compiled {
        Some(Ok(compiled)) => compiled.check(Some(&arguments.to_string())),
        Some(Err(unusable)) => vec![unusable.finding()],
        None => Vec::new(),
    };
    let secrets = SecretValues::none();
    let facts = Facts {
        roots: None,
        links: &NoLinks,
        hosts: &[],
        secrets: &secrets,
    };
    findings.extend(Guard::new(tool, schema, &BTreeMap::new()).check(arguments, &facts));
    findings
}

/// The number of a line, and its text or why it cannot be read.
type Numbered = (u64, Result<String, &'static str>);

/// The lines of a file or of stdin, numbered from 1; blank lines are passed over.
struct Lines {
    reader: Box<dyn BufRead>,
    shown: String,
    number: u64,
}

impl Lines {
    fn open(file: &str) -> Result<Self, Failure> {
        let reader: Box<dyn BufRead> = if file == "-" {
            Box::new(io::stdin().lock())
        } else {
            let opened = File::open(file).map_err(|error| file_failure("read", Path::new(file), &error))?;
            Box::new(BufReader::new(opened))
        };
        Ok(Self {
            reader,
            shown: file.to_owned(),
            number: 0,
        })
    }

    /// The next line with its number, or why it cannot be read.
    fn next(&mut self) -> Result<Option<Numbered>, Failure> {
        loop {
            let Some(bytes) = self.read_line()? else {
                return Ok(None);
            };
            self.number += 1;
            let line = match bytes {
                Ok(bytes) => String::from_utf8(bytes).map_err(|_invalid| "not UTF-8"),
                Err(why) => Err(why),
            };
            let blank = line.as_ref().is_ok_and(|line| line.trim().is_empty());
            if blank {
                continue;
            }
            // A whole answer that was printed over many lines: only the first line can begin one.
            if let (1, Ok(first)) = (self.number, &line)
                && matches!(first.trim(), "{" | "[" | "{}" | "[]") | is_cut(first)
            {
                return self.whole(first.clone()).map(Some);
            }
            return Ok(Some((self.number, line.map(|line| line.trim().to_owned()))));
        }
    }

    fn read_line(&mut self) -> Result<Option<Result<Vec<u8>, &'static str>>, Failure> {
        let mut line = Vec::new();
        let failed = |error: io::Error| file_failure("read", Path::new(&self.shown), &error);
        let mut limited = self.reader.by_ref().take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(None);
        }
        if line.ends_with(b"\n") || u64::try_from(read).is_ok_and(|read| read < LINE_BYTES_MAX) {
            return Ok(Some(Ok(line)));
        }
        self.reader.skip_until(b'\n').map_err(failed)?;
        Ok(Some(Err("longer than 16 MiB")))
    }

    fn whole(&mut self, mut text: String) -> Result<Numbered, Failure> {
        let rest = LINE_BYTES_MAX.saturating_sub(u64::try_from(text.len()).unwrap_or(LINE_BYTES_MAX));
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(rest).read_to_end(&mut bytes);
        read.map_err(|error| file_failure("read", Path::new(&self.shown), &error))?;
        let Ok(more) = String::from_utf8(bytes) else {
            return Ok((1, Err("not UTF-8")));
        };
        text.push_str(&more);
        // No JSON string holds a raw line break, so this changes nothing but the layout.
        Ok((1, Ok(text.trim().replace(['\n', '\r'], " "))))
    }
}

/// Whether `line` is the beginning of a JSON text that goes on behind it.
fn is_cut(line: &str) -> bool {
    serde_json::from_str::<&RawValue>(line).is_err_and(|error| error.is_eof())
}

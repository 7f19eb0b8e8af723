//! One entry rewritten, and put back: only the bytes that say what is started change.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::entry::{Server, settings};
use super::{Shape, entries};
use crate::document::{DocumentFault, Format, Part, Value, parse};

/// What was replaced in one entry, so that it can be put back to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Which bytes.
    what: Replaced,
    /// What stands there now.
    written: String,
    /// What stood there.
    original: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Replaced {
    /// The value of the command, arguments in it where the client has them there.
    Command,
    /// The value of the arguments.
    Arguments,
    /// The command, with arguments put in behind it where there were none.
    CommandAndArguments,
}

/// Why an entry was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditFault {
    /// The file cannot be read as its format says.
    Document(DocumentFault),
    /// No such entry.
    Missing,
    /// The entry is no launch line, or not ours any more.
    Unexpected(String),
    /// What came out would not be what was meant: nothing is written.
    Unsafe(String),
}

impl fmt::Display for EditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(fault) => fault.fmt(f),
            Self::Missing => f.write_str("the entry is not there"),
            Self::Unexpected(why) | Self::Unsafe(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for EditFault {}

/// Makes the entry at `path` start `command` instead. Gives the new text, and how to undo it.
///
/// # Errors
/// The file cannot be read, the entry is not there or is no launch line, or the result would not read back as exactly this change.
pub fn rewrite(
    text: &str,
    shape: &Shape,
    path: &[String],
    command: &[String],
) -> Result<(String, Vec<Undo>), EditFault> {
    let tree = parse(text, shape.format).map_err(EditFault::Document)?;
    let part = at_path(&tree, path).ok_or(EditFault::Missing)?;
    let (table, settings) = settings(part, shape.words);
    let program = table
        .member(settings.command)
        .ok_or_else(|| EditFault::Unexpected(format!("the entry has no `{}`", settings.command)))?;
    let (first, rest) = command
        .split_first()
        .ok_or_else(|| EditFault::Unexpected("there is no command to write".to_owned()))?;
    let mut edits = Vec::new();
    match (&program.value, table.member(settings.arguments)) {
        (Value::List(_), None) => edits.push((Replaced::Command, program.span.clone(), list(command))),
        (_, Some(arguments)) => {
            edits.push((Replaced::Command, program.span.clone(), quoted(first)));
            edits.push((
                Replaced::Arguments,
                arguments.span.clone(),
                placed_list(text, shape, arguments, rest),
            ));
        }
        (_, None) => {
            let behind = arguments_behind(
                text,
                shape.format,
                table,
                program,
                (settings.command, settings.arguments),
            );
            let both = format!("{}{behind}{}", quoted(first), list(rest));
            edits.push((Replaced::CommandAndArguments, program.span.clone(), both));
        }
    }
    let (rewritten, undo) = apply(text, edits);
    check_only_this_changed((text, &rewritten), shape, path, command)?;
    Ok((rewritten, undo))
}

/// Puts an entry back as it was. Later edits of the rest of the file, and of the rest of the entry, stay.
///
/// # Errors
/// The file cannot be read, the entry is not there, or its launch line is not the one that was written.
pub fn restore(text: &str, shape: &Shape, path: &[String], undo: &[Undo]) -> Result<String, EditFault> {
    let tree = parse(text, shape.format).map_err(EditFault::Document)?;
    let part = at_path(&tree, path).ok_or(EditFault::Missing)?;
    let (table, settings) = settings(part, shape.words);
    let span = |name: &str| table.member(name).map(|part| part.span.clone());
    let (command, arguments) = (span(settings.command), span(settings.arguments));
    let mut edits = Vec::new();
    for step in undo {
        let place = match step.what {
            Replaced::Command => command.clone(),
            Replaced::Arguments => arguments.clone(),
            Replaced::CommandAndArguments => command
                .clone()
                .zip(arguments.clone())
                .map(|(command, arguments)| command.start..arguments.end),
        };
        // Blanks that were written before a value are no part of it.
        let lead = step.written.len().saturating_sub(step.written.trim_start().len());
        let place = place.map(|place| place.start.saturating_sub(lead)..place.end);
        let place = place.filter(|place| text.get(place.clone()) == Some(&step.written));
        let place = place.ok_or_else(|| {
            EditFault::Unexpected(format!(
                "its launch line was edited since; what stood there was `{}`",
                cofferdam_inspect::show_safely(&step.original)
            ))
        })?;
        edits.push((step.what, place, step.original.clone()));
    }
    let (restored, _redo) = apply(text, edits);
    parse(&restored, shape.format).map_err(EditFault::Document)?;
    Ok(restored)
}

/// Replaces byte ranges that do not overlap.
fn apply(text: &str, mut edits: Vec<(Replaced, Range<usize>, String)>) -> (String, Vec<Undo>) {
    edits.sort_by_key(|(_, span, _)| span.start);
    let (mut result, mut undo, mut done) = (String::with_capacity(text.len()), Vec::new(), 0);
    for (what, span, written) in edits {
        result.push_str(text.get(done..span.start).unwrap_or_default());
        result.push_str(&written);
        done = span.end;
        undo.push(Undo {
            what,
            original: text.get(span).unwrap_or_default().to_owned(),
            written,
        });
    }
    result.push_str(text.get(done..).unwrap_or_default());
    (result, undo)
}

/// Reads both texts: the entry starts the new command, and nothing else in the file reads differently.
fn check_only_this_changed(
    (before, after): (&str, &str),
    shape: &Shape,
    path: &[String],
    command: &[String],
) -> Result<(), EditFault> {
    let unsafe_edit = |why: &str| EditFault::Unsafe(format!("the entry cannot be rewritten in place: {why}"));
    let read = |text| entries(text, shape).map_err(|fault| unsafe_edit(&format!("the result would not read: {fault}")));
    let (before, mut after) = (read(before)?, read(after)?);
    let changed = after.iter_mut().find(|entry| entry.path == path);
    let original = before.iter().find(|entry| entry.path == path);
    let (Some(changed), Some(original)) = (changed, original) else {
        return Err(EditFault::Missing);
    };
    match (&mut changed.server, &original.server) {
        (Server::Stdio(now), Server::Stdio(then)) if now.command == command => now.command.clone_from(&then.command),
        _ => return Err(unsafe_edit("the result would not start what was meant")),
    }
    if before == after {
        Ok(())
    } else {
        Err(unsafe_edit("other entries would change"))
    }
}

fn at_path<'a>(tree: &'a Part, path: &[String]) -> Option<&'a Part> {
    path.iter().try_fold(tree, |part, step| match &part.value {
        Value::List(elements) => elements.get(step.parse::<usize>().ok()?),
        _ => part.member(step),
    })
}

/// A string as JSON, TOML and YAML all read it.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::String(text.to_owned()).to_string();
    // TOML allows no raw DEL, YAML no C1 controls.
    json.chars().fold(String::with_capacity(json.len()), |mut quoted, one| {
        if matches!(one, '\u{7f}'..='\u{9f}') {
            quoted.push_str(&format!("\\u{:04x}", u32::from(one)));
        } else {
            quoted.push(one);
        }
        quoted
    })
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

/// The new arguments where the old ones stood. A YAML list in brackets must stand further right than its key; dashes need not.
fn placed_list(text: &str, shape: &Shape, arguments: &Part, words: &[String]) -> String {
    let is_block = text
        .get(arguments.span.start..)
        .is_some_and(|rest| rest.starts_with('-'));
    if shape.format == Format::Yaml && is_block {
        format!("  {}", list(words))
    } else {
        list(words)
    }
}

/// What comes between the command and arguments that are put in behind it.
fn arguments_behind(
    text: &str,
    format: Format,
    table: &Part,
    program: &Part,
    (command, arguments): (&str, &str),
) -> String {
    let line_start = text
        .get(..program.span.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline.saturating_add(1));
    let before = text.get(line_start..program.span.start).unwrap_or_default();
    let indent: String = before.chars().take_while(|one| matches!(one, ' ' | '\t')).collect();
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let is_inline = text.get(table.span.start..).is_some_and(|rest| rest.starts_with('{'));
    match format {
        Format::Jsonc if before.trim_start().starts_with('"') => format!(",{newline}{indent}\"{arguments}\": "),
        Format::Jsonc => format!(", \"{arguments}\": "),
        Format::Toml if is_inline => format!(", {arguments} = "),
        Format::Toml => {
            // The same dotted way as the command's.
            let key = before.split('=').next().unwrap_or_default().trim();
            let way = key.strip_suffix(command).unwrap_or_default();
            format!("{newline}{indent}{way}{arguments} = ")
        }
        Format::Yaml if is_inline => format!(", {arguments}: "),
        Format::Yaml => {
            // An element of a list begins with a dash: its other settings stand below the first.
            let indent = indent.len().saturating_add(dashes(before.trim_start()));
            format!("{newline}{}{arguments}: ", " ".repeat(indent))
        }
    }
}

/// How far dashes push the first setting of a list's element.
fn dashes(line: &str) -> usize {
    let rest = line.trim_start_matches(['-', ' ']);
    line.len().saturating_sub(rest.len())
}

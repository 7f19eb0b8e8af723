//! What is wrong with a manifest, shown as a compiler shows it: place, line, caret and help.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// More than this many are counted, not kept.
const DIAGNOSTICS_MAX: usize = 20;
/// Characters of the line shown around the place, so that one endless line stays one line of output.
const LINE_CHARACTERS_MAX: usize = 160;
/// Characters of one message; what a manifest quotes may be endless.
const MESSAGE_CHARACTERS_MAX: usize = 400;

/// A manifest that does not check: everything that is wrong with it, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    diagnostics: Vec<Diagnostic>,
    /// How many more there are.
    more: usize,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The manifest's name as the caller gave it.
    pub file: String,
    /// Line, from 1; 0 when the fault has no place in the text.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    excerpt: Excerpt,
}

/// The line a fault is in, made safe to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Excerpt {
    text: String,
    caret_from: usize,
    caret_width: usize,
}

/// A fault before it is placed: byte range, message, help.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// True when the place may hold a secret, which no message repeats.
    pub(crate) hidden: bool,
}

impl Fault {
    pub(crate) fn new(span: &Range<usize>, message: impl Into<String>, help: Option<String>) -> Self {
        Self {
            span: span.clone(),
            message: message.into(),
            help,
            hidden: false,
        }
    }
}

impl ManifestError {
    /// Places the faults in the text.
    pub(crate) fn placed(mut faults: Vec<Fault>, text: &str, file: &str) -> Self {
        faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
        let text = blotted(text, &faults);
        let more = faults.len().saturating_sub(DIAGNOSTICS_MAX);
        let kept = faults.into_iter().take(DIAGNOSTICS_MAX);
        Self {
            diagnostics: kept.map(|fault| Diagnostic::placed(fault, &text, file)).collect(),
            more,
        }
    }

    /// Faults that have no place in a text.
    pub(crate) fn unplaced(faults: Vec<(String, Option<String>)>, file: &str) -> Self {
        let place = |(message, help): (String, Option<String>)| Diagnostic {
            file: sentence(file),
            line: 0,
            column: 0,
            message: sentence(&message),
            help: help.as_deref().map(sentence),
            excerpt: Excerpt::default(),
        };
        Self {
            diagnostics: faults.into_iter().map(place).collect(),
            more: 0,
        }
    }

    /// What is wrong, in the order of the file; never empty. At most twenty are kept, the rest is counted.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl std::error::Error for ManifestError {}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl Diagnostic {
    fn placed(fault: Fault, text: &str, file: &str) -> Self {
        let start = floor_boundary(text, fault.span.start);
        let end = floor_boundary(text, fault.span.end.max(start));
        let (before, _) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let whole_line = text.get(line_start..).unwrap_or("").lines().next().unwrap_or("");
        let column = before.get(line_start..).unwrap_or("").chars().count();
        let marked = text
            .get(start..end)
            .unwrap_or("")
            .lines()
            .next()
            .unwrap_or("")
            .chars()
            .count();
        Self {
            file: sentence(file),
            line: before.matches('\n').count() + 1,
            column: column + 1,
            message: sentence(&fault.message),
            help: fault.help.as_deref().map(sentence),
            excerpt: Excerpt::around(whole_line, column, marked),
        }
    }
}

impl Excerpt {
    /// A window of the line around `marked` characters from `column`, with each unprintable character escaped.
    fn around(line: &str, column: usize, marked: usize) -> Self {
        let skipped = column.saturating_sub(LINE_CHARACTERS_MAX / 2);
        let mut excerpt = Self::default();
        if skipped > 0 {
            excerpt.text.push('…');
            excerpt.caret_from = 1;
        }
        for (index, character) in line.chars().enumerate().skip(skipped).take(LINE_CHARACTERS_MAX) {
            let shown = printable_char(character);
            let width = shown.chars().count();
            if index < column {
                excerpt.caret_from += width;
            } else if index < column + marked {
                excerpt.caret_width += width;
            }
            excerpt.text.push_str(&shown);
        }
        if line.chars().count() > skipped + LINE_CHARACTERS_MAX {
            excerpt.text.push('…');
        }
        excerpt.caret_width = excerpt.caret_width.max(1);
        excerpt
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        if self.line > 0 {
            let Excerpt {
                text,
                caret_from,
                caret_width,
            } = &self.excerpt;
            let (indent, caret) = (" ".repeat(*caret_from), "^".repeat(*caret_width));
            write!(f, "\n{margin}--> {}:{}:{}", self.file, self.line, self.column)?;
            write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {indent}{caret}")?;
        } else {
            write!(f, "\n{margin}--> {}", self.file)?;
        }
        match &self.help {
            Some(help) => write!(f, "\n{margin} = help: {help}"),
            None => Ok(()),
        }
    }
}

/// The text with hidden places blotted out, byte for byte, so that every other place stays where it is.
fn blotted<'t>(text: &'t str, faults: &[Fault]) -> Cow<'t, str> {
    let mut hidden = faults.iter().filter(|fault| fault.hidden).peekable();
    if hidden.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    for fault in hidden {
        for byte in bytes.get_mut(fault.span.clone()).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The nearest character boundary at or before `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A message that may be printed: what a manifest says in it cannot steer a terminal or flood it.
fn sentence(text: &str) -> String {
    let mut shown: String = text.chars().take(MESSAGE_CHARACTERS_MAX).map(printable_char).collect();
    if text.chars().nth(MESSAGE_CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Text that may be printed: what could steer a terminal or reorder a line is escaped.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(printable_char).collect()
}

/// A path that may be printed.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

fn printable_char(character: char) -> String {
    match character {
        '\t' => String::from("    "),
        _ if is_invisible(character) => character.escape_unicode().to_string(),
        _ => character.to_string(),
    }
}

/// Characters that show nothing, or show something else than what is there: controls, bidirectional marks, joiners,
/// tags and variation selectors.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

//! A configuration file as a tree whose every part knows which bytes it is, whatever its format: so a part can be replaced, and the rest
//! stays byte for byte.

mod jsonc;
mod toml;
mod yaml;

use std::fmt;
use std::ops::Range;

/// Longest configuration that is read, in bytes. Histories that clients keep in theirs reach a few MiB.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Nesting beyond which a file is refused: no client's configuration needs it, and a parser's stack has an end.
const DEPTH_MAX: usize = 128;
/// Parts beyond which a file is refused.
const PARTS_MAX: usize = 4_000_000;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, with the comments and trailing commas that editors allow.
    Jsonc,
    /// TOML 1.1.
    Toml,
    /// YAML 1.2, one document.
    Yaml,
}

/// One part of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// The bytes it is written as.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Bool(bool),
    List(Vec<Part>),
    Table(Vec<(String, Part)>),
    /// Numbers, dates, null: never looked at, always kept.
    Other,
}

/// Why a file cannot be read as its format says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFault {
    /// From 1; `None` where the fault is not at one place.
    pub line: Option<usize>,
    /// In words.
    pub why: String,
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl std::error::Error for DocumentFault {}

/// A UTF-8 byte order mark, which some editors write.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads `text`; an empty one is an empty table.
pub(crate) fn parse(text: &str, format: Format) -> Result<Part, DocumentFault> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(whole("it is longer than 64 MiB"));
    }
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut tree = match format {
        Format::Jsonc => jsonc::parse(body),
        Format::Toml => toml::parse(body),
        Format::Yaml => yaml::parse(body),
    }?;
    shift(&mut tree, text.len().saturating_sub(body.len()));
    match tree.value {
        Value::Table(_) => Ok(tree),
        _ => Err(whole("it is not a table of settings")),
    }
}

/// Moves every span, for what was cut off at the beginning.
fn shift(part: &mut Part, by: usize) {
    if by == 0 {
        return;
    }
    part.span = part.span.start.saturating_add(by)..part.span.end.saturating_add(by);
    match &mut part.value {
        Value::List(parts) => parts.iter_mut().for_each(|part| shift(part, by)),
        Value::Table(members) => members.iter_mut().for_each(|(_, part)| shift(part, by)),
        Value::Text(_) | Value::Bool(_) | Value::Other => {}
    }
}

fn whole(why: impl Into<String>) -> DocumentFault {
    DocumentFault {
        line: None,
        why: why.into(),
    }
}

/// A fault at a byte of `text`.
fn at(text: &str, byte: usize, why: impl Into<String>) -> DocumentFault {
    let before = text.get(..byte).unwrap_or(text);
    DocumentFault {
        line: Some(before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1)),
        why: why.into(),
    }
}

/// Adds a member; a key that stands twice is refused: one program takes the first, another the last.
fn add_member(
    members: &mut Vec<(String, Part)>,
    seen: &mut std::collections::HashSet<String>,
    (name, part): (String, Part),
) -> Result<(), String> {
    if !seen.insert(name.clone()) {
        return Err(format!(
            "`{}` stands twice, and programs differ in which of the two they read",
            cofferdam_inspect::show_safely(&name)
        ));
    }
    members.push((name, part));
    Ok(())
}

/// Counts parts and depth while a tree is made.
#[derive(Debug, Default)]
struct Bounds {
    parts: usize,
}

impl Bounds {
    fn check(&mut self, depth: usize) -> Result<(), String> {
        self.parts = self.parts.saturating_add(1);
        if depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep"));
        }
        if self.parts > PARTS_MAX {
            return Err(format!("it has more than {PARTS_MAX} parts"));
        }
        Ok(())
    }
}

impl Part {
    /// A member of a table.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(key, _)| key == name).map(|(_, part)| part)
    }

    pub(crate) fn members(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Table(members) => members,
            _ => &[],
        }
    }

    pub(crate) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(parts) => parts,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(yes) => Some(yes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, parse};

    /// The bytes of one member's value, by path.
    fn written<'a>(text: &'a str, format: Format, path: &[&str]) -> &'a str {
        let tree = parse(text, format).unwrap();
        let part = path.iter().fold(&tree, |part, name| {
            part.member(name).unwrap_or_else(|| panic!("{name} in {part:?}"))
        });
        text.get(part.span.clone()).unwrap()
    }

    #[test]
    fn spans_are_what_stands_there() {
        let json = "\u{feff}// mine\r\n{ \"a\": { \"b\" : [ 1, /* x */ \"ü\", ], }, }\r\n";
        assert_eq!(written(json, Format::Jsonc, &["a", "b"]), "[ 1, /* x */ \"ü\", ]");
        let toml = "[a.\"b c\"]\n# ü\nargs = [ \"x\", # y\n ]\nrest = 1979-05-27\n[a.d]\ncommand = 'z'\n";
        assert_eq!(written(toml, Format::Toml, &["a", "b c", "args"]), "[ \"x\", # y\n ]");
        assert_eq!(written(toml, Format::Toml, &["a", "d", "command"]), "'z'");
        let yaml = "a:\n  # ü\n  cmd: npx # which\n  args:\n  - -y\n  - \"é x\"\n\n  # after\n  envs: {A: b}\n  flow: [ a, # one ]\n    'b' , ] # after\n  z: 1\n";
        assert_eq!(written(yaml, Format::Yaml, &["a", "cmd"]), "npx");
        assert_eq!(written(yaml, Format::Yaml, &["a", "args"]), "- -y\n  - \"é x\"");
        assert_eq!(written(yaml, Format::Yaml, &["a", "envs"]), "{A: b}");
        assert_eq!(written(yaml, Format::Yaml, &["a", "flow"]), "[ a, # one ]\n    'b' , ]");
    }

    #[test]
    fn what_two_programs_read_differently_is_refused_by_line() {
        for (text, format, expected) in [
            ("{\n\"a\": 1,\n\"a\": 2}", Format::Jsonc, "line 3: `a` stands twice"),
            ("{\n\"a\" 1}", Format::Jsonc, "line 2"),
            ("{'a': 1}", Format::Jsonc, "line 1"),
            ("{a: 1}", Format::Jsonc, "line 1"),
            ("a = 1\na = 2", Format::Toml, "line 2"),
            ("a: 1\na: 2", Format::Yaml, "line 2: `a` stands twice"),
            ("a: &x 1\nb: *x", Format::Yaml, "line 2: aliases"),
            ("a: 1\n---\nb: 2", Format::Yaml, "more than one document"),
            ("[1]", Format::Jsonc, "not a table"),
        ] {
            let fault = parse(text, format).unwrap_err().to_string();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn nothing_is_an_empty_table_and_depth_has_an_end() {
        for format in [Format::Jsonc, Format::Toml, Format::Yaml] {
            assert!(parse("", format).unwrap().members().is_empty());
        }
        for deep in [
            format!("{{\"a\":{}1{}}}", "[".repeat(400), "]".repeat(400)),
            format!("{{\"a\":{}", "[".repeat(200_000)),
        ] {
            assert!(parse(&deep, Format::Jsonc).is_err());
            assert!(parse(&deep, Format::Yaml).is_err());
        }
        let deep = format!("a = {}1{}", "[".repeat(400), "]".repeat(400));
        assert!(parse(&deep, Format::Toml).is_err());
    }
}

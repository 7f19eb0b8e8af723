//! YAML: one document, without aliases, whose keys are plain text.

use std::collections::HashSet;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{Bounds, DocumentFault, Part, Value, add_member, at, whole};

pub(super) fn parse(text: &str) -> Result<Part, DocumentFault> {
    let mut reader = Reader {
        text,
        events: Parser::new_from_str(text),
        bytes: Bytes::new(text),
        bounds: Bounds::default(),
    };
    let mut root = None;
    loop {
        let (event, range) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if root.is_some() => return Err(whole("it holds more than one document")),
            event => root = Some(reader.part(event, range, 0)?),
        }
    }
    let empty = || Part {
        span: 0..text.len(),
        value: Value::Table(Vec::new()),
    };
    Ok(root.filter(|part| !part.span.is_empty()).unwrap_or_else(empty))
}

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    bytes: Bytes<'a>,
    bounds: Bounds,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), DocumentFault> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                let range = self.bytes.of(span);
                Ok((event, range))
            }
            Some(Err(error)) => Err(DocumentFault {
                line: Some(error.marker().line()),
                why: error.info().to_owned(),
            }),
            None => Ok((Event::StreamEnd, self.text.len()..self.text.len())),
        }
    }

    fn part(&mut self, event: Event<'a>, range: Range<usize>, depth: usize) -> Result<Part, DocumentFault> {
        self.bounds
            .check(depth)
            .map_err(|why| at(self.text, range.start, why))?;
        let depth = depth.saturating_add(1);
        match event {
            Event::Scalar(text, style, _, tag) => Ok(Part {
                value: match (style, tag) {
                    (ScalarStyle::Plain, None) => plain(&text),
                    _ => Value::Text(text.into_owned()),
                },
                span: self.trimmed(range),
            }),
            Event::SequenceStart(..) => self.list(range, depth),
            Event::MappingStart(..) => self.table(range, depth),
            Event::Alias(_) => Err(at(
                self.text,
                range.start,
                "aliases are not followed: write the value out",
            )),
            _ => Err(at(self.text, range.start, "a value is missing")),
        }
    }

    fn list(&mut self, start: Range<usize>, depth: usize) -> Result<Part, DocumentFault> {
        let mut parts: Vec<Part> = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    let last = parts.last().map(|part| part.span.end);
                    let span = self.collection(&start, &end, last);
                    let first = parts.first().and_then(|part| self.dash_before(part.span.start));
                    return Ok(Part {
                        span: first.unwrap_or(span.start)..span.end,
                        value: Value::List(parts),
                    });
                }
                (event, range) => parts.push(self.part(event, range, depth)?),
            }
        }
    }

    fn table(&mut self, start: Range<usize>, depth: usize) -> Result<Part, DocumentFault> {
        let (mut members, mut seen) = (Vec::new(), HashSet::new());
        loop {
            let (event, range) = self.next()?;
            let name = match event {
                Event::MappingEnd => {
                    let last = members.last().map(|(_, part): &(String, Part)| part.span.end);
                    return Ok(Part {
                        span: self.collection(&start, &range, last),
                        value: Value::Table(members),
                    });
                }
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(at(self.text, range.start, "a key is not plain text")),
            };
            let (event, value) = self.next()?;
            let member = self.part(event, value, depth)?;
            add_member(&mut members, &mut seen, (name, member)).map_err(|why| at(self.text, range.start, why))?;
        }
    }

    /// A flow collection ends with its bracket, which the parser's mark stands somewhere behind; a block one has none and ends with its
    /// last element.
    fn collection(&self, start: &Range<usize>, end: &Range<usize>, last: Option<usize>) -> Range<usize> {
        let opening = self.text.as_bytes().get(start.start);
        if !matches!(opening, Some(b'[' | b'{')) {
            return start.start..last.unwrap_or(end.end);
        }
        let mut at = last.unwrap_or(start.start.saturating_add(1));
        let mut is_comment = false;
        while let Some(byte) = self.text.as_bytes().get(at) {
            at = at.saturating_add(1);
            match byte {
                b'\n' => is_comment = false,
                b'#' => is_comment = true,
                b']' | b'}' if !is_comment => break,
                _ => {}
            }
        }
        start.start..at
    }

    /// Where the dash of a block list's first element stands: for a list that is not indented the parser counts from behind it.
    fn dash_before(&self, element: usize) -> Option<usize> {
        let before = self.text.get(..element)?.trim_end();
        before.ends_with('-').then(|| before.len().saturating_sub(1))
    }

    /// Without the blanks that the parser counts to a block scalar or an empty value.
    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let written = self.text.get(range.clone()).unwrap_or_default().trim_end();
        range.start..range.start.saturating_add(written.len())
    }
}

/// A plain scalar by the core schema, as far as it matters here.
fn plain(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        "" | "~" | "null" | "Null" | "NULL" => Value::Other,
        number if number.parse::<f64>().is_ok() => Value::Other,
        text => Value::Text(text.to_owned()),
    }
}

/// Turns the parser's positions, which count characters, into bytes. They come almost in order, so it walks from where it was.
struct Bytes<'a> {
    text: &'a str,
    character: usize,
    byte: usize,
}

impl<'a> Bytes<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            character: 0,
            byte: 0,
        }
    }

    fn of(&mut self, span: Span) -> Range<usize> {
        let start = self.at(span.start.index());
        let end = self.at(span.end.index());
        start..end.max(start)
    }

    fn at(&mut self, character: usize) -> usize {
        while self.character > character {
            let before = self.text.get(..self.byte).unwrap_or_default();
            let Some(last) = before.chars().next_back() else { break };
            self.byte = self.byte.saturating_sub(last.len_utf8());
            self.character = self.character.saturating_sub(1);
        }
        let rest = self.text.get(self.byte..).unwrap_or_default();
        for one in rest.chars().take(character.saturating_sub(self.character)) {
            self.byte = self.byte.saturating_add(one.len_utf8());
            self.character = self.character.saturating_add(1);
        }
        self.byte
    }
}

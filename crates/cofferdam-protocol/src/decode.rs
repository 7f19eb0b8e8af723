//! From a line to a message, or to the reason why it is none.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

use crate::id::Id;
use crate::message::{Message, MessageKind, Method, member, unescaped, unquoted};
use crate::reason::Reason;
use crate::salvage::salvage;
use crate::strict::{self, Fault, Survey};
use crate::structure::{MemberRange, Parts, skip_space, space_start, walk_members};

/// Messages in one batch.
pub const BATCH_MESSAGES_MAX: usize = 1000;
/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// One message.
    Message(Message),
    /// A JSON-RPC batch, which exists in revision 2025-03-26 only.
    Batch(Batch),
}

/// Several messages in one line, at least one and at most [`BATCH_MESSAGES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    line: String,
    messages: Vec<Message>,
}

impl Batch {
    /// The line exactly as received, terminator included.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.line.as_bytes()
    }

    /// Its messages in order; each owns the bytes of its element, without terminator.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The line as received and the messages.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<Message>) {
        (self.line.into_bytes(), self.messages)
    }
}

/// Why a line is not a message. The session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// The line exactly as received.
    pub line: Vec<u8>,
    /// What is wrong with it.
    pub reason: Reason,
    /// Where, in bytes from the start of the line; best effort, for people.
    pub offset: Option<usize>,
    /// The request's id, where the line names exactly one at its top level; nobody vouches for it.
    pub id: Option<Id>,
    /// Whether the line has a `method` at its top level.
    pub is_request: bool,
}

impl std::fmt::Display for Undecodable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{} (near byte {offset})", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl std::error::Error for Undecodable {}

impl Undecodable {
    fn new(line: Vec<u8>, reason: Reason, offset: Option<usize>) -> Self {
        let salvaged = salvage(&line);
        Self {
            line,
            reason,
            offset,
            id: salvaged.id,
            is_request: salvaged.has_method,
        }
    }
}

/// Decodes one line, with or without its terminator (`\n` or `\r\n`). The bytes come back unchanged, whatever happens.
///
/// What is accepted, every JSON parser we know reads as the same message.
///
/// # Errors
/// The line is not one JSON-RPC message or batch in that strict sense; [`Undecodable::reason`] says why.
pub fn decode(line: Vec<u8>) -> Result<Decoded, Undecodable> {
    let text = match String::from_utf8(line) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            return Err(Undecodable::new(error.into_bytes(), Reason::InvalidUtf8, Some(offset)));
        }
    };
    match read(&text) {
        Ok(Shape::Message(parts)) => Ok(Decoded::Message(parts.into_message(text))),
        Ok(Shape::Batch(messages)) => Ok(Decoded::Batch(Batch { line: text, messages })),
        Err((reason, offset)) => Err(Undecodable::new(text.into_bytes(), reason, offset)),
    }
}

/// What a text is, before it takes ownership of the line.
enum Shape {
    Message(Envelope),
    Batch(Vec<Message>),
}

type Refusal = (Reason, Option<usize>);

fn read(text: &str) -> Result<Shape, Refusal> {
    if text.starts_with(BYTE_ORDER_MARK) {
        return Err((Reason::ByteOrderMark, Some(0)));
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let body = body.strip_suffix('\r').unwrap_or(body);
    if let Some(at) = memchr2(b'\n', b'\r', body.as_bytes()) {
        return Err((Reason::LineBreak, Some(at)));
    }
    let survey = strict::check(body).map_err(|Fault { reason, offset }| (reason, Some(offset)))?;
    let open = skip_space(body.as_bytes(), 0);
    match body.as_bytes().get(open) {
        Some(b'{') => read_message(body, open, survey)
            .map(Shape::Message)
            .map_err(|reason| (reason, None)),
        Some(b'[') => read_batch(body, open)
            .map(Shape::Batch)
            .map_err(|reason| (reason, None)),
        _ => Err((Reason::NotAnObject, Some(open))),
    }
}

fn read_message(body: &str, open: usize, survey: Survey) -> Result<Envelope, Reason> {
    let end = space_start(body.as_bytes(), body.len());
    let surveyed = survey.envelope.members(body, end);
    // The strict pass saw a whole object, so the walk must, too.
    let members = surveyed
        .or_else(|| walk_members(body.as_bytes(), open))
        .ok_or(Reason::NotJson)?;
    let mut envelope = Envelope::read(body, &members)?;
    envelope.params_members = envelope
        .positions
        .params
        .as_ref()
        .and_then(|params| survey.params.members(body, params.end));
    Ok(envelope)
}

fn read_batch(body: &str, open: usize) -> Result<Vec<Message>, Reason> {
    let mut messages = Vec::new();
    let mut parts = Parts::of(body.as_bytes(), open);
    while let Some(range) = parts.next_element() {
        if messages.len() >= BATCH_MESSAGES_MAX {
            return Err(Reason::BatchTooLarge);
        }
        let element = body.get(range).unwrap_or_default();
        if !element.starts_with('{') {
            return Err(Reason::NotAnObject);
        }
        let members = walk_members(element.as_bytes(), 0).ok_or(Reason::NotJson)?;
        messages.push(Envelope::read(element, &members)?.into_message(element.to_owned()));
    }
    if parts.end().is_none() {
        return Err(Reason::NotJson);
    }
    if messages.is_empty() {
        Err(Reason::EmptyBatch)
    } else {
        Ok(messages)
    }
}

/// Where the members that JSON-RPC knows lie in the text.
#[derive(Default)]
struct Positions {
    version: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

impl Positions {
    fn of(text: &str, members: &[MemberRange]) -> Result<Self, Reason> {
        let mut positions = Self::default();
        for member in members {
            let raw = text.get(member.key.clone()).unwrap_or_default();
            let key = if raw.contains('\\') {
                Cow::Owned(unescaped(raw).ok_or(Reason::NotJson)?)
            } else {
                Cow::Borrowed(raw)
            };
            let slot = match &*key {
                "jsonrpc" => &mut positions.version,
                "id" => &mut positions.id,
                "method" => &mut positions.method,
                "params" => &mut positions.params,
                "result" => &mut positions.result,
                "error" => &mut positions.error,
                _ => continue,
            };
            *slot = Some(member.value.clone());
        }
        Ok(positions)
    }
}

/// A message before it takes ownership of its line.
struct Envelope {
    kind: MessageKind,
    id: Option<Id>,
    method: Option<Method>,
    positions: Positions,
    params_members: Option<Vec<MemberRange>>,
}

impl Envelope {
    /// Judges the shape of a strictly checked object with these members.
    fn read(text: &str, members: &[MemberRange]) -> Result<Self, Reason> {
        let positions = Positions::of(text, members)?;
        let raw = |range: &Option<Range<usize>>| range.clone().and_then(|range| text.get(range));
        if raw(&positions.version)
            .and_then(unquoted)
            .is_none_or(|version| version != "2.0")
        {
            return Err(Reason::NotJsonRpc2);
        }
        let id = raw(&positions.id).map(Id::from_json).transpose()?;
        let kind = judge_kind(&positions, id.is_some())?;
        let method = positions.method.as_ref().map(|range| method(text, range)).transpose()?;
        if raw(&positions.params).is_some_and(|params| !params.starts_with('{')) {
            return Err(Reason::ParamsNotObject);
        }
        if raw(&positions.error).is_some_and(|error| !is_error_object(error)) {
            return Err(Reason::ErrorMalformed);
        }
        Ok(Self {
            kind,
            id,
            method,
            positions,
            params_members: None,
        })
    }

    fn into_message(self, line: String) -> Message {
        let Self {
            kind,
            id,
            method,
            positions: Positions {
                params, result, error, ..
            },
            params_members,
        } = self;
        Message {
            line,
            kind,
            id,
            method,
            params,
            params_members,
            result,
            error,
        }
    }
}

fn judge_kind(positions: &Positions, has_id: bool) -> Result<MessageKind, Reason> {
    match (&positions.method, &positions.result, &positions.error) {
        (Some(_), None, None) if has_id => Ok(MessageKind::Request),
        (Some(_), None, None) => Ok(MessageKind::Notification),
        (None, None, None) => Err(Reason::NoKind),
        (None, Some(_), None) if has_id => Ok(MessageKind::Response),
        (None, None, Some(_)) if has_id => Ok(MessageKind::ErrorResponse),
        (None, Some(_), None) | (None, None, Some(_)) => Err(Reason::ResponseWithoutId),
        _ => Err(Reason::MixedKinds),
    }
}

/// The method whose JSON text lies at `range`.
fn method(text: &str, range: &Range<usize>) -> Result<Method, Reason> {
    let raw = text.get(range.clone()).unwrap_or_default();
    let inside = raw
        .strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .ok_or(Reason::MethodNotString)?;
    if inside.contains('\\') {
        return unescaped(inside)
            .map(|method| Method::Unescaped(method.into()))
            .ok_or(Reason::MethodNotString);
    }
    Ok(Method::Plain(
        range.start.saturating_add(1)..range.end.saturating_sub(1),
    ))
}

/// An object with an integer `code` and a string `message`.
fn is_error_object(error: &str) -> bool {
    let has_code = member(error, "code").is_some_and(|code| code.parse::<i64>().is_ok());
    has_code && member(error, "message").is_some_and(|message| message.starts_with('"'))
}

//! A decoded message that owns its line.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::id::Id;
use crate::structure::{MemberRange, Parts};

/// The four things a JSON-RPC message can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// `method` and `id`.
    Request,
    /// `method` without `id`.
    Notification,
    /// `result`.
    Response,
    /// `error`.
    ErrorResponse,
}

/// One JSON-RPC message, with the very bytes it came in.
///
/// INVARIANT: `line` is one message that [`crate::decode()`] accepted, and every range lies in it, on the member it is named for.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) line: String,
    pub(crate) kind: MessageKind,
    pub(crate) id: Option<Id>,
    pub(crate) method: Option<Method>,
    pub(crate) params: Option<Range<usize>>,
    /// The members of `params`, where they are few and spelled without escapes.
    pub(crate) params_members: Option<Vec<MemberRange>>,
    pub(crate) result: Option<Range<usize>>,
    pub(crate) error: Option<Range<usize>>,
}

/// A method's name: where it stands, or decoded where it is spelled with escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Method {
    Plain(Range<usize>),
    Unescaped(Box<str>),
}

impl Message {
    /// The line exactly as received, terminator included.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.line.as_bytes()
    }

    /// The line exactly as received, terminator included.
    #[must_use]
    pub fn into_line(self) -> Vec<u8> {
        self.line.into_bytes()
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The request it is or answers; `None` for notifications only.
    #[must_use]
    pub const fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// The method, decoded; `None` for responses only.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match self.method.as_ref()? {
            Method::Plain(range) => self.line.get(range.clone()),
            Method::Unescaped(method) => Some(method),
        }
    }

    /// `params`, raw JSON text of an object.
    #[must_use]
    pub fn params(&self) -> Option<&str> {
        self.line.get(self.params.clone()?)
    }

    /// `result`, raw JSON text.
    #[must_use]
    pub fn result(&self) -> Option<&str> {
        self.line.get(self.result.clone()?)
    }

    /// `error`, raw JSON text of an object.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.line.get(self.error.clone()?)
    }

    /// Where `params` lies in [`line`](Self::line), in bytes.
    #[must_use]
    pub fn params_range(&self) -> Option<Range<usize>> {
        self.params.clone()
    }

    /// Where `result` lies in [`line`](Self::line), in bytes.
    #[must_use]
    pub fn result_range(&self) -> Option<Range<usize>> {
        self.result.clone()
    }

    /// Where `error` lies in [`line`](Self::line), in bytes.
    #[must_use]
    pub fn error_range(&self) -> Option<Range<usize>> {
        self.error.clone()
    }

    /// A member of `params`, raw JSON text.
    #[must_use]
    pub fn param(&self, key: &str) -> Option<&str> {
        let Some(members) = &self.params_members else {
            return member(self.params()?, key);
        };
        let found = members
            .iter()
            .find(|member| self.line.get(member.key.clone()) == Some(key))?;
        self.line.get(found.value.clone())
    }

    /// A member of `params` that is a string, decoded.
    #[must_use]
    pub fn param_str(&self, key: &str) -> Option<Cow<'_, str>> {
        unquoted(self.param(key)?)
    }

    /// A member of `result`, raw JSON text. `None` too where `result` is no object.
    #[must_use]
    pub fn result_member(&self, key: &str) -> Option<&str> {
        member(self.result()?, key)
    }

    /// What a server asks its client for inside something else, raw JSON text: the `inputRequests` of a result or of a task's change, and
    /// those of the result that a task brings along when it is done (2026-07-28).
    #[must_use]
    pub fn input_requests(&self) -> Vec<&str> {
        let holder = match self.kind {
            MessageKind::Response => self.result(),
            MessageKind::Notification => self.params(),
            MessageKind::Request | MessageKind::ErrorResponse => None,
        };
        let mut found = Vec::new();
        let Some(holder) = holder.filter(|holder| holder.starts_with('{')) else {
            return found;
        };
        let mut parts = Parts::of(holder.as_bytes(), 0);
        while let Some(part) = parts.next_member() {
            let value = holder.get(part.value.clone());
            if is_key(holder, &part, "inputRequests") {
                found.extend(value);
            } else if is_key(holder, &part, "result") {
                found.extend(value.and_then(|result| member(result, "inputRequests")));
            }
        }
        found
    }

    /// A member of `params._meta`, raw JSON text.
    #[must_use]
    pub fn meta(&self, key: &str) -> Option<&str> {
        member(self.param("_meta")?, key)
    }
}

/// Shows what it is and how long, never its content, which may be secret and megabytes long.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method();
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("method", &method)
            .field("bytes", &self.line.len())
            .finish()
    }
}

/// The raw value of a member of a decoded object; `None` too where `object` is no object.
pub(crate) fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut parts = Parts::of(object.as_bytes(), if object.starts_with('{') { 0 } else { return None });
    loop {
        let found = parts.next_member()?;
        if is_key(object, &found, key) {
            return object.get(found.value);
        }
    }
}

/// Whether the member's key, decoded, is `key`.
fn is_key(object: &str, member: &MemberRange, key: &str) -> bool {
    object
        .get(member.key.clone())
        .is_some_and(|raw| *raw == *key || (raw.contains('\\') && unescaped(raw).is_some_and(|text| text == key)))
}

/// The text of a JSON string, given with its quotes; `None` if it is no string.
pub(crate) fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        unescaped(inside).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// The text of a string given without its quotes.
pub(crate) fn unescaped(inside: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{inside}\"")).ok()
}

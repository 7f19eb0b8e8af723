//! Every refusal of this crate, named once: decoding, framing and session.

/// Declares the refusals, so that a variant cannot exist without its id, its words and its place in `ALL`.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident => $id:literal, $text:literal;)+) => {
        /// Why a line, a message or a batch does not pass this crate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason there is, for documentation and completeness tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Stable rule id, `protocol/` and kebab case. It is part of the record and never changes its meaning.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => concat!("protocol/", $id),)+ }
            }

            /// What is wrong, for people: lowercase, no full stop.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    // framing
    /// The line is longer than the session's limit.
    LineTooLong => "line-too-long", "the line is longer than the limit";
    /// Input ended without a newline after these bytes.
    Unterminated => "unterminated", "input ended in the middle of a line";

    // bytes
    /// Bytes that are not UTF-8.
    InvalidUtf8 => "invalid-utf8", "the line is not valid UTF-8";
    /// A byte order mark: some parsers skip it, others refuse it.
    ByteOrderMark => "byte-order-mark", "the line starts with a byte order mark";
    /// A carriage return or newline inside the line: readers with universal newlines see several lines where others see one.
    LineBreak => "line-break", "a line break stands inside the line";
    /// U+0000, raw or as an escape.
    Nul => "nul", "a NUL character stands in the line";
    /// A control character that is not JSON whitespace between tokens.
    ControlCharacter => "control-character", "a raw control character stands in the line";
    /// A `\u` escape of half a surrogate pair.
    LoneSurrogate => "lone-surrogate", "an escape names half of a surrogate pair";

    // JSON
    /// Not JSON as RFC 8259 has it.
    NotJson => "not-json", "the line is not JSON";
    /// More than one JSON text in the line.
    TrailingData => "trailing-data", "data follows the message in the same line";
    /// A number too large for a double: parsers read infinity, an error or something else.
    NumberOutOfRange => "number-out-of-range", "a number is larger than a double can hold";
    /// Objects and arrays nested deeper than [`crate::DEPTH_MAX`].
    TooDeep => "too-deep", "objects and arrays are nested too deep";
    /// One key twice in one object, however it is spelled.
    DuplicateKey => "duplicate-key", "an object has the same key twice";
    /// Keys that a case-folding parser reads as one, or as a key the protocol knows.
    CaseFoldedKey => "case-folded-key", "a key differs from another or from a known one only in case";
    /// A key that a widespread JSON library takes for a marker of its own instead of data.
    ReservedKey => "reserved-key", "a key is reserved by a JSON library for itself";

    // JSON-RPC
    /// JSON, but neither an object nor an array.
    NotAnObject => "not-an-object", "the message is not a JSON object";
    /// `jsonrpc` is missing or not `"2.0"`.
    NotJsonRpc2 => "not-jsonrpc-2", "`jsonrpc` is not \"2.0\"";
    /// Neither `method` nor `result` nor `error`.
    NoKind => "no-kind", "the message is neither a request nor a notification nor a response";
    /// `method` beside `result` or `error`, or both of these.
    MixedKinds => "mixed-kinds", "the message is a request and a response, or a result and an error, at once";
    /// `method` is not a string.
    MethodNotString => "method-not-string", "`method` is not a string";
    /// `params` is not an object.
    ParamsNotObject => "params-not-object", "`params` is not an object";
    /// `error` is not an object with an integer `code` and a string `message`.
    ErrorMalformed => "error-malformed", "`error` is not an object with an integer `code` and a string `message`";
    /// A response without an `id`.
    ResponseWithoutId => "response-without-id", "the response names no request";
    /// `id` is `null`.
    NullId => "null-id", "`id` is null";
    /// `id` is neither a string nor a plain integer.
    IdMalformed => "id-malformed", "`id` is neither a string nor a plain integer";
    /// `id` is an integer beyond 2^53: peers that use doubles would answer a different one.
    IdNotExact => "id-not-exact", "`id` is an integer beyond 2^53, which not every peer can hold exactly";
    /// `id` is longer than [`crate::ID_BYTES_MAX`].
    IdTooLong => "id-too-long", "`id` is too long";
    /// `[]`.
    EmptyBatch => "empty-batch", "the batch is empty";
    /// More than [`crate::BATCH_MESSAGES_MAX`] messages in one batch.
    BatchTooLarge => "batch-too-large", "the batch holds too many messages";

    // session
    /// A batch where the negotiated revision has none (all but 2025-03-26).
    BatchNotAllowed => "batch-not-allowed", "batches exist only in protocol revision 2025-03-26";
    /// The method is not in the table of the message's era.
    UnknownMethod => "unknown-method", "the protocol revision in use does not know this method";
    /// The method exists, but the other side sends it.
    WrongDirection => "wrong-direction", "this method is sent by the other side only";
    /// A request's method without `id`, or a notification's method with one.
    WrongKind => "wrong-kind", "this method is a request sent as a notification, or a notification sent as a request";
    /// A request of the server although the client speaks only 2026-07-28 or later, which has none.
    ServerRequestInModernEra => "server-request-in-modern-era", "servers send no requests in the protocol revision in use";
    /// A response to an id never asked.
    UnknownResponse => "unknown-response", "the response answers no request";
    /// A second response to one request, or one to a request that was already answered in its stead.
    DuplicateResponse => "duplicate-response", "the request was already answered";
    /// A request id used again before the first request with it was answered.
    IdInFlight => "id-in-flight", "a request with this id is still unanswered";
    /// More requests at once than the session allows.
    TooManyInFlight => "too-many-in-flight", "too many requests are unanswered";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Reason;

    #[test]
    fn ids_are_unique_and_kebab_case() {
        let ids: HashSet<_> = Reason::ALL.iter().map(|reason| reason.id()).collect();
        assert_eq!(ids.len(), Reason::ALL.len());
        for id in ids {
            let name = id.strip_prefix("protocol/").unwrap();
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{id}"
            );
        }
    }

    #[test]
    fn words_are_sentences_for_people() {
        for reason in Reason::ALL {
            let text = reason.text();
            assert!(
                text.starts_with(|first: char| first.is_lowercase() || first == '`'),
                "{text}"
            );
            assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
        }
    }
}

//! The first message of TLS, read far enough to know whose name it carries.
//!
//! RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3. Strict: lengths fill what holds them to the last byte, and nothing occurs twice, so
//! that the server on the other side cannot read another name out of the same bytes.

/// Most bytes that a first message may have, its frames included. Those of today's clients have up to four thousand.
pub(super) const HELLO_BYTES_MAX: usize = 32 * 1024;

const HANDSHAKE_FRAME: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const FRAME_BYTES_MAX: usize = 1 << 14;
const SERVER_NAME: u16 = 0;
/// Extensions that hide the name that counts: its draft, and RFC 9849.
const HIDING: [u16; 2] = [0xffce, 0xfe0d];
const HOST_NAME: u8 = 0;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hello {
    /// The beginning of a first message.
    Incomplete,
    /// A first message that names this host, in lowercase.
    Names(String),
    /// Something else; why, for people.
    Unfit(&'static str),
}

/// Reads the bytes that came so far.
pub(super) fn read(bytes: &[u8]) -> Hello {
    let message = match message(bytes) {
        Ok(Some(message)) => message,
        Ok(None) if bytes.len() < HELLO_BYTES_MAX => return Hello::Incomplete,
        Ok(None) => return Hello::Unfit("its first message is too long"),
        Err(why) => return Hello::Unfit(why),
    };
    let Some(extensions) = extensions(&message) else {
        return Hello::Unfit("its first message is malformed");
    };
    if extensions.iter().any(|(kind, _)| HIDING.contains(kind)) {
        return Hello::Unfit("it hides the name it is for (encrypted client hello)");
    }
    match extensions.iter().find(|(kind, _)| *kind == SERVER_NAME) {
        None => Hello::Unfit("it names no host"),
        Some((_, content)) => match host_name(content) {
            Some(name) => Hello::Names(name),
            None => Hello::Unfit("it names its host in an odd way"),
        },
    }
}

/// The body of the first message, put together from its frames; `None` when more bytes are needed.
fn message(bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    const NOT_TLS: &str = "it is not TLS";
    let mut rest = Bytes(bytes);
    let mut message = Vec::new();
    loop {
        let wanted = match message.first_chunk::<4>() {
            Some([CLIENT_HELLO, length @ ..]) => Some(4 + length_of(*length)),
            Some(_) => return Err(NOT_TLS),
            None => None,
        };
        if let Some(wanted) = wanted.filter(|wanted| message.len() >= *wanted) {
            message.truncate(wanted);
            message.drain(..4);
            return Ok(Some(message));
        }
        let mut frame = Bytes(rest.0);
        match frame.byte() {
            Some(HANDSHAKE_FRAME) => {}
            Some(_) => return Err(NOT_TLS),
            None => return Ok(None),
        }
        let (Some(version), Some(length)) = (frame.number(), frame.number()) else {
            return Ok(None);
        };
        let length = usize::from(length);
        if version >> 8 != 3 || length == 0 || length > FRAME_BYTES_MAX {
            return Err(NOT_TLS);
        }
        let Some(part) = frame.take(length) else {
            return Ok(None);
        };
        message.extend_from_slice(part);
        rest = frame;
    }
}

/// The extensions of a message, none of them twice.
fn extensions(message: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut rest = Bytes(message);
    // Version and random.
    rest.take(2 + 32)?;
    rest.short()?;
    let suites = rest.long()?;
    let compressions = rest.short()?;
    if suites.is_empty() || !suites.len().is_multiple_of(2) || compressions.is_empty() {
        return None;
    }
    let mut list = Bytes(if rest.0.is_empty() { &[] } else { rest.long()? });
    let mut found: Vec<(u16, &[u8])> = Vec::new();
    while !list.0.is_empty() {
        let (kind, content) = (list.number()?, list.long()?);
        if found.iter().any(|(known, _)| *known == kind) {
            return None;
        }
        found.push((kind, content));
    }
    rest.0.is_empty().then_some(found)
}

/// The one name of an extension.
fn host_name(content: &[u8]) -> Option<String> {
    let mut content = Bytes(content);
    let mut list = Bytes(content.long()?);
    let (kind, name) = (list.byte()?, list.long()?);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_alone = content.0.is_empty() && list.0.is_empty() && kind == HOST_NAME;
    if !is_alone || name.is_empty() || !name.iter().all(is_plain) {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

fn length_of([a, b, c]: [u8; 3]) -> usize {
    (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c)
}

/// Bytes taken from their front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// As many bytes as a length of one byte says.
    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// As many bytes as a length of two bytes says.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;

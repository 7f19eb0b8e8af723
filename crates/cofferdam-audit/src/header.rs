//! The header of a segment: whose session it is and how its records are stored
//! (`docs/audit-format.md` section 2).

use crate::chain::{self, Digest};
use crate::record::Fields;
use crate::seal::Wrapped;
use crate::verify::Fault;

/// The longest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// A byte no text has, then the name, then what a careless copy would change.
pub(crate) const MAGIC: [u8; 8] = *b"\x89CFA\r\n\x1a\n";
const VERSION: u16 = 1;
const SHA_256: u8 = 1;
/// Bytes before the fields of variable length.
const FIXED_BYTES: usize = 96;
/// Magic, version, flags and length: enough to know how long the header is.
pub(crate) const START_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The highest number a segment may begin at.
const FIRST_SEQ_MAX: u64 = u64::MAX / 2;

const SERVER: u16 = 1;
const PRINCIPAL: u16 = 2;
const RECIPIENTS: u16 = 0x8001;
const WRAPPED_KEY: u16 = 0x8002;
/// A field with this bit must be understood, or the segment cannot be read.
const CRITICAL: u16 = 0x8000;

/// What a segment says about itself before its first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 128 random bits as 32 lowercase hexadecimal digits.
    pub session: String,
    /// Whose output it records.
    pub server: String,
    /// For whom the session ran.
    pub principal: String,
    /// When the segment was created: nanoseconds since 1970-01-01T00:00:00Z.
    pub wall_ns: u64,
    /// When the segment was created: nanoseconds since the machine started.
    pub boot_ns: u64,
    /// Which segment of the session it is, from 0.
    pub index: u32,
    /// The number of its first record.
    pub first_seq: u64,
    /// The chain value at the end of the segment before; zeros in the first.
    pub previous: Digest,
    /// How its payloads can be opened; `None` where they stand open.
    pub sealed: Option<Wrapped>,
    /// Whether a large payload that comes again is stored once.
    pub stores_once: bool,
}

/// A header that was read: what it says, how long it is, and the chain value it binds.
#[derive(Debug)]
pub(crate) struct ReadHeader {
    pub(crate) header: Header,
    pub(crate) hash: Digest,
}

/// Why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// It is not what was written.
    Broken(Fault),
    /// It uses something of a later version.
    Unsupported(String),
}

impl From<Fault> for HeaderFault {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

impl Header {
    /// Appends the header to `bytes`, which is empty, and gives the chain value it binds.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) -> Digest {
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        let mut fields = vec![(SERVER, self.server.as_bytes()), (PRINCIPAL, self.principal.as_bytes())];
        if let Some(sealed) = &self.sealed {
            fields.push((RECIPIENTS, sealed.recipients.as_bytes()));
            fields.push((WRAPPED_KEY, &sealed.key));
        }
        let variable: usize = fields.iter().map(|(_, value)| 6 + value.len()).sum();
        let length = FIXED_BYTES + variable + HASH_BYTES;
        bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&[SHA_256, 0, u8::from(self.sealed.is_some()), u8::from(self.stores_once)]);
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(&session_bytes(&self.session).unwrap_or_default());
        bytes.extend_from_slice(&self.wall_ns.to_le_bytes());
        bytes.extend_from_slice(&self.boot_ns.to_le_bytes());
        bytes.extend_from_slice(&self.first_seq.to_le_bytes());
        bytes.extend_from_slice(self.previous.bytes());
        for (tag, value) in fields {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        let hash = chain::header(bytes);
        bytes.extend_from_slice(hash.bytes());
        hash
    }

    /// How long the header is, from its first 16 bytes.
    pub(crate) fn length(start: &[u8; START_BYTES]) -> Result<usize, Fault> {
        let mut fields = Fields(start);
        if fields.take() != Some(MAGIC) {
            return Err(Fault::Magic);
        }
        let (_version, _flags) = (fields.take::<2>(), fields.take::<2>());
        fields
            .take()
            .and_then(|length| usize::try_from(u32::from_le_bytes(length)).ok())
            .filter(|length| (FIXED_BYTES + HASH_BYTES..=HEADER_BYTES_MAX).contains(length))
            .ok_or(Fault::HeaderLength)
    }

    /// Reads a whole header, hash included.
    pub(crate) fn read(bytes: &[u8]) -> Result<ReadHeader, HeaderFault> {
        let (covered, stored) = bytes.split_last_chunk::<HASH_BYTES>().ok_or(Fault::HeaderLength)?;
        let hash = chain::header(covered);
        if hash.bytes() != stored {
            return Err(Fault::HeaderHash.into());
        }
        let mut fields = Fields(covered);
        let header = read_fixed(&mut fields)?;
        Ok(ReadHeader {
            header: read_variable(header, fields)?,
            hash,
        })
    }
}

fn read_fixed(fields: &mut Fields<'_>) -> Result<Header, HeaderFault> {
    let cut = || HeaderFault::Broken(Fault::HeaderField);
    let _magic: [u8; 8] = fields.take().ok_or_else(cut)?;
    known(
        "format version",
        u16::from_le_bytes(fields.take().ok_or_else(cut)?),
        VERSION,
    )?;
    known("header flags", u16::from_le_bytes(fields.take().ok_or_else(cut)?), 0)?;
    let _length: [u8; 4] = fields.take().ok_or_else(cut)?;
    let [hash, compression, encryption, store] = fields.take().ok_or_else(cut)?;
    known("hash algorithm", u16::from(hash), u16::from(SHA_256))?;
    known("payload compression", u16::from(compression), 0)?;
    if encryption > 1 {
        known("encryption", u16::from(encryption), 1)?;
    }
    if store > 1 {
        known("payload store", u16::from(store), 1)?;
    }
    let index = u32::from_le_bytes(fields.take().ok_or_else(cut)?);
    let session: [u8; 16] = fields.take().ok_or_else(cut)?;
    let header = Header {
        session: session_text(session),
        server: String::new(),
        principal: String::new(),
        index,
        wall_ns: u64::from_le_bytes(fields.take().ok_or_else(cut)?),
        boot_ns: u64::from_le_bytes(fields.take().ok_or_else(cut)?),
        first_seq: u64::from_le_bytes(fields.take().ok_or_else(cut)?),
        previous: Digest::from_bytes(fields.take().ok_or_else(cut)?),
        sealed: (encryption == 1).then(|| Wrapped {
            recipients: String::new(),
            key: Vec::new(),
        }),
        stores_once: store == 1,
    };
    // So that counting on from it never overflows.
    if header.first_seq > FIRST_SEQ_MAX {
        Err(cut())
    } else {
        Ok(header)
    }
}

/// The fields stand in rising order of their tags, each at most once; server and principal
/// must be there.
fn read_variable(mut header: Header, mut fields: Fields<'_>) -> Result<Header, HeaderFault> {
    let cut = || HeaderFault::Broken(Fault::HeaderField);
    let (mut last, mut seen) = (0, 0);
    while !fields.0.is_empty() {
        let tag = u16::from_le_bytes(fields.take().ok_or_else(cut)?);
        let length = u32::from_le_bytes(fields.take().ok_or_else(cut)?);
        let length = usize::try_from(length).ok().ok_or_else(cut)?;
        let value = fields.take_slice(length).ok_or_else(cut)?;
        if tag <= last {
            return Err(cut());
        }
        last = tag;
        match tag {
            SERVER => header.server = text(value).ok_or_else(cut)?,
            PRINCIPAL => header.principal = text(value).ok_or_else(cut)?,
            RECIPIENTS if let Some(sealed) = &mut header.sealed => sealed.recipients = text(value).ok_or_else(cut)?,
            WRAPPED_KEY if let Some(sealed) = &mut header.sealed => sealed.key = value.to_vec(),
            _ if tag & CRITICAL != 0 => {
                return Err(HeaderFault::Unsupported(format!("header field {tag}")));
            }
            _ => continue,
        }
        seen += 1;
    }
    let expected = if header.sealed.is_some() { 4 } else { 2 };
    if seen == expected { Ok(header) } else { Err(cut()) }
}

fn known(what: &str, found: u16, expected: u16) -> Result<(), HeaderFault> {
    if found == expected {
        Ok(())
    } else {
        Err(HeaderFault::Unsupported(format!("{what} {found}")))
    }
}

fn text(value: &[u8]) -> Option<String> {
    str::from_utf8(value).ok().map(str::to_owned)
}

/// The 16 bytes of a session id; `None` unless it is 32 lowercase hexadecimal digits.
pub(crate) fn session_bytes(session: &str) -> Option<[u8; 16]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    let (pairs, rest) = session.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn session_text(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

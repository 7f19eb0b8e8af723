//! Large payloads that come again: stored once in a segment, and referred to from then on
//! (`docs/audit-format.md` section 11).

use crate::chain::Digest;
use crate::record::{FACTS_BYTES_MAX, FRAME_BYTES, Fields, PREFIX_BYTES, Prefix, stated_length};
use crate::seal::SEALED;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};

/// The payload encoding of a reference to an earlier record's payload.
pub(crate) const REPEATED: u8 = 1;
/// How long a reference is: a place, a number and a digest.
pub(crate) const REFERENCE_BYTES: usize = 48;
/// Shorter payloads are stored each time.
pub(crate) const REPEAT_BYTES_MIN: usize = 4096;
/// How far back a reference reaches, in bytes: what a verifier remembers is bounded by it.
pub(crate) const REACH_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Payloads that a writer remembers; the oldest is forgotten.
pub(crate) const REMEMBERED_MAX: usize = 1024;
/// Bytes of repeated payloads that a reader keeps at hand.
const AT_HAND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The earlier record whose payload stands for that of a later one, in the same segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where in the segment it begins.
    pub offset: u64,
    /// Its number.
    pub seq: u64,
    /// The digest of its payload as stored.
    pub digest: Digest,
}

impl Reference {
    /// The 48 bytes as they are stored.
    #[must_use]
    pub fn bytes(&self) -> [u8; REFERENCE_BYTES] {
        let mut bytes = [0; REFERENCE_BYTES];
        let parts = [
            &self.offset.to_le_bytes()[..],
            &self.seq.to_le_bytes(),
            self.digest.bytes(),
        ];
        let values = parts.into_iter().flatten();
        bytes.iter_mut().zip(values).for_each(|(byte, value)| *byte = *value);
        bytes
    }

    /// Reads what [`Reference::bytes`] gave.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (offset, seq, digest) = (fields.take()?, fields.take()?, fields.take()?);
        fields.0.is_empty().then(|| Self {
            offset: u64::from_le_bytes(offset),
            seq: u64::from_le_bytes(seq),
            digest: Digest::from_bytes(digest),
        })
    }

    /// Whether a record that begins at `offset` may refer to it.
    pub(crate) fn is_within_reach(&self, offset: u64) -> bool {
        self.offset < offset && offset - self.offset <= REACH_BYTES_MAX
    }
}

/// What the writer of a segment remembers of its large payloads.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// By the digest of what was to be recorded, which leaves this process only where it stands open.
    places: HashMap<Digest, Reference>,
    order: VecDeque<Digest>,
    /// Of the group that is drafted and not written yet.
    drafted: Vec<(Digest, Reference)>,
}

impl Remembered {
    /// A new group begins; what was drafted before it was never written, or is kept.
    pub(crate) fn begin(&mut self) {
        self.drafted.clear();
    }

    /// The record that holds this content, for one that begins at `offset`.
    pub(crate) fn find(&self, content: &Digest, offset: u64) -> Option<Reference> {
        let in_group = self.drafted.iter().find(|(known, _)| known == content);
        let found = in_group.map(|(_, place)| place).or_else(|| self.places.get(content));
        found.copied().filter(|place| place.is_within_reach(offset))
    }

    pub(crate) fn draft(&mut self, content: Digest, place: Reference) {
        self.drafted.push((content, place));
    }

    /// The group that was drafted is written.
    pub(crate) fn keep(&mut self) {
        for (content, place) in self.drafted.drain(..) {
            if self.places.insert(content, place).is_none() {
                self.order.push_back(content);
            }
            if self.order.len() > REMEMBERED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.places.remove(&oldest);
            }
        }
    }
}

/// What a reader has proven of the large payloads behind it, as far back as a reference reaches.
#[derive(Debug, Default)]
pub(crate) struct Earlier(VecDeque<(Reference, Stored)>);

/// How an earlier payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) bytes: u64,
    pub(crate) sealed: bool,
}

impl Earlier {
    pub(crate) fn add(&mut self, place: Reference, stored: Stored) {
        while self
            .0
            .front()
            .is_some_and(|(oldest, _)| !oldest.is_within_reach(place.offset))
        {
            self.0.pop_front();
        }
        if stored.bytes >= REPEAT_BYTES_MIN as u64 {
            self.0.push_back((place, stored));
        }
    }

    pub(crate) fn find(&self, reference: &Reference) -> Option<Stored> {
        let at = self
            .0
            .binary_search_by_key(&reference.offset, |(place, _)| place.offset);
        let (place, stored) = self.0.get(at.ok()?)?;
        (place == reference).then_some(*stored)
    }
}

/// The payload that a reference leads to, as it is stored there.
#[derive(Clone, Debug)]
pub(crate) struct Repeated {
    pub(crate) payload: Vec<u8>,
    /// The bytes in front of it: a sealed payload opens with them and with their number only.
    pub(crate) front: Vec<u8>,
    pub(crate) sealed: bool,
}

/// The payloads that were referred to last: what comes again and again is read once.
#[derive(Debug, Default)]
pub(crate) struct AtHand {
    payloads: VecDeque<(Reference, Repeated)>,
    bytes: usize,
}

impl AtHand {
    /// Reads what `reference` leads to, for a record that begins at `offset`; `None` where that is not the
    /// payload it names. The source stands where it stood afterwards.
    pub(crate) fn read(
        &mut self,
        source: &mut (impl Read + Seek),
        reference: &Reference,
        offset: u64,
    ) -> io::Result<Option<&Repeated>> {
        let known = self.payloads.iter().position(|(place, _)| place == reference);
        let at = match known {
            Some(at) => at,
            None => {
                let stood = source.stream_position()?;
                let repeated = read_repeated(source, reference, offset)?;
                source.seek(SeekFrom::Start(stood))?;
                match repeated {
                    Some(repeated) => self.add(*reference, repeated),
                    None => return Ok(None),
                }
            }
        };
        Ok(self.payloads.get(at).map(|(_, repeated)| repeated))
    }

    /// Adds one and gives its place; the oldest make room.
    fn add(&mut self, reference: Reference, repeated: Repeated) -> usize {
        self.bytes += repeated.payload.len() + repeated.front.len();
        while self.bytes > AT_HAND_BYTES_MAX
            && let Some((_, oldest)) = self.payloads.pop_front()
        {
            self.bytes -= oldest.payload.len() + oldest.front.len();
        }
        self.payloads.push_back((reference, repeated));
        self.payloads.len() - 1
    }
}

/// `None` unless a whole record of that number ends before `offset`, and its payload is stored there
/// itself and has this digest.
fn read_repeated(source: &mut (impl Read + Seek), reference: &Reference, offset: u64) -> io::Result<Option<Repeated>> {
    if !reference.is_within_reach(offset) {
        return Ok(None);
    }
    source.seek(SeekFrom::Start(reference.offset))?;
    let mut front = [0; PREFIX_BYTES];
    source.read_exact(&mut front)?;
    let length = front.first_chunk().and_then(stated_length);
    let Some((prefix, length)) = Prefix::read(&front).zip(length) else {
        return Ok(None);
    };
    let facts = usize::try_from(prefix.facts_length).unwrap_or(usize::MAX);
    let rest = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .saturating_sub(FRAME_BYTES);
    let payload_bytes = rest.checked_sub(facts).filter(|_| facts <= FACTS_BYTES_MAX);
    let ends_before = reference.offset.saturating_add(length) <= offset;
    let is_its_own = prefix.encoding == 0 || prefix.encoding == SEALED;
    let Some(payload_bytes) = payload_bytes.filter(|bytes| *bytes >= REPEAT_BYTES_MIN) else {
        return Ok(None);
    };
    if prefix.seq != reference.seq || !ends_before || !is_its_own {
        return Ok(None);
    }
    let mut bytes = front.to_vec();
    bytes.resize(PREFIX_BYTES + facts, 0);
    source.read_exact(bytes.split_at_mut(PREFIX_BYTES).1)?;
    let mut payload = vec![0; payload_bytes];
    source.read_exact(&mut payload)?;
    let is_named = Digest::of_payload(&payload) == reference.digest;
    Ok(is_named.then_some(Repeated {
        payload,
        front: bytes,
        sealed: prefix.encoding == SEALED,
    }))
}

#[cfg(test)]
mod tests {
    use super::{Earlier, REACH_BYTES_MAX, REMEMBERED_MAX, REPEAT_BYTES_MIN, Reference, Remembered, Stored};
    use crate::chain::Digest;
    use crate::failing::{FailingFile, HandClock, log, read};
    use crate::group::Entry;
    use crate::kind::Kind;
    use crate::log::{Durability, Log};
    use std::sync::Arc;

    fn place(offset: u64) -> Reference {
        Reference {
            offset,
            seq: offset,
            digest: Digest::of_payload(&offset.to_le_bytes()),
        }
    }

    fn say(log: &Log, payload: &[u8]) -> bool {
        let (kind, facts) = (Kind::ServerLine, "");
        log.note(Entry { kind, facts, payload }).is_ok()
    }

    #[test]
    fn what_did_not_get_on_the_disk_is_not_referred_to() {
        let file = Arc::new(FailingFile::default());
        let log = log(&file, Durability::Written, HandClock::at(1)).unwrap();
        let large = vec![b'a'; 300_000];
        file.set_capacity(Some(300_000));
        assert!(!say(&log, &large), "there is no room");
        file.set_capacity(None);
        assert!(say(&log, &large) && say(&log, &large));
        let (records, _) = read(&file.bytes()).unwrap();
        let stored: Vec<(bool, bool)> = records
            .iter()
            .map(|record| (record.repeats.is_some(), record.payload == large))
            .collect();
        assert_eq!(stored, [(false, false), (false, true), (true, true)]);
    }

    #[test]
    fn a_writer_forgets_the_oldest_and_what_is_out_of_reach() {
        let mut remembered = Remembered::default();
        let content = |number: u64| Digest::of_payload(&number.to_be_bytes());
        let most = REMEMBERED_MAX as u64;
        for number in 0..=most {
            remembered.begin();
            remembered.draft(content(number), place(number));
            remembered.keep();
        }
        assert_eq!(remembered.find(&content(0), most + 1), None);
        assert_eq!(remembered.find(&content(1), most + 1), Some(place(1)));
        assert_eq!(remembered.find(&content(1), 1 + REACH_BYTES_MAX), Some(place(1)));
        assert_eq!(remembered.find(&content(1), 2 + REACH_BYTES_MAX), None);
    }

    #[test]
    fn a_reader_remembers_what_is_large_and_within_reach() {
        let mut earlier = Earlier::default();
        let stored = |bytes: usize| Stored {
            bytes: bytes as u64,
            sealed: false,
        };
        earlier.add(place(10), stored(REPEAT_BYTES_MIN));
        earlier.add(place(20), stored(REPEAT_BYTES_MIN - 1));
        assert_eq!(earlier.find(&place(10)), Some(stored(REPEAT_BYTES_MIN)));
        assert_eq!(earlier.find(&place(20)), None);
        assert_eq!(earlier.find(&Reference { seq: 11, ..place(10) }), None);
        earlier.add(place(11 + REACH_BYTES_MAX), stored(REPEAT_BYTES_MIN));
        assert_eq!((earlier.find(&place(10)), earlier.0.len()), (None, 1));
    }
}

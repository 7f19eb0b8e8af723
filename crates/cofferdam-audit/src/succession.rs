//! The next segment of a session: after its size or age, and after a failure.

use crate::error::AuditError;
use crate::file::SegmentSource;
use crate::group::Group;
use crate::header::Header;
use crate::kind::Kind;
use crate::seal::{Seal, Sealing};
use crate::segment::{Purpose, Segment};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a segment that should be followed by another goes on before that is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// When a segment is ended and the next begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Before it grows longer than this; one group may be longer.
    pub bytes: u64,
    /// When it is written to and is older than this.
    pub age: Duration,
}

impl Rotation {
    /// 64 MiB, or a day.
    pub const STANDARD: Self = Self {
        bytes: 64 * 1024 * 1024,
        age: Duration::from_secs(24 * 60 * 60),
    };
}

/// Where the segments after the first come from, and what their headers say.
#[derive(Debug)]
pub(crate) struct Succession {
    /// `None` where there can be no other: then a failure ends the record.
    pub(crate) source: Option<Box<dyn SegmentSource>>,
    pub(crate) rotation: Rotation,
    pub(crate) sealing: Option<Arc<dyn Sealing>>,
    /// The header of the segment in use.
    pub(crate) header: Header,
    /// The boot clock before which no rotation is tried again.
    pub(crate) not_before_ns: u64,
}

impl Succession {
    /// Whether the segment in use has had its time, given what is to be written next.
    pub(crate) fn is_due(&self, segment: &Segment, bytes: u64, boot_ns: u64) -> bool {
        let age = Duration::from_nanos(boot_ns.saturating_sub(self.header.boot_ns));
        let is_full = segment.length().saturating_add(bytes) > self.rotation.bytes;
        let has_more = segment.next_seq() > self.header.first_seq.saturating_add(1);
        self.source.is_some() && has_more && (is_full || age > self.rotation.age) && boot_ns >= self.not_before_ns
    }

    /// Ends a healthy segment with `continued` and gives the one that goes on, its header
    /// written. Where that fails the old one is as it was, and goes on for a while.
    pub(crate) fn rotate(&mut self, segment: &mut Segment, now: (u64, u64)) -> Result<Segment, AuditError> {
        let outcome = self.try_rotate(segment, now);
        if outcome.is_err() {
            let pause = u64::try_from(RETRY_AFTER.as_nanos()).unwrap_or(u64::MAX);
            self.not_before_ns = now.1.saturating_add(pause);
        }
        outcome
    }

    fn try_rotate(&mut self, segment: &mut Segment, now: (u64, u64)) -> Result<Segment, AuditError> {
        let index = self.next_index();
        let mut last = Vec::new();
        // What was drafted for this segment goes to the next one, and is nothing to refer to here.
        let mut group = segment.group(&mut last, now);
        group.add_own(Kind::Continued, &format!(r#"{{"next":{index}}}"#));
        let end = group.finish()?;
        let seal = begin_seal(self.sealing.as_deref())?;
        let header = Header {
            first_seq: end.next_seq,
            previous: end.chain,
            sealed: seal.as_deref().map(Seal::wrapped),
            ..self.following(now)
        };
        // The next one first: it is only in the way if the old one cannot be ended.
        let (next, path) = self.begin(&header, None, (now, seal))?;
        if let Err(error) = segment.append(&last, end, Purpose::Close) {
            self.discard(&path);
            return Err(error);
        }
        segment.release_room();
        self.header = header;
        Ok(next)
    }

    /// The segment that goes on where a failure ended this one. It says so in its first record,
    /// since the end of the failed one may not be readable any more.
    pub(crate) fn renew(&mut self, segment: &Segment, now: (u64, u64)) -> Result<Segment, AuditError> {
        segment.sound().err().map_or_else(
            || {
                Err(AuditError::Closed {
                    path: segment.path().to_owned(),
                })
            },
            |failure| {
                let seal = begin_seal(self.sealing.as_deref())?;
                let header = Header {
                    first_seq: segment.next_seq(),
                    previous: segment.chain(),
                    sealed: seal.as_deref().map(Seal::wrapped),
                    ..self.following(now)
                };
                let cause = serde_json::Value::from(failure.to_string());
                let facts = format!(r#"{{"after":{},"cause":{cause}}}"#, self.header.index);
                let (next, _) = self.begin(&header, Some(&facts), (now, seal))?;
                self.header = header;
                Ok(next)
            },
        )
    }

    fn next_index(&self) -> u32 {
        self.header.index.saturating_add(1)
    }

    fn following(&self, (wall_ns, boot_ns): (u64, u64)) -> Header {
        Header {
            index: self.next_index(),
            wall_ns,
            boot_ns,
            ..self.header.clone()
        }
    }

    /// Creates a file and writes the header to it, with `resumed` as its first record where
    /// facts for it are given.
    fn begin(
        &mut self,
        header: &Header,
        resumed: Option<&str>,
        (now, seal): ((u64, u64), Option<Box<dyn Seal>>),
    ) -> Result<(Segment, std::path::PathBuf), AuditError> {
        let Some(source) = self.source.as_mut() else {
            return Err(AuditError::NoSuccessor);
        };
        let (file, path) = source.create(header.index, now.0)?;
        let begun = Segment::new(file, path.clone()).and_then(|mut segment| {
            let mut bytes = Vec::new();
            let hash = header.write(&mut bytes);
            let mut group = Group::following(&mut bytes, header.first_seq, hash, now);
            if let Some(facts) = resumed {
                group.add_own(Kind::Resumed, facts);
            }
            let drafted = group.finish()?;
            segment.append(&bytes, drafted, Purpose::Traffic)?;
            Ok(segment.sealed_with(seal))
        });
        if begun.is_err() {
            self.discard(&path);
        }
        Ok((begun?, path))
    }

    fn discard(&mut self, path: &Path) {
        if let Some(source) = self.source.as_mut() {
            source.discard(path);
        }
    }
}

/// The data key of a new segment, where payloads are sealed.
pub(crate) fn begin_seal(sealing: Option<&dyn Sealing>) -> Result<Option<Box<dyn Seal>>, AuditError> {
    sealing
        .map(|sealing| sealing.begin().map_err(|cause| AuditError::Seal { cause }))
        .transpose()
}

//! `audit compress`: segments that have ended, packed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_audit::{Store, pack};
use cofferdam_manifest::bytes_in_words;
use serde_json::json;

use super::args::AuditCompress;
use super::{failure, store, warn};
use crate::cli::output::Output;
use crate::failure::{Exit, Failure, file_failure};
use crate::home::Home;

/// A segment is packed when nothing was written to it for so long: a server's quota counts what it wrote in the last hour.
const RESTING: Duration = Duration::from_secs(2 * 60 * 60);

/// What was packed.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) segments: u64,
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
    /// Why some were not: they are as they were.
    pub(super) problems: Vec<cofferdam_audit::AuditError>,
}

/// Packs what has ended; exit 3 when there was nothing to pack.
pub(crate) fn compress(home: &Home, args: &AuditCompress, output: &mut Output) -> Result<Exit, Failure> {
    let resting = if args.all { Duration::ZERO } else { RESTING };
    let packed = pack_resting(&store(home)?, resting)?;
    warn(packed.problems.iter(), output);
    if output.is_json() {
        let facts = json!({"segments": packed.segments, "bytes_before": packed.bytes_before, "bytes_after": packed.bytes_after});
        output.line(&facts.to_string())?;
    } else if packed.segments > 0 {
        output.line(&in_words(&packed))?;
    } else {
        output.say("nothing to compress: segments are compressed two hours after their last record");
    }
    Ok(match (packed.problems.is_empty(), packed.segments) {
        (false, _) => Exit::Misconfigured,
        (true, 0) => Exit::Nothing,
        (true, _) => Exit::Fine,
    })
}

pub(super) fn in_words(packed: &Packed) -> String {
    let words = |bytes| bytes_in_words(bytes);
    let noun = if packed.segments == 1 { "segment" } else { "segments" };
    format!(
        "{} {noun} compressed: {} to {}",
        packed.segments,
        words(packed.bytes_before),
        words(packed.bytes_after)
    )
}

/// Packs every segment that has ended and was not written to for a while.
pub(super) fn pack_resting(store: &Store, resting: Duration) -> Result<Packed, Failure> {
    let found = store.sessions().map_err(|error| failure(&error))?;
    let mut packed = Packed {
        problems: found.problems,
        ..Packed::default()
    };
    let segments: Vec<PathBuf> = found.items.into_iter().flat_map(|session| session.segments).collect();
    for path in segments {
        if !is_resting(&path, resting)? {
            continue;
        }
        match pack(&path) {
            Ok(None) => {}
            Ok(Some(done)) => {
                packed.segments += 1;
                packed.bytes_before += done.bytes_before;
                packed.bytes_after += done.bytes_after;
            }
            Err(problem) => packed.problems.push(problem),
        }
    }
    Ok(packed)
}

fn is_resting(path: &Path, resting: Duration) -> Result<bool, Failure> {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    let modified = modified.map_err(|cause| file_failure("look at", path, &cause))?;
    Ok(crate::cli::now()
        .duration_since(modified)
        .is_ok_and(|age| age >= resting))
}

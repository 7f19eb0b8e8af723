//! A question put to every record of many segments, on all processors.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam_audit::{AuditError, Header, Session, Skim, Skimmed};

use super::warn;
use crate::cli::output::Output;
use crate::failure::Failure;

/// Threads that read segments at most; each holds a megabyte of one.
const THREADS_MAX: usize = 16;

/// Asks every record of these sessions, on as many threads as there are processors, and gives what each thread gathered. What cannot be
/// read is said, and the rest is asked.
pub(super) fn ask<G: Default + Send>(
    sessions: &[Session],
    output: &mut Output,
    is_wanted: impl Fn(&Skimmed<'_>) -> bool + Sync,
    each: impl Fn(&mut G, &Header, &Skimmed<'_>) -> Result<(), Failure> + Sync,
) -> Result<Vec<G>, Failure> {
    let paths: Vec<&Path> = sessions
        .iter()
        .flat_map(|session| &session.segments)
        .map(PathBuf::as_path)
        .collect();
    let next = AtomicUsize::new(0);
    let gather = || {
        let (mut gathered, mut problems) = (G::default(), Vec::new());
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let asked = ask_segment(path, &is_wanted, &mut |header, record| {
                each(&mut gathered, header, record)
            })?;
            problems.extend(asked);
        }
        Ok((gathered, problems))
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let done: Vec<Result<(G, Vec<AuditError>), Failure>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(THREADS_MAX).min(paths.len()))
            .map(|_| scope.spawn(gather))
            .collect();
        let own = gather();
        let others = others.into_iter().map(|other| {
            let panicked = |_| Err(Failure::not_enforced("a thread that read the record panicked"));
            other.join().unwrap_or_else(panicked)
        });
        std::iter::once(own).chain(others).collect()
    });
    let mut all = Vec::with_capacity(done.len());
    for one in done {
        let (gathered, problems) = one?;
        warn(problems.iter(), output);
        all.push(gathered);
    }
    Ok(all)
}

/// Asks every record of one segment; what cannot be read comes back.
pub(super) fn ask_segment(
    path: &Path,
    is_wanted: &dyn Fn(&Skimmed<'_>) -> bool,
    each: &mut dyn FnMut(&Header, &Skimmed<'_>) -> Result<(), Failure>,
) -> Result<Option<AuditError>, Failure> {
    let mut skim = match Skim::open(path) {
        Ok(skim) => skim,
        Err(problem) => return Ok(Some(problem)),
    };
    let header = skim.header().clone();
    loop {
        match skim.next_record() {
            Ok(None) => return Ok(None),
            Ok(Some(record)) if is_wanted(&record) => each(&header, &record)?,
            Ok(Some(_)) => {}
            Err(problem) => return Ok(Some(problem)),
        }
    }
}

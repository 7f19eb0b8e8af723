//! How long a question over many records takes: `skim_speed FOLDER [MILLIONS [keep]]`.
//!
//! Writes so many million records of about 250 bytes, reads them all with `Skim` as `audit query`
//! does, packs the segments and reads them again. With `keep` it only writes them, for `cofferdam audit query` over
//! `HOME/state/audit` as the folder.
#![expect(clippy::print_stdout, reason = "an example that reports numbers")]

use cofferdam_audit::{
    AuditError, Durability, Entry, Kind, Log, Opening, Options, Quota, Rotation, Skim, Store, SystemClock, pack,
};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

fn main() -> Result<(), AuditError> {
    let mut arguments = std::env::args_os().skip(1);
    let root = PathBuf::from(arguments.next().unwrap_or_else(|| "/tmp".into()));
    let millions = arguments
        .next()
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(1);
    if arguments.next().is_some_and(|word| word == "keep") {
        return fill(&root, millions);
    }
    let folder = root.join("skim-speed");
    let outcome = measure(&folder, millions);
    let removed = std::fs::remove_dir_all(&folder);
    outcome?;
    removed.map_err(|cause| AuditError::Read { path: folder, cause })
}

fn measure(folder: &Path, millions: u32) -> Result<(), AuditError> {
    let start = Instant::now();
    fill(folder, millions)?;
    println!(
        "{millions} million records written in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let store = Store::open(folder)?;
    ask(&store, "plain, again in memory")?;
    ask(&store, "plain")?;
    let (mut before, mut after, start) = (0, 0, Instant::now());
    for path in store.sessions()?.items.into_iter().flat_map(|session| session.segments) {
        if let Some(done) = pack(&path)? {
            before += done.bytes_before;
            after += done.bytes_after;
        }
    }
    let records = u64::from(millions) * 1_000_000;
    println!(
        "packed {before} to {after} bytes, {} to {} bytes a record, in {:.1} s",
        before / records,
        after / records,
        start.elapsed().as_secs_f64()
    );
    ask(&store, "packed")
}

fn fill(folder: &Path, millions: u32) -> Result<(), AuditError> {
    let options = Options {
        durability: Durability::Written,
        quota: Quota::UNLIMITED,
        clock: Arc::new(SystemClock),
        rotation: Rotation::STANDARD,
        sealing: None,
    };
    let opening = Opening {
        session: "00000000000000000000000000000001",
        server: "speed",
        principal: "nobody",
        facts: "",
    };
    let log = Log::create(folder, opening, options)?;
    for group in 0..millions * 10_000 {
        let values: Vec<u32> = (0..100).map(|number| group * 100 + number).collect();
        drop(log.append(values, |number, entries| {
            let denied = number % 1_000 == 7;
            let decision = if denied { "deny" } else { "allow" };
            let facts = format!(r#"{{"decision":"{decision}","id":"{number}","method":"tools/call","tool":"tool-{}"}}"#, number % 50);
            let payload = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"tool-{}","arguments":{{"path":"/srv/{number}"}}}}}}"#, number % 50);
            entries.add(Entry {
                kind: Kind::ClientLine,
                facts: &facts,
                payload: payload.as_bytes(),
            });
        })?);
    }
    log.close("").map(drop)
}

/// How many were denied: a look at every record's facts, on one thread and on all processors.
fn ask(store: &Store, what: &str) -> Result<(), AuditError> {
    let found = store.sessions()?.items.into_iter();
    let paths: Vec<PathBuf> = found.flat_map(|session| session.segments).collect();
    for threads in [1, std::thread::available_parallelism().map_or(1, NonZeroUsize::get)] {
        let start = Instant::now();
        let next = AtomicUsize::new(0);
        let counted: Vec<(u64, u64)> = std::thread::scope(|scope| {
            let others: Vec<_> = (0..threads).map(|_| scope.spawn(|| count(&paths, &next))).collect();
            let joined = others.into_iter().filter_map(|other| other.join().ok());
            joined.collect::<Result<_, AuditError>>()
        })?;
        let (records, denied) = counted.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let seconds = start.elapsed().as_secs_f64();
        println!("{what}, {threads} threads: {denied} of {records} records in {seconds:.2} s");
    }
    Ok(())
}

fn count(paths: &[PathBuf], next: &AtomicUsize) -> Result<(u64, u64), AuditError> {
    let (mut records, mut denied) = (0_u64, 0_u64);
    while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut skim = Skim::open(path)?;
        while let Some(record) = skim.next_record()? {
            records += 1;
            denied += u64::from(record.facts.windows(17).any(|window| window == br#""decision":"deny""#));
        }
    }
    Ok((records, denied))
}

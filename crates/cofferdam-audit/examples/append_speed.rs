//! How long an append takes: `append_speed [FOLDER]…`, by default `/tmp` and `/dev/shm`.
//!
//! Prints, for one 500-byte record and for groups of 64, microseconds per append (p50, p99,
//! mean) at `written`, and the rate at `synced` with one and with 16 writers.
#![expect(clippy::print_stdout, reason = "an example that reports numbers")]

use cofferdam_audit::{
    AuditError, Durability, Entry, Kind, Log, Opening, Options, Quota, Rotation, SystemClock, Verdict, verify,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const FACTS: &str = r#"{"id":7,"method":"tools/call","tool":"read_file","decision":"allow"}"#;

fn main() -> Result<(), AuditError> {
    let mut folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        folders = vec!["/tmp".into(), "/dev/shm".into()];
    }
    for folder in folders {
        let folder = folder.join(format!("append-speed-{}", std::process::id()));
        let outcome = measure(&folder);
        let removed = std::fs::remove_dir_all(&folder);
        outcome?;
        removed.map_err(|cause| AuditError::Read { path: folder, cause })?;
    }
    Ok(())
}

fn measure(folder: &Path) -> Result<(), AuditError> {
    let payload = vec![b'x'; 500 - FACTS.len()];
    for (group, rounds) in [(1, 200_000), (64, 5_000)] {
        let log = log(folder, Durability::Written)?;
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let values = vec![(); group];
            let start = Instant::now();
            drop(log.append(values, |(), entries| entries.add(entry(&payload)))?);
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        report(folder, group, &mut times);
        let _head = log.close("")?;
        let start = Instant::now();
        let Verdict::Verified(verified) = verify(log.path())? else {
            println!("the log is broken");
            continue;
        };
        let bytes = std::fs::metadata(log.path()).map_or(0, |metadata| metadata.len());
        let rate = to_f64(bytes) / 1e6 / start.elapsed().as_secs_f64();
        println!("  verify: {} records, {rate:.0} MB/s", verified.records);
    }
    for writers in [1, 16] {
        synced(folder, &payload, writers)?;
    }
    Ok(())
}

fn synced(folder: &Path, payload: &[u8], writers: u64) -> Result<(), AuditError> {
    const EACH: u64 = 500;
    let log = log(folder, Durability::Synced)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let append = || -> Result<(), AuditError> {
            for _ in 0..EACH {
                drop(log.append_one((), |(), entries| entries.add(entry(payload)))?);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(append)).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect::<Result<(), _>>()
    })?;
    let rate = to_f64(writers * EACH) / start.elapsed().as_secs_f64();
    println!("{}: synced, {writers} writers: {rate:.0} records/s", folder.display());
    let _head = log.close("")?;
    Ok(())
}

fn report(folder: &Path, group: usize, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or(0.0);
    let mean = times.iter().sum::<f64>() / to_f64(times.len() as u64);
    println!(
        "{}: written, {group} records of 500 bytes: p50 {:.2} p99 {:.2} p99.9 {:.2} mean {mean:.2} µs",
        folder.display(),
        at(500),
        at(990),
        at(999),
    );
}

fn entry(payload: &[u8]) -> Entry<'_> {
    Entry {
        kind: Kind::ClientLine,
        facts: FACTS,
        payload,
    }
}

fn log(folder: &Path, durability: Durability) -> Result<Log, AuditError> {
    let clock = Arc::new(SystemClock);
    let options = Options {
        durability,
        quota: Quota::UNLIMITED,
        clock,
        rotation: Rotation::STANDARD,
        sealing: None,
    };
    let session = format!("{:032x}", SEQUENCE.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let opening = Opening {
        session: &session,
        server: "speed",
        principal: "nobody",
        facts: "",
    };
    Log::create(folder, opening, options)
}

static SEQUENCE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

/// Counts here are far below 2^53.
fn to_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

//! How long an append takes, and how many there are in a second: `append_speed [FOLDER]…`, by default `/tmp` and `/dev/shm`.
//!
//! Records of 500 bytes, at `written` one by one and 64 in a group, at `synced` from 1, 16 and 64 writers; beside them what a plain
//! file takes, and one that is synced after each record, as auditd can be told to.
#![expect(clippy::print_stdout, reason = "an example that reports numbers")]

use cofferdam_audit::{
    AuditError, Durability, Entry, Kind, Log, Opening, Options, Quota, Rotation, SystemClock, Verdict, verify,
};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const FACTS: &str = r#"{"id":7,"method":"tools/call","tool":"read_file","decision":"allow"}"#;
/// Facts and payload of one record.
const RECORD_BYTES: usize = 500;

fn main() -> Result<(), AuditError> {
    let mut folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        folders = vec!["/tmp".into(), "/dev/shm".into()];
    }
    for folder in folders {
        println!("{}", folder.display());
        let folder = folder.join(format!("append-speed-{}", std::process::id()));
        let outcome = measure(&folder);
        let removed = std::fs::remove_dir_all(&folder);
        outcome?;
        removed.map_err(|cause| AuditError::Read { path: folder, cause })?;
    }
    Ok(())
}

fn measure(folder: &Path) -> Result<(), AuditError> {
    let payload = vec![b'x'; RECORD_BYTES - FACTS.len()];
    written(folder, &payload, (1, 200_000))?;
    written(folder, &payload, (64, 5_000))?;
    for writers in [1, 16, 64] {
        synced(folder, &payload, writers)?;
    }
    let path = folder.join("beside");
    let beside = plain(&path, false, 200_000).and_then(|()| plain(&path, true, 500));
    beside.map_err(|cause| AuditError::Read { path, cause })
}

fn written(folder: &Path, payload: &[u8], (group, rounds): (usize, usize)) -> Result<(), AuditError> {
    let log = log(folder, Durability::Written)?;
    let mut times = Vec::with_capacity(rounds);
    let began = Instant::now();
    for _ in 0..rounds {
        let values = vec![(); group];
        let start = Instant::now();
        drop(log.append(values, |(), entries| entries.add(entry(payload)))?);
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    report(
        &format!("written, {group} in a group"),
        group * rounds,
        began,
        &mut times,
    );
    let _head = log.close("")?;
    let start = Instant::now();
    let Verdict::Verified(verified) = verify(log.path())? else {
        println!("the log is broken");
        return Ok(());
    };
    let bytes = std::fs::metadata(log.path()).map_or(0, |metadata| metadata.len());
    let rate = to_f64(bytes) / 1e6 / start.elapsed().as_secs_f64();
    println!("  verify: {} records, {rate:.0} MB/s", verified.records);
    Ok(())
}

fn synced(folder: &Path, payload: &[u8], writers: usize) -> Result<(), AuditError> {
    const EACH: usize = 500;
    let log = log(folder, Durability::Synced)?;
    let began = Instant::now();
    let mut times = std::thread::scope(|scope| {
        let append = || -> Result<Vec<f64>, AuditError> {
            let mut times = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                let start = Instant::now();
                drop(log.append_one((), |(), entries| entries.add(entry(payload)))?);
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            Ok(times)
        };
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(append)).collect();
        let joined = threads.into_iter().filter_map(|thread| thread.join().ok());
        joined.collect::<Result<Vec<_>, _>>().map(|all| all.concat())
    })?;
    report(&format!("synced, {writers} writers"), writers * EACH, began, &mut times);
    log.close("").map(drop)
}

/// The same bytes in a file without a chain, synced after each or not at all.
fn plain(path: &Path, is_synced: bool, rounds: usize) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let record = vec![b'x'; RECORD_BYTES];
    let mut times = Vec::with_capacity(rounds);
    let began = Instant::now();
    for _ in 0..rounds {
        let start = Instant::now();
        file.write_all(&record)?;
        if is_synced {
            file.sync_data()?;
        }
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let name = if is_synced {
        "plain file, each synced as auditd does"
    } else {
        "plain file"
    };
    report(name, rounds, began, &mut times);
    Ok(())
}

fn report(name: &str, records: usize, began: Instant, times: &mut [f64]) {
    let seconds = began.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or(0.0);
    let rate = to_f64(records as u64) / seconds;
    let bytes = rate * to_f64(RECORD_BYTES as u64) / 1e6;
    println!(
        "  {name:<40} {rate:>9.0} records/s {bytes:>6.1} MB/s  acknowledged after p50 {:.2} p99 {:.2} p99.9 {:.2} µs",
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

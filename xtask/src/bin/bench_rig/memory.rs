//! Private memory of the processes that stand between client and server.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};

/// Bytes that only these processes hold: `root` and everything below it, without the echo servers.
///
/// # Errors
/// A process's memory may not be read: one that is not dumpable is shown to root only.
pub(crate) fn private_bytes(root: u32) -> Result<u64> {
    let mut bytes = 0;
    for process in tree(root) {
        if !is_echo_server(process) {
            bytes += private_bytes_of(process)?;
        }
    }
    Ok(bytes)
}

/// `root` and its descendants.
fn tree(root: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(process) = waiting.pop() {
        if found.insert(process) {
            let threads = fs::read_dir(format!("/proc/{process}/task"))
                .into_iter()
                .flatten()
                .flatten();
            let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
            waiting.extend(children.flat_map(|list| {
                list.split_whitespace()
                    .filter_map(|id| id.parse().ok())
                    .collect::<Vec<u32>>()
            }));
        }
    }
    found
}

fn is_echo_server(process: u32) -> bool {
    // Arguments are separated and ended by NUL. The pumps' own arguments end in the same word, but name a pump first.
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"echo")
}

fn private_bytes_of(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    Ok(private_kib_in(&rollup) * 1024)
}

fn private_kib_in(rollup: &str) -> u64 {
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{private_bytes, private_kib_in, tree};

    #[test]
    fn private_lines_are_added() {
        let rollup = "Rss: 900 kB\nShared_Clean: 500 kB\nPrivate_Clean:      12 kB\nPrivate_Dirty:  30 kB\nPrivate_Hugetlb: 0 kB\n";
        assert_eq!(private_kib_in(rollup), 42);
    }

    #[test]
    fn our_own_memory_is_counted() {
        let own = std::process::id();
        assert!(tree(own).contains(&own));
        assert!(private_bytes(own).unwrap() > 0);
    }
}

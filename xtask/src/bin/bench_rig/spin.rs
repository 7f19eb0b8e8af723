//! Spinners in the idle class, one for each core, so that no core sleeps while we measure.
//!
//! On an idle virtual machine each wake-up across cores costs tens of microseconds whatever the subject does. A process
//! of the idle class runs only when nothing else wants the core, so it keeps the core awake and takes no time from it.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// How many turns pass between two looks at whether the parent is still there.
const TURNS_PER_LOOK: u32 = 1 << 20;

/// Spins until the process that started us, named by its id, is gone.
///
/// # Errors
/// The argument is not a process id.
pub(crate) fn spin(arguments: &[String]) -> Result<()> {
    let [parent] = arguments else {
        bail!("`spin` takes a process id")
    };
    let parent: u32 = parent.parse().context("not a process id")?;
    while std::os::unix::process::parent_id() == parent {
        for _ in 0..TURNS_PER_LOOK {
            std::hint::spin_loop();
        }
    }
    Ok(())
}

/// The running spinners; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Spinners(Vec<Child>);

impl Spinners {
    /// Starts one spinner on each core that we may use.
    ///
    /// # Errors
    /// `taskset` or `chrt` (package util-linux) is missing.
    pub(crate) fn start() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("cannot read our own status")?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let program = std::env::current_exe()?;
        let parent = std::process::id().to_string();
        let mut spinners = Self(Vec::new());
        for core in cores(allowed.unwrap_or("0"))? {
            let mut spinner = Command::new("taskset");
            // Both `taskset` and `chrt` replace themselves, so the child is the spinner and its parent is us.
            spinner
                .args(["-c", &core.to_string(), "chrt", "--idle", "0"])
                .arg(&program)
                .args(["spin", &parent]);
            let child = spinner.stdin(Stdio::null()).spawn().context("cannot start `taskset`")?;
            spinners.0.push(child);
        }
        Ok(spinners)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended already; either way it is gone after the wait.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads a list such as `0-2,5`.
fn cores(list: &str) -> Result<Vec<u32>> {
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let read = |number: &str| {
            number
                .parse::<u32>()
                .with_context(|| format!("`{list}` is not a list of cores"))
        };
        cores.extend(read(first)?..=read(last)?);
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::cores;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(cores("0-2,5\n").unwrap(), [0, 1, 2, 5]);
        assert_eq!(cores("\t3").unwrap(), [3]);
        assert!(cores("x").is_err());
    }
}

//! Builds the fuzz targets with coverage on the stable compiler, and runs them for a while.
//!
//! No `cargo fuzz` and no nightly: these are the compiler passes it would ask for, without a sanitizer (the targets are
//! safe code; what they look for is a broken promise or a panic).

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::workspace::Workspace;

/// One for each file `fuzz/fuzz_targets/NAME.rs`.
const TARGETS: [&str; 10] = [
    "line",
    "message",
    "session",
    "manifest",
    "definition",
    "arguments",
    "answer",
    "policy",
    "segment",
    "hello",
];
/// How long a target runs unless `--seconds` says otherwise.
const DURATION: Duration = Duration::from_secs(60);
/// Most memory a target may hold, in MiB.
const MEMORY_MIB_MAX: u32 = 1024;
/// Longest that one input may take, in seconds.
const INPUT_SECONDS_MAX: u32 = 5;
/// How much of a failed target's output is shown.
const SHOWN_LINES_MAX: usize = 60;
/// Coverage counters and comparisons for libFuzzer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing";

/// Runs the targets that `arguments` name (all without any): `[TARGET]… [--seconds N]`.
///
/// # Errors
/// An argument is not understood, the targets do not build, or one of them found something.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (mut names, mut duration) = (Vec::new(), DURATION);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().context("`--seconds` needs a number")?;
            duration = Duration::from_secs(number.parse().with_context(|| format!("`{number}` is not a number"))?);
        } else if let Some(name) = TARGETS.iter().find(|name| *name == word) {
            names.push(*name);
        } else {
            bail!("there is no fuzz target `{word}`: {}", TARGETS.join(", "));
        }
    }
    if names.is_empty() {
        names.extend(TARGETS);
    }
    let fuzz = Fuzz::build(workspace)?;
    names.into_iter().try_for_each(|name| fuzz.run(name, duration))
}

/// Every target for `duration` each.
///
/// # Errors
/// The targets do not build, or one of them found something.
pub(crate) fn smoke(workspace: &Workspace, duration: Duration) -> Result<()> {
    let fuzz = Fuzz::build(workspace)?;
    TARGETS.into_iter().try_for_each(|name| fuzz.run(name, duration))
}

/// The built targets.
struct Fuzz {
    /// `fuzz/` in the repository: seeds, and where findings are put.
    source: PathBuf,
    /// `target/fuzz`: programs, corpora, logs.
    target: PathBuf,
    programs: PathBuf,
}

impl Fuzz {
    fn build(workspace: &Workspace) -> Result<Self> {
        let (source, target) = (workspace.root().join("fuzz"), workspace.target().join("fuzz"));
        let host = host()?;
        let mut build = command::cargo();
        build.args(["build", "--quiet", "--release", "--locked", "--bins", "--target", &host]);
        build
            .arg("--manifest-path")
            .arg(source.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target);
        // `--target` keeps the flags away from build scripts; only these flags, whatever the caller's are.
        build.env("RUSTFLAGS", COVERAGE).env_remove("CARGO_ENCODED_RUSTFLAGS");
        command::run(&mut build)?;
        let programs = target.join(host).join("release");
        Ok(Self {
            source,
            target,
            programs,
        })
    }

    /// Runs one target; new inputs go into a corpus under the target folder, findings into `fuzz/artifacts/NAME`.
    fn run(&self, name: &str, duration: Duration) -> Result<()> {
        let corpus = self.target.join("corpus").join(name);
        let artifacts = self.source.join("artifacts").join(name);
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        let log = self.target.join(format!("{name}.log"));
        let mut target = Command::new(self.programs.join(name));
        target.arg(format!("-max_total_time={}", duration.as_secs()));
        target
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        // libFuzzer takes this as a prefix of file names: the slash at the end makes it a folder.
        target.arg(format!("-artifact_prefix={}/", artifacts.display()));
        // It writes to the first folder only.
        target.arg(&corpus).arg(self.source.join("seeds").join(name));
        let output = File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
        target.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let status = target
            .status()
            .with_context(|| format!("cannot start the target `{name}`"))?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if !status.success() {
            bail!(
                "fuzz target `{name}` failed: {status}; the input is in `{}`\n{}",
                artifacts.display(),
                last(&said)
            );
        }
        let runs =
            runs_in(&said).with_context(|| format!("fuzz target `{name}` ran nothing; see `{}`", log.display()))?;
        Ok(writeln!(
            std::io::stderr(),
            "fuzz: {name}: {runs} inputs, nothing found"
        )?)
    }
}

/// The compiler's own platform, such as `x86_64-unknown-linux-gnu`.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let about = command::output_of(Command::new(rustc).arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// The count in libFuzzer's closing line, `Done 1234 runs in 5 second(s)`.
fn runs_in(log: &str) -> Option<u64> {
    let count = log.lines().rev().find_map(|line| line.strip_prefix("Done "))?;
    count.split(' ').next()?.parse().ok().filter(|runs| *runs > 0)
}

fn last(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(SHOWN_LINES_MAX);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{TARGETS, runs_in};

    #[test]
    fn every_target_has_a_file_and_seeds() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        for name in TARGETS {
            assert!(
                fuzz.join("fuzz_targets").join(name).with_extension("rs").exists(),
                "{name}"
            );
        }
        for folder in fs::read_dir(fuzz.join("seeds")).unwrap().flatten() {
            let name = folder.file_name().into_string().unwrap();
            assert!(
                TARGETS.contains(&name.as_str()),
                "seeds for `{name}`, which is no target"
            );
            assert!(
                fs::read_dir(folder.path()).unwrap().next().is_some(),
                "{name} has no seeds"
            );
        }
    }

    #[test]
    fn a_target_that_ran_nothing_is_noticed() {
        assert_eq!(runs_in("INFO: x\nDone 1234 runs in 5 second(s)\n"), Some(1234));
        assert_eq!(runs_in("Done 0 runs in 0 second(s)\n"), None);
        assert_eq!(runs_in("INFO: x\n"), None);
    }
}

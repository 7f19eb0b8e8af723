//! Other people's sandboxes around the same program, each with as much taken away as it can.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Outcome, Row};

const BWRAP: &str = "bwrap --unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL --ro-bind /usr /usr \
    --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp";
const PODMAN: &str = "podman run --rm --network=none --read-only --cap-drop=ALL --security-opt=no-new-privileges \
    --ulimit=nofile=1024:1024 --ulimit=nproc=256:256 --rootfs";
const DOCKER: &str = "docker run --rm --network=none --read-only --cap-drop=ALL --security-opt=no-new-privileges";
/// An image with the program in it, made by whoever runs the engine (`docker import` of a folder).
const DOCKER_IMAGE: &str = "cofferdam-bench";

/// One of them.
pub(super) struct Other {
    words: Vec<String>,
    pub(super) row: Row,
    pub(super) is_slow: bool,
}

/// All of them.
pub(super) struct Others {
    /// Those that start the program here.
    pub(super) present: Vec<Other>,
    /// Those that do not, and why.
    pub(super) absent: Vec<String>,
    /// What some of them run, kept while it is needed.
    _bundle: TempDir,
}

impl Other {
    pub(super) fn command(&self) -> Command {
        let mut words = self.words.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command.args(words);
        command
    }
}

/// Tries each of them once.
pub(super) fn look(program: &str, gate: Option<&str>) -> Outcome<Others> {
    let words = |line: &str, more: &[&str]| -> Vec<String> {
        let line = line.split_whitespace();
        line.chain(more.iter().copied()).map(str::to_owned).collect()
    };
    let bundle = bundle(program)?;
    let folder = bundle.path().display().to_string();
    let root = bundle.path().join("rootfs").display().to_string();
    let mut candidates = vec![
        ("bwrap, every namespace, to its end", words(BWRAP, &[program]), false),
        (
            "crun run, to its end",
            words("crun run --bundle", &[&folder, "cofferdam-bench"]),
            false,
        ),
        ("podman run, to its end", words(PODMAN, &[&root, program]), true),
        ("docker run, to its end", words(DOCKER, &[DOCKER_IMAGE, program]), true),
        ("sandbox-runtime (srt), to its end", words("srt", &[program]), true),
    ];
    if let Some(gate) = gate {
        let enter = words(gate, &["enter", "--", program]);
        candidates.insert(0, ("cofferdam enter, all of it", enter, false));
    }
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    for (name, words, is_slow) in candidates {
        let row = Row::new(name);
        let other = Other { words, row, is_slow };
        match why_not(&other) {
            None => present.push(other),
            Some(why) => absent.push(format!("{name}: {why}")),
        }
    }
    Ok(Others {
        present,
        absent,
        _bundle: bundle,
    })
}

/// Tries it once.
fn why_not(other: &Other) -> Option<String> {
    match other.command().stdin(Stdio::null()).stdout(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("it is not installed".to_owned()),
        Err(error) => Some(error.to_string()),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| !line.trim().is_empty());
            let first = first.unwrap_or("it failed and said nothing");
            Some(format!("it does not start here: {first}"))
        }
    }
}

/// What an OCI runtime is given: the program with its libraries, and nothing else.
fn bundle(program: &str) -> Outcome<TempDir> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("rootfs");
    for place in ["proc", "dev", "sys", "tmp", "etc"] {
        fs::create_dir_all(root.join(place))?;
    }
    let listed = Command::new("ldd").arg(program).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain([program]) {
        let place = root.join(Path::new(file).strip_prefix("/")?);
        fs::create_dir_all(place.parent().unwrap_or(&root))?;
        fs::copy(file, place)?;
    }
    let made = Command::new("crun").arg("spec").current_dir(folder.path()).output();
    if made.is_ok_and(|made| made.status.success()) {
        let path = folder.path().join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        if let Some(process) = config.get_mut("process").and_then(serde_json::Value::as_object_mut) {
            process.insert("terminal".to_owned(), false.into());
            process.insert("args".to_owned(), vec![program].into());
        }
        fs::write(path, serde_json::to_vec(&config)?)?;
    }
    Ok(folder)
}

//! Real runtimes start and work inside.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, Caller, everybody};

/// What a program prints in a compartment with these folders granted for reading.
fn prints(bench: &Bench, command: &[&str], read: &[&Path]) -> String {
    let mut plan = bench.probe(&[]);
    plan.command = command.iter().map(|argument| (*argument).to_owned()).collect();
    plan.read = read.iter().map(|path| path.to_path_buf()).collect();
    let driven = bench.drive(&plan);
    assert_eq!(driven.code, 0, "{command:?}: {}{}", driven.stdout, driven.stderr);
    driven.stdout.trim_end().to_owned()
}

/// Says what a test leaves out, and why.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// The real interpreter behind the shims of version managers, and the folder it lives in.
fn python(name: &str) -> Option<(PathBuf, PathBuf)> {
    let ask = "import sys; print(sys.base_prefix); print(sys.executable)";
    let output = Command::new(name).args(["-c", ask]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines().map(PathBuf::from);
    Some((lines.next()?, lines.next()?))
}

#[test]
fn node_starts_with_processors_threads_and_files() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let script = "const fs = require('fs'); const os = require('os'); const { Worker } = require('worker_threads');
            fs.writeFileSync(os.homedir() + '/file', 'text');
            new Worker('require(\"worker_threads\").parentPort.postMessage(1)', { eval: true }).on('message', () =>
              fs.readFile(os.homedir() + '/file', 'utf8', (error, text) =>
                console.log(process.version.startsWith('v'), os.cpus().length > 0, os.totalmem() > 0, text)));";
        assert_eq!(
            prints(&bench, &["/usr/bin/node", "-e", script], &[]),
            "true true true text"
        );
    }
}

#[test]
fn python_starts_with_threads_subprocesses_and_sqlite() {
    let script = "import os, subprocess, threading, sqlite3, asyncio, tempfile, ssl, zoneinfo
assert os.cpu_count() > 0
threading.Thread(target=lambda: None).start()
asyncio.run(asyncio.sleep(0))
db = sqlite3.connect(tempfile.mkstemp()[1]); db.execute('create table t (c)'); db.commit()
zoneinfo.ZoneInfo('Asia/Tokyo')
ssl.create_default_context()
print(subprocess.run(['/bin/echo', 'child'], capture_output=True, text=True).stdout.strip())";
    // The system's, and whichever a version manager puts first (in a folder only root can enter, here).
    let found: Vec<_> = ["/usr/bin/python3", "python3"].into_iter().filter_map(python).collect();
    assert!(!found.is_empty(), "this test needs python3");
    for (caller, (prefix, executable)) in everybody()
        .into_iter()
        .flat_map(|who| found.iter().map(move |it| (who, it)))
    {
        if caller == Caller::Ordinary && prefix.starts_with("/root") {
            say("skipped for an ordinary user: this python lies where only root can enter");
            continue;
        }
        let bench = Bench::new(caller);
        let read: Vec<&Path> = if prefix.starts_with("/usr") {
            vec![]
        } else {
            vec![prefix]
        };
        assert_eq!(
            prints(&bench, &[executable.to_str().unwrap(), "-c", script], &read),
            "child"
        );
    }
}

#[test]
fn git_commits_in_a_private_folder() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let script = "cd && git init -q r && cd r && echo a > a && git add a && \
            git -c user.name=a -c user.email=a@b commit -qm one && git log --format=%s";
        assert_eq!(prints(&bench, &["/bin/sh", "-c", script], &[]), "one");
    }
}

#[test]
fn the_virtual_machine_of_java_starts() {
    assert!(Path::new("/usr/bin/java").exists(), "this test needs /usr/bin/java");
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = bench.probe(&[]);
        plan.command = ["/usr/bin/java", "-Xmx64m", "-version"].map(str::to_owned).into();
        let driven = bench.drive(&plan);
        assert_eq!(driven.code, 0, "{}{}", driven.stdout, driven.stderr);
        assert!(driven.stderr.contains("version"), "{}", driven.stderr);
    }
}

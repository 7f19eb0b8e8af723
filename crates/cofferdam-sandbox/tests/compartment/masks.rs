//! Secrets inside granted folders are not readable, and stay so: run as root and as an ordinary user.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bench::{Bench, Caller, eventually, everybody};
use cofferdam_sandbox::{Masks, Plan};

fn masks() -> Masks {
    Masks {
        names: vec![".env*".into(), ".ssh".into()],
        private_keys: vec!["*.pem".into()],
        except: vec![".env.example".into()],
        git_credentials: true,
    }
}

/// A folder of the caller's with a file in it.
fn project(bench: &Bench, name: &str, text: &str) -> (PathBuf, PathBuf) {
    let folder = bench.folder("project");
    let file = bench.file(&format!("project/{name}"), text);
    (folder, file)
}

fn granting<'a>(folder: &'a Path, is_written: bool) -> impl Fn(&mut Plan) + use<'a> {
    move |plan: &mut Plan| {
        let grants = if is_written { &mut plan.write } else { &mut plan.read };
        grants.push(folder.to_path_buf());
        plan.masks = masks();
    }
}

#[test]
fn a_secret_in_a_granted_folder_reads_as_empty() {
    for caller in everybody() {
        for is_written in [false, true] {
            let bench = Bench::new(caller);
            let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
            bench.file("project/.env.example", "TOKEN=");
            bench.folder("project/.ssh");
            bench.file("project/.ssh/id", "key");
            let grant = granting(&folder, is_written);
            let read = |path: &Path, change: &dyn Fn(&mut Plan)| {
                bench.says_with(&["read", path.to_str().unwrap()], |plan| change(plan))
            };
            assert_eq!(read(&secret, &grant), "");
            assert_eq!(read(&folder.join(".env.example"), &grant), "TOKEN=");
            assert_eq!(read(&folder.join(".ssh/id"), &grant), "errno 2");
            // The other half: without masks the same grant shows it.
            let bare = |plan: &mut Plan| {
                grant(plan);
                plan.masks = Masks::default();
            };
            assert_eq!(read(&secret, &bare), "TOKEN=hunter2");
            let mut plan = bench.probe(&["echo"]);
            grant(&mut plan);
            let enforced = bench.drive(&plan).enforced.unwrap();
            assert_eq!(enforced.masks.len(), 2, "{:?}", enforced.masks);
            assert_eq!(enforced.unmasked, Vec::<PathBuf>::new());
        }
    }
}

#[test]
fn a_mask_cannot_be_taken_off_from_inside() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
        let grant = granting(&folder, true);
        let says = |what: &str| bench.says_with(&[what, secret.to_str().unwrap()], &grant);
        assert_eq!(says("remove"), "errno 16");
        assert_eq!(says("rename-over"), "errno 16");
        assert_eq!(says("link"), "errno 18");
        assert_eq!(says("write"), "errno 30");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "TOKEN=hunter2");
    }
}

#[test]
fn what_an_editor_renames_over_a_secret_is_masked_again() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
        let mut plan = bench.probe(&["until-hidden", secret.to_str().unwrap()]);
        granting(&folder, false)(&mut plan);
        let (mut driver, _enforced) = bench.start(&plan);
        let new = bench.file("project/edited", "TOKEN=hunter3");
        fs::rename(new, &secret).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        bench.file("project/.env.done", "");
        let mut said = String::new();
        driver.0.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(
            said.starts_with("hidden after ") || said == "never seen\n",
            "{caller:?}: {said}"
        );
    }
}

#[test]
fn secrets_and_folders_that_appear_later_are_masked() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, _) = project(&bench, "readme", "");
        let secret = folder.join("new/deep/.env");
        let mut plan = bench.probe(&["until-hidden", secret.to_str().unwrap()]);
        granting(&folder, false)(&mut plan);
        let (mut driver, _enforced) = bench.start(&plan);
        bench.folder("project/new");
        bench.folder("project/new/deep");
        bench.file("project/new/deep/.env", "TOKEN=hunter2");
        std::thread::sleep(Duration::from_millis(500));
        bench.file("project/new/deep/.env.done", "");
        let mut said = String::new();
        driver.0.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(
            said.starts_with("hidden after ") || said == "never seen\n",
            "{caller:?}: {said}"
        );
    }
}

#[test]
fn another_name_given_to_a_secret_is_masked_too() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
        let other = folder.join("harmless");
        let mut plan = bench.probe(&["until-hidden", other.to_str().unwrap()]);
        granting(&folder, false)(&mut plan);
        let (mut driver, _enforced) = bench.start(&plan);
        fs::hard_link(&secret, &other).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        bench.file("project/harmless.done", "");
        let mut said = String::new();
        driver.0.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(
            said.starts_with("hidden after ") || said == "never seen\n",
            "{caller:?}: {said}"
        );
    }
}

#[test]
fn a_secret_with_two_names_is_refused_at_launch() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
        fs::hard_link(&secret, folder.join("harmless")).unwrap();
        let mut plan = bench.probe(&["echo"]);
        granting(&folder, false)(&mut plan);
        let driven = bench.drive(&plan);
        assert_eq!((driven.code, driven.stdout.as_str()), (125, ""));
        assert!(
            driven.stderr.contains("it has 2 names (hard links)"),
            "{}",
            driven.stderr
        );
    }
}

#[test]
fn more_secrets_than_can_be_masked_end_the_compartment() {
    let bench = Bench::new(Caller::Ordinary);
    let (folder, _) = project(&bench, "readme", "");
    let mut plan = bench.probe(&["daemon"]);
    granting(&folder, false)(&mut plan);
    let (mut driver, enforced) = bench.start(&plan);
    for number in 0..300 {
        bench.file(&format!("project/.env.{number}"), "x");
    }
    let has_ended = eventually(Duration::from_secs(10), || {
        crate::bench::processes_of(&enforced).is_empty()
    });
    assert!(has_ended.is_some());
    driver.kill();
}

#[test]
fn the_masker_started_by_hand_does_nothing() {
    let bench = Bench::new(Caller::Ordinary);
    for arguments in [&["__mask"][..], &["__mask", "/etc/passwd"]] {
        let output = std::process::Command::new(bench.path("drive"))
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("started by cofferdam itself"));
    }
}

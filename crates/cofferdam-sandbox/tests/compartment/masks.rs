//! Secrets inside granted folders are not readable, and stay so: run as root and as an ordinary user.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bench::{Bench, Caller, eventually, everybody};
use cofferdam_sandbox::{Feature, Masks, Plan};

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

/// Saves a secret as editors do, again and again: under another name first, then over the old one; and under new
/// names of secrets.
fn save_as_editors_do(bench: &Bench, secret: &Path, until: impl Fn() -> bool) {
    for number in 0.. {
        if until() {
            return;
        }
        let new = bench.path("project/4913");
        fs::write(&new, format!("TOKEN=hunter{number}")).unwrap();
        fs::rename(new, secret).unwrap();
        let other = bench.path(&format!("project/.env.{}", number % 8));
        fs::write(&other, "TOKEN=hunter").unwrap();
        fs::remove_file(other).unwrap();
    }
}

/// What the program sees of it, hunting for a secret.
fn hunted(bench: &Bench, folder: &Path, secret: &Path, change: impl Fn(&mut Plan)) -> String {
    let mut plan = bench.probe(&["hunt", folder.to_str().unwrap()]);
    granting(folder, false)(&mut plan);
    change(&mut plan);
    let (mut driver, _enforced) = bench.start(&plan);
    let mut stdout = driver.0.stdout.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        stdout.read_to_string(&mut said).map(|_| said).unwrap()
    });
    save_as_editors_do(bench, secret, || said.is_finished());
    said.join().unwrap().trim_end().to_owned()
}

fn strict(plan: &mut Plan) {
    plan.require.push(Feature::MaskStrict);
}

#[test]
fn strictly_masked_nothing_is_seen_of_what_an_editor_saves() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
        bench.file("project/readme", "text");
        assert_eq!(hunted(&bench, &folder, &secret, strict), "never seen", "{caller:?}");
        // The other half: masks that are put on again leave a window, and the first name has none at all.
        let seen = hunted(&bench, &folder, &secret, |_| {});
        assert!(seen.starts_with("seen in "), "{caller:?}: {seen}");
    }
}

#[test]
fn strictly_masked_folders_are_as_they_were_but_for_their_secrets() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
        bench.file("project/readme", "text");
        bench.file("project/server.pem", "-----BEGIN PRIVATE KEY-----");
        bench.file("project/public.pem", "-----BEGIN CERTIFICATE-----");
        bench.folder("project/sub");
        bench.folder("project/sub/.ssh");
        bench.file("project/sub/.ssh/id", "key");
        let script = bench.file("project/sub/run", "#!/bin/sh");
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("../readme", folder.join("sub/link")).unwrap();
        let shown = |name: &str| {
            let path = folder.join(name);
            bench.says_with(&["read", path.to_str().unwrap()], |plan| {
                granting(&folder, false)(plan);
                strict(plan);
            })
        };
        assert_eq!(shown("readme"), "text");
        assert_eq!(shown("sub/link"), "text");
        assert_eq!(shown("public.pem"), "-----BEGIN CERTIFICATE-----");
        assert_eq!([shown(".env"), shown("server.pem")], ["", ""]);
        assert_eq!(shown("sub/.ssh/id"), "errno 2");
        let mut plan = bench.probe(&["write", secret.with_file_name("readme").to_str().unwrap()]);
        granting(&folder, false)(&mut plan);
        strict(&mut plan);
        let driven = bench.drive(&plan);
        assert_eq!(
            driven.stdout.trim_end(),
            "errno 30",
            "{caller:?}: a copy is not for writing"
        );
        let enforced = driven.enforced.unwrap();
        assert_eq!(enforced.live_folders, Vec::<PathBuf>::new());
        let live = {
            let mut plan = bench.probe(&["echo"]);
            granting(&folder, false)(&mut plan);
            bench.drive(&plan).enforced.unwrap()
        };
        assert_eq!(live.live_folders, std::slice::from_ref(&folder), "{caller:?}");
        assert_eq!(live.missing(&[Feature::MaskStrict]), [Feature::MaskStrict]);
    }
}

#[test]
fn strict_masks_are_refused_where_they_could_not_hold() {
    let bench = Bench::new(Caller::Ordinary);
    let (folder, secret) = project(&bench, ".env", "TOKEN=hunter2");
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = bench.probe(&["echo"]);
        strict(&mut plan);
        change(&mut plan);
        let driven = bench.drive(&plan);
        assert_eq!((driven.code, driven.stdout.as_str()), (125, ""));
        driven.stderr
    };
    let written = refused(&granting(&folder, true));
    assert!(written.contains("is granted for writing"), "{written}");
    let unmasked = refused(&|plan| plan.read.push(folder.clone()));
    assert!(unmasked.contains("nothing is masked"), "{unmasked}");
    fs::write(folder.join("large"), vec![0; 2 << 20]).unwrap();
    let large = refused(&|plan| {
        granting(&folder, false)(plan);
        plan.limits.disk_bytes = 1 << 20;
    });
    assert!(
        large.contains("cannot copy") && large.contains("no space left"),
        "{large}"
    );
    fs::remove_file(folder.join("large")).unwrap();
    fs::hard_link(secret, folder.join("harmless")).unwrap();
    assert!(refused(&granting(&folder, false)).contains("it has 2 names"));
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

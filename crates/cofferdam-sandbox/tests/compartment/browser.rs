//! The browser profile: what works with it, and what it gives up.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, Caller, everybody};
use cofferdam_sandbox::{Feature, Plan, Programs};

/// Debian's Chromium, unpacked by `cargo xtask servers` beside the folder this test was built in.
fn unpacked() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().find(|folder| folder.join("servers").is_dir());
    let place = target.unwrap().join("servers/chromium");
    assert!(
        place.is_dir(),
        "`{}` is not there: cargo xtask servers",
        place.display()
    );
    place.canonicalize().unwrap()
}

/// A browser that shows a page whose script has run, with its own sandbox on: it is not asked to do without.
fn browser(bench: &Bench, place: &Path) -> Plan {
    let program = place.join("usr/lib/chromium/chromium");
    let page = "data:text/html,<p>hello</p><script>document.write(6 * 7)</script>";
    let arguments = [
        "--headless",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--dump-dom",
        page,
    ];
    let mut plan = bench.probe(&[]);
    plan.command = vec![program.to_str().unwrap().to_owned()];
    plan.command.extend(arguments.map(str::to_owned));
    let libraries = place.join("usr/lib/x86_64-linux-gnu");
    let private = libraries.join("pulseaudio");
    let path = format!("{}:{}", libraries.display(), private.display());
    plan.environment.push(("LD_LIBRARY_PATH".to_owned(), path));
    plan.program_files.push(place.to_path_buf());
    plan.programs = Programs::Only(Vec::new());
    plan.require.push(Feature::ProgramWalls);
    allow(&mut plan);
    plan
}

fn allow(plan: &mut Plan) {
    plan.browser = true;
    plan.require.retain(|feature| *feature != Feature::NoUserNamespaces);
}

#[test]
fn chromium_renders_a_page_with_its_own_sandbox_on() {
    let place = unpacked();
    for caller in everybody() {
        if caller == Caller::Ordinary && place.starts_with("/root") {
            let said = "left out for an ordinary user: this browser lies where only root can enter\n";
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            continue;
        }
        let bench = Bench::new(caller);
        let plan = browser(&bench, &place);
        let shown = bench.drive(&plan);
        assert!(
            shown.stdout.contains("<p>hello</p>") && shown.stdout.contains("</script>42"),
            "{caller:?}: {}{}",
            shown.stdout,
            shown.stderr
        );
        let enforced = shown.enforced.unwrap();
        assert_eq!(
            enforced.missing(Feature::DEFAULT_REQUIRED),
            [Feature::NoUserNamespaces],
            "{caller:?}: the profile gives up this and nothing else"
        );
        // The other half: in the compartment as it is, it does not start.
        let mut sealed = plan;
        sealed.browser = false;
        assert!(!bench.drive(&sealed).stdout.contains("42"));
    }
}

/// Names of the escapes of the battery that succeed.
fn succeeding(bench: &Bench, change: impl Fn(&mut Plan)) -> Vec<String> {
    let (work, canary) = (bench.folder("work"), bench.file("canary", "secret"));
    let argument = format!("{}:{}", work.display(), canary.display());
    let mut plan = bench.probe(&["battery", &argument]);
    plan.write.push(work);
    allow(&mut plan);
    change(&mut plan);
    let driven = bench.drive(&plan);
    assert!(driven.stdout.lines().count() > 60, "{}{}", driven.stdout, driven.stderr);
    let allowed = driven.stdout.lines().filter_map(|line| line.strip_suffix(": allowed"));
    allowed.map(str::to_owned).collect()
}

#[test]
fn of_the_battery_of_escapes_only_what_a_browser_needs_succeeds() {
    for caller in everybody() {
        let allowed = succeeding(&Bench::new(caller), |plan| plan.programs = Programs::Only(Vec::new()));
        let named = ["a user namespace", "another system-call filter", "a UNIX socket"];
        assert_eq!(allowed, named, "{caller:?}");
    }
}

/// With every right in a user namespace of its own, still nothing is mounted, read or reached.
#[test]
fn root_of_an_inner_namespace_gets_no_further() {
    for caller in everybody() {
        let allowed = succeeding(&Bench::new(caller), |plan| {
            let inner = [
                "/usr/bin/unshare",
                "--user",
                "--map-root-user",
                "--net",
                "--pid",
                "--fork",
            ];
            plan.program_files.push(PathBuf::from(&plan.command[0]));
            plan.command.splice(0..0, inner.map(str::to_owned));
        });
        let of_the_inner_namespace = [
            "capability in the bounding set",
            "becoming root",
            "chroot",
            // Every program is granted here, for `unshare`.
            "a shell",
            "a user namespace",
            "a network namespace",
            "another system-call filter",
            "a UNIX socket",
            "raising a capability",
            "a process namespace",
        ];
        assert_eq!(allowed, of_the_inner_namespace, "{caller:?}");
    }
}

//! What can be executed: run as root and as an ordinary user.

use std::fs;

use crate::bench::{Bench, everybody};
use cofferdam_sandbox::{Feature, Plan, Programs};

#[test]
fn what_was_written_cannot_be_executed() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        assert_eq!(bench.says(&["copy-exec", "/usr/bin/true"]), "errno 13");
        let said = bench.says(&["memfd-exec", "/usr/bin/true"]);
        assert!(said == "errno 13" || said == "errno 1", "{said}");
        // The other half: where the plan lets the private folders execute, the copy runs and says nothing.
        assert_eq!(
            bench.says_with(&["copy-exec", "/usr/bin/true"], |plan| {
                plan.executable_tmp = true;
                plan.require.retain(|feature| *feature != Feature::NoexecWritable);
            }),
            ""
        );
    }
}

#[test]
fn only_listed_programs_run_where_they_are_listed() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let only = |plan: &mut Plan| {
            plan.programs = Programs::Only(vec!["/usr/bin/true".into()]);
            plan.require.push(Feature::ProgramWalls);
        };
        assert_eq!(bench.says_with(&["exec", "/usr/bin/true"], only), "");
        assert_eq!(bench.says_with(&["exec", "/bin/true"], only), "");
        for shell in ["/bin/sh", "/usr/bin/bash", "/usr/bin/env"] {
            assert_eq!(bench.says_with(&["exec", shell], only), "errno 2", "{shell}");
        }
        let by_loader = bench.drive(&{
            let mut plan = bench.probe(&["loader", "/bin/sh"]);
            only(&mut plan);
            plan
        });
        assert_eq!(by_loader.code, 127, "{}", by_loader.stdout);
        // In sight because a folder with it is granted, but not listed: Landlock refuses it.
        let folder = bench.folder("tools");
        fs::copy("/usr/bin/true", folder.join("other")).unwrap();
        let other = folder.join("other");
        let other = other.to_str().unwrap();
        let granted = |plan: &mut Plan| {
            only(plan);
            plan.read.push(folder.clone());
        };
        assert_eq!(bench.says_with(&["exec", other], granted), "errno 13");
        // Nor does the loader run what is granted as data; in the program's own files it finds libraries.
        let mut plan = bench.probe(&["loader", other]);
        granted(&mut plan);
        assert_eq!(bench.drive(&plan).code, 127);
        plan.program_files = std::mem::take(&mut plan.read);
        assert_eq!(bench.drive(&plan).code, 0);
    }
}

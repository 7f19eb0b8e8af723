//! What is refused, or told before it is granted.

use cofferdam_manifest::LaunchError;

use crate::machine::{Machine, text};

#[test]
fn package_launchers_are_refused_with_advice() {
    let machine = Machine::new();
    machine.program("sys/lib/npm/bin/npx-cli.js", "#!/usr/bin/env node\n");
    machine.link("sys/bin/innocent", "../lib/npm/bin/npx-cli.js");
    machine.program("sys/bin/npm", "\x7fELF");
    for (line, name) in [
        (vec!["npx", "-y", "@scope/server"], "npx"),
        (vec!["/usr/bin/npx", "x"], "npx"),
        (vec!["env", "npx", "x"], "npx"),
        (vec!["innocent", "x"], "npx"),
        (vec!["npm", "exec", "x"], "npm exec"),
        (vec!["npm", "--prefix", "/x", "exec", "y"], "npm exec"),
        (vec!["pnpm", "dlx", "x"], "pnpm dlx"),
        (vec!["yarn", "dlx", "x"], "yarn dlx"),
        (vec!["bunx", "x"], "bunx"),
        (vec!["uvx", "x"], "uvx"),
        (vec!["uv", "--offline", "tool", "run", "x"], "uv tool"),
        (vec!["uv", "run", "x.py"], "uv run"),
        (vec!["pipx", "run", "x"], "pipx run"),
        (vec!["docker", "run", "-i", "x"], "docker"),
    ] {
        let refusal = machine.refusal(&line);
        assert!(
            matches!(&refusal, LaunchError::PackageLauncher(found) if found == name),
            "{line:?}: {refusal:?}"
        );
        let advice = if name == "docker" { "IMAGE@sha256:" } else { "install" };
        assert!(refusal.help().unwrap().contains(advice), "{refusal:?}");
    }
    let script = text(&machine.at("sys/lib/npm/bin/npx-cli.js")).to_owned();
    assert!(matches!(
        machine.refusal(&["node", &script, "x"]),
        LaunchError::PackageLauncher(_)
    ));
}

#[test]
fn what_cannot_be_understood_safely_is_refused() {
    let machine = Machine::new();
    machine.program("home/loop-a", &format!("#!{}\n", machine.at("home/loop-b").display()));
    machine.program("home/loop-b", &format!("#!{}\n", machine.at("home/loop-a").display()));
    machine.program("home/text", "hello");
    machine.program("home/relative", "#!bin/sh\n");
    machine.program("home/variables", "#!/usr/bin/env -S A=1 node\n");
    machine.program("home/endless", &format!("#!/{}", "x".repeat(5000)));
    machine.file("home/plain", "\x7fELF");
    machine.program("home/.asdf/shims/node", "#!/bin/sh\nexec asdf exec node\n");
    let kind = |line: &[&str]| {
        format!("{:?}", machine.refusal(line))
            .split([' ', '('])
            .next()
            .unwrap()
            .to_owned()
    };
    for (line, expected) in [
        (vec![], "Empty"),
        (vec![""], "Empty"),
        (vec!["sudo", "node"], "ChangesRights"),
        (vec!["env", "A=1", "node"], "SetsVariables"),
        (vec!["missing"], "NotFound"),
        (vec!["./missing"], "Unreadable"),
        (vec!["./plain"], "NotAProgram"),
        (vec!["./text"], "NotAProgram"),
        (vec!["./relative"], "NotAProgram"),
        (vec!["./endless"], "NotAProgram"),
        (vec!["/tmp"], "NotAProgram"),
        (vec!["./variables"], "SetsVariables"),
        (vec!["./loop-a"], "ShebangTooDeep"),
        (vec!["./.asdf/shims/node"], "Shim"),
        (vec!["node", "./missing.js"], "ScriptNotFound"),
        (vec!["python3", "./missing.py"], "ScriptNotFound"),
        (vec!["java", "-jar", "missing.jar"], "ScriptNotFound"),
    ] {
        assert_eq!(kind(&line), expected, "{line:?}");
    }
}

#[test]
fn a_package_cannot_name_a_file_outside_itself_as_its_script() {
    let machine = Machine::new();
    machine.file("home/.ssh/id", "");
    machine.file("home/app/package.json", "{\"main\":\"../.ssh/id\"}");
    assert!(matches!(
        machine.refusal(&["node", "./app"]),
        LaunchError::ScriptNotFound(_)
    ));
    machine.file(
        "home/app/package.json",
        &format!("{{\"main\":\"{}\"}}", machine.at("home/.ssh/id").display()),
    );
    assert!(matches!(
        machine.refusal(&["node", "./app"]),
        LaunchError::ScriptNotFound(_)
    ));
}

#[test]
fn a_script_that_links_out_of_its_folder_is_told() {
    let machine = Machine::new();
    machine.file("home/elsewhere/id", "");
    machine.link("home/repo/server.js", machine.at("home/elsewhere/id"));
    for line in [
        ["node", "repo/server.js"],
        ["python3", "repo/server.js"],
        ["bash", "repo/server.js"],
    ] {
        let program = machine.program_of(&line);
        assert!(
            program.notes.iter().any(|note| note.contains("is a link to")),
            "{:?}",
            program.notes
        );
    }
}

#[test]
fn names_that_would_steer_a_terminal_are_escaped() {
    let machine = Machine::new();
    let refusal = machine.refusal(&["x\u{1b}[2J"]);
    assert!(!refusal.to_string().contains('\u{1b}'), "{refusal:?}");
    machine.file("home/app/node_modules/x/index.js", "");
    machine.link("home/app/node_modules/\u{1b}[2J", machine.at("home"));
    let program = machine.program_of(&["node", "./app/node_modules/x/index.js"]);
    assert_eq!(program.notes.len(), 1);
    assert!(!program.notes.concat().contains('\u{1b}'), "{:?}", program.notes);
}

#[test]
fn a_program_where_nothing_can_be_granted_is_refused() {
    let machine = Machine::new();
    machine.link("home/kernel.js", "/proc/self/status");
    assert!(matches!(
        machine.refusal(&["node", "kernel.js"]),
        LaunchError::Forbidden { .. }
    ));
}

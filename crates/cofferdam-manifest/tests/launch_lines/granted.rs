//! What of scripts, packages and programs is granted.

use std::fs;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{Interpreter, ProgramKind, understand};

use crate::machine::{Machine, grants_without_interpreter, text};

#[test]
fn a_script_in_a_package_tree_is_granted_with_the_tree() {
    let machine = Machine::new();
    let script = machine.file("home/srv/node_modules/@scope/server/dist/index.js", "");
    machine.file("home/srv/node_modules/dep/node_modules/inner/x.js", "");
    let manifest = machine.file("home/srv/package.json", "{}");
    let bin = machine.link("home/srv/node_modules/.bin/server", "../@scope/server/dist/index.js");
    for named in [
        text(&script),
        text(&bin),
        "srv/node_modules/.bin/server",
        "~/srv/node_modules/@scope/server/dist/index",
    ] {
        let program = machine.program_of(&["node", "--no-warnings", named, "--stdio"]);
        assert_eq!(
            program.argv,
            [
                text(&machine.at("sys/bin/node")),
                "--no-warnings",
                text(&script),
                "--stdio"
            ]
        );
        assert_eq!(program.kind, ProgramKind::Interpreter(Interpreter::Node));
        assert_eq!(
            grants_without_interpreter(&program),
            [&machine.at("home/srv/node_modules"), &manifest]
        );
        assert!(program.pinned.contains(&machine.at("sys/bin/node")));
    }
}

#[test]
fn a_linked_command_is_started_through_its_shebang() {
    let machine = Machine::new();
    let script = machine.program("home/srv/node_modules/server/cli.js", "#!/usr/bin/env node\nrun()\n");
    let bin = machine.link("home/srv/node_modules/.bin/server", "../server/cli.js");
    let program = machine.program_of(&[text(&bin), "--x"]);
    assert_eq!(program.argv, [text(&machine.at("sys/bin/node")), text(&script), "--x"]);
    let with_options = machine.program("home/tool.js", "#!/usr/bin/env -S node --enable-source-maps\n");
    let program = machine.program_of(&[text(&with_options)]);
    assert_eq!(
        program.argv,
        [
            text(&machine.at("sys/bin/node")),
            "--enable-source-maps",
            text(&with_options)
        ]
    );
    assert_eq!(grants_without_interpreter(&program), [&with_options]);
}

#[test]
fn a_project_is_granted_with_its_packages_and_without_its_history() {
    let machine = Machine::new();
    let script = machine.file("home/mono/packages/server/dist/index.js", "");
    machine.file("home/mono/packages/server/package.json", "{\"main\":\"dist/index.js\"}");
    machine.file("home/mono/packages/server/.git/HEAD", "");
    machine.file("home/mono/node_modules/dep/index.js", "");
    machine.file("home/mono/packages/shared/index.js", "");
    machine.link("home/mono/node_modules/@mono/shared", "../../packages/shared");
    machine.file("home/.ssh/package.json", "{}");
    machine.link("home/mono/node_modules/evil", machine.at("home/.ssh"));
    machine.file("home/package.json", "{}");
    let program = machine.program_of(&["node", "mono/packages/server"]);
    assert_eq!(program.argv.last().unwrap(), text(&script));
    let expected = [
        "home/mono/node_modules",
        "home/mono/packages/server",
        "home/mono/packages/shared",
    ]
    .map(|name| machine.at(name));
    assert_eq!(
        grants_without_interpreter(&program),
        expected.iter().collect::<Vec<_>>()
    );
    assert_eq!(program.unpinned, [machine.at("home/mono/packages/server/.git")]);
    let links: Vec<&String> = program
        .notes
        .iter()
        .filter(|note| note.contains("is a link to"))
        .collect();
    assert_eq!(links.len(), 2, "{links:?}");
    assert!(
        links
            .iter()
            .any(|note| note.contains("evil") && note.contains("if you trust it")),
        "{links:?}"
    );
}

#[test]
fn a_lone_script_never_takes_the_home_folder_along() {
    let machine = Machine::new();
    machine.file("home/package.json", "{}");
    machine.file("home/pyproject.toml", "");
    let script = machine.file("home/server.js", "");
    assert_eq!(
        grants_without_interpreter(&machine.program_of(&["node", "server.js"])),
        [&script]
    );
    let script = machine.file("home/server.py", "");
    assert_eq!(
        grants_without_interpreter(&machine.program_of(&["python3", "server.py"])).last(),
        Some(&&script)
    );
}

#[test]
fn arguments_that_are_paths_are_offered_and_written_absolute() {
    let machine = Machine::new();
    machine.file("home/server.js", "");
    let data = machine.file("home/data/x", "").parent().unwrap().to_owned();
    machine.link("home/alias", "data");
    let program = machine.program_of(&[
        "node",
        "server.js",
        "./alias",
        "data",
        "--root=data/",
        "https://a/b",
        "/missing/x",
        "/",
        "-v",
    ]);
    assert_eq!(program.offered_roots, std::slice::from_ref(&data));
    let root = format!("--root={}", data.display());
    assert_eq!(
        program.argv.get(2..).unwrap(),
        [text(&data), "data", &root, "https://a/b", "/missing/x", "/", "-v"]
    );
    assert!(
        program.notes.iter().any(|note| note.contains("`/` cannot be granted")),
        "{:?}",
        program.notes
    );
}

#[test]
fn what_is_loaded_first_is_a_part_too() {
    let machine = Machine::new();
    let script = machine.file("home/server.js", "");
    let hook = machine.file("home/hooks/first.cjs", "");
    for line in [
        vec!["node", "-r", "./hooks/first.cjs", "server.js"],
        vec!["node", "--require=./hooks/first", "server.js"],
    ] {
        let program = machine.program_of(&line);
        assert_eq!(grants_without_interpreter(&program), [&hook, &script]);
        assert!(
            program.argv.iter().any(|word| word.ends_with(text(&hook))),
            "{:?}",
            program.argv
        );
    }
}

#[test]
fn java_archives_and_class_paths_are_parts() {
    let machine = Machine::new();
    let jar = machine.file("home/app/server.jar", "PK");
    let lib = machine.file("home/lib/a.jar", "PK").parent().unwrap().to_owned();
    let program = machine.program_of(&["java", "-Xmx1g", "-jar", "app/server.jar", "--stdio"]);
    assert_eq!(
        program.argv.get(1..).unwrap(),
        ["-Xmx1g", "-jar", text(&jar), "--stdio"]
    );
    assert_eq!(grants_without_interpreter(&program), [&jar]);
    let program = machine.program_of(&["java", "-cp", "lib/*:app/server.jar:missing", "com.example.Main"]);
    let list = format!("{}/*:{}:missing", lib.display(), jar.display());
    assert_eq!(program.argv.get(1..).unwrap(), ["-cp", &list, "com.example.Main"]);
    assert_eq!(grants_without_interpreter(&program), [&jar, &lib]);
}

#[test]
fn plain_programs_and_other_languages() {
    let machine = Machine::new();
    let program = machine.program_of(&["tool", "serve"]);
    assert_eq!(
        (&program.kind, &program.grants),
        (&ProgramKind::Plain, &vec![machine.at("sys/bin/tool")])
    );
    let script = machine.file("home/app/main.rb", "");
    machine.file("home/app/Gemfile", "");
    let program = machine.program_of(&["ruby", "-W0", "app/main.rb"]);
    assert_eq!(program.argv.get(1..).unwrap(), ["-W0", text(&script)]);
    assert_eq!(grants_without_interpreter(&program), [&machine.at("home/app")]);
    let program = machine.program_of(&["bash", "-lc", "node x"]);
    assert_eq!(program.kind, ProgramKind::Interpreter(Interpreter::Shell));
    assert!(
        program.notes.iter().any(|note| note.contains("not looked at")),
        "{:?}",
        program.notes
    );
}

/// The machine this runs on: Node and Python as they are installed here.
#[test]
fn the_real_node_and_python_of_this_machine() {
    let search = std::env::var_os("PATH").unwrap();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().canonicalize().unwrap().join("server.js");
    fs::write(&script, "").unwrap();
    let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let node = understand(&line(&["node", "server.js"]), &search, folder.path(), &home).unwrap();
    assert!(Path::new(node.argv.first().unwrap()).is_file());
    assert!(node.grants.contains(&script));
    let python = understand(&line(&["python3", "-c", "pass"]), &search, folder.path(), &home).unwrap();
    let interpreter = PathBuf::from(python.argv.first().unwrap());
    assert!(
        interpreter
            .canonicalize()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("python3")
    );
    if !interpreter.starts_with("/usr") {
        assert!(
            python.grants.iter().any(|path| path.join("os.py").is_file()),
            "{:?}",
            python.grants
        );
    }
}

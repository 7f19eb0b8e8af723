//! Installations and environments of Python.

use std::fs;
use std::path::PathBuf;

use cofferdam_manifest::{Interpreter, LaunchError, Program, ProgramKind};

use crate::machine::{Machine, text};

/// An installation and a virtual environment as `python -m venv` makes them.
fn python(machine: &Machine) -> PathBuf {
    machine.program("home/py/bin/python3.11", "\x7fELF");
    machine.link("home/py/bin/python3", "python3.11");
    machine.file("home/py/lib/python3.11/os.py", "");
    machine.file("home/py/lib/python3.11/site-packages/unused/__init__.py", "");
    machine.file("home/py/lib/libpython3.11.so.1.0", "");
    machine.file("home/py/share/doc", "");
    let settings = format!(
        "home = {}\ninclude-system-site-packages = false\n",
        machine.at("home/py/bin").display()
    );
    machine.file("home/venv/pyvenv.cfg", &settings);
    machine.link("home/venv/bin/python", machine.at("home/py/bin/python3"));
    machine.file("home/venv/lib/python3.11/site-packages/mcp_server/__main__.py", "");
    machine.at("home/venv/bin/python")
}

#[test]
fn a_virtual_environment_is_granted_with_the_installation_behind_it() {
    let machine = Machine::new();
    let venv = python(&machine);
    let console = machine.program(
        "home/venv/bin/mcp-server",
        &format!("#!{}\nimport sys\n", venv.display()),
    );
    let long = format!(
        "#!/bin/sh\n'''exec' \"{}\" \"$0\" \"$@\"\n' '''\nimport sys\n",
        venv.display()
    );
    let long = machine.program("home/venv/bin/mcp-long", &long);
    let expected = [
        "home/py/bin/python3",
        "home/py/bin/python3.11",
        "home/py/lib/libpython3.11.so.1.0",
        "home/py/lib/python3.11",
        "home/venv",
    ];
    let expected = expected.map(|name| machine.at(name));
    for (line, rest) in [
        (
            vec![text(&venv), "-m", "mcp_server", "--x"],
            vec!["-m", "mcp_server", "--x"],
        ),
        (vec![text(&venv), "-Immcp_server"], vec!["-Immcp_server"]),
        (vec![text(&console), "--x"], vec![text(&console), "--x"]),
        (vec![text(&long)], vec![text(&long)]),
    ] {
        let program = machine.program_of(&line);
        assert_eq!(program.kind, ProgramKind::Interpreter(Interpreter::Python));
        assert_eq!(
            program.argv.first().unwrap(),
            text(&venv),
            "the environment is known by this name"
        );
        assert_eq!(program.argv.get(1..).unwrap(), rest);
        assert_eq!(program.grants, expected);
        assert_eq!(program.unpinned, [machine.at("home/py/lib/python3.11/site-packages")]);
        assert_eq!(program.notes, Vec::<String>::new());
    }
}

/// uv makes environments that name the installation through a link for the minor version.
#[test]
fn an_installation_named_by_a_link_is_granted_under_that_name_too() {
    let machine = Machine::new();
    machine.program("home/store/cpython-3.12.7/bin/python3.12", "\x7fELF");
    machine.file("home/store/cpython-3.12.7/lib/python3.12/os.py", "");
    machine.file("home/store/cpython-3.12.7/lib/libpython3.12.so.1.0", "");
    machine.link("home/store/cpython-3.12", "cpython-3.12.7");
    let bin = machine.at("home/store/cpython-3.12/bin");
    machine.link("home/store/cpython-3.12.7/bin/python3", "python3.12");
    machine.file("home/.venv/pyvenv.cfg", &format!("home = {}\n", bin.display()));
    let python = machine.link("home/.venv/bin/python", bin.join("python3.12"));
    machine.file("home/.venv/lib/python3.12/site-packages/server/__main__.py", "");
    let program = machine.program_of(&[text(&python), "-m", "server"]);
    let expected = [
        ".venv",
        "store/cpython-3.12/bin/python3",
        "store/cpython-3.12/bin/python3.12",
        "store/cpython-3.12/lib/libpython3.12.so.1.0",
        "store/cpython-3.12/lib/python3.12",
        "store/cpython-3.12.7/bin/python3.12",
        "store/cpython-3.12.7/lib/libpython3.12.so.1.0",
        "store/cpython-3.12.7/lib/python3.12",
    ];
    assert_eq!(program.grants, expected.map(|name| machine.at("home").join(name)));
}

#[test]
fn an_environment_cannot_name_another_folder_as_its_library() {
    let machine = Machine::new();
    let venv = python(&machine);
    machine.file("home/.ssh/id", "");
    machine.program("home/evil/bin/python3", "\x7fELF");
    machine.link("home/evil/lib/python3.11", machine.at("home/.ssh"));
    machine.link("home/evil/lib/libpython3.11.so", machine.at("home/.ssh/id"));
    machine.file(
        "home/venv/pyvenv.cfg",
        &format!("home = {}\n", machine.at("home/evil/bin").display()),
    );
    let program = machine.program_of(&[text(&venv), "-m", "mcp_server"]);
    let leaks = |program: &Program| {
        program
            .grants
            .iter()
            .any(|path| path.canonicalize().unwrap().starts_with(machine.at("home/.ssh")))
    };
    assert!(!leaks(&program), "{:?}", program.grants);
    fs::remove_file(machine.at("home/evil/bin/python3")).unwrap();
    machine.link("home/evil/bin/python3", machine.at("home/.ssh/id"));
    let program = machine.program_of(&[text(&venv), "-m", "mcp_server"]);
    assert!(!leaks(&program), "{:?}", program.grants);
}

#[test]
fn a_copied_environment_finds_its_installation_by_its_settings() {
    let machine = Machine::new();
    let venv = python(&machine);
    fs::remove_file(&venv).unwrap();
    machine.program("home/venv/bin/python", "\x7fELF");
    let program = machine.program_of(&[text(&venv), "-m", "mcp_server"]);
    assert!(
        program.grants.contains(&machine.at("home/py/lib/python3.11")),
        "{:?}",
        program.grants
    );
}

#[test]
fn packages_installed_in_place_are_parts_of_their_project() {
    let machine = Machine::new();
    let venv = python(&machine);
    fs::create_dir(machine.at("home/project")).unwrap();
    fs::rename(machine.at("home/venv"), machine.at("home/project/.venv")).unwrap();
    let venv = machine.at("home/project/.venv/bin").join(venv.file_name().unwrap());
    let source = machine
        .file("home/project/src/mine/__init__.py", "")
        .parent()
        .unwrap()
        .to_owned();
    let foreign = machine.file("home/.ssh/id", "").parent().unwrap().to_owned();
    let lines = format!(
        "{}\n{}\n{}\nimport x\n",
        source.display(),
        foreign.display(),
        machine.at("home").display()
    );
    machine.file("home/project/.venv/lib/python3.11/site-packages/mine.pth", &lines);
    let program = machine.program_of(&[text(&venv), "-m", "mcp_server"]);
    assert!(program.grants.contains(&source), "{:?}", program.grants);
    assert!(
        !program.grants.iter().any(|grant| foreign.starts_with(grant)),
        "{:?}",
        program.grants
    );
    assert_eq!(
        program
            .notes
            .iter()
            .filter(|note| note.contains("if you trust it"))
            .count(),
        2,
        "{:?}",
        program.notes
    );
}

#[test]
fn a_module_of_the_working_directory_is_said_to_be_one() {
    let machine = Machine::new();
    let venv = python(&machine);
    machine.file("home/local_server.py", "");
    let program = machine.program_of(&[text(&venv), "-m", "local_server"]);
    assert_eq!(program.directory, Some(machine.at("home")));
    assert!(program.grants.contains(&machine.at("home/local_server.py")));
    let unknown = machine.program_of(&[text(&venv), "-m", "nowhere"]);
    assert!(
        unknown.notes.iter().any(|note| note.contains("not found")),
        "{:?}",
        unknown.notes
    );
}

#[test]
fn a_pyenv_shim_leads_to_the_global_version() {
    let machine = Machine::new();
    machine.program("home/.pyenv/shims/python3", "#!/usr/bin/env bash\nexec pyenv exec\n");
    machine.file("home/.pyenv/libexec/pyenv", "");
    machine.file("home/.pyenv/version", "3.12.1\n3.11.7\n");
    machine.file("home/.pyenv/versions/3.11.7/lib/python3.11/os.py", "");
    let real = machine.program("home/.pyenv/versions/3.11.7/bin/python3.11", "\x7fELF");
    machine.link("home/.pyenv/versions/3.11.7/bin/python3", "python3.11");
    machine.file("home/.python-version", "../../evil");
    let script = machine.file("home/server.py", "");
    let program = machine.program_of(&[text(&machine.at("home/.pyenv/shims/python3")), "server.py"]);
    assert_eq!(program.argv, [text(&real), text(&script)]);
    assert!(
        program.notes.iter().any(|note| note.contains("pyenv shim")),
        "{:?}",
        program.notes
    );
    fs::write(machine.at("home/.pyenv/version"), "../../../x\n").unwrap();
    assert!(matches!(
        machine.refusal(&["./.pyenv/shims/python3", "server.py"]),
        LaunchError::Shim { .. }
    ));
}

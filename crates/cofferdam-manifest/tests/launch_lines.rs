//! Launch lines on real layouts: which program is meant, what it consists of, and what is refused.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use cofferdam_manifest::{Interpreter, LaunchError, Program, ProgramKind, understand};
use tempfile::TempDir;

/// A home folder with stand-ins for interpreters: files that begin as executables do.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(machine.at("home")).unwrap();
        for name in ["node", "python3.11", "java", "bash", "ruby", "tool"] {
            machine.program(&format!("sys/bin/{name}"), "\x7fELF");
        }
        machine.link("sys/bin/python3", "python3.11");
        machine
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn program(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name, content);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn link(&self, name: &str, target: impl AsRef<Path>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, &path).unwrap();
        path
    }

    fn understand(&self, line: &[&str]) -> Result<Program, LaunchError> {
        let command: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        let search: OsString = self.at("sys/bin").into();
        understand(&command, &search, &self.at("home"), &self.at("home"))
    }

    fn program_of(&self, line: &[&str]) -> Program {
        self.understand(line)
            .unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    fn refusal(&self, line: &[&str]) -> LaunchError {
        self.understand(line).expect_err("this line is refused")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn grants_without_interpreter(program: &Program) -> Vec<&PathBuf> {
    program
        .grants
        .iter()
        .filter(|path| !path.components().any(|part| part.as_os_str() == "sys"))
        .collect()
}

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

#[test]
fn a_program_where_nothing_can_be_granted_is_refused() {
    let machine = Machine::new();
    machine.link("home/kernel.js", "/proc/self/status");
    assert!(matches!(
        machine.refusal(&["node", "kernel.js"]),
        LaunchError::Forbidden { .. }
    ));
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

//! A home folder with stand-ins for interpreters.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use cofferdam_manifest::{LaunchError, Program, understand};
use tempfile::TempDir;

/// A home folder with stand-ins for interpreters: files that begin as executables do.
pub(crate) struct Machine {
    folder: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn program(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name, content);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, &path).unwrap();
        path
    }

    pub(crate) fn understand(&self, line: &[&str]) -> Result<Program, LaunchError> {
        let command: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        let search: OsString = self.at("sys/bin").into();
        understand(&command, &search, &self.at("home"), &self.at("home"))
    }

    pub(crate) fn program_of(&self, line: &[&str]) -> Program {
        self.understand(line)
            .unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    pub(crate) fn refusal(&self, line: &[&str]) -> LaunchError {
        self.understand(line).expect_err("this line is refused")
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn grants_without_interpreter(program: &Program) -> Vec<&PathBuf> {
    program
        .grants
        .iter()
        .filter(|path| !path.components().any(|part| part.as_os_str() == "sys"))
        .collect()
}

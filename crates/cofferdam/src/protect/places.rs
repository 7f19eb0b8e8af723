//! Files and folders that variables of an entry name: what a server keeps there worked until now, so it is offered as a grant.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cofferdam_inspect::show_safely;
use cofferdam_manifest::{Access, forbidden_grant, looks_secret};

use crate::home::Home;

/// Parts of names under which settings and certificates lie, which a server reads.
const ONLY_READ: [&str; 7] = ["CONFIG", "CERT", "CA", "KEY", "TLS", "SSL", "CREDENTIALS"];
/// Names of variables whose folders are searched for programs and libraries, and never where a server keeps something.
const SEARCHED: [&str; 5] = ["PATH", "PYTHONPATH", "NODE_PATH", "LD_LIBRARY_PATH", "HOME"];
/// Why a project's configuration does not get what it names.
const FOREIGN: &str = "it lies outside of the project whose configuration this is";

/// What variables of an entry name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
    /// Programs to execute.
    pub(super) execute: Vec<String>,
    /// What a person should know, one sentence each.
    pub(super) notes: Vec<String>,
}

/// Whose entry it is.
pub(crate) struct Scope<'a> {
    pub(super) user_home: &'a Path,
    /// Set for a project's own configuration: it may name its own folders and nobody else's.
    pub(super) project: Option<&'a Path>,
    /// The program's own files, which must not become writable.
    pub(super) program: &'a [PathBuf],
}

impl<'a> Scope<'a> {
    pub(crate) fn of(home: &'a Home, project: Option<&'a Path>, program: &'a [PathBuf]) -> Self {
        Self {
            user_home: &home.user_home,
            project,
            program,
        }
    }

    /// Whether a folder that the launch line names may become writable.
    pub(crate) fn may_write(&self, root: &Path) -> bool {
        self.refused(root, Access::Write).is_none()
    }

    /// What the variables name.
    pub(super) fn places(&self, environment: &[(String, String)]) -> Places {
        let mut places = Places::default();
        for (name, value) in environment {
            let path = Path::new(value);
            let is_plain = looks_secret(name, value).is_none() && !SEARCHED.contains(&name.as_str());
            if !is_plain || !path.is_absolute() || value.contains([':', '\0', '\n']) {
                continue;
            }
            let told = self.place(name, path, &mut places);
            let (name, value) = (show_safely(name), show_safely(value));
            places.notes.push(match told {
                Ok(what) => format!("its variable `{name}` names `{value}`: {what}"),
                Err(why) => format!("its variable `{name}` names `{value}`, which it cannot reach: {why}"),
            });
        }
        places
    }

    /// Adds what one variable needs; says what that is, or why it cannot be had.
    fn place(&self, name: &str, path: &Path, places: &mut Places) -> Result<String, String> {
        let real = path.canonicalize();
        let is_there = real.is_ok();
        let parent = || path.parent().and_then(|parent| parent.canonicalize().ok());
        let (root, is_file) = match real {
            Ok(real) if real.is_dir() => (real, false),
            Ok(real) => {
                if is_program(&real) {
                    if self.is_foreign(&real) {
                        return Err(FOREIGN.to_owned());
                    }
                    places.execute.push(real.display().to_string());
                    return Ok("granted for executing".to_owned());
                }
                (real, true)
            }
            Err(_) => (parent().ok_or("its folder is not there")?, false),
        };
        let is_read = name.split('_').any(|part| ONLY_READ.contains(&part));
        let access = if is_read { Access::Read } else { Access::Write };
        // Whoever writes a file anew puts another beside it first, so a file's folder is granted where that is not too much.
        let folder = root.parent().filter(|_| is_file && !is_read).map(Path::to_owned);
        let root = match folder.filter(|folder| self.refused(folder, access).is_none()) {
            Some(folder) => folder,
            None => match self.refused(&root, access) {
                None => root,
                Some(why) if is_there => return Err(why),
                Some(why) => return Err(format!("it is not there yet, and of its folder {why}")),
            },
        };
        let (list, words) = match access {
            Access::Read => (&mut places.read, "reading"),
            _ => (&mut places.write, "writing"),
        };
        if !list.contains(&root) {
            list.push(root.clone());
        }
        Ok(format!(
            "`{}` is granted for {words}",
            show_safely(&root.display().to_string())
        ))
    }

    /// Whether a project's configuration names what is not the project's.
    fn is_foreign(&self, path: &Path) -> bool {
        self.project.is_some_and(|project| !path.starts_with(project))
    }

    /// Why a path is not offered.
    fn refused(&self, path: &Path, access: Access) -> Option<String> {
        if let Some(why) = forbidden_grant(path, access, &[]) {
            return Some(why);
        }
        let is_wide = path.is_dir()
            && (self.user_home.starts_with(path) || path.components().count() <= 2 || path == std::env::temp_dir());
        if is_wide {
            return Some("it holds more than this server's files".to_owned());
        }
        if self.is_foreign(path) {
            return Some(FOREIGN.to_owned());
        }
        let overlaps = |own: &&PathBuf| own.starts_with(path) || path.starts_with(own);
        let own = self.program.iter().find(overlaps).filter(|_| access == Access::Write);
        own.map(|own| format!("`{}` is the server's own program", own.display()))
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Places, Scope};

    fn of(scope: &Scope<'_>, name: &str, value: &Path) -> Places {
        scope.places(&[(name.to_owned(), value.display().to_string())])
    }

    #[test]
    fn a_file_brings_its_folder_unless_that_is_too_much() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().canonicalize().unwrap().join("home");
        fs::create_dir_all(home.join("notes")).unwrap();
        let scope = Scope {
            user_home: &home,
            project: None,
            program: &[],
        };
        assert_eq!(
            of(&scope, "MEMORY_FILE_PATH", &home.join("notes/new.jsonl")).write,
            [home.join("notes")]
        );
        assert_eq!(of(&scope, "NOTES_DIR", &home.join("notes")).write, [home.join("notes")]);
        let settings = of(&scope, "X_CONFIG_DIR", &home.join("notes"));
        assert_eq!((settings.read, settings.write), (vec![home.join("notes")], vec![]));

        let none = of(&scope, "MEMORY_FILE_PATH", &home.join("memory.jsonl"));
        assert!(
            none.write.is_empty() && none.notes[0].contains("not there yet"),
            "{none:?}"
        );
        fs::write(home.join("memory.jsonl"), "").unwrap();
        assert_eq!(
            of(&scope, "MEMORY_FILE_PATH", &home.join("memory.jsonl")).write,
            [home.join("memory.jsonl")]
        );
        for wide in [
            home.as_path(),
            Path::new("/"),
            Path::new("/tmp"),
            Path::new("/usr/share"),
            Path::new("/proc/1"),
        ] {
            assert_eq!(
                of(&scope, "DATA", wide).write,
                Vec::<std::path::PathBuf>::new(),
                "{}",
                wide.display()
            );
        }
        for (name, value) in [
            ("API_TOKEN", home.join("notes")),
            ("PATH", home.join("notes")),
            ("REL", "notes".into()),
        ] {
            assert_eq!(of(&scope, name, &value), Places::default(), "{name}");
        }
    }

    #[test]
    fn a_program_is_executed_and_never_becomes_writable() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().canonicalize().unwrap();
        fs::create_dir_all(home.join("app/data")).unwrap();
        fs::write(home.join("app/server.js"), "").unwrap();
        let program = [home.join("app/server.js")];
        let scope = Scope {
            user_home: Path::new("/home/somebody"),
            project: None,
            program: &program,
        };
        assert_eq!(of(&scope, "CHROME_PATH", Path::new("/bin/sh")).execute.len(), 1);
        assert!(of(&scope, "DATA_FILE", &home.join("app/new.db")).write.is_empty());
        assert_eq!(
            of(&scope, "DATA_DIR", &home.join("app/data")).write,
            [home.join("app/data")]
        );
    }

    #[test]
    fn a_projects_entry_names_its_own_folders_only() {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().canonicalize().unwrap();
        for folder in ["project/data", "diary"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(base.join("diary"), base.join("project/link")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", base.join("project/sh")).unwrap();
        let project = base.join("project");
        let scope = Scope {
            user_home: Path::new("/home/somebody"),
            project: Some(&project),
            program: &[],
        };
        assert_eq!(
            of(&scope, "DATA_DIR", &project.join("data")).write,
            [project.join("data")]
        );
        for outside in [base.join("diary"), project.join("link"), project.join("../diary")] {
            let places = of(&scope, "DATA_DIR", &outside);
            assert!(
                places.write.is_empty() && places.notes[0].contains("outside"),
                "{places:?}"
            );
        }
        for outside in [Path::new("/bin/sh"), &project.join("sh")] {
            let places = of(&scope, "CHROME_PATH", outside);
            assert!(
                places.execute.is_empty() && places.notes[0].contains("outside"),
                "{places:?}"
            );
        }
        let own = project.join("tool");
        fs::write(&own, "").unwrap();
        fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(of(&scope, "TOOL_PATH", &own).execute.len(), 1);
    }
}

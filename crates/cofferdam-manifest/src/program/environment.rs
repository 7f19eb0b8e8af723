//! A Python installation and the virtual environment in front of it: the folders it loads from.

use std::path::{Path, PathBuf};

use super::resolve::Resolved;
use super::{Findings, Surroundings, place, resolve};

/// Path configuration files of one `site-packages` that are read.
const PTH_MAX: usize = 256;
const PTH_BYTES_MAX: u64 = 64 * 1024;
const ENTRIES_MAX: usize = 4096;

/// A Python and the folders it loads from.
pub(super) struct Environment {
    /// The virtual environment, if it is one.
    pub(super) root: Option<PathBuf>,
    /// The real interpreter.
    program: PathBuf,
    /// The names, links kept, under which the environment looks for the interpreter.
    names: Vec<PathBuf>,
    /// True when packages of the installation behind a virtual environment are loaded too.
    system_packages: bool,
}

impl Environment {
    pub(super) fn of(resolved: &Resolved) -> Self {
        let root = resolved
            .name
            .parent()
            .and_then(Path::parent)
            .filter(|root| root.join("pyvenv.cfg").is_file());
        let Some(root) = root else {
            let program = resolved.program.clone();
            return Self {
                root: None,
                program,
                names: Vec::new(),
                system_packages: true,
            };
        };
        let settings = std::fs::read_to_string(root.join("pyvenv.cfg")).unwrap_or_default();
        let setting = |key: &str| {
            let mut pairs = settings.lines().filter_map(|line| line.split_once('='));
            pairs
                .find(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim().to_owned())
        };
        // An environment made with copies names the installation in its settings only.
        let named = setting("home")
            .map(PathBuf::from)
            .filter(|bin| bin.is_absolute())
            .and_then(|bin| python_in(&bin));
        let copied = resolved.program.starts_with(root);
        let behind = named
            .as_ref()
            .filter(|_| copied)
            .and_then(|named| named.canonicalize().ok());
        let mut names = place::links_of(&resolved.name);
        names.extend(named);
        names.retain(|name| !name.starts_with(root));
        Self {
            root: Some(root.to_owned()),
            program: behind.unwrap_or_else(|| resolved.program.clone()),
            names,
            system_packages: setting("include-system-site-packages").is_some_and(|value| value == "true"),
        }
    }

    pub(super) fn parts(&self, around: &Surroundings<'_>, found: &mut Findings) {
        found.parts.push(self.program.clone());
        let is_outside_usr = |path: &&PathBuf| !path.starts_with("/usr");
        found.parts.extend(self.names.iter().filter(is_outside_usr).cloned());
        let installed = self.library_folders();
        for prefix in self.prefixes().iter().filter(is_outside_usr) {
            found.parts.extend(shared_libraries(prefix, around));
        }
        found.parts.extend(installed.iter().filter(is_outside_usr).cloned());
        let Some(root) = &self.root else {
            installed
                .iter()
                .for_each(|folder| editable_packages(&folder.join("site-packages"), None, found));
            return;
        };
        let project = root.parent().filter(|project| !place::is_shared(project, around));
        if !self.system_packages {
            let unused = installed
                .iter()
                .filter(is_outside_usr)
                .map(|folder| folder.join("site-packages"));
            found.unpinned.extend(unused.filter(|folder| folder.is_dir()));
        }
        for folder in library_folders(root) {
            editable_packages(&folder.join("site-packages"), project, found);
        }
        found.parts.push(root.clone());
    }

    /// Where the interpreter is installed, under each name by which it is looked for.
    fn prefixes(&self) -> Vec<PathBuf> {
        let programs = self.names.iter().chain(std::iter::once(&self.program));
        let mut prefixes: Vec<PathBuf> = programs
            .filter_map(|path| Some(path.parent()?.parent()?.to_owned()))
            .collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }

    /// The standard library, `PREFIX/lib/pythonX.Y`: of this very version, or of each when the program's name tells
    /// none. What does not hold `os.py` is no standard library, whatever a link calls it.
    fn library_folders(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = self
            .prefixes()
            .iter()
            .flat_map(|prefix| library_folders(prefix))
            .collect();
        all.retain(|folder| folder.join("os.py").is_file());
        let version = self.program.file_name();
        let same: Vec<PathBuf> = all
            .iter()
            .filter(|folder| folder.file_name() == version)
            .cloned()
            .collect();
        if same.is_empty() { all } else { same }
    }

    /// True when a module can be found among the installed packages or in the standard library.
    pub(super) fn knows(&self, module: &str) -> bool {
        let mut folders = self.root.as_deref().map(library_folders).unwrap_or_default();
        folders.extend(self.library_folders());
        let mut places = folders
            .iter()
            .flat_map(|folder| [folder.join("site-packages"), folder.clone()]);
        places.any(|folder| folder.join(module).is_dir() || folder.join(format!("{module}.py")).is_file())
    }
}

/// `lib/pythonX.Y` and `lib64/pythonX.Y` of a prefix, one of them when one is a link to the other.
fn library_folders(prefix: &Path) -> Vec<PathBuf> {
    let candidates = ["lib", "lib64"]
        .into_iter()
        .flat_map(|lib| place::entries(&prefix.join(lib), ENTRIES_MAX));
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        (name.starts_with("python") || name.starts_with("pypy")) && name.contains('.') && path.is_dir()
    };
    let mut folders: Vec<PathBuf> = candidates.filter(named).collect();
    folders.sort();
    folders.dedup_by_key(|folder| folder.canonicalize().unwrap_or_else(|_| folder.clone()));
    folders
}

/// The libraries an installation outside `/usr` brings: all of `lib` for Conda, `libpython` otherwise. Links keep their
/// names: the loader looks for those.
fn shared_libraries(prefix: &Path, around: &Surroundings<'_>) -> Vec<PathBuf> {
    let lib = prefix.join("lib");
    if prefix.join("conda-meta").is_dir() && !place::is_shared(prefix, around) {
        return vec![lib];
    }
    let libpython = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let real = path.canonicalize().ok();
        let same_kind = real.and_then(|real| {
            real.file_name()
                .map(|name| name.to_string_lossy().starts_with("libpython"))
        });
        name.starts_with("libpython") && name.contains(".so") && same_kind == Some(true)
    };
    place::entries(&lib, ENTRIES_MAX)
        .into_iter()
        .filter(libpython)
        .collect()
}

/// The interpreter in a `bin` folder, by the name it has there. It has to be a program: a link may lead anywhere.
fn python_in(bin: &Path) -> Option<PathBuf> {
    let mut names = ["python3", "python"].iter().map(|name| bin.join(name));
    names.find(|path| path.is_file() && resolve::is_native(path))
}

/// Packages installed in place (`pip install -e`) are named by path configuration files. Those of the project the
/// environment lies in are parts; others are only told of: whoever wrote the environment must not choose what else of
/// the disk is granted.
fn editable_packages(site_packages: &Path, project: Option<&Path>, found: &mut Findings) {
    let is_pth = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "pth");
    for file in place::entries(site_packages, ENTRIES_MAX)
        .into_iter()
        .filter(is_pth)
        .take(PTH_MAX)
    {
        let small = file.metadata().is_ok_and(|metadata| metadata.len() <= PTH_BYTES_MAX);
        let text = small
            .then(|| std::fs::read_to_string(&file).ok())
            .flatten()
            .unwrap_or_default();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if name.starts_with("__editable__") && text.contains("import ") {
            found.note(format!(
                "`{name}` loads a package installed in place: add its folder to `launch.program`"
            ));
        }
        for folder in text
            .lines()
            .filter_map(|line| site_packages.join(line.trim()).canonicalize().ok())
        {
            if folder.starts_with("/usr") || folder.starts_with(site_packages) || !folder.is_dir() {
                continue;
            }
            let shown = folder.display();
            if project.is_some_and(|project| folder.starts_with(project)) {
                found.note(format!("a package installed in place is granted too: `{shown}`"));
                found.parts.push(folder);
            } else {
                found.note(format!(
                    "`{name}` loads from `{shown}`: add it to `launch.program` if you trust it"
                ));
            }
        }
    }
}

//! Node.js (and Bun): a script and the packages it can load.

use std::path::{Component, Path, PathBuf};

use super::arguments::{Line, absolute};
use super::resolve::Resolved;
use super::{Findings, LaunchError, Surroundings, launcher, place};

/// Options whose value is the next word.
const WITH_VALUE: &[&str] = &[
    "-C",
    "--conditions",
    "--input-type",
    "--title",
    "--inspect-port",
    "--env-file",
    "--env-file-if-exists",
    "--stack-trace-limit",
    "--icu-data-dir",
    "--openssl-config",
    "--disable-warning",
    "--diagnostic-dir",
];
/// Options whose value is a module that is loaded first.
const LOADS: &[&str] = &["-r", "--require", "--import", "--loader", "--experimental-loader"];
/// Endings Node tries where a script's name has none.
const ENDINGS: &[&str] = &["js", "mjs", "cjs", "json"];
/// Packages of one `node_modules` that are looked at for links out of it.
const PACKAGES_MAX: usize = 4096;

pub(super) fn parts(
    resolved: &Resolved,
    line: &mut Line<'_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Result<(), LaunchError> {
    found.argv.push(place::utf8(&resolved.program)?);
    found.parts.push(resolved.program.clone());
    let mut inline = false;
    line.options(found, |word, line, found| {
        let (name, value) = word
            .split_once('=')
            .map_or((word, None), |(name, value)| (name, Some(value)));
        if matches!(name, "-e" | "--eval" | "-p" | "--print" | "-pe" | "--run") {
            inline = true;
            line.value(found);
        } else if LOADS.contains(&name) {
            let module = value.or_else(|| line.take()).unwrap_or("");
            let loaded = preload(module, around, found)?;
            if value.is_some() {
                found.argv.pop();
                found.argv.push(format!("{name}={loaded}"));
            } else {
                found.argv.push(loaded);
            }
        } else if WITH_VALUE.contains(&name) && value.is_none() {
            line.value(found);
        }
        Ok(true)
    })?;
    if inline {
        found.note("the launch line carries its code itself; no script is granted");
        return Ok(());
    }
    if line.peek() == Some("run") && resolved.name.file_name().is_some_and(|name| name == "bun") {
        line.value(found);
    }
    let Some(word) = line.take() else {
        found.note("the launch line names no script: Node will read its program from the client");
        return Ok(());
    };
    let script = script_file(word, around).ok_or_else(|| LaunchError::ScriptNotFound(word.to_owned()))?;
    let name = script.file_name().and_then(|name| name.to_str()).unwrap_or("");
    launcher::refuse_installs(name, line.rest())?;
    place::tell_link(&absolute(word, around), &script, found);
    found.argv.push(place::utf8(&script)?);
    packages_of(&script, around, found);
    Ok(())
}

/// A module loaded in front of the script, by path or by name; gives the word that names it from any folder.
fn preload(module: &str, around: &Surroundings<'_>, found: &mut Findings) -> Result<String, LaunchError> {
    let by_path = module.starts_with(['.', '/']);
    if !by_path {
        found.note(format!(
            "`{module}` is loaded first: it is looked for in the working directory's packages"
        ));
        return Ok(module.to_owned());
    }
    let file = script_file(module, around).ok_or_else(|| LaunchError::ScriptNotFound(module.to_owned()))?;
    packages_of(&file, around, found);
    place::utf8(&file)
}

/// The real file of a script as Node would find it.
fn script_file(word: &str, around: &Surroundings<'_>) -> Option<PathBuf> {
    let path = absolute(word, around);
    let with_ending = |path: &Path, ending: &str| PathBuf::from(format!("{}.{ending}", path.display()));
    let mut candidates = vec![path.clone()];
    candidates.extend(ENDINGS.iter().map(|ending| with_ending(&path, ending)));
    if let Some(main) = main_of(&path) {
        candidates.extend(ENDINGS.iter().map(|ending| with_ending(&main, ending)));
        candidates.push(main);
    }
    candidates.push(path.join("index.js"));
    candidates
        .into_iter()
        .find(|file| file.is_file())
        .and_then(|file| file.canonicalize().ok())
}

/// The script a folder's `package.json` names.
fn main_of(folder: &Path) -> Option<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Package {
        main: String,
    }
    let file = folder.join("package.json");
    let small = file.metadata().is_ok_and(|metadata| metadata.len() <= 1024 * 1024);
    let text = small.then(|| std::fs::read_to_string(file).ok()).flatten()?;
    let package: Package = serde_json::from_str(&text).ok()?;
    let main = folder.join(package.main);
    // A package that names a script outside itself would have that file granted.
    let leaves = main.components().any(|part| part == Component::ParentDir) || !main.starts_with(folder);
    (!leaves).then_some(main)
}

/// The files a script can load: its package tree, its project, or itself alone.
fn packages_of(script: &Path, around: &Surroundings<'_>, found: &mut Findings) {
    if let Some(modules) = script.ancestors().filter(|folder| is_modules(folder)).last() {
        package_tree(script, modules, around, found);
        return;
    }
    let Some(project) = place::project_of(script, &["package.json"], around) else {
        found.parts.push(script.to_owned());
        return;
    };
    let above = project
        .ancestors()
        .skip(1)
        .take_while(|folder| !place::is_shared(folder, around));
    for modules in above
        .map(|folder| folder.join("node_modules"))
        .filter(|modules| modules.is_dir())
    {
        linked_packages(&modules, around, found);
        found.parts.push(modules);
    }
    linked_packages(&project.join("node_modules"), around, found);
    found.unpinned.extend(
        [".git", "node_modules/.cache"]
            .map(|name| project.join(name))
            .into_iter()
            .filter(|folder| folder.is_dir()),
    );
    found.parts.push(project);
}

/// The outermost `node_modules` the script is in, with the `package.json` beside it; of a machine-wide folder, where
/// each package brings its own, that package alone.
fn package_tree(script: &Path, modules: &Path, around: &Surroundings<'_>, found: &mut Findings) {
    let manifest = modules
        .parent()
        .map(|folder| folder.join("package.json"))
        .filter(|file| file.is_file());
    let machine_wide = manifest.is_none() && modules.parent().is_some_and(|folder| folder.ends_with("lib"));
    if !machine_wide {
        linked_packages(modules, around, found);
        found.parts.extend(manifest);
        found.parts.push(modules.to_owned());
        return;
    }
    let scoped = |name: &str| if name.starts_with('@') { 2 } else { 1 };
    let inner: Vec<&Path> = script
        .strip_prefix(modules)
        .map(|inner| inner.iter().map(Path::new).collect())
        .unwrap_or_default();
    let depth = inner.first().and_then(|name| name.to_str()).map_or(1, scoped);
    found.parts.push(
        inner
            .iter()
            .take(depth)
            .fold(modules.to_owned(), |folder, name| folder.join(name)),
    );
}

fn is_modules(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == "node_modules")
}

/// Packages that are links to elsewhere in the project (workspaces) are parts of the program too. A link that leaves
/// the project is only told of: whoever wrote the project must not choose what else of the disk is granted.
fn linked_packages(modules: &Path, around: &Surroundings<'_>, found: &mut Findings) {
    let Some(project) = modules.parent().filter(|project| !place::is_shared(project, around)) else {
        return;
    };
    let top = place::entries(modules, PACKAGES_MAX);
    let scopes = top.iter().filter(|path| name_of(path).starts_with('@'));
    let scoped: Vec<PathBuf> = scopes.flat_map(|scope| place::entries(scope, PACKAGES_MAX)).collect();
    for package in top.into_iter().chain(scoped).filter(|path| path.is_symlink()) {
        let Ok(target) = package.canonicalize() else { continue };
        if !target.is_dir() || target.starts_with(modules) {
            continue;
        }
        let (package, shown) = (name_of(&package), target.display());
        if target.starts_with(project) && target != project {
            found.note(format!(
                "the package `{package}` is a link to `{shown}`, which is granted too"
            ));
            found.parts.push(target);
        } else {
            found.note(format!(
                "the package `{package}` is a link to `{shown}`: add it to `launch.program` if you trust it"
            ));
        }
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

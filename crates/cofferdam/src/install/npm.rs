//! Packages of npm.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cofferdam_manifest::{Endpoint, Package, Program};
use cofferdam_sandbox::{Plan, Programs};
use serde_json::Value;

use super::age::{AGE_MIN, rfc_3339};
use super::registry::Registry;
use super::{Exceptions, Hidden, Installed, NotInstalled, PackageLine, Reach, Staging, run_recorded, store};
use crate::cli::understood;
use crate::egress::Grants;
use crate::failure::{Failure, file_failure};
use crate::gate::escaped;
use crate::home::Home;

/// Private files of an install: npm unpacks there what it has fetched.
const DISK_BYTES: u64 = 4 << 30;
/// A description of an install, or of a package, is not longer.
const DESCRIPTION_BYTES_MAX: u64 = 32 << 20;
/// Packages with install scripts that are named.
const NAMED_MAX: usize = 5;

/// Installs the package of a line into the store.
///
/// # Errors
/// npm cannot be found, fails, or takes something from elsewhere than its registry; or the store cannot be written.
pub(super) fn install(home: &Home, server: &str, line: &PackageLine, but: Exceptions) -> Result<Installed, Failure> {
    let registry = Registry::of_npm(&line.name)?;
    let staging = store::staging(home)?;
    let plan = plan(home, &registry, &staging, line, but)?;
    let reach = reach(&registry);
    run_recorded(home, server, &plan, reach.clone()).map_err(|NotInstalled { failure, .. }| {
        let is_young = !but.young && failure.what.contains("ETARGET");
        match is_young {
            true => failure.help("versions younger than 48 hours are taken with `--young` only"),
            false => failure,
        }
    })?;
    if but.scripts {
        let rebuild = rebuild(home, &registry, &staging)?;
        run_recorded(home, server, &rebuild, reach).map_err(|not| not.failure)?;
    }
    let (mut package, scripts) = checked(&staging.folder, line, &registry)?;
    package.exceptions = but.names();
    let (folder, held) = store::keep(
        home,
        staging,
        &format!("npm-{}-{}", line.name.replace('/', "-"), package.version),
    )?;
    let mut notes = vec![format!(
        "installed {} {} from {}, without its dependencies' scripts",
        package.name, package.version, registry.endpoint.host
    )];
    notes.extend(registry.proxy.as_ref().map(|proxy| through(&proxy.endpoint)));
    match (scripts.is_empty(), but.scripts) {
        (true, _) => {}
        (false, true) => notes.push(format!("install scripts ran, as you said: {}", listed(&scripts))),
        (false, false) => notes.push(format!(
            "install scripts that did not run: {} (`--scripts` runs them, in the compartment that reaches the registry only)",
            listed(&scripts)
        )),
    }
    let entry = entry(&folder, line)?;
    let mut command = vec!["node".to_owned(), entry.display().to_string()];
    command.extend(line.arguments.iter().cloned());
    Ok(Installed {
        package,
        command,
        notes,
        held,
    })
}

/// npm in a compartment that writes one folder and reaches one host.
fn plan(
    home: &Home,
    registry: &Registry,
    staging: &Staging,
    line: &PackageLine,
    but: Exceptions,
) -> Result<Plan, Failure> {
    let spec = match &line.wanted {
        Some(wanted) => format!("{}@{wanted}", line.name),
        None => line.name.clone(),
    };
    let folder = staging.folder.display().to_string();
    let mut words: Vec<String> = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        .map(str::to_owned)
        .into();
    words.extend(["--omit=dev", "--loglevel=error", "--prefix", &folder].map(str::to_owned));
    if !but.young {
        let newest = crate::cli::now().checked_sub(AGE_MIN).unwrap_or(SystemTime::UNIX_EPOCH);
        words.push(format!("--before={}", rfc_3339(newest)));
    }
    words.extend(["--".to_owned(), spec]);
    let mut plan = base(home, registry, staging, &words)?;
    let credentials = registry.credentials.iter();
    plan.environment
        .extend(credentials.map(|(name, value)| (name.clone(), value.0.clone())));
    Ok(plan)
}

/// What npm may reach, and what must not be repeated of what it says.
fn reach(registry: &Registry) -> Reach {
    let mut secrets: Vec<Hidden> = registry.credentials.iter().map(|(_, value)| value.clone()).collect();
    let grants = match &registry.proxy {
        Some(proxy) => {
            secrets.extend(proxy.secrets());
            proxy.grants()
        }
        None => Grants::of_registry(std::slice::from_ref(&registry.endpoint)),
    };
    Reach { grants, secrets }
}

/// The install scripts of what was installed, without the registry's credentials.
fn rebuild(home: &Home, registry: &Registry, staging: &Staging) -> Result<Plan, Failure> {
    let folder = staging.folder.display().to_string();
    let words = [
        "npm",
        "rebuild",
        "--no-ignore-scripts",
        "--loglevel=error",
        "--prefix",
        &folder,
    ];
    let mut plan = base(home, registry, staging, &words.map(str::to_owned))?;
    plan.programs = Programs::Any;
    Ok(plan)
}

fn base(home: &Home, registry: &Registry, staging: &Staging, words: &[String]) -> Result<Plan, Failure> {
    let program: Program = understood(home, words, None)?;
    let mut plan = Plan::sealed(program.argv.first().map(String::as_str).unwrap_or_default());
    plan.command = program.argv;
    plan.read = program.grants;
    plan.write = vec![staging.folder.clone()];
    plan.directory = staging.folder.clone();
    plan.ports = vec![
        registry
            .proxy
            .as_ref()
            .map_or(registry.endpoint.port, |proxy| proxy.endpoint.port),
    ];
    plan.limits.disk_bytes = DISK_BYTES;
    let mut variable = |name: &str, value: &str| plan.environment.push((name.to_owned(), value.to_owned()));
    variable("npm_config_registry", &registry.address);
    variable("npm_config_cache", "/tmp/npm");
    variable("npm_config_update_notifier", "false");
    if let Some(proxy) = &registry.proxy {
        variable("npm_config_https_proxy", &proxy.address.0);
    }
    if let Some(authorities) = &registry.authorities {
        variable("NODE_EXTRA_CA_CERTS", &authorities.display().to_string());
        plan.read.push(authorities.clone());
    }
    Ok(plan)
}

/// What npm says that it installed: the package itself, and those with install scripts. Everything has to come from the registry.
fn checked(folder: &Path, line: &PackageLine, registry: &Registry) -> Result<(Package, Vec<String>), Failure> {
    let lock = described(&folder.join("node_modules/.package-lock.json"))?;
    let packages = lock.get("packages").and_then(Value::as_object);
    let packages = packages.ok_or_else(|| Failure::misconfigured("npm does not tell what it installed"))?;
    let own = format!("node_modules/{}", line.name);
    let (mut package, mut scripts) = (None, Vec::new());
    for (path, entry) in packages {
        let name = path
            .rsplit_once("node_modules/")
            .map_or(path.as_str(), |(_, name)| name);
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let (from, integrity) = (text("resolved"), text("integrity"));
        let is_of_registry = from.starts_with("https://") && entry.get("link") != Some(&Value::Bool(true));
        if !is_of_registry || !integrity.starts_with("sha") {
            return Err(Failure::misconfigured(format!(
                "`{}` does not come from the registry with a digest: `{}`",
                escaped(name.as_bytes()),
                escaped(from.as_bytes())
            ))
            .help("packages from git, an address or a folder are not installed apart"));
        }
        if entry.get("hasInstallScript") == Some(&Value::Bool(true)) {
            scripts.push(escaped(name.as_bytes()));
        }
        if *path == own {
            package = Some(Package {
                registry: "npm".to_owned(),
                name: line.name.clone(),
                version: text("version").to_owned(),
                integrity: integrity.to_owned(),
                exceptions: Vec::new(),
            });
        }
    }
    let package = package.ok_or_else(|| {
        Failure::misconfigured(format!(
            "npm installed no `{}` from {}",
            line.name, registry.endpoint.host
        ))
    })?;
    Ok((package, scripts))
}

/// The file of the package that the line starts, as npm's launcher finds it.
fn entry(folder: &Path, line: &PackageLine) -> Result<PathBuf, Failure> {
    let own = folder.join("node_modules").join(&line.name);
    let description = described(&own.join("package.json"))?;
    let plain = line.name.rsplit('/').next().unwrap_or_default();
    let bin = description.get("bin");
    let file = match (bin, &line.program) {
        (Some(Value::String(file)), None) => Some(file.as_str()),
        (Some(Value::String(file)), Some(program)) if program == plain => Some(file.as_str()),
        (Some(Value::Object(programs)), Some(program)) => programs.get(program).and_then(Value::as_str),
        (Some(Value::Object(programs)), None) => {
            let only = programs.values().next().filter(|_| programs.len() == 1);
            programs.get(plain).or(only).and_then(Value::as_str)
        }
        _ => None,
    };
    let none = || {
        let wanted = line.program.as_deref().unwrap_or(plain);
        Failure::misconfigured(format!("the package `{}` has no program `{wanted}`", line.name))
            .help("name one with `npx -p PACKAGE PROGRAM`")
    };
    let path = own.join(file.ok_or_else(none)?);
    let real = path
        .canonicalize()
        .map_err(|cause| file_failure("find the program", &path, &cause))?;
    if real.starts_with(folder) {
        Ok(real)
    } else {
        Err(Failure::misconfigured(format!(
            "the program of `{}` lies outside of what was installed",
            line.name
        )))
    }
}

fn described(path: &Path) -> Result<Value, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(DESCRIPTION_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|cause| file_failure("read", path, &cause))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::misconfigured(format!("`{}` is not readable: {error}", path.display())))
}

/// What a person should know of a proxy.
pub(super) fn through(proxy: &Endpoint) -> String {
    format!("the install reached the proxy {proxy} and nothing else; where that leads, the proxy decides")
}

fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    match names.len().checked_sub(NAMED_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

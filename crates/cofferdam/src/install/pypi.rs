//! Packages of Python's index, by `uv`: resolved to exact wheels with their digests, then installed from that list alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use cofferdam_manifest::{Endpoint, Package};
use cofferdam_sandbox::{Plan, Programs};
use toml::{Table, Value};

use super::age::{AGE_MIN, rfc_3339};
use super::configured::{Proxy, password_in, pip_indexes};
use super::npm::through;
use super::registry::{authority, endpoint, unusable_proxy};
use super::{
    Exceptions, Hidden, Installed, NotInstalled, PackageLine, Reach, Staging, run_recorded, store, without_secrets,
};
use crate::cli::understood;
use crate::egress::Grants;
use crate::failure::{Failure, file_failure};
use crate::gate::escaped;
use crate::home::Home;

/// Private files of an install: uv unpacks there what it has fetched.
const DISK_BYTES: u64 = 4 << 30;
/// A list of what was resolved is not longer.
const LIST_BYTES_MAX: u64 = 32 << 20;
/// Hosts of one index: its pages, its files, a mirror or two.
const HOSTS_MAX: usize = 4;
/// uv's own variables that say where packages come from and whom to trust, and the usual one for the latter.
const PASSED: [&str; 7] = [
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "SSL_CERT_FILE",
];
/// What a person can do about a package that has to be built.
const NO_WHEEL: &str = "`--build` builds sources in the compartment that reaches the index only; packages from git, an address or a folder are not installed apart";
/// The list, as PEP 751 names it.
const LIST: &str = "pylock.toml";

/// Installs the package of a line into the store.
///
/// # Errors
/// uv cannot be found, fails, or takes something else than wheels with digests; or the store cannot be written.
pub(super) fn install(home: &Home, server: &str, line: &PackageLine, but: Exceptions) -> Result<Installed, Failure> {
    let staging = store::staging(home)?;
    let uv = Uv::new(line)?;
    let index = Index::configured()?;
    let spec = format!("{}{}", line.name, line.wanted.as_deref().unwrap_or_default());
    write(&staging.folder.join("wanted.in"), &format!("{spec}\n"))?;
    uv.make_environment(&staging.folder)?;
    let mut hosts = index.hosts.clone();
    let proxy = index.proxy()?;
    if but.build {
        index.check_build(proxy.as_ref())?;
    }
    let mut resolve = uv.plan(home, &staging, &index, ("compile", but))?;
    resolve
        .command
        .extend(["--no-header", "--format", LIST, "-o", LIST].map(str::to_owned));
    if !but.young {
        let newest = crate::cli::now().checked_sub(AGE_MIN).unwrap_or(SystemTime::UNIX_EPOCH);
        resolve.command.extend(["--exclude-newer".to_owned(), rfc_3339(newest)]);
    }
    resolve.command.push("wanted.in".to_owned());
    index
        .resolved(home, server, &resolve, (&mut hosts, proxy.as_ref()))
        .map_err(|failure| match but.young {
            _ if !but.build && failure.what.contains("no usable wheels") => failure.help(NO_WHEEL),
            true => failure,
            false => failure.help(
                "versions younger than 48 hours, or of an index that does not say how old they are, need `--young`",
            ),
        })?;
    index.take_out(&staging.folder.join(LIST))?;
    let mut package = checked(&staging.folder.join(LIST), (line, but), &mut hosts)?;
    package.exceptions = but.names();
    let mut fetch = uv.plan(home, &staging, &index, ("install", but))?;
    fetch
        .command
        .extend(["--link-mode", "copy", "--no-deps", "-r", LIST].map(str::to_owned));
    let reach = index.reach(&hosts, proxy.as_ref(), &mut fetch);
    run_recorded(home, server, &fetch, reach).map_err(|not| not.failure)?;
    let program = program(&staging.folder, line)?;
    let (folder, held) = store::keep(home, staging, &format!("python-{}-{}", line.name, package.version))?;
    let command = started(&folder, &program, line)?;
    let hosts: Vec<String> = hosts.into_iter().map(|endpoint| endpoint.host).collect();
    let note = format!(
        "installed {} {} from {}, {}",
        package.name,
        package.version,
        hosts.join(" and "),
        if but.build {
            "sources built as you said"
        } else {
            "wheels only"
        }
    );
    Ok(Installed {
        package,
        command,
        notes: std::iter::once(note)
            .chain(proxy.iter().map(|proxy| through(&proxy.endpoint)))
            .collect(),
        held,
    })
}

fn ports(hosts: &[Endpoint]) -> Vec<u16> {
    let mut ports: Vec<u16> = hosts.iter().map(|host| host.port).chain([443]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// uv and the interpreter that it chooses.
struct Uv {
    python: PathBuf,
}

impl Uv {
    fn new(line: &PackageLine) -> Result<Self, Failure> {
        let request = line.python.as_deref();
        let words = ["python", "find", "--no-python-downloads", "--no-project", "--offline"];
        let found = outside(words.iter().copied().chain(request))?;
        let python = PathBuf::from(found.trim());
        if python.is_absolute() {
            Ok(Self { python })
        } else {
            Err(Failure::misconfigured("uv found no Python interpreter")
                .help("install Python, or name the server's program"))
        }
    }

    /// An empty virtual environment whose programs can be moved with it.
    fn make_environment(&self, folder: &Path) -> Result<(), Failure> {
        let (python, environment) = (
            self.python.display().to_string(),
            folder.join("venv").display().to_string(),
        );
        let words = [
            "venv",
            "--quiet",
            "--offline",
            "--no-config",
            "--no-project",
            "--relocatable",
            "--python",
        ];
        outside(words.into_iter().chain([python.as_str(), environment.as_str()])).map(drop)
    }

    /// uv in a compartment that writes one folder.
    fn plan(
        &self,
        home: &Home,
        staging: &Staging,
        index: &Index,
        (verb, but): (&str, Exceptions),
    ) -> Result<Plan, Failure> {
        let python = staging.folder.join("venv/bin/python").display().to_string();
        let mut words = ["uv", "pip", verb, "--quiet", "--no-progress"]
            .map(str::to_owned)
            .to_vec();
        if !but.build {
            words.push("--no-build".to_owned());
        }
        let uv = understood(home, &words, None)?;
        let interpreter = understood(home, &[self.python.display().to_string()], None)?;
        let mut plan = Plan::sealed(uv.argv.first().map(String::as_str).unwrap_or_default());
        // Added as it is: behind the link lies the interpreter without its environment.
        plan.command = [uv.argv, vec!["--python".to_owned(), python]].concat();
        plan.program_files = [uv.grants, interpreter.grants].concat();
        plan.read.clone_from(&index.files);
        // uv asks the interpreter what it is.
        let real = self
            .python
            .canonicalize()
            .map_err(|cause| file_failure("find", &self.python, &cause))?;
        plan.programs = if but.build {
            Programs::Any
        } else {
            Programs::Only(vec![real])
        };
        plan.write = vec![staging.folder.clone()];
        plan.directory = staging.folder.clone();
        plan.limits.disk_bytes = DISK_BYTES;
        plan.environment.extend(index.variables.iter().cloned());
        let fixed = [
            ("UV_CACHE_DIR", "/tmp/uv"),
            ("UV_HTTP_RETRIES", "1"),
            ("UV_PYTHON_DOWNLOADS", "never"),
        ];
        plan.environment
            .extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(plan)
    }
}

/// Runs uv for something that needs no network, where no project has a configuration.
fn outside<'a>(words: impl Iterator<Item = &'a str>) -> Result<String, Failure> {
    let mut uv = Command::new("uv");
    uv.args(words).current_dir("/").stdin(Stdio::null());
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT", "UV_CONFIG_FILE"] {
        uv.env_remove(variable);
    }
    let output = uv.output().map_err(|cause| {
        Failure::misconfigured(format!(
            "`uv`, which installs packages of Python apart, cannot be started: {cause}"
        ))
        .help("install uv, or install the package yourself and name its program, e.g. `…/.venv/bin/python -m MODULE`")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(Failure::misconfigured(format!(
        "uv failed: {}",
        escaped(said.as_bytes())
    )))
}

/// Where packages come from by the user's and the system's configuration.
#[derive(Debug, Default)]
struct Index {
    /// The hosts of the addresses that are configured; none where uv's own default counts.
    hosts: Vec<Endpoint>,
    /// Files that uv reads inside.
    files: Vec<PathBuf>,
    /// Passwords in the addresses.
    secrets: Vec<Hidden>,
    variables: Vec<(String, String)>,
}

impl Index {
    fn configured() -> Result<Self, Failure> {
        let mut index = Self::default();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        for name in PASSED {
            let Some(value) = set(name) else { continue };
            if name == "SSL_CERT_FILE" {
                index.files.push(PathBuf::from(&value));
            } else if name.contains("INDEX") {
                // `name=address` is uv's form for an index with a name.
                for address in value.split_whitespace() {
                    index.grant(address.split_once('=').map_or(address, |(_, address)| address))?;
                }
            }
            index.variables.push((name.to_owned(), value));
        }
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
        let user = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
        let user = user.filter(|folder| folder.is_absolute());
        let files = user.iter().map(|folder| folder.join("uv/uv.toml"));
        for file in files.chain([PathBuf::from("/etc/uv/uv.toml")]) {
            if !file.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(&file).map_err(|cause| file_failure("read", &file, &cause))?;
            let settings: Table = toml::from_str(&text)
                .map_err(|error| Failure::misconfigured(format!("`{}` is not TOML: {error}", file.display())))?;
            addresses(&settings)
                .into_iter()
                .try_for_each(|address| index.grant(address))?;
            index.files.push(file);
        }
        if index.hosts.is_empty() {
            index.as_pip_has_it(user.as_deref())?;
        }
        if let Some(user) = user {
            index
                .variables
                .push(("XDG_CONFIG_HOME".to_owned(), user.display().to_string()));
        }
        Ok(index)
    }

    /// pip's own index, for whoever configured pip and not uv.
    fn as_pip_has_it(&mut self, user: Option<&Path>) -> Result<(), Failure> {
        let set = std::env::var("PIP_INDEX_URL").ok().filter(|value| !value.is_empty());
        let file = user.map(|user| user.join("pip/pip.conf"));
        let files: Vec<&Path> = file
            .iter()
            .map(PathBuf::as_path)
            .chain([Path::new("/etc/pip.conf")])
            .collect();
        for address in set.into_iter().chain(pip_indexes(&files)).take(1) {
            self.grant(&address)?;
            self.variables.push(("UV_DEFAULT_INDEX".to_owned(), address));
        }
        Ok(())
    }

    /// The proxy through which the index is reached.
    fn proxy(&self) -> Result<Option<Proxy>, Failure> {
        let host = self
            .hosts
            .first()
            .map(|endpoint| endpoint.host.as_str())
            .unwrap_or_default();
        let proxy = Proxy::of_environment(host).transpose();
        proxy.map_err(|()| unusable_proxy("this environment"))
    }

    /// What is built runs beside uv, as the same user, and would see every password that uv has.
    fn check_build(&self, proxy: Option<&Proxy>) -> Result<(), Failure> {
        let has_secret = !self.secrets.is_empty() || proxy.is_some_and(|proxy| !proxy.secrets().is_empty());
        if !has_secret {
            return Ok(());
        }
        Err(Failure::misconfigured(
            "`--build` runs code of the package, and the index or the proxy that uv is configured to use has a password that this code would see",
        )
        .help("build a wheel elsewhere and put it into the index, or use an index and a proxy without a password"))
    }

    /// What uv may reach: the hosts, or the proxy and nothing else. The plan gets its ports and the proxy's address.
    fn reach(&self, hosts: &[Endpoint], proxy: Option<&Proxy>, plan: &mut Plan) -> Reach {
        let mut secrets = self.secrets.clone();
        let grants = match proxy {
            Some(proxy) => {
                plan.ports = vec![proxy.endpoint.port];
                plan.environment.retain(|(name, _)| name != "HTTPS_PROXY");
                plan.environment
                    .push(("HTTPS_PROXY".to_owned(), proxy.address.0.clone()));
                secrets.extend(proxy.secrets());
                proxy.grants()
            }
            None => {
                plan.ports = ports(hosts);
                Grants::of_registry(hosts)
            }
        };
        Reach { grants, secrets }
    }

    /// Resolves, and learns on the way which hosts an index that nobody configured consists of: uv knows its own, and that keeps its files
    /// where it says. A host that is asked for by name is granted in the next round, until nothing is missing.
    fn resolved(
        &self,
        home: &Home,
        server: &str,
        plan: &Plan,
        (hosts, proxy): (&mut Vec<Endpoint>, Option<&Proxy>),
    ) -> Result<(), Failure> {
        let mut plan = plan.clone();
        loop {
            let reach = self.reach(hosts, proxy, &mut plan);
            let NotInstalled { failure, refused } = match run_recorded(home, server, &plan, reach) {
                Ok(_said) => return Ok(()),
                Err(not) => not,
            };
            let asked = refused.iter().filter_map(|name| format!("{name}:443").parse().ok());
            let new: Vec<Endpoint> = asked
                .filter(|endpoint: &Endpoint| endpoint.is_public_name() && !hosts.contains(endpoint))
                .collect();
            let is_new = new.first().cloned().filter(|_| hosts.len() < HOSTS_MAX);
            hosts.push(is_new.ok_or(failure)?);
        }
    }

    /// Takes passwords out of the list that stays in the store.
    fn take_out(&self, list: &Path) -> Result<(), Failure> {
        let text = std::fs::read_to_string(list).map_err(|cause| file_failure("read", list, &cause))?;
        let without = without_secrets(&text, &self.secrets);
        if without == text {
            return Ok(());
        }
        write(list, &without)
    }

    fn grant(&mut self, address: &str) -> Result<(), Failure> {
        // What stands there may hold a password, so it is not repeated.
        let found = address.strip_prefix("https://").and_then(|rest| authority(rest, 443));
        let (_user, endpoint) = found.ok_or_else(|| {
            Failure::misconfigured(
                "an index that uv is configured to use is not an `https://` address that can be granted",
            )
            .help("folders and plain HTTP are not used by installs: install the package yourself and name its program")
        })?;
        self.secrets.extend(password_in(address));
        if !self.hosts.contains(&endpoint) {
            self.hosts.push(endpoint);
        }
        Ok(())
    }
}

/// Addresses of indexes in uv's settings.
fn addresses(settings: &Table) -> Vec<&str> {
    let tables = [Some(settings), settings.get("pip").and_then(Value::as_table)];
    let mut found = Vec::new();
    for table in tables.into_iter().flatten() {
        found.extend(table.get("index-url").and_then(Value::as_str));
        let extra = table.get("extra-index-url").and_then(Value::as_array);
        found.extend(extra.into_iter().flatten().filter_map(Value::as_str));
        let indexes = table.get("index").and_then(Value::as_array);
        let urls = indexes.into_iter().flatten().filter_map(|index| index.get("url"));
        found.extend(urls.filter_map(Value::as_str));
    }
    found
}

/// What was resolved: wheels with digests, from hosts in `hosts` or, for files, from those that the index names. Gives the package itself.
fn checked(
    list: &Path,
    (line, but): (&PackageLine, Exceptions),
    hosts: &mut Vec<Endpoint>,
) -> Result<Package, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let opened = std::fs::File::open(list);
    let read = opened.and_then(|file| file.take(LIST_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|cause| file_failure("read", list, &cause))?;
    let resolved: Table = toml::from_str(&text)
        .map_err(|error| Failure::misconfigured(format!("what uv resolved cannot be read: {error}")))?;
    let packages = resolved.get("packages").and_then(Value::as_array);
    let mut package = None;
    for found in packages.into_iter().flatten() {
        let word = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
        let wheels = found
            .get("wheels")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let source = found.get("sdist").filter(|_| but.build && wheels.is_empty());
        let files: Vec<&Value> = wheels.iter().chain(source).collect();
        let digests: Vec<&str> = files.iter().filter_map(|file| digest(file)).collect();
        if files.is_empty() || digests.len() != files.len() {
            return Err(Failure::misconfigured(format!(
                "`{}` has no wheel with a digest for this machine",
                escaped(word("name").as_bytes())
            ))
            .help(NO_WHEEL));
        }
        for wheel in files {
            let address = wheel.get("url").and_then(Value::as_str).and_then(endpoint);
            let address =
                address.ok_or_else(|| Failure::misconfigured("the index keeps a file at no `https://` address"))?;
            if !hosts.contains(&address) {
                hosts.push(address);
            }
        }
        if normal(word("name")) == normal(&line.name) {
            package = digests.first().map(|digest| Package {
                registry: "pypi".to_owned(),
                name: line.name.clone(),
                version: word("version").to_owned(),
                integrity: format!("sha256:{digest}"),
                exceptions: Vec::new(),
            });
        }
    }
    if hosts.len() > HOSTS_MAX {
        return Err(Failure::misconfigured(format!(
            "the files lie on more than {HOSTS_MAX} hosts"
        )));
    }
    package.ok_or_else(|| Failure::misconfigured(format!("uv resolved no `{}`", line.name)))
}

fn digest(wheel: &Value) -> Option<&str> {
    let digest = wheel.get("hashes")?.get("sha256")?.as_str()?;
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
}

/// A name as indexes compare it (PEP 503).
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The program that the line starts, as a path within the install.
fn program(folder: &Path, line: &PackageLine) -> Result<PathBuf, Failure> {
    let wanted = line.program.as_deref().unwrap_or(&line.name);
    let program = Path::new("venv/bin").join(wanted);
    if folder.join(&program).is_file() && !wanted.contains('/') {
        return Ok(program);
    }
    Err(
        Failure::misconfigured(format!("the package `{}` has no program `{wanted}`", line.name))
            .help("name one with `uvx --from PACKAGE PROGRAM`"),
    )
}

/// The launch line: Python scripts by the environment's interpreter, other programs by themselves.
fn started(folder: &Path, program: &Path, line: &PackageLine) -> Result<Vec<String>, Failure> {
    let path = folder.join(program);
    let begin = std::fs::read(&path).map_err(|cause| file_failure("read", &path, &cause))?;
    let begin = begin.get(..512).unwrap_or(&begin);
    let is_script = begin.starts_with(b"#!") && begin.windows(6).any(|word| word == b"python");
    let mut command = vec![path.display().to_string()];
    if is_script {
        command.insert(0, folder.join("venv/bin/python").display().to_string());
    }
    command.extend(line.arguments.iter().cloned());
    Ok(command)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|cause| file_failure("write", path, &cause))
}

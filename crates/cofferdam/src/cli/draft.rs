//! The manifest of a server that was not seen yet: its program, what a person grants it, and what is pinned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cofferdam_inspect::show_safely;
use cofferdam_manifest::{
    Access, ClientRequest, Consent, Definitions, Deliver, Interpreter, Isolation, Launch, Manifest, Profile, Program,
    ProgramKind, ProgramPins, SECRET_TTL_SECONDS_MAX, Secret, Tool, forbidden_grant, tool_digest,
};

use super::args::{Add, ClientMay};
use crate::failure::Failure;
use crate::gate::escaped;
use crate::home::Home;

/// The manifest for a first look: variables that are passed on stand in for themselves, and no secret is there.
pub(crate) fn seen_with(manifest: &Manifest, stand_ins: &[(String, String)]) -> Manifest {
    let mut seen = manifest.clone();
    let is_stood_in = |name: &String| stand_ins.iter().any(|(one, _)| one == name);
    seen.environment.pass.retain(|name| !is_stood_in(name));
    seen.secrets.clear();
    seen.environment.set.extend(stand_ins.iter().cloned());
    seen
}

/// The manifest before the server was seen: its program, and what the person grants.
pub(super) fn draft(home: &Home, args: &Add, program: &Program, isolation: Isolation) -> Result<Manifest, Failure> {
    let own: Vec<PathBuf> = args
        .program
        .iter()
        .map(|path| absolute(path))
        .collect::<Result<_, _>>()?;
    let command = program.argv.clone();
    let grants = program.grants.iter().cloned().chain(own).collect();
    let mut manifest = Manifest::new(Launch {
        command,
        directory: program.directory.clone(),
        program: grants,
        digest: None,
        package: None,
    });
    manifest.isolation = isolation;
    manifest.filesystem.write = args.write.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
    let asked = args
        .read
        .iter()
        .map(|path| absolute(path))
        .collect::<Result<Vec<_>, _>>()?;
    for root in asked.into_iter().chain(program.offered_roots.iter().cloned()) {
        if !manifest.filesystem.write.contains(&root) && !manifest.filesystem.read.contains(&root) {
            manifest.filesystem.read.push(root);
        }
    }
    check_grants(home, &manifest)?;
    manifest.environment.set = crate::compartment::PINNED_LOCALE
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    if let Some(zone) = time_zone() {
        manifest.environment.set.insert("TZ".to_owned(), zone);
    }
    if program.kind == ProgramKind::Interpreter(Interpreter::Python) {
        manifest.environment.set.insert(HASH_SEED.to_owned(), hash_seed()?);
    }
    for variable in &args.env {
        match variable.split_once('=') {
            Some((name, value)) => drop(manifest.environment.set.insert(name.to_owned(), value.to_owned())),
            None => manifest.environment.pass.push(variable.clone()),
        }
    }
    manifest.programs.allow.clone_from(&args.execute);
    manifest.isolation.waive.clone_from(&args.waive);
    manifest.isolation.profile = args.browser.then_some(Profile::Browser);
    for name in &args.secret {
        manifest.secrets.insert(name.clone(), environment_secret());
    }
    manifest.network.allow.clone_from(&args.network);
    manifest.client.allow = args.client.iter().copied().map(ClientMay::into).collect();
    // What a person cannot write into a manifest, a flag cannot either.
    cofferdam_manifest::parse(&manifest.to_toml(), "the new manifest")
        .map_err(|error| Failure::misconfigured(error.to_string()))?;
    Ok(manifest)
}

/// A secret that the client has in our environment: as long-lived as it is there.
fn environment_secret() -> Secret {
    Secret {
        source: Secret::ENVIRONMENT.to_owned(),
        ttl_seconds: SECRET_TTL_SECONDS_MAX,
        deliver: Deliver::Env,
        hosts: Vec::new(),
        header: None,
    }
}

impl From<ClientMay> for ClientRequest {
    fn from(may: ClientMay) -> Self {
        match may {
            ClientMay::Roots => Self::Roots,
            ClientMay::Elicitation => Self::Elicitation,
            ClientMay::Sampling => Self::Sampling,
        }
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|cause| Failure::misconfigured(format!("`{}` cannot be granted: {cause}", path.display())))
}

/// Refuses what can never be granted, by its spelling and by where it leads.
pub(crate) fn check_grants(home: &Home, manifest: &Manifest) -> Result<(), Failure> {
    let reads = manifest
        .filesystem
        .read
        .iter()
        .chain(&manifest.launch.program)
        .map(|root| (root, Access::Read));
    let writes = manifest.filesystem.write.iter().map(|root| (root, Access::Write));
    for (root, access) in reads.chain(writes) {
        let real = root.canonicalize().ok();
        let mut own = home.own_folders();
        if access == Access::Write {
            own.extend(home.data_folders());
        }
        let reason = std::iter::once(root)
            .chain(&real)
            .find_map(|path| forbidden_grant(path, access, &own));
        if let Some(why) = reason {
            return Err(Failure::misconfigured(format!(
                "`{}` cannot be granted: {why}",
                escaped(root.display().to_string().as_bytes())
            )));
        }
    }
    Ok(())
}

/// The machine's own zone, by name: a server that shows the time shall show the user's.
fn time_zone() -> Option<String> {
    let link = std::fs::canonicalize("/etc/localtime").ok()?;
    let name = link.strip_prefix("/usr/share/zoneinfo").ok()?.to_str()?.to_owned();
    Some(name.strip_prefix("posix/").unwrap_or(&name).to_owned())
}

/// Python's seed for the order of its sets. Without it some servers list their tools in other words at each start, and
/// what was accepted would look changed.
const HASH_SEED: &str = "PYTHONHASHSEED";

/// One value for the life of the manifest, and another in each: whoever feeds a server keys that collide would have to know
/// it.
fn hash_seed() -> Result<String, Failure> {
    let seed = getrandom::u32().map_err(|cause| Failure::not_enforced(format!("no random number: {cause}")))?;
    Ok(seed.to_string())
}

/// Pins the program's content; folders the person may write to are data, not program.
pub(crate) fn pinned(program: &Program, more: &[PathBuf], manifest: &Manifest) -> Result<ProgramPins, Failure> {
    let mut roots = program.pinned.clone();
    for path in more {
        roots.push(absolute(path)?);
    }
    let except: Vec<PathBuf> = program
        .unpinned
        .iter()
        .chain(&manifest.filesystem.write)
        .cloned()
        .collect();
    ProgramPins::take(&roots, &except, super::now())
        .map_err(|error| Failure::misconfigured(format!("the program cannot be pinned: {error}")))
}

pub(super) fn accepted(definitions: &Definitions) -> Result<BTreeMap<String, Tool>, Failure> {
    let tools = definitions.iter().map(|(name, definition)| {
        let pin = tool_digest(definition).map_err(|error| {
            Failure::misconfigured(format!("the tool `{}` cannot be pinned: {error}", show_safely(name)))
        })?;
        Ok((
            name.to_owned(),
            Tool {
                pin,
                consent: Consent::Allow,
                arguments: BTreeMap::new(),
            },
        ))
    });
    tools.collect()
}

/// Lists what the server executed while it was observed, besides itself. A program on the path inside is listed by name.
pub(super) fn allow_executed(manifest: &mut Manifest, executed: &[String]) {
    for path in executed {
        let is_itself = manifest.launch.command.first() == Some(path);
        let name = crate::compartment::name_inside(path).unwrap_or(path);
        let allow = &mut manifest.programs.allow;
        if !is_itself && !allow.iter().any(|known| known == name || known == path) {
            allow.push(name.to_owned());
        }
    }
}

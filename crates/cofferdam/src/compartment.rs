//! From a contract to the plan of its compartment.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use cofferdam_manifest::{MASKED_IF_KEYS, MASKED_NAMES, Manifest, NOT_MASKED, Profile};
use cofferdam_sandbox::{Compartment, Feature, Masks, Observer, Plan, Prepared, Programs, SandboxError, Tier, launch};

use crate::egress::Grants;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::image;

/// Folders of programs inside, in order.
const PATH_INSIDE: &str = "/usr/local/bin:/usr/bin:/bin";
/// What a server without namespaces has more than a sealed one, for people.
const WITHOUT_NAMESPACES: &str = "Landlock and the system-call filter alone stand around the server, among your other processes: it can \
     ask of any path whether it exists, how large and how old it is, run what it writes, and fill the disk; it reaches no network";
/// Time zone and locale inside, where the manifest does not set them: some servers write them into their schemas.
pub(crate) const PINNED_LOCALE: [(&str, &str); 2] = [("LANG", "C.UTF-8"), ("TZ", "UTC")];

/// The plan for `manifest`: what it grants, and nothing else.
///
/// # Errors
/// A required feature has no name, a program that may be executed is not there, or a variable that is passed on is not set.
pub(crate) fn plan(home: &Home, manifest: &Manifest) -> Result<Plan, Failure> {
    let program = manifest.launch.command.first().map(String::as_str).unwrap_or_default();
    let mut plan = Plan::sealed(program);
    plan.command.clone_from(&manifest.launch.command);
    plan.environment = environment(manifest, Path::new(program))?;
    if let Some(directory) = &manifest.launch.directory {
        plan.directory.clone_from(directory);
    }
    plan.program_files.clone_from(&manifest.launch.program);
    plan.read.clone_from(&manifest.filesystem.read);
    plan.masks = masks(&manifest.filesystem.mask);
    plan.sockets.clone_from(&manifest.sockets.allow);
    plan.write.clone_from(&manifest.filesystem.write);
    if let Some(image) = &manifest.isolation.image {
        plan.programs = Programs::Any;
        plan.image = Some(image::planned(home, image, manifest)?);
    } else {
        let programs = manifest.programs.allow.iter().map(|name| find_program(name));
        plan.programs = Programs::Only(programs.collect::<Result<_, _>>()?);
        plan.require.push(Feature::ProgramWalls);
    }
    if manifest.isolation.profile == Some(Profile::Browser) {
        plan.browser = true;
        plan.require.retain(|feature| *feature != Feature::NoUserNamespaces);
    }
    plan.ports = Grants::of(&manifest.network).ports();
    plan.limits.memory_bytes = manifest.limits.memory_bytes;
    plan.limits.processes = manifest.limits.processes.into();
    plan.limits.open_files = manifest.limits.open_files.into();
    plan.limits.disk_bytes = manifest.limits.disk_bytes;
    plan.limits.inodes = manifest.limits.files.into();
    plan.limits.file_bytes = manifest.limits.file_bytes;
    plan.limits.cpu_percent = manifest.limits.cpu_percent.map(u64::from);
    for feature in required_features(manifest)? {
        if !plan.require.contains(&feature) {
            plan.require.push(feature);
        }
    }
    if tier_of(manifest) == Tier::Landlocked {
        give_up_namespaces(manifest, &mut plan)?;
    }
    for name in manifest.isolation.waive.iter().filter(|name| *name != Tier::WAIVER) {
        waive(name, &mut plan)?;
    }
    Ok(plan)
}

/// How much of a compartment a manifest asks for.
pub(crate) fn tier_of(manifest: &Manifest) -> Tier {
    let gives_up = |name: &String| name == Tier::WAIVER;
    if manifest.isolation.waive.iter().any(gives_up) {
        Tier::Landlocked
    } else {
        Tier::Sealed
    }
}

/// How a server is started, for people, by what is waived of its compartment.
pub(crate) fn manner(waived: &[String]) -> &'static str {
    if waived.iter().any(|name| name == Tier::WAIVER) {
        "without namespaces"
    } else {
        "sealed"
    }
}

/// The tier without namespaces, and a refusal of what a manifest grants that cannot be had there.
fn give_up_namespaces(manifest: &Manifest, plan: &mut Plan) -> Result<(), Failure> {
    let granted = [
        (!manifest.network.allow.is_empty(), "`[network] allow` grants hosts"),
        (!manifest.sockets.allow.is_empty(), "`[sockets] allow` grants sockets"),
        (
            manifest.isolation.image.is_some(),
            "`[isolation] image` asks for a container",
        ),
        (
            manifest.isolation.profile.is_some(),
            "`[isolation] profile` asks for a browser's rights",
        ),
    ];
    if let Some((_, what)) = granted.iter().find(|(is_granted, _)| *is_granted) {
        return Err(Failure::misconfigured(format!(
            "`[isolation] waive` gives up the namespaces, and {what}, which cannot be had without them"
        ))
        .help("take one of the two out of the manifest, or run the server where namespaces can be made"));
    }
    plan.give_up_namespaces();
    Ok(())
}

/// What a manifest gives up of the compartment as it is for everybody, for people.
pub(crate) fn given_up(manifest: &Manifest) -> Vec<String> {
    let profile = manifest.isolation.profile.map(|Profile::Browser| {
        "profile `browser`: the server may make user, process and network namespaces and has every right inside them, \
         so more of the kernel is in its reach (`no-user-namespaces` does not hold); it may make UNIX sockets in \
         `/tmp` and its home, and write in `/proc` what its own processes may"
            .to_owned()
    });
    let waived = manifest.isolation.waive.iter().map(|name| match name.as_str() {
        Tier::WAIVER => format!("`{name}`, waived: {WITHOUT_NAMESPACES}"),
        other => format!("`{other}`, waived"),
    });
    profile.into_iter().chain(waived).collect()
}

/// The features that `[isolation] require` names.
///
/// # Errors
/// One of them has no such name.
pub(crate) fn required_features(manifest: &Manifest) -> Result<Vec<Feature>, Failure> {
    let required = manifest.isolation.require.iter().map(|name| Feature::from_str(name));
    required
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::misconfigured(format!("`[isolation] require`: {error}")))
}

/// Takes a feature off what is required of a compartment.
fn waive(name: &str, plan: &mut Plan) -> Result<(), Failure> {
    let feature =
        Feature::from_str(name).map_err(|error| Failure::misconfigured(format!("`[isolation] waive`: {error}")))?;
    if !plan.tier.can_waive(feature) {
        let can = Feature::WAIVABLE
            .iter()
            .filter(|feature| plan.tier.can_waive(**feature));
        let can: Vec<String> = can.map(|feature| format!("`{feature}`")).collect();
        return Err(Failure::misconfigured(format!(
            "`[isolation] waive`: `{name}` cannot be waived: without it there is no compartment"
        ))
        .help(format!("what can be waived: {}", can.join(", "))));
    }
    plan.require.retain(|required| *required != feature);
    if feature == Feature::Masks {
        plan.masks = Masks::default();
    }
    Ok(())
}

/// What is not readable in granted folders: the names secrets lie under, and those of the manifest.
fn masks(further: &[String]) -> Masks {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut names = owned(MASKED_NAMES);
    names.extend_from_slice(further);
    Masks {
        names,
        private_keys: owned(MASKED_IF_KEYS),
        except: owned(NOT_MASKED),
        git_credentials: true,
    }
}

/// The whole environment inside: the compartment's own, then what the manifest sets and passes on.
fn environment(manifest: &Manifest, program: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut path = String::new();
    if let Some(folder) = program
        .parent()
        .and_then(Path::to_str)
        .filter(|folder| !folder.is_empty() && !PATH_INSIDE.split(':').any(|known| known == *folder))
    {
        path = format!("{folder}:");
    }
    let mut variables = std::collections::BTreeMap::from([
        ("HOME".to_owned(), cofferdam_sandbox::HOME.to_owned()),
        ("TMPDIR".to_owned(), "/tmp".to_owned()),
        ("PATH".to_owned(), format!("{path}{PATH_INSIDE}")),
    ]);
    variables.extend(PINNED_LOCALE.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables.extend(manifest.environment.set.clone());
    let secrets = manifest.secrets.iter().filter(|(_, secret)| secret.is_environment());
    for name in manifest.environment.pass.iter().chain(secrets.map(|(name, _)| name)) {
        let value = std::env::var(name).map_err(|_unset| {
            Failure::misconfigured(format!(
                "the manifest passes on the variable `{name}`, and it is not set here"
            ))
            .help("set it where the MCP client is configured, or remove it from `[environment] pass`")
        })?;
        variables.insert(name.clone(), value);
    }
    Ok(variables.into_iter().collect())
}

/// A program by name on the path inside, or by absolute path.
pub(crate) fn find_program(name: &str) -> Result<PathBuf, Failure> {
    if name.starts_with('/') {
        return Ok(PathBuf::from(name));
    }
    let found = PATH_INSIDE
        .split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::misconfigured(format!(
            "the program `{name}` of `[programs] allow` is not on {PATH_INSIDE}"
        ))
    })
}

/// The name that leads to this program on the path inside, if one does.
pub(crate) fn name_inside(path: &str) -> Option<&str> {
    let name = Path::new(path).file_name()?.to_str()?;
    let found = find_program(name).ok()?;
    let is_same = found == Path::new(path) || found.canonicalize().ok()? == Path::new(path).canonicalize().ok()?;
    is_same.then_some(name)
}

/// Starts the compartment.
///
/// # Errors
/// Whatever keeps it from being enforced as planned; the program has not run then.
pub(crate) fn start(plan: &Plan) -> Result<Compartment, Failure> {
    launch(plan).map_err(|error| not_started(&error))
}

/// Starts what does not depend on the rest of the plan, while we do other things.
///
/// # Errors
/// The launcher cannot be started.
pub(crate) fn prepare(plan: &Plan) -> Result<Prepared, Failure> {
    Prepared::new(plan).map_err(|error| not_started(&error))
}

/// Starts the compartment that was prepared; `observer` is told what its program executes, connects to and is
/// refused.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_observed(prepared: Prepared, plan: &Plan, observer: Observer) -> Result<Compartment, Failure> {
    prepared
        .launch(plan, Some(observer))
        .map_err(|error| not_started(&error))
}

fn not_started(error: &SandboxError) -> Failure {
    let exit = if matches!(error, SandboxError::Plan { .. }) {
        Exit::Misconfigured
    } else {
        Exit::NotEnforced
    };
    let failure = Failure::new(exit, format!("the compartment was not started: {error}"));
    match error.help() {
        Some(help) => failure.help(help),
        None => failure,
    }
}

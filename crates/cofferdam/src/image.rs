//! Servers that come as an image of a container: which engine makes the container, and what the image says of itself.

mod ask;
mod line;
mod wanted;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{Image, Manifest};
use nix::unistd::{User, geteuid};
use serde::Deserialize;

use ask::answer;
use line::{ImageLine, image_line};
pub(crate) use wanted::wanted;

use crate::failure::{Failure, file_failure};
use crate::gate::escaped;
use crate::home::Home;

/// Where an engine is looked for: not along `PATH`, which is whatever the client has.
const PODMAN: [&str; 3] = ["/usr/bin/podman", "/usr/local/bin/podman", "/bin/podman"];

/// The image of a manifest as the compartment's plan needs it.
///
/// # Errors
/// There is no engine, our folder cannot be made, or something is granted that a container of this user cannot have.
pub(crate) fn planned(home: &Home, image: &Image, manifest: &Manifest) -> Result<cofferdam_sandbox::Image, Failure> {
    if geteuid().is_root() && !manifest.filesystem.write.is_empty() {
        return Err(Failure::not_enforced(
            "a container that root starts has users of its own, who cannot write into granted folders",
        )
        .help("run as the ordinary user who owns the folder, grant it for reading, or use `backend = \"native\"`"));
    }
    let folder = home.runtime();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|cause| file_failure("create", &folder, &cause))?;
    Ok(cofferdam_sandbox::Image {
        reference: image.reference.clone(),
        engine: engine(image.engine.as_deref())?,
        runtime: image.runtime.clone(),
        folder,
        home: home.user_home.clone(),
    })
}

/// The program of an engine. No other one, and no other backend, stands in for it.
///
/// # Errors
/// It is not installed.
pub(crate) fn engine(named: Option<&str>) -> Result<PathBuf, Failure> {
    if let Some(path) = named.filter(|name| name.starts_with('/')) {
        return Ok(PathBuf::from(path));
    }
    let found = PODMAN.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::not_enforced("`podman` is not installed, and nothing else stands in for it").help(format!(
            "install podman, crun and uidmap from your distribution; it is looked for at {}",
            PODMAN.join(", ")
        ))
    })
}

/// An engine as it says it is.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    pub(crate) runtime: String,
    /// It belongs to an ordinary user.
    pub(crate) is_rootless: bool,
}

/// Asks the engine of this machine what it is; for `doctor`.
///
/// # Errors
/// There is none, or it does not work for this user: with what it said, and what to do.
pub(crate) fn examined() -> Result<Engine, Failure> {
    let program = engine(None)?;
    let fix = "`podman info` as this user shows more: rootless podman needs uidmap and a range in `/etc/subuid` and `/etc/subgid`";
    let unusable = |why: String| Failure::not_enforced(format!("`{}`: {why}", program.display())).help(fix);
    let user = User::from_uid(geteuid()).ok().flatten();
    let user = user.ok_or_else(|| unusable("this user has no passwd entry".to_owned()))?;
    let mut command = cofferdam_sandbox::engine(&program, &user.dir).map_err(|error| unusable(error.to_string()))?;
    command.args(["--log-level=error", "info", "--format=json"]);
    let answer = answer(&mut command).map_err(unusable)?;
    let facts: serde_json::Value =
        serde_json::from_slice(&answer).map_err(|cause| unusable(format!("its answer: {cause}")))?;
    let word = |path: &str| {
        let found = facts.pointer(path).and_then(serde_json::Value::as_str);
        escaped(found.unwrap_or("unknown").as_bytes())
    };
    Ok(Engine {
        version: word("/version/Version"),
        runtime: word("/host/ociRuntime/name"),
        is_rootless: facts.pointer("/host/security/rootless") == Some(&serde_json::Value::Bool(true)),
        program,
    })
}

/// What an image says of itself. None of it counts when the server runs; `add` writes it down for a person to see.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Baked {
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) cmd: Option<Vec<String>>,
    pub(crate) env: Option<Vec<String>>,
    pub(crate) working_dir: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) volumes: Option<serde_json::Map<String, serde_json::Value>>,
    /// What pins it; not part of what it says of itself.
    #[serde(skip)]
    pub(crate) digest: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    config: Baked,
    digest: Option<String>,
}

/// Asks the engine what the image says of itself.
///
/// # Errors
/// The engine is not one, does not have the image, or answers what cannot be read.
pub(crate) fn baked(home: &Home, engine: &Path, reference: &str) -> Result<Baked, Failure> {
    let unusable = |why: String| {
        Failure::misconfigured(format!(
            "the image `{}` cannot be used: {why}",
            escaped(reference.as_bytes())
        ))
    };
    let mut command =
        cofferdam_sandbox::engine(engine, &home.user_home).map_err(|error| unusable(error.to_string()))?;
    command.args(["--log-level=error", "image", "inspect", "--", reference]);
    let answer = answer(&mut command).map_err(|why| {
        unusable(why).help(
            "nothing is fetched here: `podman pull NAME@sha256:…` (or `podman load`, `podman build`) brings it into \
             podman's store, and `podman images --digests` shows the digest",
        )
    })?;
    let images: Vec<Inspected> =
        serde_json::from_slice(&answer).map_err(|cause| unusable(format!("its description: {cause}")))?;
    let image = images.into_iter().next();
    image
        .map(|image| Baked {
            digest: image.digest,
            ..image.config
        })
        .ok_or_else(|| unusable("the engine described nothing".to_owned()))
}

impl Baked {
    /// The argument vector: the entry point, or another one, with these arguments or else the image's own.
    pub(crate) fn command(&self, entry: Option<&str>, arguments: &[String]) -> Vec<String> {
        let mut command = match entry {
            Some(entry) => vec![entry.to_owned()],
            None => self.entrypoint.clone().unwrap_or_default(),
        };
        if arguments.is_empty() && entry.is_none() {
            command.extend(self.cmd.clone().unwrap_or_default());
        }
        command.extend_from_slice(arguments);
        command
    }

    /// Its variables by name, as far as they are variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.env.iter().flatten();
        all.filter_map(|variable| variable.split_once('='))
    }

    /// What of it does not count, for people.
    pub(crate) fn ignored(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(user) = self.user.as_deref().filter(|user| !user.is_empty()) {
            let user = escaped(user.as_bytes());
            notes.push(format!(
                "the image's user `{user}` does not count: the compartment has one of its own"
            ));
        }
        if let Some(volumes) = self.volumes.as_ref().filter(|volumes| !volumes.is_empty()) {
            let names: Vec<String> = volumes
                .keys()
                .map(|name| format!("`{}`", escaped(name.as_bytes())))
                .collect();
            notes.push(format!("the image's volumes are read-only: {}", names.join(", ")));
        }
        notes
    }
}

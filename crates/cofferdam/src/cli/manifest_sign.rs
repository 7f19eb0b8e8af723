//! `manifest sign` and `manifest key`: Ed25519 signatures over manifests, and the keys that make them.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cofferdam_manifest::{SigningKey, TrustedKey, sign};

use super::args::{KeyNew, KeyVerb, ManifestSign};
use super::manifest::{is_file, manifest_of_file};
use super::output::Output;
use super::person::unlocked;
use crate::contract::folder::{ContractFolder, MANIFEST_FILE, replace_file};
use crate::contract::project::Project;
use crate::contract::{Contract, Place, check_name, place};
use crate::failure::{Exit, Failure, file_failure};
use crate::home::Home;
use crate::keys::{key_failure, signing_key};
use crate::own_files::{check_parents, shown};

/// Signs a manifest as it stands, after it was checked.
pub(crate) fn run(home: &Home, args: &ManifestSign, output: &mut Output) -> Result<Exit, Failure> {
    let key = match &args.key {
        Some(file) => signing_key(file)?,
        None => unlocked(&home.approver(), output)?,
    };
    if is_file(&args.target) {
        let file = Path::new(&args.target);
        let name = name_for(file, args.name.as_deref())?;
        let signature = sign(&name, &manifest_of_file(home, file)?, &key);
        return written(&file.with_extension("sig"), &signature.to_text(), (&name, &key), output);
    }
    if args.name.is_some() {
        return Err(Failure::usage("`--name` is for files: a server has its name already"));
    }
    match place(home, &args.target)? {
        Place::Own(folder) => {
            let contract = Contract::assemble(home, &args.target, folder.read()?, Place::Own(folder.clone()))?;
            crate::compartment::required_features(&contract.manifest)?;
            sign_own(&folder, &contract, &key, output)?;
            Ok(Exit::Fine)
        }
        Place::Project(project) => {
            let contract = project.stated(home, &args.target)?;
            crate::compartment::required_features(&contract.manifest)?;
            sign_project(&project, &contract, &key, output)?;
            Ok(Exit::Fine)
        }
    }
}

/// Signs one of the user's own manifests, as it lies there.
pub(super) fn sign_own(
    folder: &ContractFolder,
    contract: &Contract,
    key: &SigningKey,
    output: &mut Output,
) -> Result<(), Failure> {
    let signature = sign(&contract.name, &contract.stated, key);
    folder.write_signature(&contract.texts.manifest, &signature.to_text())?;
    said(&folder.signature(), (&contract.name, key), output);
    Ok(())
}

/// Signs a project's manifest; the signature lies beside it.
pub(super) fn sign_project(
    project: &Project,
    contract: &Contract,
    key: &SigningKey,
    output: &mut Output,
) -> Result<(), Failure> {
    let signature = sign(&contract.name, &contract.stated, key);
    let file = project.file.with_extension("sig");
    written(&file, &signature.to_text(), (&contract.name, key), output).map(drop)
}

/// The name a file's manifest is signed for: a signed manifest must not count under another one.
fn name_for(file: &Path, given: Option<&str>) -> Result<String, Failure> {
    let real = file
        .canonicalize()
        .map_err(|cause| file_failure("resolve", file, &cause))?;
    let folder = real
        .file_name()
        .filter(|name| *name == MANIFEST_FILE)
        .and_then(|_| real.parent()?.file_name()?.to_str());
    let name = given.or(folder).ok_or_else(|| {
        Failure::usage(format!("for which server shall `{}` be signed?", shown(file)))
            .help("say `--name NAME`: the name is signed too")
    })?;
    check_name(name)?;
    Ok(name.to_owned())
}

fn written(file: &Path, text: &str, by: (&str, &SigningKey), output: &mut Output) -> Result<Exit, Failure> {
    replace_file(file, text)?;
    said(file, by, output);
    Ok(Exit::Fine)
}

fn said(file: &Path, (name, key): (&str, &SigningKey), output: &mut Output) {
    output.say(&format!(
        "signed `{name}` with {}; wrote {}",
        key.public_key(),
        shown(file)
    ));
}

/// Makes a key, or shows the public half of one.
pub(crate) fn key(verb: &KeyVerb, output: &mut Output) -> Result<Exit, Failure> {
    match verb {
        KeyVerb::New(args) => new_key(args, output),
        KeyVerb::Public(args) => {
            let key = signing_key(&args.file)?;
            output.line(&public_line(&key, args)?)?;
            Ok(Exit::Fine)
        }
    }
}

fn new_key(args: &KeyNew, output: &mut Output) -> Result<Exit, Failure> {
    let unusable =
        |why: &dyn std::fmt::Display| Failure::not_enforced(format!("the kernel gives no random bytes: {why}"));
    let mut seed = crate::random::seed().map_err(|error| unusable(&error))?;
    let key = SigningKey::generate(&mut seed).ok_or_else(|| unusable(&"they are all the same"))?;
    let line = public_line(&key, args)?;
    let absolute = std::path::absolute(&args.file).map_err(|cause| file_failure("resolve", &args.file, &cause))?;
    check_parents(&absolute)?;
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&absolute)
        .and_then(|mut file| {
            file.write_all(key.to_pem().dangerous_bytes())?;
            file.sync_all()
        });
    written.map_err(|cause| {
        let failure = file_failure("write", &args.file, &cause);
        if cause.kind() == std::io::ErrorKind::AlreadyExists {
            return failure.help("choose another file: a key that is there is never written over");
        }
        failure
    })?;
    output.say(&format!(
        "wrote the private key {}; keep it to yourself. Its public line, for a `.pub` file where it shall be trusted:",
        shown(&args.file)
    ));
    output.line(&line)?;
    Ok(Exit::Fine)
}

/// The public half as a line of a `.pub` file, which must be readable as one.
fn public_line(key: &SigningKey, args: &KeyNew) -> Result<String, Failure> {
    let line = format!("{} {}", key.public_key(), args.comment);
    TrustedKey::parse(line.as_bytes(), Path::new("--comment")).map_err(|error| key_failure(&error))?;
    Ok(line.trim_end().to_owned())
}

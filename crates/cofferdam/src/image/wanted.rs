//! What `add` makes of an image: a manifest that says in so many words what the image would have said by itself.

use std::path::{Path, PathBuf};

use cofferdam_manifest::{Backend, Image, Isolation, Launch, Manifest, Program, ProgramKind};

use super::{Baked, ImageLine, baked, engine, image_line};
use crate::cli::args::Add;
use crate::failure::Failure;
use crate::gate::escaped;
use crate::home::Home;

/// Variables of an image that the compartment has values of its own for.
const OWN: [&str; 5] = ["HOME", "HOSTNAME", "TERM", "TMPDIR", "container"];

/// A server that comes as an image, as it was asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    image: Image,
    line: ImageLine,
}

/// The image that the options or the launch line name; `None` when it is another kind of server.
///
/// # Errors
/// The line of a container engine asks for what a sealed container never has, or the image is not pinned.
pub(crate) fn wanted(home: &Home, args: &Add) -> Result<Option<Wanted>, Failure> {
    let line = match &args.image {
        Some(reference) => ImageLine {
            reference: reference.clone(),
            arguments: args.command.clone(),
            ..ImageLine::default()
        },
        None => match image_line(&args.command)? {
            Some(line) => line,
            None => return Ok(None),
        },
    };
    let image = Image {
        reference: untagged(&line.reference),
        engine: args.engine.clone(),
        runtime: args.runtime.clone().or_else(|| line.runtime.clone()),
    };
    if !Image::is_pinned(&image.reference) {
        return Err(unpinned(home, &image));
    }
    Ok(Some(Wanted { image, line }))
}

/// A pinned reference without the tag that it may have as well: the digest says all, and podman does not take both.
fn untagged(reference: &str) -> String {
    match reference.split_once('@') {
        Some((name, digest)) => format!("{}@{digest}", without_tag(name)),
        None => reference.to_owned(),
    }
}

/// A name without its tag; a colon before a slash is a registry's port.
fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

/// A tag can be moved to another image; whoever has the image is told what pins it.
fn unpinned(home: &Home, image: &Image) -> Failure {
    let stated = image.reference.as_str();
    let shown = escaped(stated.as_bytes());
    let failure = Failure::misconfigured(format!("the image `{shown}` is not pinned by its digest"));
    let name = without_tag(stated.split_once('@').map_or(stated, |(name, _)| name));
    let known = engine(image.engine.as_deref())
        .and_then(|engine| baked(home, &engine, &image.reference))
        .ok()
        .and_then(|baked| baked.digest);
    failure.help(match known {
        Some(digest) => format!(
            "what podman has under that name now is `{}@{digest}`",
            escaped(name.as_bytes())
        ),
        None => "a tag can be moved to another image: write `NAME@sha256:…`, as `podman images --digests` shows it"
            .to_owned(),
    })
}

impl Wanted {
    /// What it starts, the image it starts it in, and the options with what the line and the image add to them.
    ///
    /// # Errors
    /// The engine does not have the image, or the image names no program.
    pub(crate) fn understood(&self, home: &Home, args: &Add) -> Result<(Program, Isolation, Add), Failure> {
        let baked = baked(home, &engine(self.image.engine.as_deref())?, &self.image.reference)?;
        let mut notes = self.line.notes.clone();
        notes.extend(baked.ignored());
        let directory = args.directory.clone().or_else(|| self.directory(&baked));
        let argv = self.argv(&baked, directory.as_deref())?;
        let mut args = args.clone();
        args.read.extend(self.line.read.iter().cloned());
        args.write.extend(self.line.write.iter().cloned());
        let mut variables = image_variables(&baked, &mut notes);
        for variable in &self.line.variables {
            if variable.contains('=') || is_valid(|manifest| manifest.environment.pass.push(variable.clone())) {
                variables.push(variable.clone());
            } else {
                args.secret.push(variable.clone());
            }
        }
        // What a person said on our own command line counts last.
        variables.append(&mut args.env);
        args.env = variables;
        let program = Program {
            argv,
            kind: ProgramKind::Plain,
            directory,
            grants: Vec::new(),
            pinned: Vec::new(),
            unpinned: Vec::new(),
            offered_roots: Vec::new(),
            notes,
        };
        let isolation = Isolation {
            backend: Backend::Oci,
            image: Some(self.image.clone()),
            ..Isolation::default()
        };
        Ok((program, isolation, args))
    }

    fn directory(&self, baked: &Baked) -> Option<PathBuf> {
        let of_image = || baked.working_dir.as_ref().map(PathBuf::from);
        let directory = self.line.directory.clone().or_else(of_image)?;
        let is_some_place = directory.is_absolute() && directory.parent().is_some();
        is_some_place.then(|| directory.components().collect())
    }

    fn argv(&self, baked: &Baked, directory: Option<&Path>) -> Result<Vec<String>, Failure> {
        let mut argv = baked.command(self.line.entry.as_deref(), &self.line.arguments);
        let Some(program) = argv.first_mut() else {
            let shown = escaped(self.image.reference.as_bytes());
            return Err(Failure::misconfigured(format!("the image `{shown}` names no program"))
                .help("name it after `--`: `cofferdam add NAME --image IMAGE@sha256:… -- PROGRAM ARGUMENTS`"));
        };
        if program.contains('/') && !program.starts_with('/') {
            let plain = program.trim_start_matches("./");
            *program = directory.unwrap_or(Path::new("/")).join(plain).display().to_string();
        }
        Ok(argv)
    }
}

/// The image's variables that a manifest can hold; the others are left out, and said.
fn image_variables(baked: &Baked, notes: &mut Vec<String>) -> Vec<String> {
    let mut variables = Vec::new();
    for (name, value) in baked.variables().filter(|(name, _)| !OWN.contains(name)) {
        if is_valid(|manifest| drop(manifest.environment.set.insert(name.to_owned(), value.to_owned()))) {
            variables.push(format!("{name}={value}"));
        } else {
            let shown = escaped(name.as_bytes());
            notes.push(format!(
                "the image's variable `{shown}` is left out: it looks like a secret, or cannot be set"
            ));
        }
    }
    variables
}

/// Whether a manifest may hold this.
fn is_valid(add: impl FnOnce(&mut Manifest)) -> bool {
    let mut manifest = Manifest::new(Launch {
        command: vec!["/program".to_owned()],
        directory: None,
        program: Vec::new(),
        digest: None,
        package: None,
    });
    add(&mut manifest);
    cofferdam_manifest::parse(&manifest.to_toml(), "a variable").is_ok()
}

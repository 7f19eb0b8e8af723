//! `manifest allow`: one more right for a server, written where a person would write it.

use std::collections::BTreeMap;
use std::path::Path;

use cofferdam_manifest::{Right, diff_manifests, widen};

use super::args::{ManifestAllow, RightKind};
use super::draft::{absolute, check_grants};
use super::manifest_sign::sign_own;
use super::output::Output;
use super::person::proven;
use super::review::Review;
use crate::compartment::find_program;
use crate::contract::folder::{Before, Texts};
use crate::contract::{Contract, Place, place};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::own_files::shown;
use crate::refusals::forget;

/// Shows what one right widens, and writes it after a yes.
pub(crate) fn run(home: &Home, args: &ManifestAllow, output: &mut Output) -> Result<Exit, Failure> {
    let right = right(args)?;
    let Place::Own(folder) = place(home, &args.name)? else {
        return Err(Failure::misconfigured(format!(
            "`{}` is a server of a project, whose manifest is the project's",
            args.name
        ))
        .help(format!(
            "write `{right}` into it, then `cofferdam manifest accept {}`",
            args.name
        )));
    };
    let before = Contract::read_own(home, &args.name, folder.clone())?;
    let text = widen(&before.texts.manifest, &right).map_err(|error| {
        Failure::misconfigured(format!(
            "`{}` cannot be allowed {}: {error}",
            args.name,
            escaped(args.value.as_bytes())
        ))
        .help(format!("the line is `{right}` in `{}`", shown(&folder.manifest())))
    })?;
    let texts = Texts {
        manifest: text,
        definitions: before.texts.definitions.clone(),
        program: before.texts.program.clone(),
    };
    let after = Contract::assemble(home, &args.name, texts, Place::Own(folder.clone()))?;
    check_grants(home, &after.manifest)?;
    check_program(&after, &right)?;
    after.check_enforceable()?;
    let changes = diff_manifests(&before.stated, &after.stated, None);
    let none = BTreeMap::new();
    let review = Review {
        name: &args.name,
        heading: "one more right".to_owned(),
        changes: &changes,
        findings: &none,
        unlisted: &[],
        unnameable: &[],
        digest: after.stated.digest(),
    };
    let (lines, _is_whole) = review.lines(true, output);
    lines.iter().for_each(|line| output.say(line));
    if !args.yes && !output.is_confirmed("allow it as shown?") {
        return Err(
            Failure::new(Exit::Nothing, "nothing was written").help("answer on a terminal, or say `--yes` to allow it")
        );
    }
    let key = proven(home, "widening a manifest", output)?;
    let was_signed = folder.signature().exists();
    after.write(&folder, Before::Same(&before.texts))?;
    output.say(&format!("wrote `{right}` into {}", shown(&folder.manifest())));
    if let Some(key) = key {
        sign_own(&folder, &after, &key, output)?;
    } else if was_signed {
        output.say(&format!(
            "its signature was over the old manifest and is gone: `cofferdam manifest sign {} --key FILE` signs the new one",
            args.name
        ));
    }
    forget(home, &args.name, &args.value);
    output.say("it counts from the server's next start: restart the client, or its server");
    Ok(Exit::Fine)
}

fn right(args: &ManifestAllow) -> Result<Right, Failure> {
    if args.write && args.kind != RightKind::Path {
        return Err(Failure::usage("`--write` is for a path"));
    }
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::misconfigured(format!("`{}` is not UTF-8", path.display())))
    };
    let path = || text(&absolute(Path::new(&args.value))?);
    Ok(match args.kind {
        RightKind::Path if args.write => Right::Write(path()?),
        RightKind::Path => Right::Read(path()?),
        RightKind::Host => Right::Host(args.value.clone()),
        RightKind::Program => {
            let program = find_program(&args.value)?;
            if !program.is_file() {
                return Err(Failure::misconfigured(format!(
                    "there is no program `{}`",
                    program.display()
                )));
            }
            Right::Program(args.value.clone())
        }
        RightKind::Socket => Right::Socket(path()?),
        RightKind::Variable => Right::Variable(args.value.clone()),
    })
}

/// What a server may change cannot be pinned.
fn check_program(after: &Contract, right: &Right) -> Result<(), Failure> {
    let Right::Write(path) = right else { return Ok(()) };
    let inside = after.manifest.launch.program.iter().find(|own| {
        let real = own.canonicalize().unwrap_or_else(|_| (*own).clone());
        real.starts_with(path) || Path::new(path).starts_with(real)
    });
    match inside {
        None => Ok(()),
        Some(own) => Err(Failure::misconfigured(format!(
            "`{path}` overlaps with `{}`, which is the program of `{}` and pinned",
            shown(own),
            after.name
        ))
        .help(format!(
            "`cofferdam add --replace {} --write {path} -- COMMAND…` looks at it anew",
            after.name
        ))),
    }
}

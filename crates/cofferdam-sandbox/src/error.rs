//! Why a compartment could not be started: one variant per step.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Feature;

/// Why a compartment was not started. The program of the plan never ran, except after
/// [`SandboxError::Changed`].
///
/// `errno` is the number the kernel gave, 0 where none was given. The enum is serialisable because most of
/// these steps happen in another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SandboxError {
    /// The plan makes no sense.
    Plan {
        /// What is wrong with it.
        problem: String,
    },
    /// There is no backend for this system.
    Unsupported {
        /// The name of the system.
        system: String,
    },
    /// Someone started the launcher by hand.
    NotALauncher {
        /// What a real start would have had.
        problem: String,
    },
    /// The launcher could not be started or spoken to.
    Launcher {
        /// What was being done.
        doing: String,
        /// The kernel's number.
        errno: i32,
    },
    /// The launcher ended without saying why.
    LauncherEnded,
    /// The engine did not start the container.
    Engine {
        /// Its program.
        engine: PathBuf,
        /// What it said, or what is wrong with it.
        said: String,
    },
    /// A granted file or folder could not be opened.
    Source {
        /// The path as granted.
        path: PathBuf,
        /// The kernel's number.
        errno: i32,
    },
    /// A path that must never be granted.
    SourceForbidden {
        /// The path as granted.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Between resolving and opening, the path led to something else.
    SourceSwapped {
        /// The path as granted.
        path: PathBuf,
    },
    /// A folder to be written belongs to someone else, and owners cannot be mapped on its file system.
    SourceOwner {
        /// The path as granted.
        path: PathBuf,
        /// The kernel's number.
        errno: i32,
    },
    /// A granted folder cannot be watched for secrets.
    Unwatched {
        /// The folder.
        path: PathBuf,
        /// The kernel's number.
        errno: i32,
    },
    /// There is more in a granted folder than can be looked through for secrets.
    TooMuchToMask {
        /// The folder, or the secret that was one too many.
        path: PathBuf,
        /// How much.
        what: String,
    },
    /// A secret in a granted folder has further names, under which it could be read.
    LinkedSecret {
        /// The secret.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// A secret lies in a granted folder, and without a mount table of its own nothing hides it.
    SecretInSight {
        /// The secret.
        path: PathBuf,
    },
    /// A granted folder could not be copied for `mask-strict`.
    Snapshot {
        /// The file or folder that could not.
        path: PathBuf,
        /// The kernel's number.
        errno: i32,
    },
    /// A secret that appeared while the program ran could not be masked.
    Unmasked {
        /// The kernel's number.
        errno: i32,
    },
    /// The namespaces could not be made.
    Namespaces {
        /// The kernel's number.
        errno: i32,
    },
    /// The identity maps could not be written, or read back differently.
    Identity {
        /// What was being done.
        doing: String,
        /// The kernel's number.
        errno: i32,
    },
    /// The control group could not be made or joined although one is there.
    ControlGroup {
        /// The file or folder.
        path: PathBuf,
        /// The kernel's number.
        errno: i32,
    },
    /// The mount table could not be built.
    Mount {
        /// Where, inside.
        path: PathBuf,
        /// The kernel's number.
        errno: i32,
    },
    /// The root could not be changed.
    PivotRoot {
        /// The kernel's number.
        errno: i32,
    },
    /// A setting of the kernel could not be made inside.
    Setting {
        /// Its name.
        name: String,
        /// The kernel's number.
        errno: i32,
    },
    /// The working directory does not exist inside.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The kernel's number.
        errno: i32,
    },
    /// A limit could not be set.
    Limit {
        /// Its name.
        name: String,
        /// The kernel's number.
        errno: i32,
    },
    /// Capabilities or the way to new ones could not be given up.
    Privileges {
        /// What was being done.
        doing: String,
        /// The kernel's number.
        errno: i32,
    },
    /// Landlock refused the ruleset.
    Landlock {
        /// What was being done.
        doing: String,
        /// The kernel's number.
        errno: i32,
    },
    /// The kernel refused the system-call filter.
    Seccomp {
        /// The kernel's number.
        errno: i32,
    },
    /// The first process of the compartment could not be set up.
    Init {
        /// What was being done.
        doing: String,
        /// The kernel's number.
        errno: i32,
    },
    /// The sealed process could not be measured.
    Measure {
        /// What was being read.
        what: String,
        /// The kernel's number.
        errno: i32,
    },
    /// Inside and outside saw different things.
    Disagreement {
        /// What differs.
        what: String,
    },
    /// Required features were not found.
    NotEnforced {
        /// Which.
        missing: Vec<Feature>,
        /// What could not be done, with reasons.
        reasons: Vec<String>,
    },
    /// The program could not be executed.
    Execute {
        /// The program.
        program: String,
        /// The kernel's number.
        errno: i32,
    },
    /// After the program had started, its status was no longer what was measured. It was ended.
    Changed {
        /// What changed.
        what: String,
    },
}

/// What the kernel says about a number.
fn cause(errno: i32) -> String {
    match errno {
        0 => "no number was given".to_owned(),
        number => {
            let text = io::Error::from_raw_os_error(number).to_string();
            text.split(" (os error").next().unwrap_or(&text).to_lowercase()
        }
    }
}

/// Features as a list for people.
fn listed(features: &[Feature]) -> String {
    let names: Vec<String> = features.iter().map(|feature| format!("`{feature}`")).collect();
    names.join(", ")
}

impl fmt::Display for SandboxError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan { problem } => write!(out, "the plan of the compartment is not valid: {problem}"),
            Self::Unsupported { system } => write!(out, "no compartment can be made on `{system}`"),
            Self::NotALauncher { problem } => write!(out, "`__launch` is started by cofferdam itself: {problem}"),
            Self::LauncherEnded => write!(out, "the launcher ended without a report"),
            Self::Engine { engine, said } => write!(out, "`{}` started no container: {said}", engine.display()),
            Self::SourceForbidden { path, reason } => write!(out, "`{}` is never granted: {reason}", path.display()),
            Self::SourceSwapped { path } => {
                write!(
                    out,
                    "`{}` led to something else when it was opened than when it was resolved",
                    path.display()
                )
            }
            Self::TooMuchToMask { path, what } => {
                write!(out, "`{}` cannot be looked through for secrets: {what}", path.display())
            }
            Self::LinkedSecret { path, links } => write!(
                out,
                "the secret `{}` cannot be masked: it has {links} names (hard links), and others may be readable",
                path.display()
            ),
            Self::SecretInSight { path } => write!(
                out,
                "the secret `{}` lies in a granted folder, and without namespaces nothing can be masked",
                path.display()
            ),
            Self::Disagreement { what } => write!(out, "inside and outside disagree about the compartment: {what}"),
            Self::NotEnforced { missing, reasons } => {
                write!(out, "required and not enforced: {}", listed(missing))?;
                if reasons.is_empty() {
                    Ok(())
                } else {
                    write!(out, ": {}", reasons.join("; "))
                }
            }
            Self::Changed { what } => write!(
                out,
                "the program was ended, its confinement changed at its start: {what}"
            ),
            step => step.write_step(out),
        }
    }
}

impl SandboxError {
    /// Writes the steps that are a deed, a place and a number of the kernel.
    fn write_step(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (deed, errno) = match self {
            Self::Launcher { doing, errno } => (format!("cannot {doing}"), errno),
            Self::Source { path, errno } => (format!("cannot open the granted path `{}`", path.display()), errno),
            Self::SourceOwner { path, errno } => (
                format!("cannot map the owner of `{}`, to whom alone it is open", path.display()),
                errno,
            ),
            Self::Unwatched { path, errno } => (format!("cannot watch `{}` for secrets", path.display()), errno),
            Self::Unmasked { errno } => ("cannot mask a secret that appeared".to_owned(), errno),
            Self::Namespaces { errno } => ("cannot make the namespaces".to_owned(), errno),
            Self::Identity { doing, errno } => (format!("cannot {doing}"), errno),
            Self::ControlGroup { path, errno } => (format!("cannot use the control group `{}`", path.display()), errno),
            Self::Mount { path, errno } => (format!("cannot mount `{}`", path.display()), errno),
            Self::Snapshot { path, errno } => (format!("cannot copy `{}` for `mask-strict`", path.display()), errno),
            Self::PivotRoot { errno } => ("cannot change the root".to_owned(), errno),
            Self::Setting { name, errno } => (format!("cannot set `{name}` inside"), errno),
            Self::Directory { path, errno } => (
                format!("cannot enter the working directory `{}` inside", path.display()),
                errno,
            ),
            Self::Limit { name, errno } => (format!("cannot limit `{name}`"), errno),
            Self::Privileges { doing, errno } | Self::Landlock { doing, errno } | Self::Init { doing, errno } => {
                (format!("cannot {doing}"), errno)
            }
            Self::Seccomp { errno } => ("cannot install the system-call filter".to_owned(), errno),
            Self::Measure { what, errno } => (format!("cannot measure `{what}`"), errno),
            Self::Execute { program, errno } => (format!("cannot execute `{program}` inside"), errno),
            other => return write!(out, "{other:?}"),
        };
        write!(out, "{deed}: {}", cause(*errno))
    }

    /// What a person can do about it, where something is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Unsupported { .. } => "run it on Linux, or choose a container backend",
            Self::LauncherEnded => "the program that launches must call `run_if_launcher` first thing in `main`",
            Self::Namespaces { errno: 28 } => {
                "raise `user.max_user_namespaces` with sysctl; or give the namespaces up for this server, which `cofferdam doctor` \
                 explains: `waive = [\"namespaces\"]` in `[isolation]` of its manifest, `--waive namespaces` of `add`"
            }
            Self::Namespaces { .. } | Self::Identity { .. } => {
                "allow user namespaces: on Ubuntu 24.04 and later the AppArmor profile that `cofferdam doctor --apparmor` \
                 prints; on older Debian `sysctl kernel.unprivileged_userns_clone=1`; inside a container, one \
                 that is allowed to make namespaces; or give them up for this server, which `cofferdam doctor` explains: \
                 `waive = [\"namespaces\"]` in `[isolation]` of its manifest, `--waive namespaces` of `add`"
            }
            Self::Unwatched { .. } => "raise `fs.inotify.max_user_watches` with sysctl, or grant a narrower folder",
            Self::TooMuchToMask { .. } => "grant a narrower folder",
            Self::Snapshot { errno: 28 | 122, .. } => {
                "grant a narrower folder, or raise `disk` and `files` in `[limits]`: a copy may be as large as they say"
            }
            Self::LinkedSecret { .. } => {
                "make it a file of its own (`cp FILE FILE.new && mv FILE.new FILE`), or grant a narrower folder"
            }
            Self::SecretInSight { .. } => {
                "grant a narrower folder; or accept that the server reads it: `waive = [\"namespaces\", \"masks\"]`"
            }
            Self::Source { errno: 2, .. } => "create it, or take it out of the grants",
            Self::Source { errno: 13, .. } => {
                "this user may not enter one of the folders above it, or not use it (root's servers without namespaces run as a \
                 user of their own: run the gate as an ordinary user there)"
            }
            Self::SourceSwapped { .. } => "start again; if it stays so, something is changing the path on purpose",
            Self::SourceOwner { .. } => {
                "run as the user who owns it, or open it to everybody for what it is granted for, or move it to a file \
                 system that can map owners (ext4, xfs, btrfs, tmpfs from Linux 6.3)"
            }
            Self::Mount { path, errno: 1 } if path.as_os_str() == "/proc" => {
                "the surrounding container masks parts of `/proc`; start that container with an unmasked `/proc`, or give the \
                 namespaces up for this server, which `cofferdam doctor` explains: `waive = [\"namespaces\"]` in `[isolation]` of its \
                 manifest, `--waive namespaces` of `add`"
            }
            Self::Mount { errno: 1, .. } => {
                "what surrounds it allows no mounts, as a stock container does; run it outside, in a container that may make \
                 namespaces and mounts, or give the namespaces up for this server, which `cofferdam doctor` explains: \
                 `waive = [\"namespaces\"]` in `[isolation]` of its manifest, `--waive namespaces` of `add`"
            }
            Self::Execute { errno: 2, .. } => {
                "the program or its interpreter is not visible inside: grant the folder it lives in for reading"
            }
            Self::Execute { errno: 13, .. } => {
                "the program lies in a writable or unreadable place: grant its folder for reading, not for writing"
            }
            Self::Directory { .. } => "grant the folder, or choose one that exists inside",
            Self::NotEnforced { .. } => "`doctor` shows what this machine can enforce and how to get what is missing",
            _ => return None,
        };
        Some(help.to_owned())
    }
}

impl std::error::Error for SandboxError {}

#[cfg(test)]
mod tests {
    use super::SandboxError;
    use crate::Feature;

    #[test]
    fn errors_read_as_sentences_for_people() {
        let source = SandboxError::Source {
            path: "/srv/none".into(),
            errno: 2,
        };
        assert_eq!(
            source.to_string(),
            "cannot open the granted path `/srv/none`: no such file or directory"
        );
        assert_eq!(
            source.help().as_deref(),
            Some("create it, or take it out of the grants")
        );
        let missing = SandboxError::NotEnforced {
            missing: vec![Feature::MemoryLimit],
            reasons: vec!["no control group".into()],
        };
        assert_eq!(
            missing.to_string(),
            "required and not enforced: `memory-limit`: no control group"
        );
    }

    #[test]
    fn an_error_survives_its_journey_from_the_launcher() {
        let error = SandboxError::Mount {
            path: "/proc".into(),
            errno: 1,
        };
        let bytes = serde_json::to_vec(&error).expect("serialised");
        assert_eq!(
            serde_json::from_slice::<SandboxError>(&bytes).expect("read back"),
            error
        );
    }
}

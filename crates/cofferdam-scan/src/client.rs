//! MCP clients: where their configurations lie, how they are written, which servers they start.

mod edit;
mod entry;
mod substitution;
mod table;

pub use edit::{EditFault, Undo, restore, rewrite};
pub use entry::{Entry, LaunchLine, Server, entries};
pub use substitution::{Marks, Piece, pieces};
pub use table::CLIENTS;

use crate::document::Format;

/// A program that starts MCP servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Lowercase, with hyphens, for `--client`.
    pub id: &'static str,
    /// As its maker writes it.
    pub name: &'static str,
    /// What it puts in place of parts of a launch line.
    pub marks: Marks,
    /// Its configurations.
    pub files: &'static [ConfigFile],
}

/// One configuration of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it lies.
    pub place: Place,
    /// How it is written.
    pub shape: Shape,
}

/// Where a configuration lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below the user's home folder, by system.
    Home {
        /// Linux and the like.
        linux: &'static str,
        /// macOS.
        macos: &'static str,
        /// Windows (below the profile folder).
        windows: &'static str,
    },
    /// Below a project's folder.
    Project(&'static str),
    /// Every file with this ending in a folder below a project's folder.
    ProjectFolder {
        /// The folder.
        folder: &'static str,
        /// How its files end, without the dot.
        ending: &'static str,
    },
}

impl Place {
    /// The path below the home folder on the system that this was built for; `None` for projects.
    #[must_use]
    pub const fn in_home(&self) -> Option<&'static str> {
        match *self {
            Self::Home { linux, macos, windows } => Some(if cfg!(target_os = "macos") {
                macos
            } else if cfg!(target_os = "windows") {
                windows
            } else {
                linux
            }),
            Self::Project(_) | Self::ProjectFolder { .. } => None,
        }
    }
}

/// How servers stand in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How the file is written.
    pub format: Format,
    /// The ways to the tables (or lists) of servers.
    pub servers: &'static [&'static [Step]],
    /// The names of a server's settings.
    pub words: Words,
}

/// One step into a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of this name.
    Key(&'static str),
    /// Every member.
    Each,
}

/// What a client calls the settings of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// `command`, `args`, `env`.
    Usual,
    /// `command` is a list with the arguments, variables are `environment` (opencode).
    Opencode,
    /// `cmd`, `args`, `envs`, `env_keys` (Goose).
    Goose,
}

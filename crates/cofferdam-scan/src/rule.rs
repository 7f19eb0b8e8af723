//! The rules of this crate, by their stable ids.

use cofferdam_inspect::{Rule, Severity};

/// A shell stands between the client and the server.
pub(crate) static LAUNCH_SHELL: Rule = Rule {
    id: "launch/shell-wrapper",
    summary: "the launch line starts a shell that interprets a string",
    severity: Severity::Medium,
    help: "start the program itself, with its arguments as separate words",
};

/// The package is whatever the registry answers at each start.
pub(crate) static LAUNCH_UNPINNED: Rule = Rule {
    id: "launch/unpinned-package",
    summary: "the launch line installs a package without an exact version, at every start",
    severity: Severity::High,
    help: "install one exact version and start its program",
};

/// The container is no container.
pub(crate) static LAUNCH_CONTAINER_OPEN: Rule = Rule {
    id: "launch/open-container",
    summary: "the launch line opens the container to its host",
    severity: Severity::Critical,
    help: "remove the option; no MCP server needs the container engine, the host's namespaces or every privilege",
};

/// Every rule of this crate, in the order they are documented.
pub static SCAN_RULES: &[&Rule] = &[&LAUNCH_SHELL, &LAUNCH_UNPINNED, &LAUNCH_CONTAINER_OPEN];

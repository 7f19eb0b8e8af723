//! What is known before any call: the user, the server and its tools, as Cedar entities.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema};
use serde_json::Value;

use super::PolicyError;
use super::source::words;

/// Groups of the user that policies see at most.
const GROUPS_MAX: usize = 1024;

/// What the manifest grants one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its name.
    pub name: String,
    /// Whether its tools are pinned by a manifest.
    pub is_pinned: bool,
    /// Whether it may write outside its compartment.
    pub writes: bool,
    /// Whether it has any network.
    pub network: bool,
    /// Whether it may connect to UNIX sockets of the host.
    pub sockets: bool,
    /// Whether it may start other programs.
    pub programs: bool,
    /// Hosts and ports that it may connect to.
    pub hosts: Vec<(String, u16)>,
    /// Names of the secrets that it is given.
    pub secrets: Vec<String>,
}

impl ServerFacts {
    /// The classes it belongs to.
    fn classes(&self) -> Vec<&'static str> {
        let mut classes = Vec::new();
        if !self.writes && !self.network && !self.sockets {
            classes.push("sealed");
        }
        let named = [
            (self.writes, "writes"),
            (self.network, "network"),
            (self.sockets, "sockets"),
            (self.programs, "programs"),
            (!self.is_pinned, "unpinned"),
        ];
        classes.extend(named.into_iter().filter(|(is, _)| *is).map(|(_, class)| class));
        classes
    }
}

/// One accepted tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolFacts {
    /// Its name.
    pub name: String,
    /// Its accepted definition, raw JSON.
    pub definition: String,
}

/// Everything that stands before the first call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// The user's name, from the passwd entry.
    pub user: String,
    /// Names of the user's groups, from the operating system.
    pub groups: Vec<String>,
    /// Whether this runs in continuous integration.
    pub is_ci: bool,
    /// The server.
    pub server: ServerFacts,
    /// Its accepted tools.
    pub tools: Vec<ToolFacts>,
}

/// What a definition says of its tool. The server wrote it, and a person accepted it.
#[derive(Debug, Clone, Copy, Default)]
struct Hints {
    is_read_only: bool,
    is_destructive: bool,
    is_idempotent: bool,
    is_open_world: bool,
}

impl Hints {
    fn of(definition: &str) -> Self {
        let definition: Value = serde_json::from_str(definition).unwrap_or_default();
        let hint = |name: &str| {
            definition
                .pointer(&format!("/annotations/{name}"))
                .and_then(Value::as_bool)
        };
        let is_read_only = hint("readOnlyHint") == Some(true);
        Self {
            is_read_only,
            // Both at once contradict each other: the worse one holds.
            is_destructive: hint("destructiveHint") == Some(true),
            is_idempotent: is_read_only || hint("idempotentHint") == Some(true),
            is_open_world: hint("openWorldHint") != Some(false),
        }
    }
}

/// An entity's name in Cedar.
pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, PolicyError> {
    let kind: EntityTypeName = kind.parse().map_err(|error| internal(&error))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn internal(error: &dyn std::error::Error) -> PolicyError {
    PolicyError::NoSchema {
        server: String::new(),
        cause: words(error),
    }
}

/// The name of a server's tool: a server's name has no stroke in it, so no two pairs share one.
pub(super) fn tool_id(server: &str, tool: &str) -> String {
    format!("{server}/{tool}")
}

/// The name of a host with its port.
pub(super) fn host_id(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The entity that stands for whatever tool a server without a manifest has.
pub(super) const UNPINNED_TOOL: &str = "";

/// The entities of `world`, checked against `schema`.
pub(super) fn entities(world: &World, schema: &Schema) -> Result<Entities, PolicyError> {
    let groups: HashSet<EntityUid> = world
        .groups
        .iter()
        .take(GROUPS_MAX)
        .map(|group| uid("Group", group))
        .collect::<Result<_, _>>()?;
    let classes = world.server.classes();
    let classes: HashSet<EntityUid> = classes
        .iter()
        .map(|class| uid("ServerClass", class))
        .collect::<Result<_, _>>()?;
    let server = uid("Server", &world.server.name)?;
    let mut all: Vec<Entity> = groups.iter().chain(&classes).cloned().map(Entity::with_uid).collect();
    all.push(Entity::new_no_attrs(uid("User", &world.user)?, groups));
    all.push(entity(server.clone(), server_attributes(&world.server), classes)?);
    for tool in &world.tools {
        all.push(tool_entity(world, &server, &tool.name, Hints::of(&tool.definition))?);
    }
    for (host, port) in &world.server.hosts {
        let attributes = vec![
            ("host", RestrictedExpression::new_string(host.clone())),
            ("port", RestrictedExpression::new_long((*port).into())),
            ("server", RestrictedExpression::new_entity_uid(server.clone())),
        ];
        let parents = HashSet::from([server.clone()]);
        all.push(entity(uid("Host", &host_id(host, *port))?, attributes, parents)?);
    }
    for name in &world.server.secrets {
        let attributes = vec![
            ("name", RestrictedExpression::new_string(name.clone())),
            ("server", RestrictedExpression::new_entity_uid(server.clone())),
        ];
        let parents = HashSet::from([server.clone()]);
        let id = tool_id(&world.server.name, name);
        all.push(entity(uid("Secret", &id)?, attributes, parents)?);
    }
    if !world.server.is_pinned {
        let unknown = Hints {
            is_open_world: true,
            ..Hints::default()
        };
        all.push(tool_entity(world, &server, UNPINNED_TOOL, unknown)?);
    }
    Entities::from_entities(all, Some(schema)).map_err(|error| PolicyError::NoSchema {
        server: world.server.name.clone(),
        cause: words(&error),
    })
}

fn server_attributes(server: &ServerFacts) -> Vec<(&'static str, RestrictedExpression)> {
    let flags = [
        ("pinned", server.is_pinned),
        ("writes", server.writes),
        ("network", server.network),
        ("sockets", server.sockets),
        ("programs", server.programs),
    ];
    flags
        .map(|(name, is)| (name, RestrictedExpression::new_bool(is)))
        .into()
}

fn tool_entity(world: &World, server: &EntityUid, tool: &str, hints: Hints) -> Result<Entity, PolicyError> {
    let flags = [
        ("readOnly", hints.is_read_only),
        ("destructive", hints.is_destructive),
        ("idempotent", hints.is_idempotent),
        ("openWorld", hints.is_open_world),
    ];
    let mut attributes: Vec<_> = flags
        .map(|(name, is)| (name, RestrictedExpression::new_bool(is)))
        .into();
    attributes.push(("server", RestrictedExpression::new_entity_uid(server.clone())));
    let parents = HashSet::from([server.clone()]);
    entity(uid("Tool", &tool_id(&world.server.name, tool))?, attributes, parents)
}

fn entity(
    uid: EntityUid,
    attributes: Vec<(&'static str, RestrictedExpression)>,
    parents: HashSet<EntityUid>,
) -> Result<Entity, PolicyError> {
    let attributes: HashMap<_, _> = attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Entity::new(uid, attributes, parents).map_err(|error| internal(&error))
}

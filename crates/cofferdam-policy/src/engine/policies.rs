//! The policies of one server, ready to decide.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use cedar_policy::{
    ActionConstraint, Entities, EntityUid, Policy, PolicySet, ResourceConstraint, ValidationMode, Validator,
};

use super::PolicyError;
use super::input::InputType;
use super::moment::Moment;
use super::schema::{CALL, CALL_UNPINNED, EGRESS, INJECT_SECRET, PLAIN_ACTIONS, schema};
use super::slice::{Known, Says, Slice, Triple};
use super::source::{Layer, PolicyFile, Sourced, policies, words};
use super::world::{UNPINNED_TOOL, World, entities, host_id, tool_id, uid};
use crate::level::Level;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The client calls a tool, with these raw arguments.
    Call {
        /// The tool.
        tool: &'a str,
        /// Raw JSON.
        arguments: Option<&'a str>,
    },
    /// The client lists tools, resources or prompts.
    List,
    /// The client reads a resource.
    Read {
        /// Its URI.
        uri: &'a str,
    },
    /// The client gets a prompt.
    GetPrompt {
        /// Its name.
        prompt: &'a str,
    },
    /// The server asks the user something.
    Elicit,
    /// The server asks the client's model something.
    Sample,
    /// The server's result of a call goes to the client.
    ReleaseResult {
        /// The tool that was called.
        tool: &'a str,
    },
    /// The server connects to a host of its manifest.
    Egress {
        /// The name, or the address.
        host: &'a str,
        /// The port.
        port: u16,
    },
    /// A secret of its manifest goes to the server.
    InjectSecret {
        /// Its name.
        secret: &'a str,
    },
}

/// What the policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Ruling {
    /// Permitted once this level is reached.
    Permitted {
        /// The first level at which every layer permits.
        level: Level,
        /// `file:line` of the policies that permit, of each layer.
        by: Arc<str>,
    },
    /// Permitted at no level.
    Refused {
        /// The layer that refuses, where it is one.
        layer: Option<Layer>,
        /// `file:line` of the policies that forbid; why, where it is none.
        by: String,
        /// Whether a policy could not be evaluated.
        is_error: bool,
    },
}

/// The policies of all layers about one server, validated and sliced.
#[derive(Debug)]
pub struct Policies {
    pub(super) entities: Entities,
    server: String,
    pub(super) policies: Vec<Known>,
    /// A layer has a say as soon as it has a policy, also where all of them are about other servers: then it permits nothing here.
    layers: BTreeSet<Layer>,
    tools: HashMap<String, Uncut>,
    plain: HashMap<&'static str, Uncut>,
    unpinned: Option<Uncut>,
    hosts: HashMap<String, Uncut>,
    secrets: HashMap<String, Uncut>,
    pub(super) is_ci: bool,
}

/// A slice that is cut when it is asked for the first time: a server has many tools, and a session calls few.
#[derive(Debug)]
struct Uncut {
    triple: Triple,
    input: Option<InputType>,
    slice: OnceLock<Result<Slice, PolicyError>>,
}

impl Uncut {
    fn new(triple: Triple, input: Option<InputType>) -> Self {
        Self {
            triple,
            input,
            slice: OnceLock::new(),
        }
    }
}

impl Policies {
    /// Reads and validates the policies that concern the server of `world`.
    ///
    /// # Errors
    /// A policy is no Cedar, or does not fit the schema made of the server's tools. Nothing may be decided then.
    pub fn load(files: &[PolicyFile], world: &World) -> Result<Self, PolicyError> {
        let all = policies(files)?;
        let (schema, inputs) = schema(world)?;
        let entities = entities(world, &schema)?;
        let concerned = concerning(&all, &world.server.name, world.server.is_pinned)?;
        validate(&concerned, Validator::new(schema), &world.server.name)?;
        let layers: BTreeSet<Layer> = all.iter().map(|one| one.layer).collect();
        let server = uid("Server", &world.server.name)?;
        let mut tools = HashMap::new();
        for (tool, input) in world.tools.iter().zip(inputs) {
            let id = tool_id(&world.server.name, &tool.name);
            let triple = triple((&world.user, &id, Some(CALL)), uid("Tool", &id)?)?;
            tools.insert(tool.name.clone(), Uncut::new(triple, Some(input)));
        }
        let alone = |action: &str, resource| Ok(Uncut::new(triple((&world.user, action, None), resource)?, None));
        let mut plain = HashMap::new();
        for action in PLAIN_ACTIONS {
            plain.insert(action, alone(action, server.clone())?);
        }
        let (mut hosts, mut secrets) = (HashMap::new(), HashMap::new());
        for (host, port) in &world.server.hosts {
            let id = host_id(host, *port);
            hosts.insert(id.clone(), alone(EGRESS, uid("Host", &id)?)?);
        }
        for name in &world.server.secrets {
            let secret = uid("Secret", &tool_id(&world.server.name, name))?;
            secrets.insert(name.clone(), alone(INJECT_SECRET, secret)?);
        }
        let unpinned = match world.server.is_pinned {
            true => None,
            false => {
                let tool = uid("Tool", &tool_id(&world.server.name, UNPINNED_TOOL))?;
                Some(Uncut::new(
                    triple((&world.user, CALL_UNPINNED, Some(CALL)), tool)?,
                    None,
                ))
            }
        };
        Ok(Self {
            entities,
            server: world.server.name.clone(),
            policies: concerned.into_iter().map(Known::new).collect(),
            layers,
            tools,
            plain,
            unpinned,
            hosts,
            secrets,
            is_ci: world.is_ci,
        })
    }

    /// Cuts every slice, so that whatever cannot be evaluated is known before anybody asks.
    ///
    /// # Errors
    /// A policy that could be decided at load cannot be evaluated.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.uncut()
            .try_for_each(|uncut| self.cut(uncut).map(drop).map_err(Clone::clone))
    }

    fn uncut(&self) -> impl Iterator<Item = &Uncut> {
        let named = self.tools.values().chain(self.plain.values()).chain(&self.unpinned);
        named.chain(self.hosts.values()).chain(self.secrets.values())
    }

    fn cut<'s>(&'s self, uncut: &'s Uncut) -> Result<&'s Slice, &'s PolicyError> {
        let cut = || {
            let of = (self.policies.as_slice(), &self.layers);
            Slice::new(
                uncut.triple.clone(),
                uncut.input.clone(),
                of,
                &self.entities,
                self.is_ci,
            )
            .map_err(|error| of_server(error, &self.server))
        };
        uncut.slice.get_or_init(cut).as_ref()
    }

    /// At which level of the ladder, from `least` up, every layer permits what is asked. `has_grant` says whether a remembered grant fits:
    /// without one the level of grants is left out.
    pub fn rule(&self, asked: Asked<'_>, moment: &Moment<'_>, least: Level, has_grant: bool) -> Ruling {
        let Some(slice) = self.slice(asked) else {
            return Ruling::Refused {
                layer: None,
                by: "no policy knows it".to_owned(),
                is_error: false,
            };
        };
        let slice = match slice {
            Ok(slice) => slice,
            Err(error) => {
                return Ruling::Refused {
                    layer: None,
                    by: error.to_string(),
                    is_error: true,
                };
            }
        };
        let mut refused = None;
        for level in Level::ALL
            .into_iter()
            .filter(|level| *level >= least && (has_grant || *level != Level::Grant))
        {
            match self.permits(slice, level, asked, moment) {
                Ok(by) => return Ruling::Permitted { level, by },
                Err(why @ Ruling::Refused { is_error: true, .. }) => return why,
                Err(why) => refused = Some(why),
            }
        }
        refused.unwrap_or(Ruling::Refused {
            layer: None,
            by: "no level is left to ask for".to_owned(),
            is_error: false,
        })
    }

    /// Whether every layer permits at `level`, and by which policies.
    fn permits(&self, slice: &Slice, level: Level, asked: Asked<'_>, moment: &Moment<'_>) -> Result<Arc<str>, Ruling> {
        let refused = |layer, by, is_error| Ruling::Refused {
            layer: Some(layer),
            by,
            is_error,
        };
        let mut permitted: Option<Arc<str>> = None;
        for (layer, says) in slice.says(level, &self.entities, || self.context(slice, level, asked, moment)) {
            let by = match says {
                Says::Permit(by) => by,
                Says::Forbid(by) => return Err(refused(layer, by.to_string(), false)),
                Says::Nothing => return Err(refused(layer, "no policy permits it".to_owned(), false)),
                Says::Error(cause) => return Err(refused(layer, cause, true)),
            };
            permitted = Some(match permitted {
                Some(above) => format!("{above}, {by}").into(),
                None => by,
            });
        }
        // Without a single policy nothing is permitted; the shipped ones are always there unless somebody emptied them.
        permitted.ok_or_else(|| Ruling::Refused {
            layer: None,
            by: "there are no policies".to_owned(),
            is_error: false,
        })
    }

    /// Whether a policy about this reads what is computed about a call: then [`Moment::facts`] must have it.
    #[must_use]
    pub fn reads_facts(&self, asked: Asked<'_>) -> bool {
        self.slice(asked)
            .is_some_and(|slice| slice.is_ok_and(|slice| slice.reads_facts))
    }

    /// Whether a policy about this reads what was measured on the compartment.
    #[must_use]
    pub fn reads_measured(&self, asked: Asked<'_>) -> bool {
        let reads = |slice: &Slice| slice.reads.has("tier") || slice.reads.has("enforced");
        self.slice(asked).is_some_and(|slice| slice.is_ok_and(reads))
    }

    /// Ids of the policies that can say something about this server; the others of its files are dead here.
    #[must_use]
    pub fn reaching(&self) -> BTreeSet<&str> {
        let slices = self.uncut().filter_map(|uncut| self.cut(uncut).ok());
        slices.flat_map(|slice| slice.ids.iter().map(String::as_str)).collect()
    }

    /// What decides about this, `None` for a tool that nobody knows.
    pub(super) fn slice(&self, asked: Asked<'_>) -> Option<Result<&Slice, &PolicyError>> {
        let uncut = match asked {
            Asked::Call { tool, .. } => self.unpinned.as_ref().or_else(|| self.tools.get(tool)),
            Asked::Egress { host, port } => self.hosts.get(&host_id(host, port)),
            Asked::InjectSecret { secret } => self.secrets.get(secret),
            other => self.plain.get(other.plain_action()?),
        };
        uncut.map(|uncut| self.cut(uncut))
    }
}

/// Who, the user of this name, does what, perhaps in a group of actions, to what.
fn triple((user, action, group): (&str, &str, Option<&str>), resource: EntityUid) -> Result<Triple, PolicyError> {
    let group = group.map(|group| uid("Action", group)).transpose()?;
    Ok(Triple {
        principal: uid("User", user)?,
        action: uid("Action", action)?,
        action_groups: group.into_iter().collect(),
        resource,
    })
}

/// `file:line` of every policy in `files`.
///
/// # Errors
/// A file is no Cedar.
pub fn policy_ids(files: &[PolicyFile]) -> Result<Vec<String>, PolicyError> {
    let all = policies(files)?;
    Ok(all.iter().map(|one| one.policy.id().to_string()).collect())
}

impl Asked<'_> {
    fn plain_action(self) -> Option<&'static str> {
        match self {
            Self::Call { .. } | Self::Egress { .. } | Self::InjectSecret { .. } => None,
            Self::List => Some("list"),
            Self::Read { .. } => Some("read"),
            Self::GetPrompt { .. } => Some("getPrompt"),
            Self::Elicit => Some("elicit"),
            Self::Sample => Some("sample"),
            Self::ReleaseResult { .. } => Some("releaseResult"),
        }
    }
}

/// The policies that can concern server `name`: those that name only others' tools or servers in their head stay away, since they fit only
/// the others' schema.
fn concerning(all: &[Sourced], name: &str, is_pinned: bool) -> Result<Vec<Sourced>, PolicyError> {
    let is_foreign_action = |action: &EntityUid| match action.id().unescaped() {
        CALL_UNPINNED => is_pinned,
        id => id.split_once('/').is_some_and(|(server, _)| server != name),
    };
    let is_foreign_resource = |resource: &EntityUid| {
        let id = resource.id().unescaped();
        match resource.type_name().basename() {
            "Server" => id != name,
            "Secret" => id.split_once('/').is_none_or(|(server, _)| server != name),
            "Tool" => id.split_once('/').is_none_or(|(server, _)| server != name),
            _ => false,
        }
    };
    let mut concerning = Vec::new();
    for sourced in all {
        let is_elsewhere = match sourced.policy.resource_constraint() {
            ResourceConstraint::Eq(one) | ResourceConstraint::In(one) | ResourceConstraint::IsIn(_, one) => {
                is_foreign_resource(&one)
            }
            ResourceConstraint::Any | ResourceConstraint::Is(_) => false,
        };
        match sourced.policy.action_constraint() {
            _ if is_elsewhere => {}
            ActionConstraint::Eq(action) if action.id().unescaped() == CALL => {
                return Err(names_the_group(&sourced.policy));
            }
            ActionConstraint::Eq(action) if is_foreign_action(&action) => {}
            ActionConstraint::In(actions) if actions.iter().any(is_foreign_action) => {
                let own: Vec<&EntityUid> = actions.iter().filter(|action| !is_foreign_action(action)).collect();
                if !own.is_empty() {
                    concerning.push(Sourced {
                        layer: sourced.layer,
                        policy: with_actions(&sourced.policy, &own)?,
                    });
                }
            }
            _ => concerning.push(sourced.clone()),
        }
    }
    Ok(concerning)
}

/// `action == Action::"call"` would match no call at all, and a `forbid` with it would forbid none.
fn names_the_group(policy: &Policy) -> PolicyError {
    PolicyError::Syntax {
        place: policy.id().to_string(),
        cause: "`action == Action::\"call\"` matches no call, since each tool has an action of its own; write `action in Action::\"call\"`"
            .to_owned(),
    }
}

/// The same policy with only these actions in its head.
fn with_actions(policy: &Policy, actions: &[&EntityUid]) -> Result<Policy, PolicyError> {
    let syntax = |error: &dyn std::error::Error| PolicyError::Syntax {
        place: policy.id().to_string(),
        cause: words(error),
    };
    let mut json = policy.to_json().map_err(|error| syntax(&error))?;
    let entities = actions
        .iter()
        .map(|action| serde_json::json!({"type": "Action", "id": action.id().unescaped()}));
    let entities: Vec<_> = entities.collect();
    if let Some(members) = json.as_object_mut() {
        members.insert(
            "action".to_owned(),
            serde_json::json!({"op": "in", "entities": entities}),
        );
    }
    Policy::from_json(Some(policy.id().clone()), json).map_err(|error| syntax(&error))
}

fn validate(policies: &[Sourced], validator: Validator, server: &str) -> Result<(), PolicyError> {
    let invalid = |place: String, cause: String| PolicyError::Invalid {
        place,
        server: server.to_owned(),
        cause,
    };
    let set = PolicySet::from_policies(policies.iter().map(|one| one.policy.clone()))
        .map_err(|error| invalid(String::new(), words(&error)))?;
    let result = validator.validate(&set, ValidationMode::Strict);
    match result.validation_errors().next() {
        Some(error) => Err(invalid(error.policy_id().to_string(), error.to_string())),
        None => Ok(()),
    }
}

fn of_server(error: PolicyError, name: &str) -> PolicyError {
    match error {
        PolicyError::Unevaluable { place, cause, .. } => PolicyError::Unevaluable {
            place,
            server: name.to_owned(),
            cause,
        },
        other => other,
    }
}

//! Grants: consents that somebody gave for more than one call. Each is a Cedar template, linked with the user and with what is called, whose
//! conditions are made of typed values, and never of text that a peer wrote.
//!
//! A grant attests level 1 of the ladder and permits nothing by itself: the policies of every layer must permit at that level. What it covers
//! is what the person saw, but for the one thing it leaves open; whatever a condition cannot be told of is not covered.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, PolicyId, PolicySet, Request, RestrictedExpression, SlotId, Template,
    ValidationMode, Validator,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PolicyError;
use super::source::words;
use super::unmet::{Unmet, unmet};
use super::world::{tool_id, uid};

mod shape;

use shape::{GRANT_SCHEMA, template};

/// What a grant leaves open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum GrantPattern {
    /// Nothing: every call with this digest.
    Call {
        /// Of all that the call says.
        digest: String,
    },
    /// The arguments: every call of the tool in this session.
    Tool {
        /// The session's id.
        session: String,
    },
    /// The arguments, as long as every path lies in this folder or is it.
    Path {
        /// Absolute, with links resolved.
        folder: String,
    },
    /// The arguments, as long as every host is one of these.
    Host {
        /// Lowercase, at least one.
        hosts: BTreeSet<String>,
    },
}

/// What the arguments of a call touch, as far as grants look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Touched {
    /// Absolute, with links resolved.
    pub paths: BTreeSet<String>,
    /// Whether one of them is not inside the granted folders.
    pub outside_roots: bool,
    /// Lowercase.
    pub hosts: BTreeSet<String>,
    /// Whether one of them is private.
    pub private_network: bool,
    /// Whether there are command lines or SQL, which can touch anything.
    pub runs: bool,
    /// Values whose role says neither path nor host, and which may be one.
    pub others: BTreeSet<String>,
}

/// What a person sees of a call who says yes to more than it: the terms of a grant are made of this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seen {
    /// Ids of the findings.
    pub findings: BTreeSet<String>,
    /// The worst of them, 0 for none, 1 info to 5 critical.
    pub severity: i64,
    /// What was brought into the session before, where the tool can send it on.
    pub labels: BTreeSet<String>,
    /// What the call carries beside its name and arguments.
    pub carried: BTreeSet<String>,
    /// `None` where nobody can tell.
    pub touched: Option<Touched>,
}

/// Everything that a grant says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantTerms {
    /// Unguessable.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// The server.
    pub server: String,
    /// JSON-RPC method.
    pub method: String,
    /// The tool; empty for other methods.
    pub tool: String,
    /// What it leaves open.
    pub pattern: GrantPattern,
    /// Seconds since 1970 when it ends.
    pub until: i64,
    /// Digest of manifest and program: with others it is over.
    pub manifest: String,
    /// Digest of the policies: under others it is worth nothing.
    pub policies: String,
    /// What the call had that was shown.
    pub seen: Seen,
}

/// A call, as grants look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantCall {
    /// The user.
    pub user: String,
    /// The server.
    pub server: String,
    /// JSON-RPC method.
    pub method: String,
    /// The tool; empty for other methods.
    pub tool: String,
    /// Of all that the call says.
    pub digest: String,
    /// The session.
    pub session: String,
    /// Digest of manifest and program.
    pub manifest: String,
    /// Digest of the policies.
    pub policies: String,
    /// Seconds since 1970.
    pub now_s: i64,
    /// What there is to see of it.
    pub seen: Seen,
}

/// One grant, linked and ready.
#[derive(Debug, Clone)]
pub struct Grant {
    terms: GrantTerms,
    set: PolicySet,
}

impl Grant {
    /// Links the template of these terms with its user and with what it is about.
    ///
    /// # Errors
    /// The terms give no policy that fits the schema of grants.
    pub fn link(terms: GrantTerms) -> Result<Self, PolicyError> {
        let fault = |error: &dyn std::error::Error| PolicyError::Syntax {
            place: place(&terms.id),
            cause: words(error),
        };
        let template_id = PolicyId::new(format!("{} template", place(&terms.id)));
        let template =
            Template::from_json(Some(template_id.clone()), template(&terms)).map_err(|error| fault(&error))?;
        let mut set = PolicySet::new();
        set.add_template(template).map_err(|error| fault(&error))?;
        let values = HashMap::from([
            (SlotId::principal(), uid("User", &terms.user)?),
            (SlotId::resource(), resource(&terms.server, &terms.method, &terms.tool)?),
        ]);
        set.link(template_id, PolicyId::new(place(&terms.id)), values)
            .map_err(|error| fault(&error))?;
        let schema = GRANT_SCHEMA.clone()?;
        match Validator::new(schema)
            .validate(&set, ValidationMode::Strict)
            .validation_errors()
            .next()
        {
            Some(error) => Err(fault(error)),
            None => Ok(Self { terms, set }),
        }
    }

    /// What it says.
    #[must_use]
    pub fn terms(&self) -> &GrantTerms {
        &self.terms
    }

    /// The template and its link, in Cedar's own JSON form.
    ///
    /// # Errors
    /// Cedar cannot write it.
    pub fn to_json(&self) -> Result<Value, PolicyError> {
        self.set.clone().to_json().map_err(|error| PolicyError::Syntax {
            place: place(&self.terms.id),
            cause: words(&error),
        })
    }

    /// Whether it covers this call: a condition that cannot be told covers nothing.
    #[must_use]
    pub fn covers(&self, call: &GrantCall) -> bool {
        let request = self.is_about(call).then(|| request(call)).flatten();
        request.is_some_and(|request| {
            let response = Authorizer::new().is_authorized(&request, &self.set, &Entities::empty());
            response.decision() == Decision::Allow
        })
    }

    /// The conditions that this call does not meet; `None` where it is about something else.
    #[must_use]
    pub fn unmet(&self, call: &GrantCall) -> Option<Vec<Unmet>> {
        if !self.is_about(call) {
            return None;
        }
        let request = request(call)?;
        Some(unmet(&template(&self.terms), &request, &Entities::empty()))
    }

    fn is_about(&self, call: &GrantCall) -> bool {
        let of = |terms: &GrantTerms| [&terms.user, &terms.server, &terms.method, &terms.tool].map(String::clone);
        of(&self.terms) == [&call.user, &call.server, &call.method, &call.tool].map(String::clone)
    }
}

fn place(id: &str) -> String {
    format!("grant {id}")
}

fn resource(server: &str, method: &str, tool: &str) -> Result<cedar_policy::EntityUid, PolicyError> {
    if method == "tools/call" {
        uid("Tool", &tool_id(server, tool))
    } else {
        uid("Server", server)
    }
}

fn request(call: &GrantCall) -> Option<Request> {
    let seen = &call.seen;
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let set = |values: &BTreeSet<String>| RestrictedExpression::new_set(values.iter().map(|one| text(one)));
    let mut pairs = vec![
        ("now", RestrictedExpression::new_long(call.now_s)),
        ("manifest", text(&call.manifest)),
        ("policies", text(&call.policies)),
        ("digest", text(&call.digest)),
        ("session", text(&call.session)),
        ("findings", set(&seen.findings)),
        ("severity", RestrictedExpression::new_long(seen.severity)),
        ("labels", set(&seen.labels)),
        ("carried", set(&seen.carried)),
    ];
    // What cannot be told is not there, and a condition about it is not met.
    if let Some(touched) = &seen.touched {
        let boolean = RestrictedExpression::new_bool;
        pairs.extend([
            ("paths", set(&touched.paths)),
            ("within", set(&common_folders(&touched.paths))),
            ("outsideRoots", boolean(touched.outside_roots)),
            ("hosts", set(&touched.hosts)),
            ("privateNetwork", boolean(touched.private_network)),
            ("runs", boolean(touched.runs)),
            ("others", set(&touched.others)),
        ]);
    }
    let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
    let context = Context::from_pairs(pairs).ok()?;
    let resource = resource(&call.server, &call.method, &call.tool).ok()?;
    let (user, action) = (uid("User", &call.user).ok()?, uid("Action", &call.method).ok()?);
    Request::new(user, action, resource, context, None).ok()
}

/// Every folder that each of `paths` lies in or is: none where there are no paths, or where one is not absolute.
#[must_use]
pub fn common_folders(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let mut common: Option<BTreeSet<String>> = None;
    for path in paths {
        let above = path
            .match_indices('/')
            .filter_map(|(at, _)| path.get(..at))
            .filter(|folder| !folder.is_empty());
        let mut folders: BTreeSet<String> = above.chain([path.as_str()]).map(str::to_owned).collect();
        if !path.starts_with('/') {
            folders.clear();
        } else {
            folders.insert("/".to_owned());
        }
        common = Some(match common {
            Some(before) => before.intersection(&folders).cloned().collect(),
            None => folders,
        });
    }
    common.unwrap_or_default()
}

#[cfg(test)]
mod tests;

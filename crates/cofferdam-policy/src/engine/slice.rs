//! The policies that can matter for one action on one resource, most of them decided already.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use cedar_policy::{
    ActionConstraint, Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicySet, PrincipalConstraint,
    Request, ResourceConstraint, RestrictedExpression,
};

use super::PolicyError;
use super::input::InputType;
use super::reads::Reads;
use super::schema::COMPUTED;
use super::source::{Layer, Sourced, words};
use crate::level::Level;

/// Who does what to what.
#[derive(Debug, Clone)]
pub(super) struct Triple {
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    /// The groups that the action is in.
    pub(super) action_groups: Vec<EntityUid>,
    pub(super) resource: EntityUid,
}

/// What policies that read nothing of a single call say at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fixed {
    Permit(Arc<str>),
    Forbid(Arc<str>),
    Neither,
}

/// One layer's part.
#[derive(Debug)]
struct LayerSlice {
    layer: Layer,
    /// By level.
    fixed: [Fixed; Level::ALL.len()],
    /// What must be evaluated for each call; `None` where nothing must.
    moving: Option<PolicySet>,
}

/// What one layer says at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// Permitted, by these policies.
    Permit(Arc<str>),
    /// Forbidden by these policies.
    Forbid(Arc<str>),
    /// No policy permits it.
    Nothing,
    /// A policy could not be evaluated.
    Error(String),
}

/// A policy and what it reads, found out once for all slices, and only where one needs it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) sourced: Sourced,
    reads: OnceLock<Reads>,
}

impl Known {
    pub(super) fn new(sourced: Sourced) -> Self {
        Self {
            reads: OnceLock::new(),
            sourced,
        }
    }

    fn reads(&self) -> &Reads {
        self.reads.get_or_init(|| Reads::of(&self.sourced.policy))
    }
}

/// All layers' policies about one action on one resource.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) triple: Triple,
    layers: Vec<LayerSlice>,
    /// What the policies read that must be evaluated for each call.
    pub(super) reads: Reads,
    /// Ids of the policies whose head fits.
    pub(super) ids: Vec<String>,
    /// The types of the arguments, for a pinned tool.
    pub(super) input: Option<InputType>,
    /// Whether they read what is computed about a call, and what its arguments touch in particular.
    pub(super) reads_facts: bool,
    pub(super) reads_touched: bool,
}

impl Slice {
    /// Sorts `policies` into what is known now and what is not. Every one of `layers` has a say.
    pub(super) fn new(
        triple: Triple,
        input: Option<InputType>,
        (policies, layers): (&[Known], &BTreeSet<Layer>),
        entities: &Entities,
        is_ci: bool,
    ) -> Result<Self, PolicyError> {
        let mut slice = Self {
            triple,
            layers: Vec::new(),
            reads: Reads::default(),
            ids: Vec::new(),
            input,
            reads_facts: false,
            reads_touched: false,
        };
        for layer in layers.iter().copied() {
            let of_layer: Vec<&Known> = policies.iter().filter(|one| one.sourced.layer == layer).collect();
            let layer = slice.layer(layer, &of_layer, entities, is_ci)?;
            slice.layers.push(layer);
        }
        let reads = |name: &&&str| slice.reads.has(name);
        slice.reads_facts = COMPUTED.iter().any(|name| reads(&name));
        slice.reads_touched = COMPUTED.iter().filter(reads).any(|name| !name.ends_with("abels"));
        Ok(slice)
    }

    fn layer(
        &mut self,
        layer: Layer,
        policies: &[&Known],
        entities: &Entities,
        is_ci: bool,
    ) -> Result<LayerSlice, PolicyError> {
        let (mut known, mut moving) = (PolicySet::new(), PolicySet::new());
        for known_policy in policies
            .iter()
            .filter(|one| self.triple.is_in_scope_of(&one.sourced.policy, entities))
        {
            let (policy, reads) = (&known_policy.sourced.policy, known_policy.reads());
            self.ids.push(policy.id().to_string());
            let set = if reads.is_known_at_load() {
                &mut known
            } else {
                &mut moving
            };
            set.add(policy.clone())
                .map_err(|error| unevaluable(policy.id().to_string(), &error))?;
            if !reads.is_known_at_load() {
                self.reads.add(reads);
            }
        }
        let mut fixed = [const { Fixed::Neither }; Level::ALL.len()];
        for (level, fixed) in Level::ALL.into_iter().zip(&mut fixed) {
            let context = [
                (
                    "consent".to_owned(),
                    RestrictedExpression::new_long(level.number().into()),
                ),
                ("ci".to_owned(), RestrictedExpression::new_bool(is_ci)),
            ];
            let context = Context::from_pairs(context).map_err(|error| unevaluable(String::new(), &error))?;
            *fixed = match self.evaluate(&known, context, entities) {
                Says::Permit(by) => Fixed::Permit(by),
                Says::Forbid(by) => Fixed::Forbid(by),
                Says::Nothing => Fixed::Neither,
                Says::Error(cause) => {
                    return Err(PolicyError::Unevaluable {
                        place: String::new(),
                        server: String::new(),
                        cause,
                    });
                }
            };
        }
        Ok(LayerSlice {
            layer,
            fixed,
            moving: Some(moving).filter(|set| !set.is_empty()),
        })
    }

    /// Whether some policy must be evaluated for each call.
    pub(super) fn is_moving(&self) -> bool {
        self.layers.iter().any(|layer| layer.moving.is_some())
    }

    /// What each layer says at `level`, from the top. `context` is asked for only where a policy must be evaluated now.
    pub(super) fn says<'s>(
        &'s self,
        level: Level,
        entities: &'s Entities,
        context: impl Fn() -> Result<Context, String> + 's,
    ) -> impl Iterator<Item = (Layer, Says)> + 's {
        self.layers.iter().map(move |layer| {
            let fixed = layer.fixed.get(usize::from(level.number())).unwrap_or(&Fixed::Neither);
            let says = match (fixed, &layer.moving) {
                (Fixed::Forbid(by), _) => Says::Forbid(Arc::clone(by)),
                (Fixed::Permit(by), None) => Says::Permit(Arc::clone(by)),
                (Fixed::Neither, None) => Says::Nothing,
                (fixed, Some(moving)) => {
                    match (context().map(|context| self.evaluate(moving, context, entities)), fixed) {
                        (Err(cause), _) => Says::Error(cause),
                        (Ok(Says::Nothing), Fixed::Permit(by)) => Says::Permit(Arc::clone(by)),
                        (Ok(says), _) => says,
                    }
                }
            };
            (layer.layer, says)
        })
    }

    /// The request that this slice is about.
    pub(super) fn request(&self, context: Context) -> Result<Request, String> {
        let Triple {
            principal,
            action,
            resource,
            ..
        } = &self.triple;
        let request = Request::new(principal.clone(), action.clone(), resource.clone(), context, None);
        request.map_err(|error| words(&error))
    }

    fn evaluate(&self, policies: &PolicySet, context: Context, entities: &Entities) -> Says {
        let request = match self.request(context) {
            Ok(request) => request,
            Err(cause) => return Says::Error(cause),
        };
        let response = Authorizer::new().is_authorized(&request, policies, entities);
        // Cedar skips a policy that it cannot evaluate; a `forbid` among them would let through.
        if let Some(error) = response.diagnostics().errors().next() {
            return Says::Error(error.to_string());
        }
        let mut by: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        by.sort_unstable();
        match (response.decision(), by.is_empty()) {
            (Decision::Allow, _) => Says::Permit(by.join(", ").into()),
            (Decision::Deny, false) => Says::Forbid(by.join(", ").into()),
            (Decision::Deny, true) => Says::Nothing,
        }
    }
}

fn unevaluable(place: String, error: &dyn std::error::Error) -> PolicyError {
    PolicyError::Unevaluable {
        place,
        server: String::new(),
        cause: words(error),
    }
}

impl Triple {
    /// Whether the head of `policy` lets it apply. What is left out here could not have been satisfied.
    pub(super) fn is_in_scope_of(&self, policy: &Policy, entities: &Entities) -> bool {
        let is_in = |entity: &EntityUid, group: &EntityUid| entity == group || entities.is_ancestor_of(group, entity);
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(one) => one == self.principal,
            PrincipalConstraint::In(group) => is_in(&self.principal, &group),
            PrincipalConstraint::Is(kind) => kind == *self.principal.type_name(),
            PrincipalConstraint::IsIn(kind, group) => {
                kind == *self.principal.type_name() && is_in(&self.principal, &group)
            }
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(one) => one == self.resource,
            ResourceConstraint::In(group) => is_in(&self.resource, &group),
            ResourceConstraint::Is(kind) => kind == *self.resource.type_name(),
            ResourceConstraint::IsIn(kind, group) => {
                kind == *self.resource.type_name() && is_in(&self.resource, &group)
            }
        };
        let is_action = |one: &EntityUid| *one == self.action || self.action_groups.contains(one);
        let action = match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(one) => one == self.action,
            ActionConstraint::In(many) => many.iter().any(is_action),
        };
        principal && resource && action
    }
}

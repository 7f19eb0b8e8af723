//! Why the policies say what they say, for people.

use cedar_policy::{Context, Effect};

use super::moment::Moment;
use super::policies::{Asked, Policies};
use super::slice::{Known, Says, Slice};
use super::source::Layer;
use super::unmet::{Unmet, unmet};
use crate::level::Level;

/// Permits that are told for one layer, those that miss the least first.
const NEAREST_MAX: usize = 3;

/// What stands in the way at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A policy forbids it.
    Forbid {
        /// `file:line`.
        by: String,
    },
    /// A policy would permit it, if the rest of its conditions held.
    Permit {
        /// `file:line`.
        by: String,
        /// What does not hold.
        unmet: Vec<Unmet>,
    },
    /// A policy cannot be evaluated.
    Error {
        /// Why.
        cause: String,
    },
    /// No policy of the layer that permits anything has this in its head.
    NoPermit,
}

/// What stands in the way of a call in one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTheWay {
    /// The layer that does not permit.
    pub layer: Layer,
    /// Each of them must go; of permits, one must come to hold.
    pub obstacles: Vec<Obstacle>,
}

/// What one layer says at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSays {
    /// The layer.
    pub layer: Layer,
    /// Whether it permits.
    pub permits: bool,
    /// `file:line` of the policies that decided; the cause, where a policy could not be evaluated; empty where none applied.
    pub by: String,
}

/// Every level of the ladder, and what each layer says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// From the bottom of the ladder.
    pub levels: Vec<(Level, Vec<LayerSays>)>,
    /// Whether the answer depends on more than the tool: then another call may get another one.
    pub depends_on_call: bool,
    /// What the policies that must be evaluated for each call read of this one, but for the level: attribute and value, as Cedar writes it.
    pub facts: Vec<(String, String)>,
}

impl Policies {
    /// What stands in the way of this at `level`: nothing, where every layer permits; `None` for a tool that nobody knows.
    #[must_use]
    pub fn in_the_way(&self, asked: Asked<'_>, moment: &Moment<'_>, level: Level) -> Option<Vec<InTheWay>> {
        let slice = self.slice(asked)?.ok()?;
        let says = slice.says(level, &self.entities, || self.context(slice, level, asked, moment));
        let context = self.whole_context(slice, level, asked, moment);
        let ways = says.filter_map(|(layer, says)| {
            let obstacles = match says {
                Says::Permit(_) => return None,
                Says::Forbid(by) => by
                    .split(", ")
                    .map(|by| Obstacle::Forbid { by: by.to_owned() })
                    .collect(),
                Says::Error(cause) => vec![Obstacle::Error { cause }],
                Says::Nothing => match &context {
                    Ok(context) => self.nearest(slice, layer, context),
                    Err(cause) => vec![Obstacle::Error { cause: cause.clone() }],
                },
            };
            Some(InTheWay { layer, obstacles })
        });
        Some(ways.collect())
    }

    /// The permits of a layer that come nearest to this.
    fn nearest(&self, slice: &Slice, layer: Layer, context: &Context) -> Vec<Obstacle> {
        let is_near = |known: &&Known| {
            let Known { sourced, .. } = known;
            sourced.layer == layer
                && sourced.policy.effect() == Effect::Permit
                && slice.triple.is_in_scope_of(&sourced.policy, &self.entities)
        };
        let near = self.policies.iter().filter(is_near).filter_map(|known| {
            let policy = &known.sourced.policy;
            let request = slice.request(context.clone()).ok()?;
            let unmet = unmet(&policy.to_json().ok()?, &request, &self.entities);
            Some(Obstacle::Permit {
                by: policy.id().to_string(),
                unmet,
            })
        });
        let missing = |obstacle: &Obstacle| match obstacle {
            Obstacle::Permit { unmet, .. } => unmet.len(),
            _ => usize::MAX,
        };
        let mut near: Vec<Obstacle> = near.collect();
        near.sort_by_key(missing);
        near.truncate(NEAREST_MAX);
        if near.is_empty() {
            near.push(Obstacle::NoPermit);
        }
        near
    }

    /// What every layer says at every level; `None` for a tool that nobody knows.
    #[must_use]
    pub fn explain(&self, asked: Asked<'_>, moment: &Moment<'_>) -> Option<Explained> {
        let slice = self.slice(asked)?.ok()?;
        let levels = Level::ALL.map(|level| {
            let layers = slice.says(level, &self.entities, || self.context(slice, level, asked, moment));
            let layers = layers.map(|(layer, says)| {
                let (permits, by) = match says {
                    Says::Permit(by) => (true, by.to_string()),
                    Says::Forbid(by) => (false, by.to_string()),
                    Says::Nothing => (false, String::new()),
                    Says::Error(cause) => (false, cause),
                };
                LayerSays { layer, permits, by }
            });
            (level, layers.collect())
        });
        // What cannot be told stands as the cause of the refusal, at each level.
        let context = self.context(slice, Level::Nobody, asked, moment).ok();
        let read = context.into_iter().flat_map(|context| {
            let names = slice.reads.names(&context);
            names.into_iter().map(move |name| {
                let value = context.get(&name).map_or_else(String::new, |value| value.to_string());
                (name, value)
            })
        });
        Some(Explained {
            facts: read.collect(),
            levels: levels.into(),
            depends_on_call: slice.is_moving(),
        })
    }
}

//! Why the policies say what they say, for people.

use super::moment::Moment;
use super::policies::{Asked, Policies};
use super::slice::Says;
use super::source::Layer;
use crate::level::Level;

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

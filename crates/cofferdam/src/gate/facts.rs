//! What policies see beside the message: what a call would touch, which labels the session has, what holds on the compartment.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use cofferdam_inspect::{ArgumentFacts, Reach};
use cofferdam_policy::{Asked, CallFacts, Measured, Moment, Seen, Standing, Tier, Touched, ruled_alone};
use cofferdam_protocol::Message;
use cofferdam_sandbox::{Enforced, Feature};

use super::live_tools::{LiveTools, PinnedTool};
use super::{Gate, InForce};

/// What of `holds` was found on a compartment of this tier; everything that is required where nobody waives anything makes it
/// sealed.
pub(crate) fn measured_on(tier: cofferdam_sandbox::Tier, holds: impl Fn(Feature) -> bool) -> Measured {
    let found: Vec<Feature> = Feature::all().filter(|feature| holds(*feature)).collect();
    let mut required = Feature::DEFAULT_REQUIRED.iter().chain([&Feature::ProgramWalls]);
    let tier = match tier {
        cofferdam_sandbox::Tier::Landlocked => Tier::Landlocked,
        cofferdam_sandbox::Tier::Sealed if required.all(|feature| found.contains(feature)) => Tier::Sealed,
        cofferdam_sandbox::Tier::Sealed => Tier::Waived,
    };
    Measured {
        tier,
        enforced: found.iter().map(ToString::to_string).collect(),
    }
}

/// An accepted server that does not run: what a gate would know of its calls. Schemas and roles are read once for all of them.
#[derive(Debug)]
pub(crate) struct Supposed {
    tools: LiveTools,
    roots: Vec<String>,
    reach: Reach,
}

impl Supposed {
    pub(crate) fn new(pins: BTreeMap<String, PinnedTool>, roots: Vec<String>, reach: Reach) -> Self {
        Self {
            tools: LiveTools::pinned(pins),
            roots,
            reach,
        }
    }

    /// What policies would see of a call that is the first of its session.
    pub(crate) fn facts(&mut self, tool: &str, arguments: &str) -> CallFacts {
        CallFacts {
            arguments: self.tools.touched(tool, Some(arguments), &self.roots),
            labels: Vec::new(),
            tool_labels: self.tools.labels(tool).within(self.reach).names(),
        }
    }

    /// What grants would see of it.
    pub(crate) fn seen(&mut self, tool: &str, arguments: &str) -> Seen {
        Seen {
            touched: touched(&mut self.tools, (tool, Some(arguments)), &self.roots),
            ..Seen::default()
        }
    }
}

/// What a call would touch, as grants look at it; `None` where nobody can tell.
pub(super) fn touched(
    tools: &mut LiveTools,
    (tool, arguments): (&str, Option<&str>),
    roots: &[String],
) -> Option<Touched> {
    let facts = tools.touched(tool, arguments, roots).ok()?;
    let others = tools.others(tool, arguments).ok()?;
    Some(Touched {
        paths: facts.paths,
        outside_roots: facts.is_outside_roots,
        hosts: facts.hosts,
        private_network: facts.is_private_network,
        runs: !(facts.programs.is_empty() && facts.sql.is_empty()),
        others,
    })
}

impl Gate {
    /// Takes in what was measured on a process of the server, before its first line is judged.
    pub(super) fn take_measurement(&self, enforced: &Enforced) {
        let measured = Arc::new(measured_on(enforced.tier(), |feature| enforced.has(feature)));
        *self.measured.write().unwrap_or_else(PoisonError::into_inner) = measured;
    }

    /// What policies want to know of a call; `None` where none of them reads any of it.
    pub(super) fn call_facts(
        &self,
        message: &Message,
        standing: Option<Standing>,
        in_force: &InForce,
    ) -> Option<CallFacts> {
        let tool = message.param_str("name").filter(|_| standing.is_some())?;
        let arguments = message.param("arguments");
        let asked = Asked::Call { tool: &tool, arguments };
        let candidate = in_force.candidate.as_ref();
        if !(in_force.policies.reads_facts(asked) || candidate.is_some_and(|policies| policies.reads_facts(asked))) {
            return None;
        }
        let (touched, of_tool) = {
            let mut tools = self.tools();
            let touched = tools.touched(&tool, arguments, &self.terms.roots);
            (touched, tools.labels(&tool).within(self.terms.reach))
        };
        Some(CallFacts {
            arguments: touched,
            labels: self.labels_so_far(),
            tool_labels: of_tool.names(),
        })
    }

    /// Labels of this session and, for a while, of the user's others.
    pub(super) fn labels_so_far(&self) -> Vec<&'static str> {
        let others = self.shared.others(crate::cli::unix_seconds());
        self.flow().labels(&others)
    }

    /// Whether the policies let the server connect there; why not, where they do not.
    pub(super) fn permit_egress(&self, host: &str, port: u16) -> Result<(), String> {
        let (in_force, measured) = (self.in_force(), self.measured());
        let facts = CallFacts {
            arguments: Ok(ArgumentFacts::default()),
            labels: self.labels_so_far(),
            tool_labels: Vec::new(),
        };
        let moment = Moment {
            now_s: crate::cli::unix_seconds(),
            client: self.client.get().map_or("", String::as_str),
            facts: Some(&facts),
            measured: Some(&measured),
            ..Moment::default()
        };
        let ruled = ruled_alone(&in_force.policies, Asked::Egress { host, port }, &moment);
        ruled.map(drop).map_err(|(_, why)| why)
    }
}

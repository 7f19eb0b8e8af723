//! `policy explain`: which policies decide about a call, which grants cover it, and what would have allowed it.

use cofferdam_manifest::Consent;
use cofferdam_policy::{
    Asked, Explained, Grant as Linked, GrantCall, GrantPattern, InTheWay, Level, Moment, Obstacle, Policies, Unmet,
};
use serde_json::{Value, json};

use super::approvals::{grants_in_force, manifest_digest};
use super::output::{Output, Style};
use super::policy::{Outcome, check_arguments, moment, outcome, supposed};
use super::policy_args::PolicyExplain;
use crate::approvals::{Grant, grant_words};
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::gate::{Supposed, call_digest, escaped};
use crate::home::Home;
use crate::policy::{PolicyFiles, pinned_world};
use crate::session::accepted;

/// All there is to say about one call.
struct Told {
    outcome: Outcome,
    manifest: Consent,
    explained: Explained,
    /// From which level on it passes, where it passes at all.
    level: Option<Level>,
    /// Whether a grant would do.
    takes_grants: bool,
    grants: Vec<Remembered>,
    /// What would have to go, or come to hold, for it to pass at this level.
    in_the_way: Option<(Level, Vec<InTheWay>)>,
}

/// A grant about the tool of this call.
struct Remembered {
    grant: Grant,
    /// What of its conditions the call does not meet: nothing, where it covers it.
    unmet: Vec<Unmet>,
}

/// Explains one call; exit 0 allowed, 1 asked or refused.
pub(crate) fn explain(home: &Home, args: &PolicyExplain, output: &mut Output) -> Result<Exit, Failure> {
    let contract = Contract::read(home, &args.name)?;
    let consent = contract.manifest.tools.get(&args.tool).map(|tool| tool.consent);
    let consent = consent.ok_or_else(|| {
        Failure::misconfigured(format!("the manifest of `{}` has no tool `{}`", args.name, args.tool))
            .help(format!("`cofferdam tools {}` lists them", args.name))
    })?;
    check_arguments(&args.arguments)?;
    let files = PolicyFiles::read(home)?;
    let policies = files.load(&pinned_world(home, &contract)?)?;
    let asked = Asked::Call {
        tool: &args.tool,
        arguments: Some(&args.arguments),
    };
    let (mut supposed, measured) = supposed(&contract);
    let facts = supposed.facts(&args.tool, &args.arguments);
    let moment = moment(args.arguments.len(), &facts, &measured);
    let call = grant_call(home, &contract, args, (&mut supposed, files.digest().to_string()));
    let grants = grants_in_force(home, output)?;
    let told = told((&policies, asked, &moment), consent, remembered(grants, &call))?;
    tell(&told, output)?;
    Ok(if told.outcome.word == "allow" {
        Exit::Fine
    } else {
        Exit::Findings
    })
}

fn told(
    (policies, asked, moment): (&Policies, Asked<'_>, &Moment<'_>),
    manifest: Consent,
    grants: Vec<Remembered>,
) -> Result<Told, Failure> {
    let unknown = || Failure::misconfigured("no policy knows the tool");
    let outcome = outcome(policies, asked, moment, manifest);
    let level = Level::ALL.into_iter().find(|level| level.word() == outcome.word);
    let least = Level::least(manifest);
    let in_the_way = match (level, least) {
        // The manifest alone refuses it, or nothing does.
        (_, None) | (Some(Level::Nobody), _) => None,
        // It is asked about: what would let it pass unasked, as far as the manifest does.
        (Some(level), Some(least)) if least < level => Some(least),
        (Some(_), Some(_)) => None,
        (None, Some(least)) => nearest_level((policies, asked, moment), least),
    };
    let in_the_way = in_the_way.and_then(|at| Some((at, policies.in_the_way(asked, moment, at)?)));
    Ok(Told {
        explained: policies.explain(asked, moment).ok_or_else(unknown)?,
        takes_grants: level.is_some_and(|level| level <= Level::Grant),
        outcome,
        manifest,
        level,
        grants,
        in_the_way,
    })
}

/// The level at which the least stands in the way, the lowest of those.
fn nearest_level(about: (&Policies, Asked<'_>, &Moment<'_>), least: Level) -> Option<Level> {
    let (policies, asked, moment) = about;
    let weight = |obstacle: &Obstacle| match obstacle {
        Obstacle::Permit { unmet, .. } => unmet.len(),
        Obstacle::Forbid { .. } | Obstacle::Error { .. } | Obstacle::NoPermit => HEAVY,
    };
    let at = |level: Level| {
        let layers = policies.in_the_way(asked, moment, level)?;
        let of_layer = |one: &InTheWay| {
            let forbidden = one
                .obstacles
                .iter()
                .filter(|one| !matches!(one, Obstacle::Permit { .. }));
            let nearest = one.obstacles.iter().map(weight).min().unwrap_or_default();
            forbidden.map(weight).sum::<usize>().max(nearest)
        };
        Some(layers.iter().map(of_layer).sum::<usize>())
    };
    let levels = Level::ALL
        .into_iter()
        .filter(|level| *level >= least && *level != Level::Grant);
    levels.min_by_key(|level| at(*level).unwrap_or(usize::MAX))
}

/// A prohibition weighs more than any number of conditions.
const HEAVY: usize = 1_000;

/// The call as a gate would put it to grants, in a session that has seen nothing.
fn grant_call(
    home: &Home,
    contract: &Contract,
    args: &PolicyExplain,
    (supposed, policies): (&mut Supposed, String),
) -> GrantCall {
    let name = json!(args.tool).to_string();
    let said = vec![("arguments", args.arguments.as_str()), ("name", name.as_str())];
    let method = "tools/call".to_owned();
    GrantCall {
        user: home.user_name.clone(),
        server: contract.name.clone(),
        tool: args.tool.clone(),
        digest: call_digest(&format!("{} {policies}", accepted(contract)), &method, said),
        method,
        session: String::new(),
        manifest: manifest_digest(contract),
        policies,
        now_s: super::unix_seconds(),
        seen: supposed.seen(&args.tool, &args.arguments),
    }
}

/// The grants about this tool, and what of each the call does not meet. One for a session is held against a call in that session.
fn remembered(grants: Vec<Grant>, call: &GrantCall) -> Vec<Remembered> {
    let about = grants.into_iter().filter_map(|grant| {
        let session = match &grant.terms.pattern {
            GrantPattern::Tool { session } => session.clone(),
            _ => String::new(),
        };
        let call = GrantCall {
            session,
            ..call.clone()
        };
        let unmet = Linked::link(grant.terms.clone()).ok()?.unmet(&call)?;
        Some(Remembered { grant, unmet })
    });
    about.collect()
}

fn tell(told: &Told, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.line(&json(told).to_string());
    }
    let Told { outcome, explained, .. } = told;
    let style = if outcome.word == "allow" {
        Style::Green
    } else {
        Style::Yellow
    };
    let word = output.styled(style, outcome.word);
    output.line(&format!("{word}  by {}", outcome.by))?;
    output.line(&format!("manifest: consent {}", told.manifest))?;
    for (level, layers) in &explained.levels {
        output.line(&format!("level {} ({})", level.number(), level.words()))?;
        for one in layers {
            let word = if one.permits { "permits" } else { "refuses" };
            let by = if one.by.is_empty() {
                "no policy permits it"
            } else {
                &one.by
            };
            output.line(&format!("  {:12}  {word}  {by}", one.layer.word()))?;
        }
    }
    for (name, value) in &explained.facts {
        output.line(&format!("fact  {name} = {}", escaped(value.as_bytes())))?;
    }
    for line in grant_lines(told).into_iter().chain(way_lines(told)) {
        output.line(&line)?;
    }
    let note = if explained.depends_on_call {
        "another call of this tool may get another answer: some policies read the call"
    } else {
        "every call of this tool gets this answer: no policy reads the call"
    };
    output.line(note)
}

fn grant_lines(told: &Told) -> Vec<String> {
    let mut lines = Vec::new();
    for Remembered { grant, unmet } in &told.grants {
        let verdict = match unmet.is_empty() {
            true if told.takes_grants => "covers it",
            true => "covers it, and is not enough",
            false => "does not cover it",
        };
        let id = escaped(grant.id.as_bytes());
        lines.push(format!("grant {id} {verdict}: {}", grant_words(&grant.terms)));
        lines.extend(unmet.iter().map(|one| format!("  {}", unmet_words(one))));
    }
    lines
}

fn unmet_words(unmet: &Unmet) -> String {
    let condition = escaped(unmet.condition.as_bytes());
    match &unmet.untold {
        None => format!("does not hold: {condition}"),
        Some(cause) => format!("cannot be told: {condition} ({})", escaped(cause.as_bytes())),
    }
}

/// What would have allowed it, for people.
fn way_lines(told: &Told) -> Vec<String> {
    let mut lines = Vec::new();
    match (told.level, told.manifest) {
        (Some(Level::Nobody), _) => return lines,
        (_, Consent::Deny) => {
            lines.push("allowed if: the manifest did not deny the tool; no consent and no grant does it".to_owned());
        }
        (None, _) => lines.push("allowed if: a policy changed; no consent and no grant does it".to_owned()),
        (Some(Level::Grant), _) => lines.push(format!(
            "allowed with: {}, given when it is asked, or a grant that covers it",
            Level::Attested.words()
        )),
        (Some(level), _) => {
            lines.push(format!("allowed with: {}, given each time it is asked", level.words()));
            let least = Level::least(told.manifest).unwrap_or(Level::Nobody);
            let whose = if least == level {
                "the manifest wants"
            } else {
                "the policies want"
            };
            lines.push(format!("not with: a grant, since {whose} this asked every time"));
        }
    }
    if let Some((level, layers)) = &told.in_the_way {
        let number = level.number();
        let head = match told.level {
            Some(_) => format!("to pass without being asked (level {number}), of each layer:"),
            None => format!(
                "what stands in the way, least of all at level {number} ({}), of each layer:",
                level.words()
            ),
        };
        let is_asked = told.level.is_some();
        lines.push(head);
        lines.extend(layers.iter().flat_map(|way| layer_lines(way, is_asked)));
    }
    lines
}

/// Whether it is somebody's consent alone that a permit misses: that it asks is said already.
fn misses_consent_alone(unmet: &[Unmet]) -> bool {
    unmet.iter().all(|one| one.condition.contains("context.consent"))
}

fn layer_lines(way: &InTheWay, is_asked: bool) -> Vec<String> {
    let layer = way.layer.word();
    let mut lines = Vec::new();
    for obstacle in &way.obstacles {
        match obstacle {
            Obstacle::Permit { unmet, .. } if is_asked && misses_consent_alone(unmet) => {}
            Obstacle::Forbid { by } => lines.push(format!("  {layer:12}  forbidden by {by}")),
            Obstacle::Error { cause } => {
                lines.push(format!("  {layer:12}  cannot be told: {}", escaped(cause.as_bytes())));
            }
            Obstacle::NoPermit => lines.push(format!("  {layer:12}  no policy that permits names this in its head")),
            Obstacle::Permit { by, unmet } => {
                lines.push(format!("  {layer:12}  {by} would permit it, but:"));
                lines.extend(unmet.iter().map(|one| format!("  {:12}    {}", "", unmet_words(one))));
            }
        }
    }
    lines
}

fn json(told: &Told) -> Value {
    let levels = told.explained.levels.iter().map(|(level, layers)| {
        let layers = layers
            .iter()
            .map(|one| json!({"layer": one.layer.word(), "permits": one.permits, "by": one.by}));
        json!({"level": level.number(), "layers": layers.collect::<Vec<_>>()})
    });
    let facts: serde_json::Map<String, Value> = told
        .explained
        .facts
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let grants = told.grants.iter().map(|one| {
        json!({"id": one.grant.id, "covers": one.unmet.is_empty(), "unmet": unmet_json(&one.unmet), "terms": one.grant.terms})
    });
    let way = told.in_the_way.as_ref().map(
        |(level, layers)| json!({"level": level.number(), "layers": layers.iter().map(layer_json).collect::<Vec<_>>()}),
    );
    json!({
        "outcome": told.outcome.word, "by": told.outcome.by, "manifest": told.manifest.to_string(),
        "depends_on_call": told.explained.depends_on_call, "levels": levels.collect::<Vec<_>>(), "facts": facts,
        "grants": grants.collect::<Vec<_>>(), "takes_grants": told.takes_grants,
        "consent": told.level.map(Level::number), "in_the_way": way,
    })
}

fn layer_json(way: &InTheWay) -> Value {
    let obstacles = way.obstacles.iter().map(|obstacle| match obstacle {
        Obstacle::Forbid { by } => json!({"forbid": by}),
        Obstacle::Error { cause } => json!({"error": cause}),
        Obstacle::NoPermit => json!({"permit": null}),
        Obstacle::Permit { by, unmet } => json!({"permit": by, "unmet": unmet_json(unmet)}),
    });
    json!({"layer": way.layer.word(), "obstacles": obstacles.collect::<Vec<_>>()})
}

fn unmet_json(unmet: &[Unmet]) -> Value {
    let all = unmet
        .iter()
        .map(|one| json!({"condition": one.condition, "untold": one.untold}));
    json!(all.collect::<Vec<_>>())
}

//! One recorded session: record opened, compartment started and its enforcement recorded, gate run.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use cofferdam_audit::{Entry, Kind, Log, Opening, Options, Veiling};
use cofferdam_inspect::{Reach, Release, SecretValues, suppression_fault};
use cofferdam_manifest::{Digest, Manifest};
use cofferdam_policy::{Asked, Moment, Policies, ruled_alone};
use cofferdam_sandbox::{Compartment, Feature, Plan, Prepared, Programs, Tier};
use serde_json::json;

use crate::approvals::{Approvers, GrantStore};
use crate::compartment;
use crate::contract::{Contract, Place};
use crate::disk;
use crate::egress::Grants;
use crate::failure::{Exit, Failure};
use crate::gate::{self, Ended, Executed, Launched, Pipes, Terms, observations};
use crate::home::Home;
use crate::install::Held;
use crate::policy;
use crate::refusals::{Gathered, Refusals};
use crate::settings::{ApprovalsWebhook, Settings};
use crate::shipping;
use crate::unseen::Given;
use crate::veil::Veil;
use crate::witness::Witness;

/// What a session is about.
#[derive(Debug)]
pub(crate) struct Session {
    terms: Terms,
    plan: Plan,
    /// Manifest and program as accepted, where this session has a contract.
    accepted: Option<[Digest; 2]>,
    /// Names of the secrets that the server is given.
    secrets: Vec<String>,
    /// Facts of the `open` record.
    about: serde_json::Value,
    executed: Executed,
    veiling: Option<Arc<dyn Veiling>>,
    /// Its package is not pruned while it runs.
    held: Vec<Held>,
}

/// A door that leads nowhere: with one there is somebody who hears questions for names.
const TLS_PORT: u16 = 443;

impl Session {
    /// A session under an accepted contract.
    pub(crate) fn pinned(home: &Home, contract: &Contract) -> Result<Self, Failure> {
        let policies = policy::PolicyFiles::read(home)?;
        let manifest = &contract.manifest;
        let mut about = json!({
            "policy": policies.digest().to_string(),
            "manifest": contract.stated.digest().to_string(),
            "program": contract.program.digest().to_string(),
            "command": manifest.launch.command,
            "waived": manifest.isolation.waive,
        });
        if let (Some(profile), Some(members)) = (manifest.isolation.profile, about.as_object_mut()) {
            members.insert("profile".to_owned(), json!(profile));
        }
        if let (Place::Project(project), Some(members)) = (&contract.place, about.as_object_mut()) {
            members.insert("project".to_owned(), json!(project.file));
        }
        if let (Some(signer), Some(members)) = (&contract.signed_by, about.as_object_mut()) {
            members.insert("signed_by".to_owned(), json!(signer));
        }
        let plan = pinned_plan(home, contract)?;
        let world = policy::pinned_world(home, contract)?;
        let is_ci = world.is_ci;
        let binding = accepted(contract);
        let terms = Terms {
            name: contract.name.clone(),
            limits: manifest.limits.clone(),
            client_requests: manifest.client.allow.clone(),
            network: Grants::of(&manifest.network),
            release: release(manifest, &plan),
            reach: reach(manifest),
            roots: roots(manifest),
            suppress: manifest.suppress.clone(),
            pins: Some(contract.pins()),
            in_force: Arc::new(policies.in_force(&world, &binding)?),
            reload: Some(policies.reload(home, world, binding)),
            // In continuous integration there is nobody to ask, whatever the policies say.
            approvals: (!is_ci).then(|| home.runtime()),
            labels: Some(home.runtime().join("labels")),
            approvers: Approvers::read()?,
            user: home.user_name.clone(),
            grants: Some(GrantStore::of(home)),
            question_ms: 0,
            webhook: None,
            given: Given::of(home, manifest, &plan.environment),
            refusals: Refusals::of(home, &contract.name),
        };
        Ok(Self {
            terms,
            veiling: Veil::of(home, manifest, &plan.environment)?,
            plan,
            accepted: Some(digests(contract)),
            about,
            executed: Executed::default(),
            secrets: manifest.secrets.keys().cloned().collect(),
            held: Held::of_server(home, manifest),
        })
    }

    /// Has Python load no compiled file but its own, where others than accepted ones lie about.
    pub(crate) fn with_own_bytecode(mut self, has_foreign: bool) -> Self {
        if has_foreign {
            load_own_bytecode_only(&mut self.plan);
        }
        self
    }

    /// A session of which nothing is pinned: the compartment alone bounds it, and the record says so. `what` is why it runs (`run`, `add`).
    pub(crate) fn unpinned(home: &Home, name: &str, manifest: &Manifest, what: &str) -> Result<Self, Failure> {
        let policies = policy::PolicyFiles::read(home)?;
        let about = json!({"unpinned": true, "policy": policies.digest().to_string(), "for": what, "command": manifest.launch.command});
        let plan = compartment::plan(home, manifest)?;
        let world = policy::world(home, name, manifest, None)?;
        let terms = Terms {
            name: name.to_owned(),
            limits: manifest.limits.clone(),
            client_requests: manifest.client.allow.clone(),
            network: Grants::of(&manifest.network),
            release: release(manifest, &plan),
            reach: reach(manifest),
            roots: roots(manifest),
            suppress: manifest.suppress.clone(),
            pins: None,
            in_force: Arc::new(policies.in_force(&world, &manifest.digest().to_string())?),
            reload: None,
            approvals: (!world.is_ci).then(|| home.runtime()),
            labels: Some(home.runtime().join("labels")),
            approvers: Approvers::read()?,
            user: home.user_name.clone(),
            grants: None,
            question_ms: 0,
            webhook: None,
            given: Given::default(),
            refusals: Refusals::default(),
        };
        Ok(Self {
            terms,
            veiling: Veil::of(home, manifest, &plan.environment)?,
            plan,
            accepted: None,
            about,
            executed: Executed::default(),
            secrets: manifest.secrets.keys().cloned().collect(),
            held: Held::of_server(home, manifest),
        })
    }

    /// Lets the server execute any program of the system this once, and gives what will tell which it did; for `add`.
    pub(crate) fn any_program(&mut self) -> Executed {
        self.plan.programs = Programs::Any;
        self.plan.require.retain(|feature| *feature != Feature::ProgramWalls);
        if let Some(members) = self.about.as_object_mut() {
            members.insert("programs".to_owned(), json!("any"));
        }
        self.executed.clone()
    }

    /// Hears the names that the server asks for, of which none is let through that was not granted, and gives what will tell what it was
    /// refused; for `add`.
    pub(crate) fn gathering(&mut self, home: &Home, manifest: &Manifest) -> Gathered {
        // Without namespaces no door can be made; what it wanted to reach is seen by its sockets alone.
        if self.plan.ports.is_empty() && self.plan.tier == Tier::Sealed {
            self.plan.ports = vec![TLS_PORT];
        }
        let gathered = Gathered::default();
        self.terms.given = Given::of(home, manifest, &self.plan.environment);
        self.terms.refusals = Refusals::gathered(gathered.clone());
        gathered
    }

    /// Opens the record, starts the compartment, runs the gate to its end.
    ///
    /// # Errors
    /// The record could not be opened or the compartment not be enforced; nothing ran then.
    pub(crate) fn run(self, home: &Home, pipes: Pipes, signals: Option<Receiver<i32>>) -> Result<Ended, Failure> {
        let Self {
            mut terms,
            plan,
            accepted,
            about,
            executed,
            veiling,
            secrets,
            held: _held,
        } = self;
        let prepared = compartment::prepare(&plan);
        let settings = Settings::load(home)?;
        let options = settings.record_options(terms.limits.record_bytes_per_hour);
        let log = open_log(home, &terms.name, (options, veiling), about)?;
        let warnings = disk::warning(&home.audit(), settings.warn_below)
            .into_iter()
            .chain(warnings(&terms));
        warnings.into_iter().try_for_each(|warning| warn(&log, &warning))?;
        start_shipping(home, &settings, &log)?;
        terms.question_ms = settings.question_ms;
        terms.webhook = match settings.approvals_webhook.map(ApprovalsWebhook::load).transpose() {
            Ok(webhook) => webhook,
            Err(failure) => {
                warn(
                    &log,
                    &format!(
                        "warning: the webhook of approvals is not told of questions: {}",
                        failure.what
                    ),
                )?;
                None
            }
        };
        let witness = Witness::start(home, &log, &terms.name, settings.publish)
            .map_err(|error| Failure::not_enforced(format!("the ledger's thread could not be started: {error}")))?;
        let permitted = permit_secrets(&terms.in_force.policies, &secrets, &plan);
        let started = permitted.and_then(|()| launch(prepared?, &plan, &executed));
        let launched = match started {
            Ok(launched) => launched,
            Err(failure) => {
                let facts = json!({"cause": "not-started", "why": failure.what}).to_string();
                // The failure itself is what the caller must hear; the record says it too where it can.
                drop(log.close(&facts));
                witness.finish();
                return Err(failure);
            }
        };
        record_enforcement(&log, &launched.compartment)?;
        let name = terms.name.clone();
        let relaunch = |log: &Log| match &accepted {
            Some(accepted) => {
                let (plan, policies) = plan_again(home, &name, accepted)?;
                permit_secrets(&policies, &secrets, &plan)?;
                relaunch(log, &plan, &executed)
            }
            None => relaunch(log, &plan, &executed),
        };
        let server = gate::Server {
            launched,
            relaunch: &relaunch,
        };
        let ended = gate::run(terms, log, server, pipes, signals);
        witness.finish();
        ended.map_err(|error| Failure::not_enforced(format!("the gate could not be started: {error}")))
    }
}

/// What is done about the server's answers: the values it is given as secrets are not in them.
fn release(manifest: &Manifest, plan: &Plan) -> Release {
    let secrets = plan
        .environment
        .iter()
        .filter(|(name, _)| manifest.secrets.contains_key(name));
    Release {
        secrets: SecretValues::new(secrets.map(|(name, value)| (name.as_str(), value.as_bytes()))),
        instructions: manifest.answers.instructions,
    }
}

/// The folders that are granted to a server, as texts.
pub(crate) fn roots(manifest: &Manifest) -> Vec<String> {
    let granted = manifest.filesystem.read.iter().chain(&manifest.filesystem.write);
    granted
        .filter_map(|folder| folder.to_str().map(str::to_owned))
        .collect()
}

/// What a server can reach.
pub(crate) fn reach(manifest: &Manifest) -> Reach {
    let files = &manifest.filesystem;
    Reach {
        network: !manifest.network.allow.is_empty(),
        files: !(files.read.is_empty() && files.write.is_empty() && manifest.sockets.allow.is_empty()),
        secrets: !manifest.secrets.is_empty(),
    }
}

/// What the operator should know of findings before the session begins.
fn warnings(terms: &Terms) -> Vec<String> {
    let unsearched = terms.release.secrets.unsearched().iter().map(|name| {
        format!("the value of the secret `{name}` is too short or too plain to be found in answers, so it is not redacted from them")
    });
    let today = gate::today();
    let ended = terms.suppress.iter().filter_map(|(rule, known)| {
        let fault = suppression_fault(rule, known.until, today)?;
        Some(format!(
            "the suppression of `{rule}` (until {}) does not count: {fault}",
            known.until
        ))
    });
    unsearched.chain(ended).collect()
}

fn pinned_plan(home: &Home, contract: &Contract) -> Result<Plan, Failure> {
    let mut plan = compartment::plan(home, &contract.manifest)?;
    if contract.has_foreign_bytecode {
        load_own_bytecode_only(&mut plan);
    }
    Ok(plan)
}

fn load_own_bytecode_only(plan: &mut Plan) {
    // Python takes the first of two; the manifest's own must not stand before it.
    plan.environment.retain(|(name, _)| name != "PYTHONPYCACHEPREFIX");
    plan.environment
        .push(("PYTHONPYCACHEPREFIX".to_owned(), "/tmp/bytecode".to_owned()));
}

fn digests(contract: &Contract) -> [Digest; 2] {
    [contract.stated.digest(), contract.program.digest()]
}

/// Asks the policies about every secret of the manifest before the server's program can have it. What the plan requires holds on the
/// compartment, or nothing starts in it.
fn permit_secrets(policies: &Policies, secrets: &[String], plan: &Plan) -> Result<(), Failure> {
    let measured = gate::measured_on(plan.tier, |feature| plan.require.contains(&feature));
    let moment = Moment {
        now_s: crate::cli::unix_seconds(),
        measured: Some(&measured),
        ..Moment::default()
    };
    secrets.iter().try_for_each(|secret| {
        let ruled = ruled_alone(policies, Asked::InjectSecret { secret }, &moment);
        ruled.map(drop).map_err(|(_, why)| {
            let what = format!("the server is not started: it must not be given the secret `{secret}`: {why}");
            Failure::new(Exit::Findings, what)
                .help("change that policy, or take the secret out of the manifest; `Action::\"injectSecret\"` is what is asked")
        })
    })
}

/// What an approval is bound to of what was accepted: manifest and program.
pub(crate) fn accepted(contract: &Contract) -> String {
    format!("{} {}", contract.manifest.digest(), contract.program.digest())
}

/// The plan for another process of the same server, and the policies as they are now. Everything is checked again: the files may have changed since the first one started.
fn plan_again(home: &Home, name: &str, accepted: &[Digest; 2]) -> Result<(Plan, Policies), Failure> {
    let contract = Contract::load(home, name)?;
    if digests(&contract) == *accepted {
        let policies = policy::PolicyFiles::read(home)?.load(&policy::pinned_world(home, &contract)?)?;
        Ok((pinned_plan(home, &contract)?, policies))
    } else {
        Err(Failure::misconfigured(format!(
            "the manifest of `{name}` is another one since the session began"
        )))
    }
}

/// Starts another process and puts on record what is enforced on it.
fn relaunch(log: &Log, plan: &Plan, executed: &Executed) -> Result<Launched, Failure> {
    let launched = launch(compartment::prepare(plan)?, plan, executed)?;
    record_enforcement(log, &launched.compartment)?;
    Ok(launched)
}

fn launch(prepared: Prepared, plan: &Plan, executed: &Executed) -> Result<Launched, Failure> {
    let (observer, observations) = observations(executed.clone());
    Ok(Launched {
        compartment: compartment::start_observed(prepared, plan, observer)?,
        observations,
    })
}

pub(crate) fn open_log(
    home: &Home,
    server: &str,
    (options, veiling): (Options, Option<Arc<dyn Veiling>>),
    mut about: serde_json::Value,
) -> Result<Log, Failure> {
    let session = crate::random::hex(16)
        .map_err(|error| Failure::not_enforced(format!("the kernel gives no random bytes: {error}")))?;
    if let Some(members) = about.as_object_mut() {
        members.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        members.insert("home".to_owned(), json!(home.explicit));
        members.insert("gate_pid".to_owned(), json!(std::process::id()));
    }
    let facts = about.to_string();
    let opening = Opening {
        session: &session,
        server,
        principal: &home.user_name,
        facts: &facts,
    };
    Home::make(&home.audit())?;
    Log::create_veiled(&home.audit(), opening, options, veiling)
        .map_err(|error| Failure::not_enforced(format!("nothing can be recorded, so nothing runs: {error}")))
}

/// What waits in the record is not lost: a shipper that does not start holds up no session.
fn start_shipping(home: &Home, settings: &Settings, log: &Log) -> Result<(), Failure> {
    if !settings.ship_with_run {
        return Ok(());
    }
    match shipping::start(home, settings) {
        Ok(()) => Ok(()),
        Err(cause) => warn(log, &format!("warning: shipping the record cannot be started: {cause}")),
    }
}

/// Said and recorded.
fn warn(log: &Log, warning: &str) -> Result<(), Failure> {
    // A terminal that is gone hears nothing; the record says it too.
    let _ = writeln!(std::io::stderr().lock(), "cofferdam: {warning}");
    let facts = json!({"warning": warning}).to_string();
    let noted = log.note(Entry {
        kind: Kind::Notice,
        facts: &facts,
        payload: &[],
    });
    noted
        .map(drop)
        .map_err(|error| Failure::not_enforced(format!("nothing can be recorded, so nothing runs: {error}")))
}

/// What was measured on the sealed process stands in the record before its first byte does.
pub(crate) fn record_enforcement(log: &Log, compartment: &Compartment) -> Result<(), Failure> {
    let unrecordable = |error: &dyn std::fmt::Display| {
        Failure::not_enforced(format!("what the compartment enforces cannot be recorded: {error}"))
    };
    let enforced = serde_json::to_string(compartment.enforced()).map_err(|error| unrecordable(&error))?;
    let recorded = log.append_one((), |(), group| {
        group.add(Entry {
            kind: Kind::Enforcement,
            facts: &enforced,
            payload: &[],
        })
    });
    recorded
        .map(|_in_the_record| ())
        .map_err(|unrecorded| unrecordable(unrecorded.error()))
}

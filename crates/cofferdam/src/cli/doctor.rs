//! `doctor`: what this machine can enforce, measured on a compartment of our own, with the way to what it cannot.

use std::path::PathBuf;

use cofferdam_sandbox::{Enforced, Feature, Lack, Plan, Probe, Tier as Without, probe};
use serde_json::json;

use super::args::Doctor;
use super::output::{Output, Style};
use crate::compartment;
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::image::{Engine, examined};

/// What a machine gives to servers.
enum Tier {
    /// Everything that is required by default.
    Sealed,
    /// A compartment that lacks only what a person may give up for a server, by these names.
    Waived(Vec<String>),
    /// No namespaces, and what can be had without: only for servers that give them up.
    Landlocked,
    /// No compartment: these cannot be given up.
    None(Vec<String>),
}

impl Tier {
    fn of(missing: &[Lack], can_be_landlocked: bool) -> Self {
        let required = || missing.iter().filter(|lack| is_required(lack.feature));
        let names = |can_be_waived: bool| -> Vec<String> {
            required()
                .filter(|lack| Feature::WAIVABLE.contains(&lack.feature) == can_be_waived)
                .map(|lack| lack.feature.to_string())
                .collect()
        };
        match (names(false), names(true)) {
            (fixed, _) if !fixed.is_empty() && can_be_landlocked => Self::Landlocked,
            (fixed, _) if !fixed.is_empty() => Self::None(fixed),
            (_, waivable) if !waivable.is_empty() => Self::Waived(waivable),
            _ => Self::Sealed,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Waived(_) => "waived",
            Self::Landlocked => Without::Landlocked.name(),
            Self::None(_) => "none",
        }
    }

    /// The tier, and how a server starts there.
    fn in_words(&self) -> String {
        let listed = |names: &[String], mark: &str| {
            let names: Vec<String> = names.iter().map(|name| format!("{mark}{name}{mark}")).collect();
            names.join(", ")
        };
        match self {
            Self::Sealed => "sealed: servers start with everything that is required by default".to_owned(),
            Self::Waived(names) => format!(
                "waived: a server starts only with `waive = [{}]` in `[isolation]` of its manifest, and each start \
                 puts that on record",
                listed(names, "\"")
            ),
            Self::Landlocked => format!(
                "landlocked: a server starts only without namespaces, with `waive = [\"{}\"]` in `[isolation]` of its manifest \
                 (`add --waive {0}`), and each start puts on record what that gives up",
                Without::WAIVER
            ),
            Self::None(names) => format!(
                "none: no server starts here, and nothing runs it without: {} cannot be waived; what is missing is \
                 above, with the way to it",
                listed(names, "`")
            ),
        }
    }
}

/// What a compartment of this very program showed.
struct Examined {
    probe: Probe,
    enforced: Result<Enforced, Failure>,
    /// The same without namespaces.
    landlocked: Result<Enforced, Failure>,
    engine: Result<Engine, Failure>,
}

/// Examines the machine; exit 5 when a server could not be started as it is required by default.
pub(crate) fn run(args: &Doctor, output: &mut Output) -> Result<Exit, Failure> {
    let program = std::env::current_exe()
        .map_err(|cause| Failure::misconfigured(format!("cannot find this program's own path: {cause}")))?;
    if args.apparmor {
        output.raw(apparmor_profile(&program).as_bytes())?;
        return Ok(Exit::Fine);
    }
    let examined = Examined {
        probe: probe(),
        enforced: measured(&program),
        landlocked: measured_without_namespaces(&program),
        engine: examined(),
    };
    let missing = examined.missing();
    if output.is_json() {
        output.line(&examined.as_json(&missing).to_string())?;
    } else {
        examined.print(&missing, output)?;
    }
    let is_short = missing.iter().any(|lack| is_required(lack.feature));
    Ok(if is_short { Exit::NotEnforced } else { Exit::Fine })
}

/// What every server is started with unless its manifest waives it.
fn is_required(feature: Feature) -> bool {
    Feature::DEFAULT_REQUIRED.contains(&feature) || feature == Feature::ProgramWalls
}

/// A compartment of this program itself, with nothing required: what holds on it can be had here.
fn measured(program: &std::path::Path) -> Result<Enforced, Failure> {
    let mut plan = Plan::sealed(&program.display().to_string());
    plan.command.push("--version".to_owned());
    plan.require.clear();
    plan.limits.cpu_percent = Some(100);
    started(&plan)
}

/// The same without namespaces, and with all that is required then.
fn measured_without_namespaces(program: &std::path::Path) -> Result<Enforced, Failure> {
    let mut plan = Plan::sealed(&program.display().to_string());
    plan.command.push("--version".to_owned());
    plan.give_up_namespaces();
    started(&plan)
}

fn started(plan: &Plan) -> Result<Enforced, Failure> {
    let compartment = compartment::start(plan)?;
    let enforced = compartment.enforced().clone();
    // Its pipes are not read: a version fits into them.
    compartment.wait();
    Ok(enforced)
}

impl Examined {
    /// Everything that was not found on the compartment, with reason and fix.
    fn missing(&self) -> Vec<Lack> {
        let has = |feature: &Feature| self.enforced.as_ref().is_ok_and(|enforced| enforced.has(*feature));
        let missing = Feature::all().filter(|feature| !has(feature));
        missing.map(|feature| self.lack(feature)).collect()
    }

    fn lack(&self, feature: Feature) -> Lack {
        let known = self.probe.lacks.iter().find(|lack| match lack.feature {
            Feature::Landlock(_) => matches!(feature, Feature::Landlock(_)),
            other => other == feature,
        });
        let reason = || match &self.enforced {
            Err(failure) => failure.what.clone(),
            Ok(enforced) if feature == Feature::CpuLimit => said(enforced, "processor time: "),
            Ok(_) => "it was not found on the compartment".to_owned(),
        };
        let fix = || match &self.enforced {
            Err(failure) => failure.help.clone().unwrap_or_default(),
            Ok(_) if feature == Feature::CpuLimit => {
                "run in a systemd user session (`Delegate=yes`), or as root".to_owned()
            }
            Ok(_) => "a newer kernel may have it".to_owned(),
        };
        known.cloned().unwrap_or_else(|| Lack {
            feature,
            reason: reason(),
            fix: fix(),
        })
    }

    fn print(&self, missing: &[Lack], output: &mut Output) -> Result<(), Failure> {
        let landlock = self
            .probe
            .landlock
            .map_or("none".to_owned(), |version| version.to_string());
        let user = if self.probe.can_choose_user {
            "root: each compartment gets a user of its own"
        } else {
            "an ordinary user"
        };
        output.line(&format!(
            "{}   {} {}, Landlock {landlock}, {user}",
            output.styled(Style::Bold, "native"),
            self.probe.system,
            escaped(self.probe.release.as_bytes())
        ))?;
        let is_missing = |feature: &Feature| missing.iter().any(|lack| lack.feature == *feature);
        let enforced: Vec<String> = Feature::all()
            .filter(|feature| !is_missing(feature))
            .map(|it| it.to_string())
            .collect();
        for some in enforced.chunks(6) {
            output.line(&format!(
                "  {} {}",
                output.styled(Style::Green, "enforced"),
                some.join(", ")
            ))?;
        }
        for (names, lack) in alike(missing) {
            let (word, style) = if is_required(lack.feature) {
                ("missing", Style::Red)
            } else {
                ("not here", Style::Yellow)
            };
            output.line(&format!(
                "  {}  {}: {}",
                output.styled(style, word),
                names.join(", "),
                escaped(lack.reason.as_bytes())
            ))?;
            output.line(&format!("            {}", escaped(lack.fix.as_bytes())))?;
        }
        self.print_landlocked(output)?;
        self.print_engine(output)?;
        output.line(&format!(
            "{}     {}",
            output.styled(Style::Bold, "tier"),
            self.tier(missing).in_words()
        ))?;
        let required = missing.iter().filter(|lack| is_required(lack.feature)).count();
        output.say(&match required {
            0 => "servers can run sealed here".to_owned(),
            _ if self.landlocked.is_ok() => {
                "servers start here only where their manifest gives up what is missing".to_owned()
            }
            1 => "servers do not start here: 1 feature that each requires is missing".to_owned(),
            more => format!("servers do not start here: {more} features that each requires are missing"),
        });
        Ok(())
    }

    fn tier(&self, missing: &[Lack]) -> Tier {
        Tier::of(missing, self.landlocked.is_ok())
    }

    /// What can be had without namespaces, by whoever gives them up.
    fn print_landlocked(&self, output: &mut Output) -> Result<(), Failure> {
        let name = output.styled(Style::Bold, Without::Landlocked.name());
        match &self.landlocked {
            Ok(enforced) => {
                output.line(&format!(
                    "{name} without namespaces, only for servers whose manifest gives them up"
                ))?;
                for some in held_by(enforced).chunks(6) {
                    output.line(&format!(
                        "  {} {}",
                        output.styled(Style::Green, "enforced"),
                        some.join(", ")
                    ))?;
                }
                for what in &enforced.not_enforced {
                    let word = output.styled(Style::Yellow, "given up");
                    output.line(&format!("  {word} {}", escaped(what.as_bytes())))?;
                }
                Ok(())
            }
            Err(failure) => {
                let word = output.styled(Style::Yellow, "not here");
                output.line(&format!("{name} {word}: {}", escaped(failure.what.as_bytes())))
            }
        }
    }

    /// The same for programs.
    fn landlocked_as_json(&self) -> serde_json::Value {
        let name = Without::Landlocked.name();
        match &self.landlocked {
            Ok(enforced) => json!({
                "name": name, "waiver": Without::WAIVER, "enforced": held_by(enforced), "given_up": enforced.not_enforced,
            }),
            Err(failure) => {
                json!({"name": name, "waiver": Without::WAIVER, "reason": failure.what, "fix": failure.help})
            }
        }
    }

    /// What makes containers. What such a compartment enforces is measured when one starts, as everywhere.
    fn print_engine(&self, output: &mut Output) -> Result<(), Failure> {
        let name = output.styled(Style::Bold, "oci");
        match &self.engine {
            Ok(engine) => {
                let whose = if engine.is_rootless { "rootless" } else { "root's" };
                output.line(&format!(
                    "{name}      podman {}, {}, {whose}",
                    engine.version, engine.runtime
                ))?;
                output.line(&format!(
                    "  {} as `native`, measured at each start; the engine's own walls stand around it",
                    output.styled(Style::Green, "enforced")
                ))?;
                let word = output.styled(Style::Yellow, "not here");
                output.line(&format!(
                    "  {word}  program-walls: whatever is in an image may be executed"
                ))
            }
            Err(failure) => {
                let word = output.styled(Style::Yellow, "not here");
                output.line(&format!("{name}      {word}: {}", failure.what))?;
                output.line(&format!("            {}", failure.help.as_deref().unwrap_or_default()))
            }
        }
    }

    /// The same for programs.
    fn engine_as_json(&self) -> serde_json::Value {
        match &self.engine {
            Ok(engine) => json!({
                "name": "oci", "engine": engine.program, "version": engine.version, "runtime": engine.runtime,
                "rootless": engine.is_rootless, "never": ["program-walls"],
            }),
            Err(failure) => json!({"name": "oci", "reason": failure.what, "fix": failure.help}),
        }
    }

    fn as_json(&self, missing: &[Lack]) -> serde_json::Value {
        let is_missing = |feature: &Feature| missing.iter().any(|lack| lack.feature == *feature);
        let enforced: Vec<String> = Feature::all()
            .filter(|feature| !is_missing(feature))
            .map(|it| it.to_string())
            .collect();
        let tier = self.tier(missing).name();
        let missing: Vec<_> = missing
            .iter()
            .map(|lack| json!({"feature": lack.feature, "required": is_required(lack.feature), "reason": lack.reason, "fix": lack.fix}))
            .collect();
        json!({
            "system": self.probe.system, "release": self.probe.release, "landlock": self.probe.landlock, "root": self.probe.can_choose_user,
            "backends": [{"name": "native", "tier": tier, "enforced": enforced, "missing": missing}, self.engine_as_json(), self.landlocked_as_json()],
        })
    }
}

/// Names of what is lacking for one reason, required or not, with one of them; in the order of the first.
fn alike(missing: &[Lack]) -> Vec<(Vec<String>, &Lack)> {
    let mut found: Vec<(Vec<String>, &Lack)> = Vec::new();
    for lack in missing {
        let is_alike = |other: &Lack| {
            let same = (&other.reason, &other.fix) == (&lack.reason, &lack.fix);
            same && is_required(other.feature) == is_required(lack.feature)
        };
        match found.iter_mut().find(|(_, other)| is_alike(other)) {
            Some((names, _)) => names.push(lack.feature.to_string()),
            None => found.push((vec![lack.feature.to_string()], lack)),
        }
    }
    found
}

/// The features that were found, by name.
fn held_by(enforced: &Enforced) -> Vec<String> {
    let held = Feature::all().filter(|feature| enforced.has(*feature));
    held.map(|feature| feature.to_string()).collect()
}

/// What the compartment said about something it could not do.
fn said(enforced: &Enforced, beginning: &str) -> String {
    let reason = enforced
        .not_enforced
        .iter()
        .find_map(|reason| reason.strip_prefix(beginning));
    reason.unwrap_or("it was not found on the compartment").to_owned()
}

/// A profile that lets this program, at this place, make user namespaces, and confines it in no other way.
fn apparmor_profile(program: &std::path::Path) -> String {
    let path: PathBuf = program.to_path_buf();
    format!(
        "# sudo tee /etc/apparmor.d/cofferdam, then: sudo apparmor_parser -r /etc/apparmor.d/cofferdam\n\
         abi <abi/4.0>,\ninclude <tunables/global>\n\n\
         profile cofferdam \"{}\" flags=(unconfined) {{\n  userns,\n\n  include if exists <local/cofferdam>\n}}\n",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use cofferdam_sandbox::{Feature, Lack};

    use super::Tier;

    fn tier(missing: &[Feature]) -> Tier {
        let lack = |feature: &Feature| Lack {
            feature: *feature,
            reason: String::new(),
            fix: String::new(),
        };
        Tier::of(&missing.iter().map(lack).collect::<Vec<_>>(), false)
    }

    #[test]
    fn a_machine_gives_what_its_servers_would_get() {
        assert_eq!(tier(&[]).name(), "sealed");
        assert_eq!(
            tier(&[Feature::MemoryLimit]).name(),
            "sealed",
            "not required by default"
        );
        let waived = tier(&[Feature::Landlock(2), Feature::CgroupNamespace]);
        assert_eq!(waived.name(), "waived");
        assert!(
            waived
                .in_words()
                .contains("`waive = [\"landlock-2\", \"cgroup-namespace\"]`")
        );
        let none = tier(&[Feature::Landlock(2), Feature::UserNamespace]);
        assert_eq!(none.name(), "none");
        assert!(none.in_words().contains("`user-namespace` cannot be waived"));
    }
}

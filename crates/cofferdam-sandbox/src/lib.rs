//! Starts one process with exactly the listed rights, and reports what was enforced on it.
//!
//! [`launch`] re-executes the calling program as a launcher, so the first thing a `main` that wants to
//! launch anything does is to ask [`run_if_launcher`]:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     if let Some(code) = cofferdam_sandbox::run_if_launcher() {
//!         return code;
//!     }
//!     let plan = cofferdam_sandbox::Plan::sealed("/usr/bin/true");
//!     match cofferdam_sandbox::launch(&plan) {
//!         Ok(compartment) => drop(compartment.wait()),
//!         Err(refused) => return ExitCode::FAILURE,
//!     }
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! What the process has is its [`Plan`] and nothing else: no descriptor, variable, file, process, route or
//! right of the caller reaches it. What really held is measured on that very process, before its program
//! runs, and is its [`Enforced`] report; a required [`Feature`] that is missing refuses the launch.

mod doors;
mod enforced;
mod error;
mod feature;
mod image;
mod mask;
mod observation;
mod plan;
mod probe;
mod tier;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

pub use doors::{Doors, NAMES_PORT, PORTS_MAX};
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Compartment, Prepared, engine, launch, launch_observed, probe, run_if_launcher};
pub use enforced::{
    Capabilities, Descriptor, Ended, Enforced, IdMap, Landlock, Landlocked, Limit, Memory, Mount, Namespace, Walls,
};
pub use error::SandboxError;
pub use feature::{Feature, UnknownFeature};
pub use image::Image;
#[cfg(target_os = "linux")]
pub use linux::{Compartment, Prepared, engine, launch, launch_observed, probe, run_if_launcher};
pub use mask::Masks;
pub use observation::{Deed, Observation, Observer};
pub use plan::{HOME, Limits, Plan, Programs};
pub use probe::{Lack, Probe};
pub use tier::Tier;

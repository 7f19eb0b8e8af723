//! The right order compiles: decided, recorded, forwarded.
#![allow(dead_code)]
#[path = "../../../crates/cofferdam/src/gate/answer.rs"]
mod answer;
#[path = "../../../crates/cofferdam/src/gate/outlet.rs"]
mod outlet;

fn forward(outlet: &outlet::Outlet, log: &cofferdam_audit::Log, permitted: cofferdam_policy::Permitted) {
    let entry = |_: &cofferdam_policy::Permitted, _: &mut cofferdam_audit::Group<'_>| {};
    if let Ok(recorded) = log.append_one(permitted, entry) {
        let _ = outlet.forward(&[recorded]);
    }
}

fn main() {
    let _ = forward;
}

//! The gate's own way out takes nothing that is not recorded.
#[path = "../../crates/cofferdam/src/gate/answer.rs"]
mod answer;
#[path = "../../crates/cofferdam/src/gate/outlet.rs"]
mod outlet;

fn forward(outlet: &outlet::Outlet, permitted: cofferdam_policy::Permitted) {
    let _ = outlet.forward(&[permitted]);
}

fn main() {
    let _ = forward;
}

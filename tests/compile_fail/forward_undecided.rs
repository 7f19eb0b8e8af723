//! The gate's own way out takes nothing that policy has not permitted, recorded or not.
#[path = "../../crates/cofferdam/src/gate/answer.rs"]
mod answer;
#[path = "../../crates/cofferdam/src/gate/outlet.rs"]
mod outlet;

fn forward(outlet: &outlet::Outlet, message: cofferdam_audit::Recorded<cofferdam_protocol::Message>) {
    let _ = outlet.forward(&[message]);
}

fn main() {
    let _ = forward;
}

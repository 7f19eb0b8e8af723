//! A permit can be made only by policy.
use cofferdam_policy::Permitted;

fn main() {
    let _forged = Permitted { received: b"{}\n".to_vec(), sent: None, facts: String::new() };
}

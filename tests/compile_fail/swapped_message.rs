//! What is recorded cannot be exchanged for something else.
use cofferdam_audit::Recorded;

fn swap(recorded: Recorded<&'static str>) -> Recorded<&'static str> {
    recorded.map(|_recorded| "another line")
}

fn main() {
    let _ = swap;
}

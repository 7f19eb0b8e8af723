//! Only the log can say that something is recorded.
use cofferdam_audit::Recorded;

fn main() {
    let _forged = Recorded { value: "a line", seq: 1 };
}

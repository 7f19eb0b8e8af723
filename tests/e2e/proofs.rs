//! The proof types cannot be forged: programs that try do not compile.

#[test]
fn the_wrong_order_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/compile_fail/*.rs"));
    cases.pass(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/compile_fail/right_order/main.rs"));
}

//! Programs that must compile, and programs that must not, with what the compiler says about them.
#![cfg(feature = "macros")]

#[test]
fn handlers_and_macros_compile_or_say_why_not() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}

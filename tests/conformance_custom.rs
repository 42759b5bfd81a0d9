//! The conformance suite over the store of `examples/custom_store.rs`: a user's own, over an engine of their choice.
#![cfg(feature = "testing")]

#[path = "../examples/custom_store.rs"]
#[allow(
    dead_code,
    reason = "the example's `main` is run as an example, not here"
)]
mod custom_store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_own_store_keeps_the_contract() {
    let report = custom_store::prove(20).await.unwrap();
    println!("{report}");
    report.assert_ok();
    assert!(report.passed() >= 150, "only {} cases ran", report.passed());
}

#[test]
fn a_users_own_store_takes_fewer_than_150_lines() {
    let lines = include_str!("../examples/custom_store.rs").lines().count();
    assert!(lines < 150, "the example has {lines} lines");
}

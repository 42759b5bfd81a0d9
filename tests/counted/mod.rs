//! Running a property on random cases, with counts and seeds printed.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Runs a property on random cases: all of them in a full proof, a twentieth otherwise.
pub(crate) fn check<S: Strategy>(
    name: &str,
    full_cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let full = std::env::var("TLO_PROOF").is_ok_and(|value| value == "full");
    let cases = if full { full_cases } else { full_cases / 20 };
    let seed = std::env::var("TLO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("{name}: {cases} cases, TLO_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        // On a store that is slow to open, what failed is worth more than its shortest form.
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    if let Err(failure) = runner.run(strategy, property) {
        panic!("{name}, TLO_SEED={seed}: {failure}");
    }
}

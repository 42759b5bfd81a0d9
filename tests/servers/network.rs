//! What every store on a server has to do when networks do what they do: work through a proxy, seeded, and single faults.

use std::net::SocketAddr;
use std::time::Duration;

use tlo::store::{CountBy, SharedStore, TaskFilter, TaskStateStore, TaskStateStoreExt};
use tlo::{Payload, WorkerId};

use crate::fault_proxy::{Fault, FaultProxy, Way};
use crate::kit::new;
use crate::servers::load::{Load, counted, seed, since_boot};

/// Connections that are cut in a full proof.
const CUTS: usize = 2_000;

/// Other faults in a full proof, each for as long as it takes to be met, and then some.
const OTHERS: usize = 200;

/// Work through a proxy before a server at `address`: a store that `open` opens at an address goes where that leads.
pub(crate) async fn work_through_faults(
    name: &str,
    address: SocketAddr,
    lost_answer_to: &[&[u8]],
    open: impl AsyncFn(SocketAddr) -> SharedStore,
) {
    let (seed, begun) = (seed(), since_boot());
    println!("{name}: TLO_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let proxy = FaultProxy::start(address);
    let around = open(address).await;
    let stores = [open(proxy.address()).await, open(proxy.address()).await];
    let mut load = Load::begin(&stores).await;
    let (cuts, others) = (counted(CUTS), counted(OTHERS));
    // One other fault among so many cuts.
    let each = cuts / others;
    let mut met = 0;
    while met < cuts {
        met += cut(&proxy, &mut random, lost_answer_to).await;
        if met % each == 0 {
            other(&proxy, &mut random).await;
            load.resumes().await;
        } else if met % 10 == 0 {
            load.resumes().await;
        } else {
            // Each cut meets work, not the calm after the last one.
            load.more_answers(1).await;
        }
    }
    load.resumes().await;
    let tally = proxy.tally();
    let figures = load.check(&*around as &dyn TaskStateStore).await;
    println!(
        "{name}: {} connections of {} cut, {others} other faults, {} bytes swallowed: {figures} (seed {seed}, {:.0?})",
        tally.cuts,
        tally.connections,
        tally.swallowed,
        since_boot().saturating_sub(begun)
    );
}

/// Writes whose answers are lost, which `lose` says of the next: who asked is told that it is not known, and may ask again.
pub(crate) async fn what_lost_its_answer_may_be_sent_again(store: &SharedStore, lose: impl Fn()) {
    let total = async || {
        let counts = store.count(&TaskFilter::default(), CountBy::All, 0).await;
        counts.unwrap().total()
    };
    // The server has seen each of them before.
    store.create(new("before")).await.unwrap();
    let (worker, minute) = (WorkerId::new("w#1").unwrap(), Duration::from_secs(60));
    let leased = store.lease(&worker, "default", &["greet"], 1, minute).await;
    let first = leased.unwrap().remove(0);
    lose();
    let error = store.create(new("a")).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("not known"), "{error}");
    assert_eq!(total().await, 2, "it was written");
    store.enqueue(new("a")).await.unwrap();
    assert_eq!(total().await, 2);
    let shown = first.lease.as_ref().unwrap().reference();
    lose();
    let settled = store.succeed(&first.id, shown, Payload::null()).await;
    let error = settled.unwrap_err();
    assert!(error.to_string().contains("not known"), "{error}");
    let revision = store.read(&first.id).await.unwrap().revision;
    let again = store.succeed(&first.id, shown, Payload::null()).await;
    let again = again.unwrap_err();
    assert!(again.to_string().contains("recorded before"), "{again}");
    assert_eq!(store.read(&first.id).await.unwrap().revision, revision);
}

/// Cuts a connection somewhere; how many cuts it came to.
async fn cut(proxy: &FaultProxy, random: &mut fastrand::Rng, lost: &[&[u8]]) -> usize {
    let fault = match random.u8(..10) {
        0..4 => Fault::LoseAnswer {
            to: lost[random.usize(..lost.len())].to_vec(),
        },
        4..7 => Fault::CutAfter {
            way: Way::Up,
            bytes: random.u64(..2_000),
        },
        7..9 => Fault::CutAfter {
            way: Way::Down,
            bytes: random.u64(..2_000),
        },
        _ => {
            proxy.cut_all();
            return 1;
        }
    };
    proxy.set(fault);
    let was_cut = proxy.was_cut(Duration::from_secs(10)).await;
    proxy.heal();
    assert!(was_cut, "nothing came to the cut: work stands still");
    1
}

/// Another fault, for a moment.
async fn other(proxy: &FaultProxy, random: &mut fastrand::Rng) {
    let way = if random.bool() { Way::Up } else { Way::Down };
    let by = Duration::from_millis(random.u64(1..100));
    let long = Duration::from_millis(random.u64(50..1_500));
    let fault = match random.u8(..6) {
        0 => Fault::Delay { way, by },
        1 => Fault::HoldAnswers,
        2 => Fault::Refuse,
        _ => Fault::Blackhole { way },
    };
    let refuses = fault == Fault::Refuse;
    proxy.set(fault);
    if refuses {
        proxy.cut_all();
    }
    // How long it lasts is a part of the fault.
    tlo::Clock::sleep(&tlo::SystemClock, long).await;
    proxy.heal();
}

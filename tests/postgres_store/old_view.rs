//! Claims and what follows them beside a transaction that is open for long: what was claimed since it began cannot be cleaned up.

use std::collections::BTreeMap;
use std::time::Duration;

use tlo::store::{ClaimRequest, Commit, Guard, Lanes, Op, TaskStateStore, TaskStateStoreExt};
use tlo::task::{Due, NewTask, Settlement};
use tlo::{
    Clock, Payload, PostgresStore, SystemClock, TaskId, TaskStateRecord, TaskStatus, Timestamp,
    WorkerId,
};

use super::kit::{id, open, since_boot};
use super::servers::postgres::{Postgres, connect};

/// Rows that were ready and are gone, which no look may forget.
const GONE: usize = 400_000;

fn due(name: &str, at: Timestamp) -> NewTask {
    let mut new = NewTask::new(id(name), "work", Payload::null());
    new.due = Due::At(at);
    new
}

async fn find(store: &PostgresStore, id: &TaskId) -> TaskStateRecord {
    let mut found = store.get(std::slice::from_ref(id)).await.unwrap();
    found.remove(0).unwrap()
}

/// What becomes of a task that was claimed, and how long each step took.
async fn after_its_claim(store: &PostgresStore, id: &TaskId) -> Vec<(&'static str, Duration)> {
    let task = find(store, id).await;
    let holder = Guard::Held(id.clone(), task.lease.as_ref().unwrap().reference());
    // It waits again: no place but its own is changed.
    let later = Settlement {
        due: Due::In(Duration::from_secs(3_600)),
        ..Settlement::release()
    };
    let held = |op: Op| Commit::of([op]).when(holder.clone());
    let commits = [
        (
            "extend",
            held(Op::Extend(id.clone(), Duration::from_secs(60))),
        ),
        ("settle", held(Op::Settle(id.clone(), Box::new(later)))),
        (
            "cancel",
            Commit::of([Op::Cancel(id.clone(), "no more".to_owned())]),
        ),
    ];
    let mut took = Vec::new();
    for (step, commit) in commits {
        let begun = since_boot();
        let answers = store.commit(vec![commit]).await.unwrap();
        took.push((step, since_boot().saturating_sub(begun)));
        assert!(answers[0].is_ok(), "{step}: {answers:?}");
    }
    let begun = since_boot();
    let found = find(store, id).await;
    took.push(("read", since_boot().saturating_sub(begun)));
    assert_eq!(found.status, TaskStatus::Cancelled);
    took
}

#[tokio::test]
async fn neither_claims_nor_what_follows_go_past_all_that_was_claimed_since_an_old_transaction_began()
 {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = postgres.options("old_view");
    let store = open(options.clone()).await;
    let old = connect(postgres.url()).await.unwrap();
    let view = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class LIMIT 1";
    old.batch_execute(view).await.unwrap();
    // Lanes that were not asked for before know nothing of what others met.
    let fresh = || ClaimRequest {
        worker: WorkerId::new("w").unwrap(),
        lanes: Lanes::new(["default"], ["work"]),
        limit: 1,
        ttl: Duration::from_secs(60),
    };
    let ask = async |store: &PostgresStore, request: ClaimRequest| {
        let begun = since_boot();
        let claims = store.claim(request).await.unwrap();
        let ids: Vec<String> = claims
            .tasks
            .iter()
            .map(|task| task.id.to_string())
            .collect();
        (ids, since_boot().saturating_sub(begun))
    };
    let request = fresh();
    let claim = || ask(&store, request.clone());

    let now = SystemClock.now();
    store.create(due("first", now)).await.unwrap();
    let table = format!("{}.task", options.schema);
    let gone = format!(
        "INSERT INTO {table} (seq, id, status, queue, name, lane, priority, run_at, ready, body, plain) \
            SELECT 1000000 + n, 'gone' || n, status, queue, name, lane, priority, run_at - 3600000000 + n, true, body, plain \
            FROM {table}, generate_series(1, {GONE}) AS n; \
         DELETE FROM {table} WHERE seq > 1000000; ANALYZE {table}"
    );
    postgres.run(&gone).await.unwrap();
    // Sessions tell what they did when they have time for it.
    let counted = format!("SELECT pg_stat_get_dead_tuples('{table}'::regclass)");
    let is_counted = async || {
        let watch = connect(postgres.url()).await.unwrap();
        let row = watch.query_one(&counted, &[]).await.unwrap();
        row.get::<_, i64>(0) >= i64::try_from(GONE).unwrap()
    };
    let begun = since_boot();
    while !is_counted().await {
        let waited = since_boot().saturating_sub(begun);
        assert!(
            waited < Duration::from_secs(60),
            "nobody counts what is gone"
        );
        SystemClock.sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(claim().await.0, ["first"]);

    let mut took = Vec::new();
    let mut steps: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for number in 0..10 {
        let name = format!("next{number}");
        store.create(due(&name, SystemClock.now())).await.unwrap();
        let (found, time) = claim().await;
        assert_eq!(found, [name]);
        took.push(time);
        for (step, time) in after_its_claim(&store, &id(&found[0])).await {
            steps.entry(step).or_default().push(time);
        }
    }
    let other = open(options).await;
    let mut whole = Vec::new();
    for _ in 0..5 {
        let (found, time) = ask(&other, fresh()).await;
        assert!(found.is_empty(), "{found:?}");
        whole.push(time);
    }
    // The fastest of each are compared.
    steps.insert("claim", took);
    let whole_least = whole.iter().min().copied();
    for (step, took) in steps {
        assert!(
            took.iter().min().map(|time| *time * 10) < whole_least,
            "{step}: {took:?}, and claims that look at everything {whole:?}"
        );
    }

    // What was due before all of them was passed over at most until everything is looked at again.
    let before = now.saturating_sub(Duration::from_secs(1_800));
    store.create(due("before", before)).await.unwrap();
    let begun = since_boot();
    loop {
        let (found, _) = claim().await;
        if found == ["before"] {
            break;
        }
        assert!(found.is_empty(), "{found:?}");
        let waited = since_boot().saturating_sub(begun);
        assert!(waited < Duration::from_secs(20), "it is never looked at");
        SystemClock.sleep(Duration::from_millis(50)).await;
    }
    old.batch_execute("COMMIT").await.unwrap();
}

//! Claims of plain tasks, which leave the bodies of records as they were.

use tlo::Payload;
use tlo::store::TaskStateStoreExt;
use tlo::task::TaskStatus;

use super::kit::{id, lease, new, open, total};
use super::servers::postgres::{Postgres, connect};

#[tokio::test]
async fn what_a_claim_leaves_beside_a_body_is_part_of_the_record() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = postgres.options("plain");
    let (one, two) = (open(options.clone()).await, open(options.clone()).await);
    for name in ["a", "b", "c"] {
        one.create(new(name)).await.unwrap();
    }
    let claimed = lease(&one, 2).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"], "best first");
    let database = connect(postgres.url()).await.unwrap();
    let schema = &options.schema;
    let behind = format!(
        "SELECT count(*) FROM {schema}.task WHERE token IS NOT NULL AND body NOT LIKE '%\"lease\"%'"
    );
    let rows = database.query_one(&behind, &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 2, "their bodies are as they were");
    for task in &claimed {
        // Whoever reads it, and however, sees it as it was handed out.
        assert_eq!(two.read(&task.id).await.unwrap(), **task);
        let shown = format!("SELECT status, worker FROM {schema}.tasks WHERE id = $1");
        let row = database
            .query_one(&shown, &[&task.id.as_str()])
            .await
            .unwrap();
        let lease = task.lease.as_ref().unwrap();
        let texts: [&str; 2] = std::array::from_fn(|column| row.get(column));
        assert_eq!(texts, ["running", lease.worker.as_str()]);
    }
    // Written by a store that did not lease them.
    for task in &claimed {
        two.succeed(
            &task.id,
            task.lease.as_ref().unwrap().reference(),
            Payload::null(),
        )
        .await
        .unwrap();
        let ended = one.read(&task.id).await.unwrap();
        assert_eq!((ended.status, ended.attempt), (TaskStatus::Succeeded, 1));
        assert_eq!(ended.attempts.len(), 1);
    }
}

#[tokio::test]
async fn a_database_of_the_first_layout_goes_on_with_what_it_has() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = postgres.options("layout_one");
    let store = open(options.clone()).await;
    store.create(new("before")).await.unwrap();
    drop(store);
    let schema = &options.schema;
    let back = format!(
        "ALTER TABLE {schema}.task DROP COLUMN plain, DROP COLUMN leased_at, DROP COLUMN token; \
         DELETE FROM {schema}.migration WHERE number > 1"
    );
    postgres.run(&back).await.unwrap();
    let store = open(options).await;
    store.create(new("behind")).await.unwrap();
    let claimed = lease(&store, 5).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|task| task.id.clone()).collect();
    assert_eq!(ids, [id("before"), id("behind")]);
    assert_eq!(total(&*store).await, 2);
}

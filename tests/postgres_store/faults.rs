//! Servers that die and connections that are cut, under load: nothing that was answered is lost and work goes on.
//!
//! `TLO_PROOF=full` ends the server 30 times and 500 connections; otherwise a twentieth of that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tlo::prelude::*;
use tlo::store::{TaskFilter, TaskStateStore, TaskStateStoreExt};
use tlo::{Clock, PageRequest, PostgresOptions, PostgresStore, SystemClock};

use super::kit::{counted, open, program, since_boot, until};
use super::servers::postgres::{PrivatePostgres, connect};

/// Submitters and a runner on one store, and what they were answered.
struct Load {
    store: Arc<PostgresStore>,
    client: tlo::Client,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    refused: Arc<Mutex<u64>>,
    ended: Arc<AtomicBool>,
    submitters: Vec<tokio::task::JoinHandle<()>>,
    runner: tlo::RunnerHandle,
    running: tokio::task::JoinHandle<tlo::Result<()>>,
}

impl Load {
    async fn begin(options: PostgresOptions) -> Self {
        let store = open(options).await;
        let tlo = program(&store).await;
        let client = tlo.client();
        let runner = Runner::new(tlo);
        let handle = runner.handle();
        let running = tokio::spawn(runner.run());
        // It has begun: a program that cannot reach its store at its start says so and ends.
        let first = client.task("ship").args(&1).submit().await.unwrap();
        first.wait().await.unwrap();
        let mut load = Self {
            store,
            client,
            acknowledged: Arc::default(),
            refused: Arc::default(),
            ended: Arc::default(),
            submitters: Vec::new(),
            runner: handle,
            running,
        };
        for submitter in 0..4_i64 {
            let (client, acknowledged) = (load.client.clone(), Arc::clone(&load.acknowledged));
            let (refused, ended) = (Arc::clone(&load.refused), Arc::clone(&load.ended));
            load.submitters.push(tokio::spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    match client.task("ship").args(&submitter).submit().await {
                        Ok(handle) => drop(acknowledged.lock().insert(handle.id().to_string())),
                        Err(error) => {
                            assert!(error.is_retryable(), "{error:?}");
                            *refused.lock() += 1;
                        }
                    }
                    SystemClock.sleep(Duration::from_millis(2)).await;
                }
            }));
        }
        load
    }

    /// How long it takes from now until a task that is submitted from now on has been run.
    async fn resumes(&self) -> Duration {
        let begun = since_boot();
        until("work goes on", async || {
            let Ok(handle) = self.client.task("ship").args(&1).submit().await else {
                return false;
            };
            handle.wait_for(Duration::from_secs(10)).await.is_ok()
        })
        .await;
        since_boot().saturating_sub(begun)
    }

    /// Ends it; everything that was acknowledged must have been run.
    async fn check(self) -> (usize, u64) {
        self.ended.store(true, Ordering::SeqCst);
        for submitter in self.submitters {
            submitter.await.unwrap();
        }
        let store = &self.store;
        until("everything has ended", async || {
            let open = TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
            let page = store.list(&open, PageRequest::first(1)).await;
            page.is_ok_and(|page| page.items.is_empty())
        })
        .await;
        let acknowledged = self.acknowledged.lock().clone();
        let mut lost = Vec::new();
        for id in &acknowledged {
            let record = self.store.read(&super::kit::id(id)).await;
            if !record.is_ok_and(|record| record.status == TaskStatus::Succeeded) {
                lost.push(id);
            }
        }
        assert!(lost.is_empty(), "lost of {}: {lost:?}", acknowledged.len());
        assert_eq!(self.store.check().await.unwrap(), Vec::<String>::new());
        self.runner.stop();
        self.running.await.unwrap().unwrap();
        let refused = *self.refused.lock();
        (acknowledged.len(), refused)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_loses_nothing_it_answered_and_work_goes_on() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let load = Load::begin(PostgresOptions::at(server.url())).await;
    let mut longest = Duration::ZERO;
    let rounds = counted(30).max(2);
    for round in 0..rounds {
        let before = load.acknowledged.lock().len();
        until("some were submitted", async || {
            load.acknowledged.lock().len() > before + 20
        })
        .await;
        if round % 2 == 0 {
            server.kill();
        } else {
            server.stop_at_once();
        }
        server.start_again();
        let resumed = load.resumes().await;
        longest = longest.max(resumed);
        assert!(
            resumed <= Duration::from_secs(10),
            "work went on after {resumed:?}"
        );
    }
    let (acknowledged, refused) = load.check().await;
    println!(
        "{rounds} deaths of the server: {acknowledged} acknowledged, {refused} refused, lost 0, work went on after at most {longest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_nothing_and_work_goes_on() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let load = Load::begin(PostgresOptions::at(server.url())).await;
    let database = connect(&server.url()).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT 1";
    let wanted = counted(500);
    let mut cuts = 0;
    while cuts < wanted {
        let before = load.acknowledged.lock().len();
        cuts += database.query(cut, &[]).await.unwrap().len();
        until("some were submitted", async || {
            load.acknowledged.lock().len() > before + 2
        })
        .await;
    }
    // All at once, those that listen as well.
    let all = cut.replace("LIMIT 1", "");
    cuts += database.query(&all, &[]).await.unwrap().len();
    let resumed = load.resumes().await;
    assert!(
        resumed <= Duration::from_secs(10),
        "work went on after {resumed:?}"
    );
    let (acknowledged, refused) = load.check().await;
    println!(
        "{cuts} connections cut: {acknowledged} acknowledged, {refused} refused, lost 0, work went on after {resumed:?}"
    );
}

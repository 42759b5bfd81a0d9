//! How tasks get in: one by one by many callers that each wait for the answer, or in bulks of a thousand.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apalis::prelude::*;
use tokio::sync::Notify;

use crate::{Email, email};

/// Tasks of one bulk.
const BULK: usize = 1000;

/// Runs that are still to come.
pub struct Counter {
    left: AtomicUsize,
    pub done: Notify,
}

impl Counter {
    pub fn new(tasks: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(tasks), done: Notify::new() })
    }
}

pub async fn handle(_: Email, counter: Data<Arc<Counter>>) -> Result<(), BoxDynError> {
    if counter.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        counter.done.notify_one();
    }
    Ok(())
}

pub async fn push<S, K>(storage: &S, tasks: usize, callers: usize)
where
    S: TaskSink<Email, K> + Clone + Send + Sync + 'static,
    S::Error: Debug + Send,
{
    if callers == 0 {
        let mut storage = storage.clone();
        for first in (0..tasks).step_by(BULK) {
            let bulk = (first..tasks.min(first + BULK)).map(|number| email(number as u64)).collect();
            storage.push_bulk(bulk).await.unwrap_or_else(|_| panic!("push"));
        }
        return;
    }
    let next = Arc::new(AtomicUsize::new(0));
    let calling: Vec<_> = (0..callers)
        .map(|_| {
            let (mut storage, next) = (storage.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= tasks {
                        return;
                    }
                    storage.push(email(number as u64)).await.unwrap_or_else(|_| panic!("push"));
                }
            })
        })
        .collect();
    for call in calling {
        call.await.expect("caller");
    }
}

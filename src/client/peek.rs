//! Looking at what starts next, without taking it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Client, Target};
use crate::error::Result;
use crate::page::{PAGE_LIMIT, Page, PageRequest};
use crate::store::{SCAN_LIMIT, TaskFilter};
use crate::task::{TaskStatus, TaskSummary};

/// One look reads no more records than this.
const EXAMINED: usize = 100_000;

impl Client {
    /// The next tasks of a queue in the order in which they would start: what is due, not expired, not parked behind a closed
    /// gate and of no paused name, by priority, due time and creation. Of a paused queue it is what starts first when that goes
    /// on. Nothing is leased. Of a queue in which more than 100,000 tasks wait, those made
    /// first are looked at, and the page says that it is not complete.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// # use tlo::prelude::*;
    /// # let tlo = TloContext::builder().task(task("greet").declare()).build().await?;
    /// let client = tlo.client();
    /// client.task("greet").submit().await?;
    /// let urgent = client.task("greet").priority(9).submit().await?;
    /// let next = client.peek("default", 1).await?;
    /// assert_eq!(next.items[0].record.id, *urgent.id());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the store.
    pub async fn peek(&self, queue: &str, limit: usize) -> Result<Page<TaskSummary>> {
        let filter = TaskFilter {
            queue: Some(queue.to_owned()),
            ..TaskFilter::status([TaskStatus::Pending])
        };
        let now = self.clock().now();
        let mut page = PageRequest::first(PAGE_LIMIT);
        // The best so far, in their order.
        let mut best = BTreeMap::new();
        let mut examined = 0;
        let rules = self.rules().await?.into_iter();
        let paused: BTreeSet<String> = rules
            .filter_map(|(target, rule, _)| match target {
                Target::Task(name) if rule.paused => Some(name),
                _ => None,
            })
            .collect();
        let complete = loop {
            let found = self.list(&filter, page).await?;
            // A short page that is not the last has looked at all that one call may look at.
            examined += match found.next {
                Some(_) if found.items.len() < PAGE_LIMIT => SCAN_LIMIT,
                _ => found.items.len(),
            };
            for item in found.items {
                let record = &item.record;
                let is_over = record.expires_at.is_some_and(|at| at <= now);
                if record.run_at > now
                    || record.parked.is_some()
                    || is_over
                    || paused.contains(&*record.name)
                {
                    continue;
                }
                let order = (
                    std::cmp::Reverse(record.priority),
                    record.run_at,
                    record.seq,
                );
                best.insert(order, item);
                if best.len() > limit {
                    best.pop_last();
                }
            }
            match found.next {
                None => break true,
                Some(_) if examined >= EXAMINED => break false,
                Some(next) => page.after = Some(next),
            }
        };
        Ok(Page {
            items: best.into_values().collect(),
            next: None,
            complete,
        })
    }
}

//! Looking at the store: now and then, soon after something was heard, and when it is asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::snapshot::{Snapshot, Wanted};
use crate::cli::commands::inspect;
use crate::cli::output::Form;
use crate::client::Client;
use crate::clock::Clock;
use crate::context::TloContext;
use crate::error::Result;
use crate::id::TaskId;
use crate::store::HintStream;

/// After something was heard: what comes with it is seen in the same look.
const GATHER: Duration = Duration::from_millis(100);

/// What was seen.
pub(super) enum News {
    Tasks(Box<Snapshot>),
    /// A record that is open, as lines.
    Record(TaskId, Vec<String>),
    /// A look failed.
    Trouble(String),
}

/// What to look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) opened: Option<TaskId>,
    pub(super) columns: usize,
}

/// Looks until nobody wants news any more.
pub(super) struct Watcher {
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hints: HintStream,
    pub(super) wanted: Wanted,
    pub(super) interval: Duration,
    pub(super) look: watch::Receiver<Look>,
    pub(super) news: mpsc::Sender<News>,
}

impl Watcher {
    pub(super) fn new(
        tlo: &TloContext,
        wanted: Wanted,
        interval: Duration,
        look: watch::Receiver<Look>,
        news: mpsc::Sender<News>,
    ) -> Self {
        Self {
            client: tlo.client(),
            clock: Arc::clone(tlo.clock()),
            hints: tlo.store().hints(),
            wanted,
            interval,
            look,
            news,
        }
    }

    pub(super) async fn watch(mut self) {
        while self.wait().await {
            let look = self.look.borrow_and_update().clone();
            let tasks = Snapshot::read(&self.client, &self.wanted, self.clock.now()).await;
            if !self
                .tell(tasks.map(|tasks| News::Tasks(Box::new(tasks))))
                .await
            {
                return;
            }
            if let Some(id) = look.opened
                && let record = self.record(id, look.columns).await
                && !self.tell(record).await
            {
                return;
            }
        }
    }

    /// Waits until it is time to look; false when nobody wants to know any more.
    async fn wait(&mut self) -> bool {
        let heard = async {
            if self.hints.next().await.is_none() {
                std::future::pending::<()>().await;
            }
            self.clock.sleep(GATHER).await;
            while self.hints.try_next().is_some() {}
        };
        tokio::select! {
            asked = self.look.changed() => asked.is_ok(),
            () = heard => true,
            () = self.clock.sleep(self.interval) => true,
        }
    }

    async fn record(&self, id: TaskId, columns: usize) -> Result<News> {
        let record = self.client.get(&id).await?;
        Ok(News::Record(
            id,
            inspect::shown(&record, Form::plain(columns)),
        ))
    }

    async fn tell(&self, news: Result<News>) -> bool {
        let news = news.unwrap_or_else(|error| News::Trouble(error.to_string()));
        self.news.send(news).await.is_ok()
    }
}

//! Submitting many tasks, all or none.

use std::fmt;

use super::prepared::{Prepared, refused};
use super::{Client, Submit, TaskHandle};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Commit, Op};

/// Tasks of one batch.
const BATCH_LIMIT: usize = 50_000;

/// Refusals that a message lists.
const LISTED: usize = 10;

impl Client {
    /// Submits all of them in one write, or none: when this returns well, each is durable at the store's level. What an id
    /// or a unique key makes the same task as one that is there, or one earlier in the list, gets the handle of that one.
    ///
    /// ```
    /// # use tlo::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// # let tlo = TloContext::builder().task(task("greet").declare()).build().await?;
    /// let client = tlo.client();
    /// let names = ["Ada", "Grace"];
    /// let handles = client.submit_many(names.map(|name| client.task("greet").args(name))).await?;
    /// assert_eq!(handles.len(), 2);
    ///
    /// let bad = [client.task("greet"), client.task("gret"), client.task("")];
    /// let refused = client.submit_many(bad).await.unwrap_err();
    /// let which: Vec<usize> = refused.items().iter().map(|item| item.index).collect();
    /// assert_eq!(which, [1, 2]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Which items were refused and why, each as [`Submit::submit`] says: all that can be told without the store, else those
    /// that the store refuses. Without any item when the store failed, and `TooLarge` for more than 50,000 of them. Nothing was submitted then, unless the error is a
    /// `Timeout` that says otherwise.
    pub async fn submit_many<R>(
        &self,
        submits: impl IntoIterator<Item = Submit<R>>,
    ) -> std::result::Result<Vec<TaskHandle<R>>, BatchRefused> {
        let submits: Vec<_> = submits.into_iter().take(BATCH_LIMIT + 1).collect();
        if submits.len() > BATCH_LIMIT {
            let message = format!(
                "a batch has more than {BATCH_LIMIT} tasks, and is one write, which others wait for; split it"
            );
            let error = Error::new(ErrorKind::TooLarge, "submit", message);
            return Err(BatchRefused::whole(error));
        }
        let mut prepared: Vec<Prepared<R>> = Vec::new();
        let mut items = Vec::new();
        for (index, submit) in submits.into_iter().enumerate() {
            match submit.prepare().await {
                Ok(ready) => prepared.push(ready),
                Err(error) => items.push(RefusedItem { index, error }),
            }
        }
        if !items.is_empty() {
            return Err(BatchRefused::of(items));
        }
        let creates = || prepared.iter().map(Prepared::create);
        let effects = match self.store().commit(vec![Commit::of(creates())]).await {
            Ok(mut answers) => match answers.pop() {
                Some(Ok(effects)) => effects,
                Some(Err(refusal)) => {
                    let creates: Vec<Op> = creates().collect();
                    return Err(self.explain(&creates, refusal.into()).await);
                }
                None => Vec::new(),
            },
            Err(error) => return Err(BatchRefused::whole(refused(error))),
        };
        let effects = effects.into_iter().map(Some);
        let handles = prepared
            .into_iter()
            .zip(effects.chain(std::iter::repeat(None)));
        Ok(handles
            .map(|(ready, effect)| ready.into_told().handle(self.clone(), effect))
            .collect())
    }

    /// Finds out which creates the store refused: it only said why.
    async fn explain(&self, creates: &[Op], why: Error) -> BatchRefused {
        match self.refused_alone(creates).await {
            Ok(items) if !items.is_empty() => return BatchRefused::of(items),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "what was refused could not be asked for"),
        }
        // Each alone would do: one of them is too much after those before it.
        let (mut fine, mut bad) = (0, creates.len());
        while bad - fine > 1 {
            let middle = usize::midpoint(fine, bad);
            match self.tries(vec![creates[..middle].to_vec()]).await {
                Ok(mut answers) => match answers.pop().flatten() {
                    Some(_) => bad = middle,
                    None => fine = middle,
                },
                Err(_) => return BatchRefused::whole(refused(why)),
            }
        }
        BatchRefused::of(vec![RefusedItem {
            index: bad.saturating_sub(1),
            error: refused(why),
        }])
    }

    /// The creates that are refused each by itself.
    async fn refused_alone(&self, creates: &[Op]) -> Result<Vec<RefusedItem>> {
        let alone = creates.iter().map(|create| vec![create.clone()]).collect();
        let answers = self.tries(alone).await?;
        let items = answers.into_iter().enumerate();
        Ok(items
            .filter_map(|(index, error)| {
                let error = refused(error?);
                Some(RefusedItem { index, error })
            })
            .collect())
    }

    /// Why each of these commits would be refused, changing nothing: each ends with an operation that always is.
    async fn tries(&self, commits: Vec<Vec<Op>>) -> Result<Vec<Option<Error>>> {
        let parts = &self.0;
        let nobody = parts.ids.task_id(parts.clock.now());
        let tries = commits.into_iter().map(|mut ops| {
            ops.push(Op::Wake(nobody.clone()));
            Commit::of(ops)
        });
        let answers = parts.store.commit(tries.collect()).await?;
        let why = answers.into_iter().map(|answer| match answer {
            Err(crate::store::Refusal::NotFound(id)) if id == nobody => None,
            Err(refusal) => Some(Error::from(refusal)),
            Ok(_) => None,
        });
        Ok(why.collect())
    }
}

/// An item of a batch that was refused.
#[derive(Debug)]
pub struct RefusedItem {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    pub error: Error,
}

/// A batch of which nothing was submitted.
#[derive(Debug)]
pub struct BatchRefused {
    items: Vec<RefusedItem>,
    error: Error,
}

impl BatchRefused {
    /// The items that were refused, in their order; none when the store failed as a whole.
    #[must_use]
    pub fn items(&self) -> &[RefusedItem] {
        &self.items
    }

    /// All of it as one error, of the kind of the first item.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    fn whole(error: Error) -> Self {
        Self {
            items: Vec::new(),
            error,
        }
    }

    fn of(items: Vec<RefusedItem>) -> Self {
        let kind = items
            .first()
            .map_or(ErrorKind::Internal, |item| item.error.kind());
        let mut message = match items.len() {
            1 => "nothing was submitted, for one item was refused:".to_owned(),
            many => format!("nothing was submitted, for {many} items were refused:"),
        };
        for item in items.iter().take(LISTED) {
            message.push_str(&format!("\n  item {}: {}", item.index, item.error));
        }
        if items.len() > LISTED {
            message.push_str("\n  …");
        }
        Self {
            items,
            error: Error::new(kind, "submit", message),
        }
    }
}

impl fmt::Display for BatchRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for BatchRefused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl From<BatchRefused> for Error {
    fn from(refused: BatchRefused) -> Self {
        refused.error
    }
}

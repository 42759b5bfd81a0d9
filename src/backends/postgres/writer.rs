//! Group commit: a few tasks that write for everybody, many commits in one transaction. While they wait for the server the
//! next groups gather by themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::engine::Engine;
use super::needs::Needs;
use super::quick;
use super::table::show;
use crate::backends::deadline::{Turn, within};
use crate::backends::handed::{Handed, Leases, Returned};
use crate::backends::sync::{mpsc, oneshot};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::store::kv::{self, Source, Table};
use crate::store::{ClaimRequest, Claims, Commit, Committed, Effect, Op};

/// Commits of one group, at most; what waits beyond goes into the next.
const GROUP_LIMIT: usize = 512;

/// Callers that may wait for a writer before others wait to ask.
const WAITING_LIMIT: usize = 4_096;

/// Groups under way at once. More would make each of them smaller.
const WRITERS: usize = 2;

struct Asked {
    commits: Vec<Commit>,
    to: oneshot::Sender<Result<Handed<Vec<Committed>>>>,
    turn: Turn,
}

/// The door to the writers.
#[derive(Debug)]
pub(super) struct Writers {
    asked: mpsc::Sender<Asked>,
    returned: Returned,
}

impl Writers {
    /// Starts them on the thread of the connections.
    pub(super) fn start(engine: &Arc<Engine>, io: &tokio::runtime::Handle) -> Self {
        let (asked, waiting) = mpsc::channel(WAITING_LIMIT);
        let returned = Returned::default();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WRITERS {
            let writer = Writer {
                engine: Arc::clone(engine),
                asked: asked.downgrade(),
                returned: returned.clone(),
                waiting: Arc::clone(&waiting),
            };
            io.spawn(writer.serve());
        }
        Self { asked, returned }
    }

    pub(super) async fn commit(
        &self,
        engine: &Engine,
        commits: Vec<Commit>,
    ) -> Result<Vec<Committed>> {
        let (to, answer) = oneshot::channel();
        let turn = Turn::default();
        let asked = Asked {
            commits,
            to,
            turn: turn.clone(),
        };
        let asking = async {
            self.asked.send(asked).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        let handed = within(engine.limit, asking)
            .await
            .unwrap_or_else(|| Err(turn.give_up("commit", engine.limit)))?;
        handed.take().ok_or_else(closed)
    }

    /// What hands claims back that nobody takes.
    pub(super) fn hander(&self) -> impl FnOnce(Claims) -> Handed<Claims> + Send + 'static {
        let (returned, asked) = (self.returned.clone(), self.asked.downgrade());
        move |claims| hand(claims, &returned, asked)
    }
}

fn hand<T: Leases>(answer: T, returned: &Returned, asked: mpsc::WeakSender<Asked>) -> Handed<T> {
    let wake = move || {
        if let Some(asked) = asked.upgrade() {
            let (to, _) = oneshot::channel();
            let nothing = Asked {
                commits: Vec::new(),
                to,
                turn: Turn::default(),
            };
            // Without room a writer looks anyway.
            let _ = asked.try_send(nothing);
        }
    };
    Handed::new(answer, returned.clone(), Box::new(wake))
}

fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "write",
        "the store was closed before it answered",
    )
}

struct Writer {
    engine: Arc<Engine>,
    asked: mpsc::WeakSender<Asked>,
    returned: Returned,
    waiting: Arc<Mutex<mpsc::Receiver<Asked>>>,
}

impl Writer {
    async fn serve(self) {
        loop {
            let mut group = Vec::new();
            {
                let mut waiting = self.waiting.lock().await;
                let Some(first) = waiting.recv().await else {
                    return;
                };
                let mut weight = 0;
                let mut next = Some(first);
                while let Some(asked) = next {
                    if asked.turn.begin() {
                        weight += asked.commits.len().max(1);
                        group.push(asked);
                    }
                    next = if weight < GROUP_LIMIT {
                        waiting.try_recv().ok()
                    } else {
                        None
                    };
                }
            }
            let returned = self.returned.take();
            if !returned.is_empty() {
                let (to, _) = oneshot::channel();
                // First, so that the claims that follow find them.
                group.insert(
                    0,
                    Asked {
                        commits: returned,
                        to,
                        turn: Turn::default(),
                    },
                );
            }
            self.write(group).await;
        }
    }

    async fn write(&self, group: Vec<Asked>) {
        let sets: Vec<&[Commit]> = group.iter().map(|asked| asked.commits.as_slice()).collect();
        if sets.iter().all(|set| set.is_empty()) {
            for asked in group {
                self.answer(asked, Ok(Vec::new()));
            }
            return;
        }
        match commit(&self.engine, &sets).await {
            Ok(answers) => {
                for (asked, answer) in group.into_iter().zip(answers) {
                    self.answer(asked, Ok(answer));
                }
            }
            // One caller's fault is not that of the others.
            Err(error) if !error.is_retryable() && group.len() > 1 => {
                tracing::debug!(%error, "a group of commits failed; each is tried by itself");
                for asked in group {
                    let answers = commit(&self.engine, &[&asked.commits]).await;
                    let answer = answers.map(|mut answers| answers.pop().unwrap_or_default());
                    self.answer(asked, answer);
                }
            }
            Err(error) => {
                for asked in group {
                    self.answer(asked, Err(again(&error)));
                }
            }
        }
    }

    fn answer(&self, asked: Asked, answer: Result<Vec<Committed>>) {
        let handed = answer.map(|answer| hand(answer, &self.returned, self.asked.clone()));
        // A caller that went away does not hear the answer; leases that it cannot take go back.
        let _ = asked.to.send(handed);
    }
}

/// The same error for one more caller of the group.
fn again(error: &Error) -> Error {
    Error::new(
        error.kind(),
        error.operation().to_owned(),
        error.to_string(),
    )
    .retryable(error.is_retryable())
}

/// Commits the sets of several callers in one transaction.
pub(super) async fn commit(engine: &Engine, sets: &[&[Commit]]) -> Result<Vec<Vec<Committed>>> {
    let (needs, fresh) = needs_of(sets);
    let mut answers: Vec<Vec<Committed>> = engine
        .transact("commit", needs, fresh, None, |sketch| {
            sets.iter()
                .map(|set| set.iter().map(|commit| apply(sketch, commit)).collect())
                .collect()
        })
        .await?;
    for effect in answers.iter_mut().flatten().flatten().flatten() {
        if let Effect::Created {
            leased: Some(task), ..
        } = effect
        {
            show(Arc::make_mut(task));
        }
    }
    Ok(answers)
}

/// What can be known to be needed, and the ids that are likely new.
pub(super) fn needs_of(sets: &[&[Commit]]) -> (Needs, BTreeSet<TaskId>) {
    let mut needs = Needs::default();
    let mut fresh = BTreeSet::new();
    let mut known = BTreeSet::new();
    for commit in sets.iter().copied().flatten() {
        let mut of_one = Needs::default();
        of_one.of_commit(commit);
        for op in &commit.ops {
            if let Op::Create(create) = op {
                of_one.records.remove(&create.task.id);
                fresh.insert(create.task.id.clone());
            }
        }
        known.extend(of_one.records.iter().cloned());
        needs.merge(of_one);
    }
    fresh.retain(|id| !known.contains(id));
    (needs, fresh)
}

/// Applies one commit. What it misses is noted, and the others go on: what they miss is read with it.
pub(super) fn apply<T: Source + Table>(sketch: &mut T, commit: &Commit) -> Result<Committed> {
    let savepoint = sketch.savepoint();
    match kv::commit(sketch, commit.clone()) {
        Err(error) if super::loaded::is_missed(&error) => {
            sketch.rollback(savepoint);
            Ok(Ok(Vec::new()))
        }
        other => other,
    }
}

/// Claims in a transaction of its own.
pub(super) async fn claim(engine: &Engine, request: &ClaimRequest) -> Result<Claims> {
    if engine.floor.asks() {
        ask_why_slow(engine).await;
    }
    let mut claims = match quick::claim(engine, request).await? {
        Some(claims) => claims,
        None => any_claim(engine, request).await?,
    };
    // What this one passed over.
    if let Some(wait) = engine.from(request).whole_in {
        let whole = claims.now.saturating_add(wait);
        claims.next_due = claims.next_due.map(|due| due.min(whole)).or(Some(whole));
    }
    Ok(claims)
}

/// When this fails, the claim tells.
async fn ask_why_slow(engine: &Engine) {
    let Ok(mut lent) = engine.lend("claim").await else {
        return;
    };
    if let Ok(object) = lent.object() {
        let asked = engine.floor.ask(engine.connections.link(object)).await;
        lent.keep_unless_cut(&asked);
    }
}

async fn any_claim(engine: &Engine, request: &ClaimRequest) -> Result<Claims> {
    let claims = engine.transact("claim", Needs::default(), None, Some(request), |sketch| {
        kv::claim(sketch, request)
    });
    let mut claims = claims.await?;
    for task in &mut claims.tasks {
        show(Arc::make_mut(task));
    }
    Ok(claims)
}

//! Which queue is claimed from: strictly in order, or by weight.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use super::WorkerParts;
use crate::error::{Error, Result};
use crate::store::{ClaimRequest, Claims, Lanes};

/// Takes turns between queues: of every so many tasks each queue gets its share, as long as it has any; the share of an
/// empty queue goes to the others. Spread evenly, not in bursts.
#[derive(Debug)]
pub(super) struct Turns {
    queues: Vec<Turn>,
}

#[derive(Debug)]
struct Turn {
    queue: Arc<str>,
    weight: i64,
    /// Grows by the weight with each task that is given out, and pays for its own.
    credit: i64,
}

impl Turns {
    /// `None` when the queues are served in order: no weights, or one queue.
    pub(super) fn new(queues: &[Arc<str>], weights: &BTreeMap<String, u32>) -> Option<Self> {
        if weights.is_empty() || queues.len() < 2 {
            return None;
        }
        let turns = queues.iter().map(|queue| Turn {
            queue: Arc::clone(queue),
            weight: i64::from(weights.get(&**queue).copied().unwrap_or(1).max(1)),
            credit: 0,
        });
        Some(Self {
            queues: turns.collect(),
        })
    }

    /// How many each queue may have of so many; in the order of the queues.
    fn shares(&mut self, mut wanted: usize) -> Vec<usize> {
        let mut shares = vec![0; self.queues.len()];
        let total: i64 = self.queues.iter().map(|turn| turn.weight).sum();
        while wanted > 0 {
            for turn in &mut self.queues {
                turn.credit += turn.weight;
            }
            let best = (0..self.queues.len()).max_by_key(|at| {
                // Of equals the first.
                (self.queues[*at].credit, std::cmp::Reverse(*at))
            });
            let Some(best) = best else { break };
            self.queues[best].credit -= total;
            shares[best] += 1;
            wanted -= 1;
        }
        shares
    }

    /// Claims up to so many tasks.
    pub(super) async fn claim(
        &mut self,
        parts: &WorkerParts,
        lanes: &Lanes,
        wanted: usize,
    ) -> Result<Claims> {
        let shares = self.shares(wanted);
        let (asked, others): (Vec<usize>, Vec<usize>) =
            (0..shares.len()).partition(|at| shares[*at] > 0);
        if let [only] = asked.as_slice() {
            // The others stand behind it, should it be empty.
            return claim(parts, lanes, self.behind(&[*only], &others), wanted).await;
        }
        // All at once: a store with group commit writes them in one transaction.
        let claims = asked
            .iter()
            .map(|at| claim(parts, lanes, self.behind(&[*at], &[]), shares[*at]));
        let answers = all(claims.collect()).await;
        let mut together = Together::default();
        let mut full = Vec::new();
        for (at, answer) in asked.into_iter().zip(answers) {
            let is_full = together.add(answer, shares[at]);
            full.extend(is_full.then_some(at));
        }
        let rest = wanted - together.claims.tasks.len().min(wanted);
        let again = self.behind(&others, &full);
        if rest > 0 && !again.is_empty() && together.error.is_none() {
            together.add(claim(parts, lanes, again, rest).await, rest);
        }
        together.done()
    }

    /// The queues at these places, first the ones and then the others, those that are owed most before the rest.
    fn behind(&self, first: &[usize], then: &[usize]) -> Vec<Arc<str>> {
        let mut then = then.to_vec();
        then.sort_by_key(|at| std::cmp::Reverse(self.queues[*at].credit));
        let places = first.iter().chain(&then);
        places
            .map(|at| Arc::clone(&self.queues[*at].queue))
            .collect()
    }
}

/// Several answers made one.
#[derive(Default)]
struct Together {
    claims: Claims,
    error: Option<Error>,
}

impl Together {
    /// Adds an answer; whether it was as much as asked for, so that there may be more.
    fn add(&mut self, answer: Result<Claims>, asked: usize) -> bool {
        let claims = match answer {
            Ok(claims) => claims,
            Err(error) => {
                self.error = Some(error);
                return false;
            }
        };
        let is_full = claims.tasks.len() >= asked;
        self.claims.tasks.extend(claims.tasks);
        self.claims.more |= claims.more;
        self.claims.now = claims.now;
        if !is_full {
            let due = [self.claims.next_due, claims.next_due];
            self.claims.next_due = due.into_iter().flatten().min();
        }
        is_full
    }

    /// What was leased must run, whatever else failed; that is then asked for again.
    fn done(self) -> Result<Claims> {
        match self.error {
            Some(error) if self.claims.tasks.is_empty() => Err(error),
            Some(error) => {
                tracing::debug!(%error, "a part of a claim failed; trying again");
                Ok(Claims {
                    more: true,
                    ..self.claims
                })
            }
            None => Ok(self.claims),
        }
    }
}

/// Awaits all of them at once.
async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        if answers.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(answers.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

/// One claim of these queues in their order.
pub(super) async fn claim(
    parts: &WorkerParts,
    lanes: &Lanes,
    queues: Vec<Arc<str>>,
    limit: usize,
) -> Result<Claims> {
    let request = ClaimRequest {
        worker: parts.id.clone(),
        lanes: Lanes {
            queues,
            ..lanes.clone()
        },
        limit,
        ttl: parts.options.lease,
    };
    parts.store.claim(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[(&str, u32)]) -> Turns {
        let queues: Vec<Arc<str>> = weights.iter().map(|(queue, _)| Arc::from(*queue)).collect();
        let weights = weights
            .iter()
            .map(|(queue, weight)| ((*queue).to_owned(), *weight));
        Turns::new(&queues, &weights.collect()).unwrap()
    }

    #[test]
    fn shares_follow_the_weights_and_are_spread_evenly() {
        let mut turns = turns(&[("a", 5), ("b", 1), ("c", 1)]);
        let one_by_one: Vec<usize> = (0..7)
            .map(|_| {
                turns
                    .shares(1)
                    .iter()
                    .position(|share| *share == 1)
                    .unwrap()
            })
            .collect();
        assert_eq!(one_by_one, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns.shares(70), [50, 10, 10]);
        let mut sum = [0; 3];
        for wanted in [1, 3, 2, 16, 5, 8] {
            for (sum, share) in sum.iter_mut().zip(turns.shares(wanted)) {
                *sum += share;
            }
        }
        assert_eq!(sum, [25, 5, 5]);
    }

    #[test]
    fn without_weights_or_with_one_queue_there_are_no_turns() {
        let queues = [Arc::from("a"), Arc::from("b")];
        assert!(Turns::new(&queues, &BTreeMap::new()).is_none());
        let weights = BTreeMap::from([("a".to_owned(), 2)]);
        assert!(Turns::new(&queues[..1], &weights).is_none());
        // A queue without a weight has one of 1.
        let mut turns = Turns::new(&queues, &weights).unwrap();
        assert_eq!(turns.shares(3), [2, 1]);
    }
}

//! The writing verbs: what is sent, and what becomes of the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::answers::{Values, committed};
use super::args::Args;
use super::encode::{self, Encoded};
use super::facts::Facts;
use super::fault::unexpected;
use super::gather::{Gather, Quick};
use super::link::Link;
use super::now::Now;
use super::options::RedisOptions;
use super::reading::Reader;
use super::record::{decode, id_of};
use super::scripts::{Script, Scripts};
use super::times::{micros, time};
use crate::backends::deadline::Turn;
use crate::backends::handed::{Handed, Leases, Returned};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId, stable_hash};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, Lanes, Maintain, Maintained,
};

/// A worker with at most this many names sends them along; one with more puts them on the server first.
const FEW_NAMES: usize = 32;

/// Everything that calls go through.
pub(super) struct Asking {
    pub(super) link: Arc<Link>,
    scripts: Arc<Scripts>,
    now: Now,
    ids: Arc<IdSource>,
    gather: Gather,
    /// Of claims.
    quick: Quick,
    returned: Returned,
    runtime: Handle,
    /// What was read back at the opening or the latest upkeep.
    facts: Mutex<Facts>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

/// Commits of one caller that a script is given at once, at most: it keeps the server from everything else while it runs.
const AT_ONCE: usize = 512;

/// Commits on their way, as many in a part as a script is given at once.
pub(super) struct Sent(Vec<Arc<[Encoded]>>);

impl Asking {
    pub(super) fn new(
        options: RedisOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
        runtime: &Handle,
    ) -> Result<Self> {
        let link = Arc::new(Link::new(options)?);
        let scripts = Arc::new(Scripts::new());
        let now = Now::of(clock);
        Ok(Self {
            gather: Gather::start(
                runtime,
                Arc::clone(&link),
                Arc::clone(&scripts),
                now.clone(),
            ),
            link,
            scripts,
            now,
            ids,
            quick: Quick::default(),
            returned: Returned::default(),
            runtime: runtime.clone(),
            facts: Mutex::default(),
        })
    }

    pub(super) fn limit(&self) -> Duration {
        self.link.options.call_timeout
    }

    /// Tells the server which of its processes serves the namespace. One that cannot write now is told by the first claim.
    pub(super) async fn arrive(&self) {
        if let Err(error) = self.link.eval(&self.scripts.arrive, &self.now.args()).await {
            tracing::debug!(%error, "the Redis server was not told which of its processes this is");
        }
    }

    pub(super) fn note(&self, facts: Facts) {
        *self.facts.lock() = facts;
    }

    pub(super) fn capability(&self) -> Capability {
        let facts = self.facts.lock();
        facts.capability(&self.link)
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            link: &self.link,
            scripts: &self.scripts,
            now: &self.now,
        }
    }

    pub(super) fn encode(&self, commits: &[Commit]) -> Sent {
        let encode = |part: &[Commit]| {
            let encoded = part.iter().map(|commit| encode::commit(commit, &self.ids));
            encoded.collect()
        };
        Sent(commits.chunks(AT_ONCE).map(encode).collect())
    }

    pub(super) async fn commit(
        self: Arc<Self>,
        sent: Sent,
        turn: Turn,
    ) -> Result<Handed<Vec<Committed>>> {
        let mut done = Vec::new();
        let mut turn = Some(turn);
        for part in sent.0 {
            // The first that is sent begins the whole.
            let turn = turn.take().unwrap_or_default();
            let answers = self.gather.commit(Arc::clone(&part), turn).await?;
            for (answer, sent) in answers.into_iter().zip(&*part) {
                done.push(committed(answer, sent)?);
            }
        }
        Ok(self.hand(done))
    }

    /// Sends commits whose answers nobody looks at.
    async fn commit_aside(&self, commits: &[Commit]) -> Result<()> {
        for part in self.encode(commits).0 {
            self.gather.commit(part, Turn::default()).await?;
        }
        Ok(())
    }

    /// An answer whose leases go back when nobody takes it.
    fn hand<T: Leases>(self: &Arc<Self>, answer: T) -> Handed<T> {
        let asking = Arc::downgrade(self);
        let wake = move || {
            let Some(asking) = asking.upgrade() else {
                return;
            };
            let runtime = asking.runtime.clone();
            runtime.spawn(async move {
                let commits = asking.returned.take();
                if let Err(error) = asking.commit_aside(&commits).await {
                    tracing::warn!(%error, "leases that nobody took end by themselves");
                }
            });
        };
        Handed::new(answer, self.returned.clone(), Box::new(wake))
    }

    pub(super) async fn claim(
        self: Arc<Self>,
        request: ClaimRequest,
        turn: Turn,
    ) -> Result<Handed<Claims>> {
        if !turn.begin() {
            return Err(unexpected("claim"));
        }
        let lanes = KnownLanes::of(&request.lanes);
        // From the first one on, leases go back when nothing comes of the call.
        let mut handed = self.hand(Claims::default());
        let claims = handed.answer_mut().ok_or_else(|| unexpected("claim"))?;
        if request.lanes.names.len() <= FEW_NAMES && self.quick.is_worth_a_try() {
            let args = self.claim_args(&request, &lanes, 0);
            let said = self.claimed(&self.scripts.quick_claim, &args, claims);
            if said.await? == "ok" {
                return Ok(handed);
            }
            self.quick.ended();
        }
        let args = self.claim_args(&request, &lanes, claims.tasks.len());
        let mut said = self.claimed(&self.scripts.claim, &args, claims).await?;
        if said == "names" {
            self.put_names(&lanes.name(), &lanes).await?;
            said = self.claimed(&self.scripts.claim, &args, claims).await?;
        }
        match said.as_str() {
            "ok" => Ok(handed),
            _ => Err(unexpected("claim")),
        }
    }

    fn claim_args(&self, request: &ClaimRequest, lanes: &KnownLanes, given: usize) -> Args {
        let mut args = self.now.args();
        args.text(request.worker.as_str());
        args.text(micros(request.ttl));
        args.number(request.limit - given.min(request.limit));
        // A number of the task follows: each lease has a token of its own.
        args.number(format_args!("{:024x}", self.ids.token().as_u128() >> 32));
        args.number(request.lanes.queues.len());
        for queue in &request.lanes.queues {
            args.text(&**queue);
        }
        let name = (request.lanes.names.len() > FEW_NAMES).then(|| lanes.name());
        args.optional(name.as_deref());
        if name.is_none() {
            lanes.write(&mut args);
        }
        args
    }

    /// Adds what a script leased.
    async fn take_claimed(&self, mut answer: Values, claims: &mut Claims) -> Result<()> {
        claims.now = answer.time()?;
        claims.next_due = time(&answer.text()?);
        claims.more = answer.number::<i64>()? != 0;
        for parts in answer.array()? {
            let id = id_of(&parts);
            match decode(None, parts) {
                Ok(Some(record)) => claims.tasks.push(Arc::new(record)),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.set_aside(&id.ok_or_else(|| unexpected("claim"))?, &error)
                        .await?;
                }
                Ok(None) => return Err(unexpected("claim")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs a script that claims and adds what it leased. What it says first.
    async fn claimed(&self, script: &Script, args: &Args, claims: &mut Claims) -> Result<String> {
        let (answer, connection) = self.link.eval_numbered(script, args).await?;
        let mut answer = Values::of("claim", answer)?;
        let said = answer.text()?;
        if !answer.is_empty() {
            self.take_claimed(answer, claims).await?;
        }
        // A lease that a failover forgets would be given out once more while its holder runs.
        self.link.wait_for_replicas("claim", connection).await?;
        Ok(said)
    }

    /// A record that the scripts can read and this process cannot: its lease would end and be given out again for ever.
    async fn set_aside(&self, id: &TaskId, error: &Error) -> Result<()> {
        tracing::error!(%id, %error, "a stored record cannot be read; it was set aside");
        let mut args = self.now.args();
        args.text(id.as_str());
        args.text(error.to_string());
        self.link.eval(&self.scripts.aside, &args).await.map(drop)
    }

    async fn put_names(&self, name: &str, lanes: &KnownLanes) -> Result<()> {
        let mut args = self.now.args();
        args.text(name);
        lanes.write(&mut args);
        self.link.eval(&self.scripts.names, &args).await.map(drop)
    }

    pub(super) async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        let mut args = self.now.args();
        args.optional(request.retention.age.map(micros));
        args.optional(request.retention.count.map(|count| count.to_string()));
        args.number(request.limit);
        let answer = self.link.eval(&self.scripts.maintain, &args).await?;
        let mut answer = Values::of("maintain", answer)?;
        let done = Maintained {
            removed: answer.number()?,
            marks: answer.number()?,
            unparked: answer.number()?,
            unreadable: answer.number()?,
            more: answer.number::<i64>()? != 0,
        };
        let mut faults = answer.array()?;
        while !faults.is_empty() {
            let fault = faults.text()?;
            tracing::error!(fault, "a step of the upkeep was taken back");
        }
        let facts = Facts::read(&self.link).await?;
        self.note(facts);
        Ok(done)
    }
}

/// The lanes that a worker knows, and the name that each stands for.
struct KnownLanes(BTreeMap<String, String>);

impl KnownLanes {
    fn of(lanes: &Lanes) -> Self {
        let mut known = BTreeMap::new();
        for (name, version) in &*lanes.names {
            let stands_for = lanes.aliases.get(name).map(ToString::to_string);
            let stands_for = stands_for.unwrap_or_default();
            let version = version.as_deref().unwrap_or_default();
            known.insert(format!("{name}\0{version}"), stands_for.clone());
            // A record without a version fits any version of its name.
            known.insert(format!("{name}\0"), stands_for);
        }
        Self(known)
    }

    /// The same lanes have the same name.
    fn name(&self) -> String {
        let mut text = Vec::new();
        for (lane, stands_for) in &self.0 {
            text.extend_from_slice(lane.as_bytes());
            text.push(b'\n');
            text.extend_from_slice(stands_for.as_bytes());
            text.push(b'\n');
        }
        format!("{:016x}{:08x}", stable_hash(&text), text.len())
    }

    fn write(&self, args: &mut Args) {
        args.number(self.0.len());
        for (lane, stands_for) in &self.0 {
            args.text(lane);
            args.text(stands_for);
        }
    }
}

//! Reading what is in entries alone: events, marks, and who owns unique keys.

use super::engine::Engine;
use super::fault::Fault;
use super::link::Link;
use super::load;
use super::loaded::Loaded;
use super::needs::{Needs, Span};
use super::table::moment;
use crate::error::Result;
use crate::store::kv::{self, View, keys};
use crate::store::{Event, Holdings, Mark, StreamId};

/// Runs what only looks at entries, on what it turns out to need; once more when the connection turns out to be cut.
async fn look<T>(
    engine: &Engine,
    spans: &[Span],
    read: impl Fn(&View<'_>) -> Result<T>,
) -> Result<T> {
    let mut cut = false;
    loop {
        let mut lent = engine.lend("read").await?;
        let link = engine.connections.link(lent.object()?);
        let looked = look_once(engine, link, spans, &read).await;
        lent.keep_unless_cut(&looked);
        match looked {
            Ok(answer) => return Ok(answer),
            Err(fault) if fault.is_cut() && !cut => cut = true,
            Err(fault) => return Err(fault.into_error("read")),
        }
    }
}

async fn look_once<T>(
    engine: &Engine,
    link: Link<'_>,
    spans: &[Span],
    read: &impl Fn(&View<'_>) -> Result<T>,
) -> Result<T, Fault> {
    let mut loaded = Loaded::default();
    let (now, _) = load::start(link, 0).await?;
    let now = engine.given_now().unwrap_or(now);
    let mut wanted = spans.to_vec();
    loop {
        let found = load::spans(link, &wanted).await?;
        for (span, rows) in wanted.iter().zip(found) {
            loaded.keep_span(span, rows);
        }
        let answer = {
            let rows = &loaded;
            read(&View::new(&rows, moment(now)))
        };
        let missed: Needs = loaded.take_missed();
        if missed.is_empty() {
            return Ok(answer?);
        }
        wanted = missed.spans.into_iter().collect();
        if wanted.is_empty() {
            return Err(Fault::Odd("a read asked for what it cannot have"));
        }
    }
}

pub(super) async fn events(
    engine: &Engine,
    stream: &StreamId,
    from: u64,
    limit: usize,
) -> Result<Vec<Event>> {
    let extent = keys::stream(stream);
    let spans = [
        Span {
            until: [extent.as_slice(), &[0]].concat(),
            from: extent,
            limit: 1,
        },
        Span {
            from: keys::event(stream, from),
            until: keys::event(stream, u64::MAX),
            limit,
        },
    ];
    look(engine, &spans, |view| kv::events(view, stream, from, limit)).await
}

pub(super) async fn marks(
    engine: &Engine,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Mark>> {
    look(engine, &[], |view| kv::marks(view, prefix, after, limit)).await
}

pub(super) async fn holdings(
    engine: &Engine,
    after: Option<&str>,
    limit: usize,
) -> Result<Holdings> {
    look(engine, &[], |view| kv::holdings(view, after, limit)).await
}

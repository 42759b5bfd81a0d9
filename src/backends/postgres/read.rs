//! Reading: each verb is one statement, so what it sees is of one moment.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};

use super::columns::plain;
use super::engine::Engine;
use super::link::Value;
use super::load::{number, record};
use super::row::Row;
use crate::error::Result;
use crate::id::TaskId;
use crate::page::{Cursor, PAGE_LIMIT, Page, PageRequest};
use crate::store::{CountBy, Counts, SCAN_LIMIT, TaskFilter};
use crate::task::{TaskKind, TaskStateRecord, TaskStatus, TaskSummary};
use crate::timestamp::Timestamp;

// Each by its number: joined as a whole, a table that seems almost empty would be read with all that is gone.
const GET: &str = "SELECT i.id, coalesce(t.body, e.body), t.lease_end, t.leased_at, t.worker, t.token FROM @identity i \
    LEFT JOIN LATERAL (SELECT * FROM @task t WHERE t.seq = i.seq OFFSET 0) AS t ON true \
    LEFT JOIN LATERAL (SELECT * FROM @ended e WHERE e.seq = i.seq OFFSET 0) AS e ON true WHERE i.id = ANY($1)";

const TALLIES: &str =
    "SELECT queue, name, status, sum(n)::bigint FROM @tally GROUP BY queue, name, status";

const BODIES: &str = "SELECT i.id, coalesce(t.body, e.body), t.lease_end, t.leased_at, t.worker, t.token, i.seq FROM @identity i \
    LEFT JOIN @task t ON t.seq = i.seq LEFT JOIN @ended e ON e.seq = i.seq WHERE i.seq > $1 ORDER BY i.seq LIMIT 256";

/// Lines that a check says, at most.
const CHECK_LINES: usize = 200;

/// The rows of one statement, asked for once more when the connection turns out to be cut.
async fn rows(engine: &Engine, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>> {
    let mut cut = false;
    loop {
        let mut lent = engine.lend("read").await?;
        let link = engine.connections.link(lent.object()?);
        let read = link.query(sql, values).await;
        lent.keep_unless_cut(&read);
        match read {
            Ok(rows) => return Ok(rows),
            Err(fault) if fault.is_cut() && !cut => cut = true,
            Err(fault) => return Err(fault.into_error("read")),
        }
    }
}

pub(super) async fn get(engine: &Engine, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
    let texts: Vec<&str> = ids.iter().map(TaskId::as_str).collect();
    let rows = rows(engine, GET, &[(&texts, Type::TEXT_ARRAY)]).await?;
    let mut found: BTreeMap<TaskId, TaskStateRecord> = BTreeMap::new();
    for row in &rows {
        let (id, record) = record(row)?;
        found.insert(id, record?);
    }
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// A filter as conditions, with their values.
#[derive(Default)]
struct Search {
    conditions: Vec<String>,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Search {
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static, of: Type) -> String {
        self.values.push((Box::new(value), of));
        format!("${}", self.values.len())
    }

    fn want(&mut self, left: &str, value: impl ToSql + Sync + Send + 'static, of: Type) {
        let value = self.value(value, of);
        self.conditions.push(format!("{left} {value}"));
    }

    fn values(&self) -> Vec<Value<'_>> {
        let values = self.values.iter();
        values
            .map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
            .collect()
    }
}

fn codes(statuses: &[TaskStatus]) -> Vec<i16> {
    statuses.iter().map(|status| *status as i16).collect()
}

/// The rows to walk, in order of creation: the most selective of what is asked for. `$1` is where to begin, `$2` how many.
fn driving(
    filter: &TaskFilter,
    newest_first: bool,
    search: &mut Search,
    now: Option<i64>,
) -> String {
    let (beyond, order) = if newest_first {
        ("<", "DESC")
    } else {
        (">", "ASC")
    };
    let walk = |table: &str, condition: &str| {
        format!(
            "(SELECT seq FROM {table} WHERE seq {beyond} $1 {condition} ORDER BY seq {order} LIMIT $2)"
        )
    };
    if filter.lease_expired {
        let now = search.value(now, Type::INT8);
        return walk(
            "@task",
            &format!(
                "AND lease_end IS NOT NULL AND lease_end <= coalesce({now}, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)"
            ),
        );
    }
    if filter.worker.is_some() {
        return walk("@task", "AND lease_end IS NOT NULL");
    }
    if let Some(prefix) = &filter.id_prefix {
        let from = search.value(plain(prefix), Type::TEXT);
        return walk("@identity", &format!("AND id ^@ {from} AND id >= {from}"));
    }
    let is_few = |status: &TaskStatus| {
        matches!(
            status,
            TaskStatus::Running | TaskStatus::Failed | TaskStatus::Cancelled
        )
    };
    let rare = !filter.status.is_empty() && filter.status.iter().all(is_few);
    if let Some(parent) = &filter.parent {
        let parent = search.value(parent.as_str().to_owned(), Type::TEXT);
        return walk("@identity", &format!("AND parent = {parent}"));
    }
    let word = [
        ("tags @> ARRAY", filter.tag.as_ref()),
        ("schedule =", filter.schedule.as_ref()),
        ("name =", filter.name.as_ref()),
    ];
    if let Some((column, word)) = word
        .into_iter()
        .find_map(|(column, word)| Some((column, word?)))
        .filter(|_| !rare)
    {
        let value = search.value(plain(word), Type::TEXT);
        return match column {
            "tags @> ARRAY" => walk("@identity", &format!("AND tags @> ARRAY[{value}]")),
            _ => walk("@identity", &format!("AND {column} {value}")),
        };
    }
    if filter.status.is_empty() {
        return walk("@identity", "");
    }
    let statuses = filter.status.iter().map(|status| match status {
        TaskStatus::Pending => walk("@task", "AND status = 0"),
        TaskStatus::Running => walk("@task", "AND lease_end IS NOT NULL"),
        TaskStatus::Succeeded => walk("@ended", "AND status = 2"),
        TaskStatus::Failed => walk("@ended", "AND status = 3 AND status > 2"),
        TaskStatus::Cancelled => walk("@ended", "AND status = 4 AND status > 2"),
    });
    let all: Vec<String> = statuses.collect();
    format!(
        "(SELECT seq FROM ({}) AS s ORDER BY seq {order} LIMIT $2)",
        all.join(" UNION ALL ")
    )
}

/// All conditions of a filter, over `i`, `t` and `e`.
fn conditions(filter: &TaskFilter, search: &mut Search, now: Option<i64>) {
    if !filter.status.is_empty() {
        let codes = codes(&filter.status);
        let codes = search.value(codes, Type::INT2_ARRAY);
        search
            .conditions
            .push(format!("coalesce(t.status, e.status) = ANY({codes})"));
    }
    if let Some(kind) = filter.kind {
        search.want("i.kind =", kind_code(kind), Type::INT2);
    }
    let texts = [
        ("i.name =", filter.name.clone()),
        ("coalesce(t.queue, e.queue) =", filter.queue.clone()),
        ("i.schedule =", filter.schedule.clone()),
        (
            "i.parent =",
            filter.parent.as_ref().map(|id| id.as_str().to_owned()),
        ),
        (
            "coalesce(t.error_group, e.error_group) =",
            filter.error_group.clone(),
        ),
        (
            "t.worker =",
            filter.worker.as_ref().map(|id| id.as_str().to_owned()),
        ),
        ("i.id ^@", filter.id_prefix.clone()),
    ];
    for (left, text) in texts {
        if let Some(text) = text {
            search.want(left, plain(&text), Type::TEXT);
        }
    }
    if let Some(tag) = &filter.tag {
        let tag = search.value(plain(tag), Type::TEXT);
        search.conditions.push(format!("i.tags @> ARRAY[{tag}]"));
    }
    if filter.lease_expired {
        let now = search.value(now, Type::INT8);
        search.conditions.push(format!(
            "t.lease_end <= coalesce({now}, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)"
        ));
    }
    if let Some(from) = filter.created_from {
        search.want("i.created_at >=", from.as_micros(), Type::INT8);
    }
    if let Some(before) = filter.created_before {
        search.want("i.created_at <", before.as_micros(), Type::INT8);
    }
}

const fn kind_code(kind: TaskKind) -> i16 {
    kind as i16
}

/// Where a walk begins, and how far it goes.
fn search(
    filter: &TaskFilter,
    page: PageRequest,
    budget: usize,
    now: Option<i64>,
) -> (Search, String) {
    let mut search = Search::default();
    let first = match (page.after, page.newest_first) {
        (Some(Cursor(seq)), _) => i64::try_from(seq).unwrap_or(i64::MAX),
        (None, true) => i64::MAX,
        (None, false) => 0,
    };
    search.value(first, Type::INT8);
    let walked = i64::try_from(budget).unwrap_or(i64::MAX).saturating_add(1);
    search.value(walked, Type::INT8);
    let driving = driving(filter, page.newest_first, &mut search, now);
    conditions(filter, &mut search, now);
    let conditions = match search.conditions.is_empty() {
        true => "true".to_owned(),
        false => search.conditions.join(" AND "),
    };
    let order = if page.newest_first { "DESC" } else { "ASC" };
    let common = format!(
        "WITH d AS MATERIALIZED {driving}, \
         w AS MATERIALIZED (SELECT seq FROM d ORDER BY seq {order} LIMIT $2 - 1), \
         found AS (SELECT i.seq, i.id, i.name, coalesce(t.status, e.status) AS status, coalesce(t.queue, e.queue) AS queue, \
             coalesce(t.error_group, e.error_group) AS error_group, coalesce(t.body, e.body) AS body, \
             t.lease_end, t.leased_at, t.worker, t.token \
             FROM w JOIN @identity i ON i.seq = w.seq LEFT JOIN @task t ON t.seq = w.seq LEFT JOIN @ended e ON e.seq = w.seq \
             WHERE {conditions}) "
    );
    (search, common)
}

pub(super) async fn list(
    engine: &Engine,
    filter: &TaskFilter,
    page: PageRequest,
) -> Result<Page<TaskSummary>> {
    let limit = page.limit.clamp(1, PAGE_LIMIT);
    let now = engine.given_now().map(Timestamp::as_micros);
    let (mut search, common) = search(filter, page, SCAN_LIMIT, now);
    let wanted = search.value(i64::try_from(limit + 1).unwrap_or(i64::MAX), Type::INT8);
    let (order, last) = if page.newest_first {
        ("DESC", "min")
    } else {
        ("ASC", "max")
    };
    let sql = format!(
        "{common} SELECT m.id, m.body, m.lease_end, m.leased_at, m.worker, m.token, m.seq, k.walked, k.last \
         FROM (SELECT (SELECT count(*) FROM d) AS walked, (SELECT {last}(seq) FROM w) AS last) AS k \
         LEFT JOIN LATERAL (SELECT * FROM found ORDER BY seq {order} LIMIT {wanted}) AS m ON true ORDER BY m.seq {order}"
    );
    let rows = rows(engine, &sql, &search.values()).await?;
    let walked = rows.first().map_or(0, |row| number(row.get(7)));
    let last: Option<i64> = rows.first().and_then(|row| row.get(8));
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.get::<Option<&str>>(0).is_some())
        .collect();
    let mut items = Vec::with_capacity(rows.len().min(limit));
    for row in rows.iter().take(limit) {
        match record(row)? {
            (_, Ok(record)) => items.push(TaskSummary::from(record)),
            // One bad row must not hide the others.
            (id, Err(error)) => tracing::warn!(%id, %error, "a stored record cannot be read"),
        }
    }
    let next = if rows.len() > limit {
        rows.get(limit - 1).map(|row| Cursor(number(row.get(6))))
    } else if walked > SCAN_LIMIT as u64 {
        last.map(|last| Cursor(number(last)))
    } else {
        None
    };
    Ok(Page {
        complete: next.is_none(),
        next,
        items,
    })
}

pub(super) async fn count(
    engine: &Engine,
    filter: &TaskFilter,
    by: CountBy,
    limit: usize,
) -> Result<Counts> {
    let plain = TaskFilter {
        status: filter.status.clone(),
        name: filter.name.clone(),
        queue: filter.queue.clone(),
        ..TaskFilter::default()
    };
    if plain == *filter && by != CountBy::ErrorGroup {
        return tallied(engine, filter, by).await;
    }
    let now = engine.given_now().map(Timestamp::as_micros);
    let (search, common) = search(filter, PageRequest::default(), limit, now);
    let group = match by {
        CountBy::All => "'all'::text",
        CountBy::Status => {
            "(ARRAY['pending', 'running', 'succeeded', 'failed', 'cancelled'])[status + 1]"
        }
        CountBy::Queue => "queue",
        CountBy::Name => "name",
        CountBy::ErrorGroup => "coalesce(error_group, '')",
    };
    let sql = format!(
        "{common} SELECT g.name, g.n, (SELECT count(*) FROM d) FROM (SELECT 1) AS one \
         LEFT JOIN (SELECT {group} AS name, count(*) AS n FROM found GROUP BY 1) AS g ON true"
    );
    let rows = rows(engine, &sql, &search.values()).await?;
    let walked = rows.first().map_or(0, |row| number(row.get(2)));
    let groups = rows.iter().filter_map(|row| {
        let name: Option<String> = row.get(0);
        Some((name?, number(row.get(1))))
    });
    Ok(Counts {
        groups: groups.collect(),
        complete: walked <= limit as u64,
    })
}

/// The answer from the tally, when status, queue and name are all that is asked about.
async fn tallied(engine: &Engine, filter: &TaskFilter, by: CountBy) -> Result<Counts> {
    let rows = rows(engine, TALLIES, &[]).await?;
    let mut groups = BTreeMap::new();
    for row in &rows {
        let (queue, name): (&str, &str) = (row.get(0), row.get(1));
        let code: i16 = row.get(2);
        let Some(status) = TaskStatus::ALL
            .into_iter()
            .find(|status| *status as i16 == code)
        else {
            continue;
        };
        let wanted = (filter.status.is_empty() || filter.status.contains(&status))
            && filter.name.as_ref().is_none_or(|wanted| wanted == name)
            && filter.queue.as_ref().is_none_or(|wanted| wanted == queue);
        let n = number(row.get(3));
        if !wanted || n == 0 {
            continue;
        }
        let group = match by {
            CountBy::Status => status.as_str(),
            CountBy::Queue => queue,
            CountBy::Name => name,
            CountBy::All | CountBy::ErrorGroup => "all",
        };
        *groups.entry(group.to_owned()).or_insert(0) += n;
    }
    Ok(Counts {
        groups,
        complete: true,
    })
}

/// Reads every record and says which cannot be read.
pub(super) async fn check(engine: &Engine) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut after = 0_i64;
    loop {
        let rows = rows(engine, BODIES, &[(&after, Type::INT8)]).await?;
        let Some(last) = rows.last() else {
            return Ok(wrong);
        };
        after = last.get(6);
        for row in &rows {
            if row.get::<Option<&str>>(1).is_none() {
                let id: &str = row.get(0);
                wrong.push(format!("the task \"{id}\" has an identity and no record"));
            } else if let (_, Err(error)) = record(row)? {
                wrong.push(error.to_string());
            }
        }
        if wrong.len() >= CHECK_LINES {
            wrong.truncate(CHECK_LINES);
            return Ok(wrong);
        }
    }
}

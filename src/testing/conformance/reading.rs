//! Get, list and count.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, Failed, SECOND, TTL, check, check_eq, failure, id, request, settle, task,
    worker,
};
use super::cases;
use crate::page::{PAGE_LIMIT, Page, PageRequest};
use crate::payload::Payload;
use crate::store::{CountBy, Op, SCAN_LIMIT, TaskFilter};
use crate::task::{TaskKind, TaskStateRecord, TaskStatus, TaskSummary};

cases! { "reading":
    records_are_given_in_the_order_of_the_ids_asked_for,
    lists_are_in_order_of_creation_page_by_page_without_repeats_or_holes_while_rows_come_and_go,
    lists_can_be_read_with_the_newest_first,
    each_filter_finds_exactly_what_matches_it,
    the_conditions_of_a_filter_must_all_hold,
    a_page_has_at_least_one_and_at_most_a_thousand_items,
    a_list_looks_at_ten_thousand_rows_and_says_where_to_go_on,
    a_list_by_id_prefix_does_not_end_before_the_last_match,
    summaries_cut_long_payloads_and_say_so,
}

/// Reads a list to its end, page by page.
pub(super) async fn read_all(
    b: &Bench<'_>,
    filter: &TaskFilter,
    limit: usize,
    newest_first: bool,
) -> CaseResult<Vec<TaskStateRecord>> {
    let mut all = Vec::new();
    let mut after = None;
    for _ in 0..2_000 {
        let page = PageRequest {
            after,
            limit,
            newest_first,
        };
        let Page {
            items,
            next,
            complete,
        } = b.store()?.list(filter, page).await?;
        check!(items.len() <= limit, "{} items, limit {limit}", items.len());
        check_eq!(complete, next.is_none());
        all.extend(items.into_iter().map(|item: TaskSummary| item.record));
        match next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
    Err(Failed::new("the pages of a list never came to an end"))
}

fn ids(records: &[TaskStateRecord]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

async fn records_are_given_in_the_order_of_the_ids_asked_for(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c"]).await?;
    let asked = ["c", "none", "a", "c"];
    let asked: Vec<_> = asked.into_iter().map(id).collect::<CaseResult<_>>()?;
    let found = b.store()?.get(&asked).await?;
    let found: Vec<_> = found
        .iter()
        .map(|record| record.as_ref().map(|record| record.id.as_str()))
        .collect();
    check_eq!(found, [Some("c"), None, Some("a"), Some("c")]);
    check_eq!(b.store()?.get(&[]).await?.len(), 0);
    Ok(())
}

async fn lists_are_in_order_of_creation_page_by_page_without_repeats_or_holes_while_rows_come_and_go(
    b: &Bench<'_>,
) -> CaseResult {
    // Ids in another order than creation.
    for n in 0..40 {
        b.add_all(&[&format!("t{:02}", (n * 7) % 40)]).await?;
    }
    let all = TaskFilter::default();
    let wanted: Vec<_> = (0..40).map(|n| format!("t{:02}", (n * 7) % 40)).collect();
    for limit in [1, 3, 40, 41] {
        check_eq!(ids(&read_all(b, &all, limit, false).await?), wanted);
    }
    // Between the pages: tasks before and behind the cursor change status, go away and come.
    let mut seen: Vec<String> = Vec::new();
    let mut page = PageRequest::first(8);
    for round in 0.. {
        let part = b.store()?.list(&all, page).await?;
        seen.extend(part.items.iter().map(|item| item.record.id.to_string()));
        if let Some(last) = seen.last().cloned() {
            b.apply(Op::Delete(id(&last)?)).await?;
        }
        if let Some(waiting) = wanted.get(39 - round) {
            b.apply(Op::Cancel(id(waiting)?, "gone".to_owned())).await?;
        }
        if round < 3 {
            b.add_all(&[&format!("new{round}")]).await?;
        }
        let Some(next) = part.next else { break };
        page.after = Some(next);
    }
    let mut complete = wanted;
    complete.extend(["new0", "new1", "new2"].map(ToOwned::to_owned));
    check_eq!(seen, complete);
    Ok(())
}

async fn lists_can_be_read_with_the_newest_first(b: &Bench<'_>) -> CaseResult {
    for n in 0..25 {
        b.add_all(&[&format!("t{n:02}")]).await?;
    }
    b.claim("worker", 7).await?;
    let wanted: Vec<_> = (0..25).rev().map(|n| format!("t{n:02}")).collect();
    let all = TaskFilter::default();
    for limit in [1, 4, 100] {
        check_eq!(ids(&read_all(b, &all, limit, true).await?), wanted);
    }
    let waiting = TaskFilter::status([TaskStatus::Pending]);
    check_eq!(ids(&read_all(b, &waiting, 5, true).await?), wanted[..18]);
    let leased = TaskFilter {
        worker: Some(worker("worker")?),
        ..TaskFilter::default()
    };
    check_eq!(ids(&read_all(b, &leased, 3, true).await?), wanted[18..]);
    Ok(())
}

/// Forty tasks that differ in everything a filter can ask for, in all statuses.
async fn zoo(b: &Bench<'_>) -> CaseResult<Vec<TaskStateRecord>> {
    for n in 0..40_usize {
        let mut new = task(&format!("{}{n:02}", ["a", "ab", "b"][n % 3]))?;
        new.name = Arc::from(["work", "mail"][n % 2]);
        new.queue = Arc::from(["default", "other", "third"][n % 3]);
        new.kind = [TaskKind::Task, TaskKind::Activity][(n / 2) % 2];
        new.tags = (0..n % 4).map(|t| format!("tag{t}")).collect();
        if n % 5 == 0 {
            new.parent = Some(id("parent")?);
        }
        // One schedule has the name of a task, one has not.
        if n % 4 == 1 {
            new.schedule = Some(Arc::from(["work", "nightly"][(n / 4) % 2]));
        }
        new.max_attempts = 1;
        b.add(new).await?;
        b.clock.advance(SECOND);
    }
    let mut asked = request("w1", 12)?;
    asked.lanes = crate::store::Lanes::new(["default", "other"], ["work", "mail"]);
    for (n, record) in b.claims(asked.clone()).await?.tasks.iter().enumerate() {
        match n % 4 {
            0 => b.succeed(record).await?,
            1 => {
                let why = format!("disk {n} is full");
                b.accept(settle(record, failure(record, &why))?).await?;
            }
            2 => {
                b.accept(settle(record, failure(record, "no route"))?)
                    .await?;
            }
            _ => {}
        }
    }
    b.clock.advance(TTL);
    (asked.worker, asked.limit) = (worker("w2")?, 4);
    b.claims(asked).await?;
    for name in ["b38", "b35"] {
        b.apply(Op::Cancel(id(name)?, "no".to_owned())).await?;
    }
    let zoo = read_all(b, &TaskFilter::default(), 1_000, false).await?;
    check_eq!(zoo.len(), 40);
    Ok(zoo)
}

fn filters(zoo: &[TaskStateRecord]) -> CaseResult<Vec<TaskFilter>> {
    let none = TaskFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let mut filters = vec![
        none(),
        TaskFilter {
            kind: Some(TaskKind::Activity),
            ..none()
        },
        TaskFilter {
            kind: Some(TaskKind::Node),
            ..none()
        },
        TaskFilter {
            name: some("mail"),
            ..none()
        },
        TaskFilter {
            name: some("mai"),
            ..none()
        },
        TaskFilter {
            queue: some("other"),
            ..none()
        },
        TaskFilter {
            queue: some(""),
            ..none()
        },
        TaskFilter {
            tag: some("tag1"),
            ..none()
        },
        TaskFilter {
            tag: some("tag"),
            ..none()
        },
        TaskFilter {
            parent: Some(id("parent")?),
            ..none()
        },
        TaskFilter {
            schedule: some("work"),
            ..none()
        },
        TaskFilter {
            schedule: some("nightly"),
            ..none()
        },
        TaskFilter {
            schedule: some("mail"),
            ..none()
        },
        TaskFilter {
            error_group: some("disk # is full"),
            ..none()
        },
        TaskFilter {
            error_group: some("no route"),
            ..none()
        },
        TaskFilter {
            worker: Some(worker("w1")?),
            ..none()
        },
        TaskFilter {
            worker: Some(worker("w2")?),
            ..none()
        },
        TaskFilter {
            worker: Some(worker("w")?),
            ..none()
        },
        TaskFilter {
            lease_expired: true,
            ..none()
        },
        TaskFilter {
            created_from: Some(zoo[20].created_at),
            ..none()
        },
        TaskFilter {
            created_before: Some(zoo[20].created_at),
            ..none()
        },
        TaskFilter {
            id_prefix: some("a"),
            ..none()
        },
        TaskFilter {
            id_prefix: some("ab"),
            ..none()
        },
        TaskFilter {
            id_prefix: some("b38"),
            ..none()
        },
        TaskFilter {
            id_prefix: some(""),
            ..none()
        },
        TaskFilter {
            id_prefix: some("%"),
            ..none()
        },
    ];
    for status in TaskStatus::ALL {
        filters.push(TaskFilter::status([status]));
    }
    filters.push(TaskFilter::status([
        TaskStatus::Failed,
        TaskStatus::Pending,
    ]));
    filters.push(TaskFilter::status(TaskStatus::ALL));
    Ok(filters)
}

/// What a filter should find: the rule says it, applied to everything.
fn matching<'z>(b: &Bench<'_>, zoo: &'z [TaskStateRecord], filter: &TaskFilter) -> Vec<&'z str> {
    use crate::clock::Clock;
    let (now, steady) = (b.now(), b.clock.steady());
    let ended = |record: &TaskStateRecord| {
        // A store on a server measures leases on that server's clock and on no other: then the end is as it is written.
        record.lease.as_ref().is_some_and(|lease| match lease.ends {
            Some(_) => lease.has_ended(now, steady),
            None => lease.until <= now,
        })
    };
    zoo.iter()
        .filter(|record| filter.matches(record, ended(record)))
        .map(|record| record.id.as_str())
        .collect()
}

async fn each_filter_finds_exactly_what_matches_it(b: &Bench<'_>) -> CaseResult {
    let zoo = zoo(b).await?;
    for filter in filters(&zoo)? {
        let wanted = matching(b, &zoo, &filter);
        for limit in [3, 1_000] {
            let found = read_all(b, &filter, limit, false).await?;
            check_eq!(ids(&found), wanted, "{filter:?}, {limit} a page");
        }
    }
    Ok(())
}

async fn the_conditions_of_a_filter_must_all_hold(b: &Bench<'_>) -> CaseResult {
    let zoo = zoo(b).await?;
    let filters = filters(&zoo)?;
    for (first, one) in filters.iter().enumerate() {
        for two in filters.iter().skip(first % 3).step_by(3) {
            let both = TaskFilter {
                status: if one.status.is_empty() {
                    two.status.clone()
                } else {
                    one.status.clone()
                },
                kind: one.kind.or(two.kind),
                name: one.name.clone().or(two.name.clone()),
                queue: one.queue.clone().or(two.queue.clone()),
                tag: one.tag.clone().or(two.tag.clone()),
                parent: one.parent.clone().or(two.parent.clone()),
                schedule: one.schedule.clone().or(two.schedule.clone()),
                error_group: one.error_group.clone().or(two.error_group.clone()),
                worker: one.worker.clone().or(two.worker.clone()),
                lease_expired: one.lease_expired || two.lease_expired,
                created_from: one.created_from.or(two.created_from),
                created_before: one.created_before.or(two.created_before),
                id_prefix: one.id_prefix.clone().or(two.id_prefix.clone()),
            };
            let found = read_all(b, &both, 1_000, false).await?;
            check_eq!(ids(&found), matching(b, &zoo, &both), "{both:?}");
            let counts = b.store()?.count(&both, CountBy::All, 1_000).await?;
            check_eq!(counts.total(), found.len() as u64, "{both:?}");
        }
    }
    Ok(())
}

async fn a_page_has_at_least_one_and_at_most_a_thousand_items(b: &Bench<'_>) -> CaseResult {
    let count = PAGE_LIMIT + 2;
    let tasks = (0..count).map(|n| task(&format!("t{n}")));
    b.add_many(tasks.collect::<CaseResult<_>>()?).await?;
    for (limit, wanted) in [
        (0, 1),
        (1, 1),
        (PAGE_LIMIT, PAGE_LIMIT),
        (usize::MAX, PAGE_LIMIT),
    ] {
        let page = b
            .store()?
            .list(&TaskFilter::default(), PageRequest::first(limit))
            .await?;
        check_eq!(page.items.len(), wanted, "limit {limit}");
        check!(!page.complete && page.next.is_some(), "limit {limit}");
    }
    Ok(())
}

async fn a_list_looks_at_ten_thousand_rows_and_says_where_to_go_on(b: &Bench<'_>) -> CaseResult {
    let before = b.many(SCAN_LIMIT + 50);
    let tasks = (0..before).map(|n| task(&format!("t{n:05}")));
    let mut tasks: Vec<_> = tasks.collect::<CaseResult<_>>()?;
    for n in [0, before - 1] {
        tasks[n].queue = Arc::from("needle");
    }
    b.add_many(tasks).await?;
    let needles = TaskFilter {
        queue: Some("needle".to_owned()),
        ..TaskFilter::default()
    };
    let wanted = ["t00000".to_owned(), format!("t{:05}", before - 1)];
    check_eq!(ids(&read_all(b, &needles, 10, false).await?), wanted);
    let backwards = [wanted[1].clone(), wanted[0].clone()];
    check_eq!(ids(&read_all(b, &needles, 10, true).await?), backwards);
    if before > SCAN_LIMIT {
        let first = b.store()?.list(&needles, PageRequest::first(10)).await?;
        check_eq!((first.items.len(), first.complete), (1, false), "one call");
    }
    Ok(())
}

async fn a_list_by_id_prefix_does_not_end_before_the_last_match(b: &Bench<'_>) -> CaseResult {
    let count = b.many(SCAN_LIMIT + 50);
    // Created in one order, with ids in the other.
    let tasks = (0..count).map(|n| task(&format!("t{:05}", count - n)));
    b.add_many(tasks.collect::<CaseResult<_>>()?).await?;
    let prefix = TaskFilter {
        id_prefix: Some("t".to_owned()),
        ..TaskFilter::default()
    };
    let found = read_all(b, &prefix, 1_000, false).await?;
    check_eq!(found.len(), count);
    let seen: BTreeSet<_> = found.iter().map(|record| record.seq).collect();
    check_eq!(seen.len(), count, "different records");
    check!(
        found.is_sorted_by_key(|r| r.seq),
        "not in order of creation"
    );
    Ok(())
}

async fn summaries_cut_long_payloads_and_say_so(b: &Bench<'_>) -> CaseResult {
    let long = Payload::of(&"é".repeat(5_000))?;
    b.add_all(&["short"]).await?;
    let mut new = task("long")?;
    new.args = long.clone();
    b.add(new).await?;
    let page = b
        .store()?
        .list(&TaskFilter::default(), PageRequest::first(5))
        .await?;
    let [short, cut] = &page.items[..] else {
        return Err(Failed::new("two tasks were not listed"));
    };
    check_eq!((short.cut, cut.cut), (false, true));
    check_eq!(short.record.args.as_str(), r#"{"n":1}"#);
    let size = cut.record.args.as_str().len();
    check!(size < 1_100, "a summary has args of {size} bytes");
    check_eq!(b.record("long").await?.args, long);
    Ok(())
}

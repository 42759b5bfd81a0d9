//! Count.

use std::sync::Arc;

use super::bench::{Bench, CaseResult, check, check_eq, failure, id, names, settle, task};
use super::cases;
use super::reading::read_all;
use crate::store::{CountBy, Op, TaskFilter};
use crate::task::TaskStatus;

cases! { "counting":
    counts_agree_with_lists_after_every_step,
    a_count_that_stops_early_says_so,
    failures_that_differ_in_numbers_are_counted_as_one_group,
}

async fn counts_agree_with_lists_after_every_step(b: &Bench<'_>) -> CaseResult {
    let check_counts = async |step: &str| -> CaseResult {
        let all = read_all(b, &TaskFilter::default(), 1_000, false).await?;
        let store = b.store()?;
        for by in [CountBy::All, CountBy::Status, CountBy::Queue, CountBy::Name] {
            for status in TaskStatus::ALL.map(Some).into_iter().chain([None]) {
                let filter = TaskFilter::status(status);
                let counts = store.count(&filter, by, 1_000).await?;
                let mut wanted = std::collections::BTreeMap::new();
                for record in all.iter().filter(|r| filter.matches(r, false)) {
                    *wanted.entry(by.group(record).to_owned()).or_insert(0) += 1;
                }
                check_eq!(counts.groups, wanted, "{by:?} of {status:?} after {step}");
                check!(counts.complete, "a count of few rows is not complete");
            }
        }
        Ok(())
    };
    check_counts("nothing").await?;
    for (n, queue) in ["default", "default", "default", "other", "other"]
        .iter()
        .enumerate()
    {
        let mut new = task(&format!("t{n}"))?;
        new.queue = Arc::from(*queue);
        b.add(new).await?;
    }
    check_counts("creates").await?;
    let claimed = b.claim("worker", 2).await?;
    check_eq!(names(&claimed), ["t0", "t1"]);
    check_counts("a claim").await?;
    b.succeed(&claimed[0]).await?;
    b.accept(settle(&claimed[1], failure(&claimed[1], "no"))?)
        .await?;
    check_counts("settles").await?;
    b.apply(Op::Cancel(id("t3")?, "no".to_owned())).await?;
    check_counts("a cancel").await?;
    let away = crate::store::Patch {
        queue: Some("third".to_owned()),
        ..crate::store::Patch::default()
    };
    check!(b.patch("t4", away).await?.is_ok(), "a move was refused");
    check_counts("a move").await?;
    b.apply(Op::Revive(id("t3")?, crate::task::Due::Now))
        .await?;
    check_counts("a revive").await?;
    b.apply(Op::Delete(id("t0")?)).await?;
    check_counts("a delete").await
}

async fn a_count_that_stops_early_says_so(b: &Bench<'_>) -> CaseResult {
    for n in 0..30 {
        let mut new = task(&format!("t{n}"))?;
        new.tags.insert("blue".to_owned());
        b.add(new).await?;
    }
    let blue = TaskFilter {
        tag: Some("blue".to_owned()),
        ..TaskFilter::default()
    };
    let store = b.store()?;
    let part = store.count(&blue, CountBy::All, 10).await?;
    // A store may know better than it was asked to look; it may not claim more than it knows.
    check!(part.total() >= 10 && part.total() <= 30, "{part:?}");
    check_eq!(part.complete, part.total() == 30);
    let none = store.count(&blue, CountBy::All, 0).await?;
    check_eq!(none.complete, none.total() == 30);
    let all = store.count(&blue, CountBy::All, 1_000).await?;
    check_eq!((all.total(), all.complete), (30, true));
    Ok(())
}

async fn failures_that_differ_in_numbers_are_counted_as_one_group(b: &Bench<'_>) -> CaseResult {
    for n in 0..6 {
        let name = format!("t{n}");
        let mut new = task(&name)?;
        new.max_attempts = 1;
        b.add(new).await?;
        let mine = b.take(&name).await?;
        let why = if n < 4 {
            format!("row {n} is locked")
        } else {
            "no route".to_owned()
        };
        b.accept(settle(&mine, failure(&mine, &why))?).await?;
    }
    b.add_all(&["fine"]).await?;
    let failed = TaskFilter::status([TaskStatus::Failed]);
    let counts = b
        .store()?
        .count(&failed, CountBy::ErrorGroup, 1_000)
        .await?;
    check_eq!(counts.groups.len(), 2, "groups {:?}", counts.groups);
    check_eq!(
        (counts.of("row # is locked"), counts.of("no route")),
        (4, 2)
    );
    Ok(())
}

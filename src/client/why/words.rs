//! Decisions in words.

use std::fmt;

use super::Why;
use super::reason::Reason;
use crate::schedule::{format_duration, short_duration};
use crate::task::{AttemptEnd, UniqueScope};
use crate::timestamp::Timestamp;

impl fmt::Display for Why {
    /// What `tlo why` prints: the subject and where it stands, then a line for each link with its time, in seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one_line = |text: &str| text.lines().collect::<Vec<_>>().join(" ");
        f.write_str(&one_line(&self.subject))?;
        if let Some(status) = self.status {
            write!(f, " is {status}")?;
        }
        for link in &self.links {
            let at = link
                .at
                .map_or_else(|| "-".to_owned(), |at| at.whole_seconds().to_string());
            write!(f, "\n  {at:<20}  {}", one_line(&link.reason.to_string()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created {
                by,
                parent,
                queue,
                priority,
            } => {
                write!(f, "created{}", by_whom(by.as_ref()))?;
                if let Some(parent) = parent {
                    write!(f, ", for {parent}")?;
                }
                write!(f, ", queue {queue}, priority {priority}")
            }
            Self::OwnsKey { key, scope, until } => {
                write!(
                    f,
                    "owns the key \"{key}\" {}: submits of it give this id",
                    owns(*scope, *until)
                )
            }
            Self::GaveKeyUp { key } => {
                write!(
                    f,
                    "gave the key \"{key}\" up: a submit of it makes a new task"
                )
            }
            Self::Attempt {
                attempt,
                max_attempts,
                worker,
                took,
                end,
                error,
            } => {
                let took = short_duration(*took);
                write!(f, "attempt {attempt} of {max_attempts} on {worker} ")?;
                write!(f, "{} after {took}", ended(*end))?;
                match error {
                    Some(error) => write!(f, ": {}", first_line(error)),
                    None => Ok(()),
                }
            }
            Self::Reclaimed {
                attempt,
                worker,
                after,
            } => {
                let after = short_duration(*after);
                write!(
                    f,
                    "reclaimed from {worker}, which fell silent: attempt {attempt} was lost {after} after its claim"
                )
            }
            Self::Steered {
                action,
                who,
                why,
                to,
            } => {
                write!(f, "{}", steered(action))?;
                if let Some(to) = to {
                    write!(f, " to {to}")?;
                }
                write!(f, "{}", by_whom(who.as_ref()))?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::Revived { forgiven } => {
                write!(
                    f,
                    "revived with others; {forgiven} attempts before that do not count"
                )
            }
            Self::SlotFired { schedule, slot, id } => {
                write!(f, "slot {slot} of {schedule} fired as {id}")
            }
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed { error } => write!(f, "failed for good: {}", first_line(error)),
            Self::Cancelled { why } => write!(f, "cancelled: {}", first_line(why)),
            Self::Expired { why } => write!(f, "{}", first_line(why)),
            _ => self.waiting(f),
        }
    }
}

impl Reason {
    fn waiting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delayed => f.write_str("delayed until then"),
            Self::RetryAt {
                attempt,
                max_attempts,
            } => write!(
                f,
                "waits until then for attempt {attempt} of {max_attempts}"
            ),
            Self::SnoozedUntil => f.write_str("snoozed until then"),
            Self::ExpiresAt => f.write_str("is cancelled unless it has started by then"),
            Self::Paused { gate, by, why } => {
                let why = why.as_deref().unwrap_or("no reason given");
                write!(
                    f,
                    "waits: {} was paused{}: {why}",
                    gate_name(gate),
                    by_whom(by.as_ref())
                )
            }
            Self::GateFull {
                gate,
                limit,
                held_by,
            } => {
                let ids: Vec<_> = held_by.iter().map(ToString::to_string).collect();
                let held = match ids.as_slice() {
                    [] => "its places were taken a moment ago".to_owned(),
                    ids => format!("held by {}", ids.join(", ")),
                };
                write!(
                    f,
                    "waits behind {} (limit {limit}), {held}",
                    gate_name(gate)
                )
            }
            Self::GateRate { gate, starts, per } => {
                let per = format_duration(*per);
                write!(
                    f,
                    "waits for {}, which lets {starts} start per {per}",
                    gate_name(gate)
                )
            }
            Self::GateOpens { gate } => {
                write!(
                    f,
                    "waits behind {}, which is open: it comes back with the next look",
                    gate_name(gate)
                )
            }
            Self::NoWorker {
                name,
                version,
                queue,
                alive,
                nearest,
            } => {
                write!(
                    f,
                    "waits for a worker of queue {queue} that knows \"{name}\""
                )?;
                if let Some(version) = version {
                    write!(f, " in version \"{version}\"")?;
                }
                match (alive, nearest) {
                    (0, _) => f.write_str("; no worker is alive"),
                    (_, Some(near)) => write!(f, "; of {alive} alive, the nearest is {near}"),
                    (_, None) => write!(f, "; none of {alive} alive does"),
                }
            }
            Self::BehindOthers {
                queue,
                ahead,
                at_least,
                higher_priority,
                first,
            } => {
                let least = if *at_least { "at least " } else { "" };
                write!(f, "waits behind {least}{ahead} in queue {queue}")?;
                write!(
                    f,
                    " ({higher_priority} of higher priority), the first is {first}"
                )
            }
            Self::WorkersBusy { running, places } => write!(
                f,
                "waits for a place: its workers run {running} tasks of {places} at once"
            ),
            Self::Ready => f.write_str("ready: a worker takes it with the next look"),
            Self::Leased {
                attempt,
                worker,
                until,
                fence,
            } => write!(
                f,
                "attempt {attempt} leased by {worker} until {until}, fence {fence}"
            ),
            Self::LeaseEnded { worker } => write!(
                f,
                "the lease of {worker} ended without a word: the next node that looks takes it back"
            ),
            Self::CancelRequested => f.write_str("asked to stop, and still runs"),
            _ => self.of_slot(f),
        }
    }

    fn of_slot(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotOverlapped {
                behind,
                from,
                to,
                count,
            } => write!(
                f,
                "skipped: overlap, {behind} was unfinished{}",
                range(*from, *to, *count)
            ),
            Self::SlotSkipped {
                from,
                to,
                count,
                why,
            } => write!(
                f,
                "skipped: {}{}",
                why.as_str(),
                range(*from, *to, *count)
            ),
            Self::SlotRefused { why, .. } => write!(f, "refused by the store: {why}"),
            Self::SchedulePaused { by, why, until } => {
                let why = why.as_deref().unwrap_or("no reason given");
                write!(f, "skipped: the schedule was paused{}: {why}", by_whom(by.as_ref()))?;
                match until {
                    Some(until) => write!(f, "; resumed {until}"),
                    None => f.write_str("; it still is"),
                }
            }
            Self::NoSuchSlot { before, after } => {
                f.write_str("no slot of this schedule")?;
                match (before, after) {
                    (Some(before), Some(after)) => {
                        write!(f, "; the nearest are {before} and {after}")
                    }
                    (Some(one), None) | (None, Some(one)) => write!(f, "; the nearest is {one}"),
                    (None, None) => f.write_str("; it has none"),
                }
            }
            Self::SlotToCome => f.write_str("not decided yet: it comes then"),
            Self::SlotUndecided => {
                f.write_str("due and not decided: no runner has looked at this schedule since")
            }
            Self::SlotForgotten => {
                f.write_str("was decided; its run was removed since, or its note is older than what is kept")
            }
            Self::SlotBeforeStart => {
                f.write_str("before the schedule was taken up, or written anew, then")
            }
            Self::ScheduleUsedUp { runs } => {
                write!(f, "never: the schedule ran {runs} times, as often as it may")
            }
            Self::ScheduleUndefined => f.write_str(
                "the schedule is not defined here, so its slots are not known; it last decided one then",
            ),
            _ => f.write_str("the schedule has no further slot"),
        }
    }
}

fn range(from: Timestamp, to: Timestamp, count: u64) -> String {
    match count {
        0 | 1 => String::new(),
        _ => format!(", as {count} slots from {from} to {to}"),
    }
}

fn by_whom(who: Option<&String>) -> String {
    who.map(|who| format!(" by {who}")).unwrap_or_default()
}

fn first_line(text: &str) -> &str {
    let mut lines = text.lines();
    lines
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message")
}

fn gate_name(gate: &str) -> String {
    if let Some(queue) = gate.strip_prefix("queue/") {
        format!("queue \"{queue}\"")
    } else if let Some(task) = gate.strip_prefix("task/") {
        format!("task \"{task}\"")
    } else {
        format!("key \"{gate}\"")
    }
}

fn owns(scope: UniqueScope, until: Option<Timestamp>) -> String {
    match (scope, until) {
        (UniqueScope::WhileQueued, _) => "until it starts".to_owned(),
        (UniqueScope::WhileUnfinished, _) => "until it has ended".to_owned(),
        (UniqueScope::For(_), Some(until)) => format!("until {until}"),
        (UniqueScope::For(time), None) => format!("for {}", format_duration(time)),
        (UniqueScope::Forever, _) => "for ever".to_owned(),
    }
}

const fn ended(end: AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Succeeded => "succeeded",
        AttemptEnd::Failed => "failed",
        AttemptEnd::Panicked => "panicked",
        AttemptEnd::TimedOut => "timed out",
        AttemptEnd::Snoozed => "asked to go on later",
        AttemptEnd::Released => "was handed back by its worker, which stopped,",
        AttemptEnd::Cancelled => "was cancelled",
        AttemptEnd::Lost => "was lost",
    }
}

fn steered(action: &str) -> &str {
    match action {
        "cancel" => "cancel asked for",
        "revive" => "revived",
        "move" => "moved",
        "reprioritise" => "reprioritised",
        "reschedule" => "rescheduled",
        "trigger" => "run out of turn",
        other => other,
    }
}

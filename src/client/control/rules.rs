//! The rules of gates: read, changed and written back unless somebody else was faster.

use std::sync::Arc;

use super::audit::AuditData;
use super::target::Target;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{
    Commit, GATE_MARK, Guard, Mark, MarkExpect, Op, Refusal, SharedStore, TaskStateStoreExt,
};
use crate::task::GateRule;

/// Writes of one change, at most: each that fails lost against another writer.
const ROUNDS: usize = 16;

/// Marks read at a time.
const PAGE: usize = 1_000;

/// The rule that holds now.
pub(super) struct Changed {
    pub(super) rule: GateRule,
    /// Whether it was another one before.
    pub(super) is_new: bool,
}

impl Client {
    /// The target that a rule is kept for. The key of a queue's or a name's own gate is that queue or name, and an alias
    /// stands for its name: tasks are submitted under that. A rule of the alias itself, from before it was one, is still found.
    pub(super) async fn resolved(&self, target: &Target) -> Result<Target> {
        match target {
            Target::Key(key) => Ok(Target::of_mark(key)),
            Target::Task(name) if self.rule(target).await?.is_empty() => {
                let def = self.0.registry.get(name).await?;
                Ok(def.map_or_else(|| target.clone(), |def| Target::Task(def.name.to_string())))
            }
            _ => Ok(target.clone()),
        }
    }

    /// Changes the rule of a gate in one commit with its audit event, which is made from the rule as it is written.
    pub(super) async fn change_rule(
        &self,
        target: &Target,
        action: &str,
        data: impl Fn(&GateRule) -> AuditData + Send + Sync,
        change: impl Fn(&mut GateRule) + Send + Sync,
    ) -> Result<Changed> {
        let Some(gate) = target.gate() else {
            return Err(Error::invalid(
                action.to_owned(),
                format!("the {target} has no limits of its own; limit the task of that name"),
            ));
        };
        crate::id::check_name("a gate key", &gate)?;
        let key: Arc<str> = format!("{GATE_MARK}{gate}").into();
        for _ in 0..ROUNDS {
            let mark = self.store().mark(&key).await?;
            // One that cannot be read counts as none where it is obeyed, too.
            let before: GateRule = mark
                .as_ref()
                .and_then(|mark| mark.value.decode().ok())
                .unwrap_or_default();
            let mut rule = before.clone();
            change(&mut rule);
            if rule == before {
                return Ok(Changed {
                    rule,
                    is_new: false,
                });
            }
            let note = AuditData {
                target: target.to_string(),
                ..data(&rule)
            };
            let commit = write(&key, mark.as_ref(), &rule, self.clock().now())?
                .then(self.note(action, note.clone())?);
            match self.store().commit(vec![commit]).await?.pop() {
                Some(Err(Refusal::Mark(..))) => {}
                Some(Err(refusal)) => return Err(refusal.into()),
                Some(Ok(_)) | None => {
                    self.tell_steered(action, &note);
                    return Ok(Changed { rule, is_new: true });
                }
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            action.to_owned(),
            format!("others change the {target} all the time; try again"),
        ))
    }

    pub(in crate::client) async fn rule(&self, target: &Target) -> Result<GateRule> {
        let gate = target.gate().unwrap_or_default();
        let mark = self.store().mark(&format!("{GATE_MARK}{gate}")).await?;
        Ok(mark
            .and_then(|mark| mark.value.decode().ok())
            .unwrap_or_default())
    }

    /// All rules that can be read.
    pub(in crate::client) async fn rules(&self) -> Result<Vec<(Target, GateRule, Mark)>> {
        let marks = all_marks(self.store(), GATE_MARK).await?;
        Ok(marks
            .into_iter()
            .filter_map(|mark| Some((Target::of_mark(&mark.key), mark.value.decode().ok()?, mark)))
            .collect())
    }
}

/// All marks of a prefix.
pub(in crate::client) async fn all_marks(store: &SharedStore, prefix: &str) -> Result<Vec<Mark>> {
    let mut found: Vec<Mark> = Vec::new();
    loop {
        let after = found.last().map(|mark| Arc::clone(&mark.key));
        let page = store.marks(prefix, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

/// The commit that writes a rule over the mark that was read. A rule that says nothing goes; one that ends by itself
/// still does.
fn write(
    key: &Arc<str>,
    mark: Option<&Mark>,
    rule: &GateRule,
    now: crate::Timestamp,
) -> Result<Commit> {
    let expected = mark.map_or(MarkExpect::Absent, |mark| MarkExpect::Version(mark.version));
    let op = if rule.is_empty() {
        Op::DropMark(Arc::clone(key))
    } else {
        let value = crate::payload::Payload::of(rule)?;
        // What the store would not take as a rule is refused in words.
        GateRule::read(&key[GATE_MARK.len()..], &value)?;
        Op::PutMark {
            key: Arc::clone(key),
            value,
            ttl: mark
                .and_then(|mark| mark.until)
                .map(|until| until.since(now)),
        }
    };
    Ok(Commit::of([op]).when(Guard::Mark(Arc::clone(key), expected)))
}

//! What the scripts answer, as values of the port.

use std::sync::Arc;

use redis::Value;

use super::encode::{Encoded, Form};
use super::fault::unexpected;
use super::record::{decode, status_of};
use super::times::time;
use crate::error::Result;
use crate::id::TaskId;
use crate::store::{Committed, Effect, Refusal, StreamId};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// The values of an array, taken one after the other.
pub(super) struct Values {
    operation: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Values {
    pub(super) fn of(operation: &'static str, value: Value) -> Result<Self> {
        match value {
            Value::Array(values) => Ok(Self {
                operation,
                values: values.into_iter(),
            }),
            _ => Err(unexpected(operation)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.len() == 0
    }

    pub(super) fn value(&mut self) -> Result<Value> {
        self.values.next().ok_or_else(|| unexpected(self.operation))
    }

    pub(super) fn array(&mut self) -> Result<Self> {
        Self::of(self.operation, self.value()?)
    }

    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T> {
        match self.value()? {
            Value::Int(number) => T::try_from(number).ok(),
            _ => None,
        }
        .ok_or_else(|| unexpected(self.operation))
    }

    pub(super) fn text(&mut self) -> Result<String> {
        match self.value()? {
            Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
            Value::SimpleString(text) => Some(text),
            Value::Okay => Some("OK".to_owned()),
            _ => None,
        }
        .ok_or_else(|| unexpected(self.operation))
    }

    pub(super) fn id(&mut self) -> Result<TaskId> {
        TaskId::new(self.text()?)
    }

    /// All that are left, as ids.
    pub(super) fn ids(mut self) -> Result<Vec<TaskId>> {
        let mut ids = Vec::with_capacity(self.values.len());
        while !self.is_empty() {
            ids.push(self.id()?);
        }
        Ok(ids)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp> {
        time(&self.text()?).ok_or_else(|| unexpected(self.operation))
    }

    pub(super) fn status(&mut self) -> Result<TaskStatus> {
        status_of(self.number()?).ok_or_else(|| unexpected(self.operation))
    }

    /// A record that is there.
    pub(super) fn record(&mut self, id: Option<&TaskId>) -> Result<TaskStateRecord> {
        decode(id, self.value()?)?.ok_or_else(|| unexpected(self.operation))
    }
}

impl Iterator for Values {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.values.next()
    }
}

const COMMIT: &str = "commit";

/// What became of one commit.
pub(super) fn committed(answer: Value, sent: &Encoded) -> Result<Committed> {
    if let Value::Int(number) = answer {
        return sent.quick(number).map(Ok);
    }
    let mut values = Values::of(COMMIT, answer)?;
    let code = values.text()?;
    if code != "ok" {
        return refusal(&code, &mut values, sent).map(Err);
    }
    let mut effects = Vec::with_capacity(values.values.len());
    while !values.is_empty() {
        effects.push(effect(&mut values.array()?)?);
    }
    Ok(Ok(effects))
}

impl Encoded {
    /// The number that a quick commit is answered with: a status, or the first of the numbers of the tasks that were made.
    fn quick(&self, number: i64) -> Result<Vec<Effect>> {
        match u64::try_from(number) {
            Ok(first) if self.form == Form::Create => {
                let made = (first..).take(self.ids.len());
                Ok(made
                    .map(|seq| Effect::Created { seq, leased: None })
                    .collect())
            }
            _ => {
                let status = status_of(number).ok_or_else(|| unexpected(COMMIT))?;
                Ok(vec![Effect::Status(status)])
            }
        }
    }
}

fn effect(values: &mut Values) -> Result<Effect> {
    Ok(match values.text()?.as_str() {
        "D" => Effect::Done,
        "C" => Effect::Created {
            seq: values.number()?,
            leased: match values.is_empty() {
                true => None,
                false => Some(Arc::new(values.record(None)?)),
            },
        },
        "E" => Effect::Existing {
            id: values.id()?,
            status: values.status()?,
        },
        "X" => Effect::Extended {
            until: values.time()?,
            cancel_requested: values.number::<i64>()? != 0,
            woken: values.number::<i64>()? != 0,
        },
        "S" => Effect::Status(values.status()?),
        "c" => Effect::CancelRequested,
        "A" => {
            let mut numbers = Vec::new();
            while !values.is_empty() {
                numbers.push(values.number()?);
            }
            Effect::Appended(numbers)
        }
        "M" => Effect::Marked(values.number()?),
        _ => return Err(unexpected(COMMIT)),
    })
}

/// What the scripts say was asked of a record whose status does not allow it.
const WANTED: [&str; 7] = [
    "changed",
    "settled",
    "rescheduled or moved",
    "cancelled",
    "revived",
    "woken",
    "deleted",
];

fn refusal(code: &str, values: &mut Values, sent: &Encoded) -> Result<Refusal> {
    Ok(match code {
        "N" => Refusal::NotFound(values.id()?),
        "X" => Refusal::Exists(values.id()?),
        "K" => Refusal::KeyTaken {
            key: values.text()?.into(),
            owner: values.id()?,
        },
        "L" => Refusal::LeaseLost(values.id()?),
        "E" => Refusal::NotExpired(values.id()?),
        "D" => Refusal::AlreadyDone(values.id()?),
        "S" => {
            let (id, status, wanted) = (values.id()?, values.status()?, values.text()?);
            let wanted = WANTED.into_iter().find(|known| *known == wanted);
            Refusal::Status {
                id,
                status,
                wanted: wanted.unwrap_or("changed"),
            }
        }
        "R" => Refusal::Revision(values.id()?),
        "G" => {
            let stream = StreamId {
                owner: values.text()?,
                name: values.text()?,
            };
            Refusal::Length(stream, values.number()?)
        }
        "M" => {
            let key = values.text()?.into();
            let version = match values.value()? {
                Value::Int(version) => u64::try_from(version).ok(),
                _ => None,
            };
            Refusal::Mark(key, version)
        }
        "Q" => Refusal::QueueFull {
            queue: values.text()?,
            max_depth: values.number()?,
        },
        "C" => Refusal::Corrupt(values.text()?),
        "!" => sent.wrong.clone().ok_or_else(|| unexpected(COMMIT))?,
        _ => return Err(unexpected(COMMIT)),
    })
}

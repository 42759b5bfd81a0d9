//! [`IntoOutcome`]: what handlers may return.

use std::error::Error;
use std::marker::PhantomData;

use serde::Serialize;

use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::task::{Ended, Outcome, TaskError};

/// What a handler returns: `()`, or `Result<T, E>` where `T` is written as JSON and `E` is a [`TaskError`], any
/// `std::error::Error`, or a `Box<dyn Error>` of one (errors other than `TaskError` mean: try again).
///
/// `TaskResult<T>` is the usual choice: `?` takes errors of all types. The marker only tells boxed errors apart; the
/// compiler finds it.
#[diagnostic::on_unimplemented(
    message = "a task handler cannot return `{Self}`",
    label = "not an outcome",
    note = "return `()` or `Result<T, E>`, where `T: Serialize` and `E` is `TaskError` or a `std::error::Error`; `TaskResult<T>` takes errors of all types"
)]
pub trait IntoOutcome<Marker = Plain> {
    /// The end of the run.
    fn into_ended(self) -> Ended;
}

/// What a handler returns that gives a result of type `R` when it succeeds.
pub trait Gives<R> {}

impl Gives<()> for () {}

impl<T, E> Gives<T> for Result<T, E> {}

/// Marks outcomes whose error, if any, turns into a [`TaskError`].
pub struct Plain(());

/// Marks outcomes with a boxed error.
pub struct Boxed<E: ?Sized>(PhantomData<E>);

impl IntoOutcome for () {
    fn into_ended(self) -> Ended {
        Ended::Returned(Outcome::Success(Payload::null()))
    }
}

/// Names the type of what never returns, which has no name of its own yet.
#[allow(
    unreachable_pub,
    reason = "the implementation below is public and names it"
)]
pub trait Returns {
    /// What the function returns.
    type Value;
}

impl<R> Returns for fn() -> R {
    type Value = R;
}

/// For handlers that only panic, or loop until they are dropped.
impl IntoOutcome for <fn() -> ! as Returns>::Value {
    fn into_ended(self) -> Ended {
        self
    }
}

impl IntoOutcome for Outcome {
    fn into_ended(self) -> Ended {
        Ended::Returned(self)
    }
}

impl<T: Serialize, E: Into<TaskError>> IntoOutcome for Result<T, E> {
    fn into_ended(self) -> Ended {
        match self {
            Ok(value) => success(&value),
            Err(error) => Ended::Returned(Outcome::Error(error.into())),
        }
    }
}

impl<T: Serialize> IntoOutcome<Boxed<dyn Error>> for Result<T, Box<dyn Error>> {
    fn into_ended(self) -> Ended {
        self.map_err(|error| TaskError::from(&*error)).into_ended()
    }
}

impl<T: Serialize> IntoOutcome<Boxed<dyn Error + Send>> for Result<T, Box<dyn Error + Send>> {
    fn into_ended(self) -> Ended {
        self.map_err(|error| TaskError::from(&*error)).into_ended()
    }
}

impl<T: Serialize> IntoOutcome<Boxed<dyn Error + Send + Sync>>
    for Result<T, Box<dyn Error + Send + Sync>>
{
    fn into_ended(self) -> Ended {
        self.map_err(|error| TaskError::from(&*error)).into_ended()
    }
}

/// A result that cannot be recorded ends the run for good: its work is done, so it must not be done again.
fn success<T: Serialize>(value: &T) -> Ended {
    let written = Payload::of(value).and_then(|payload| {
        payload.check_size("result", PAYLOAD_LIMIT)?;
        Ok(payload)
    });
    match written {
        Ok(payload) => Ended::Returned(Outcome::Success(payload)),
        Err(error) => Ended::Unserializable(error.to_string()),
    }
}

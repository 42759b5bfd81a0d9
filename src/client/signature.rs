//! Tasks with the types of their args and results.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;

use super::submit::Named;
use super::{Client, Submit};

/// Stands where the type of a result is not known.
#[derive(Clone, Copy, Debug)]
pub struct Untyped(());

/// What a caller needs to know of a task: its name, the type of its args and the type of its result.
///
/// `#[tlo::task]` makes it beside the function, as `greet::signature()`. It can also be written down where the caller lives,
/// for a task that runs elsewhere:
///
/// ```
/// # use tlo::prelude::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
/// use tlo::client::Signature;
/// const GREET: Signature<String, usize> = Signature::new("greet");
///
/// # let tlo = TloContext::builder().task(task("greet").declare()).build().await?;
/// let handle = tlo.client().call(GREET, "Ada".to_owned()).priority(9).submit().await?;
/// # if false {
/// let length: usize = handle.result().await?;
/// # }
/// # Ok(()) }
/// ```
pub struct Signature<A, R = ()> {
    name: Cow<'static, str>,
    version: Option<String>,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R> Signature<A, R> {
    /// The task of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            version: None,
            types: PhantomData,
        }
    }

    /// The task of a name that is made when the program runs.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Cow::Owned(name.into()),
            version: None,
            types: PhantomData,
        }
    }

    /// This version of it.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<A, R> Clone for Signature<A, R> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            version: self.version.clone(),
            types: PhantomData,
        }
    }
}

impl<A, R> fmt::Debug for Signature<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Starts a submit of a task whose types are known: the args must fit, and the handle knows the type of the result.
    pub fn call<A: Serialize, R>(
        &self,
        signature: Signature<A, R>,
        args: impl Borrow<A>,
    ) -> Submit<R> {
        let submit = Submit::new(self.clone(), Named::Name(signature.name.into_owned()));
        let submit = submit.args(args.borrow());
        match signature.version {
            Some(version) => submit.version(version),
            None => submit,
        }
    }
}

//! [`Observer`], and the list of them that cannot hurt the runner.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::lifecycle::Lifecycle;
use crate::handler::panic_message;

/// Watches what happens. It is called on the engine's own threads: return quickly, hand over what takes time.
///
/// A panic of an observer is logged and goes no further.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn observe(&self, event: &Lifecycle);
}

impl<F: Fn(&Lifecycle) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Lifecycle) {
        self(event);
    }
}

/// All observers of a program. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct Observers(Option<Arc<[Arc<dyn Observer>]>>);

impl Observers {
    /// The same list with one more at its end.
    #[must_use]
    pub fn with(self, observer: Arc<dyn Observer>) -> Self {
        let known = self.0.iter().flat_map(|list| list.iter().cloned());
        Self(Some(known.chain([observer]).collect()))
    }

    /// Whether nobody watches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Tells all of them, in order. The event is only made when somebody watches.
    pub fn notify(&self, event: impl FnOnce() -> Lifecycle) {
        if let Some(list) = &self.0 {
            tell(list, &event());
        }
    }
}

fn tell(list: &[Arc<dyn Observer>], event: &Lifecycle) {
    for observer in list {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| observer.observe(event))) {
            ::tracing::error!(
                event = event.kind(),
                panic = panic_message(&*panic),
                "an observer panicked"
            );
        }
    }
}

impl FromIterator<Arc<dyn Observer>> for Observers {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Observer>>>(observers: I) -> Self {
        let list: Arc<[_]> = observers.into_iter().collect();
        Self((!list.is_empty()).then_some(list))
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |list| list.len());
        write!(f, "Observers({count})")
    }
}

//! [`Extensions`]: one value of each type, shared by all handlers.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

type Entry = (&'static str, Arc<dyn Any + Send + Sync>);

/// A map from types to shared values: the state that a program gives to its handlers. Cloning it is cheap.
///
/// ```
/// use tlo::handler::Extensions;
/// struct Mailer { from: &'static str }
/// let mut extensions = Extensions::default();
/// extensions.insert(Mailer { from: "tlo@example.org" });
/// assert_eq!(extensions.get::<Mailer>().map(|mailer| mailer.from), Some("tlo@example.org"));
/// assert!(extensions.get::<String>().is_none());
/// ```
#[derive(Clone, Default)]
pub struct Extensions(Arc<HashMap<TypeId, Entry>>);

impl Extensions {
    /// Adds a value; one of the same type is replaced and returned.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) -> Option<Arc<T>> {
        self.insert_shared(Arc::new(value))
    }

    /// Adds a value that is shared already.
    pub fn insert_shared<T: Any + Send + Sync>(&mut self, value: Arc<T>) -> Option<Arc<T>> {
        Arc::make_mut(&mut self.0)
            .insert(TypeId::of::<T>(), (type_name::<T>(), value))
            .and_then(|(_, old)| old.downcast().ok())
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let (_, value) = self.0.get(&TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// The names of the types that are here, sorted; for messages.
    #[must_use]
    pub fn types(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.0.values().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extensions").field(&self.types()).finish()
    }
}

//! Making a context: everything is resolved and checked before anything starts.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;

use super::{Parts, TloContext};
use crate::client::{Client, ClientParts, Declaration, DeclaredLimits, Limits, Target};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::handler::{BlockingPool, HandlerTable, Layer, Surroundings, Task};
use crate::id::IdSource;
use crate::observe::{Observer, Observers};
use crate::plugin::PluginTable;
use crate::registry::TaskRegistry;
use crate::settings::{Loaded, SettingsSource, TloSettings};
use crate::store::SharedStore;
use crate::task::TaskDef;

/// Collects what a [`TloContext`] is made of. What is not given comes from the settings.
#[derive(Default)]
#[must_use = "nothing happens before `build` is called"]
pub struct TloContextBuilder {
    source: Option<SettingsSource>,
    explicit: Vec<(String, serde_json::Value)>,
    plugins: Option<PluginTable>,
    store: Option<SharedStore>,
    registry: Option<Arc<dyn TaskRegistry>>,
    clock: Option<Arc<dyn Clock>>,
    ids: Option<Arc<IdSource>>,
    tasks: Vec<Task>,
    limits: Vec<DeclaredLimits>,
    layers: Vec<Arc<dyn Layer>>,
    observers: Observers,
    surroundings: Surroundings,
}

impl TloContextBuilder {
    /// Registers a task.
    pub fn task(mut self, task: impl Into<Task>) -> Self {
        self.tasks.push(task.into());
        self
    }

    /// Registers tasks.
    pub fn tasks<T: Into<Task>>(mut self, tasks: impl IntoIterator<Item = T>) -> Self {
        self.tasks.extend(tasks.into_iter().map(Into::into));
        self
    }

    /// Registers every task that `#[tlo::task]` declared in the crates that are linked into this program. A crate that
    /// nothing refers to is not linked: its tasks must be registered one by one.
    #[cfg(feature = "macros")]
    pub fn collected_tasks(self) -> Self {
        self.tasks(crate::handler::collected())
    }

    /// Declares a limit that holds in the whole cluster, as `[queues.NAME]` in the settings does for a queue, which goes before
    /// it. A [`Runner`](crate::Runner) puts it in force before it runs anything.
    ///
    /// What differs from what was declared before replaces it: the process that started last is right. A limit stays when
    /// all that declare it have stopped, so that a queue does not grow beyond its depth while nobody serves it. It goes
    /// when a process of the same file (or, without a file, of the same program) runs that does not declare it, and none
    /// lives that does: at once after they stopped, and within two minutes after they were killed. Limits that somebody
    /// set [while it ran](Client::limit) stand until they are cleared; the next process to start declares its own again. Of one
    /// target, what is given last holds.
    ///
    /// The file, or the program, is known by its path alone. Two programs at the same path on one store count as one, and
    /// take each other's limits back: give them different paths. A path that changes with each release, such as
    /// `/srv/releases/123`, leaves the limits of the old one in force: use a stable path.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// use tlo::client::{Limits, Target};
    /// use tlo::prelude::*;
    /// let rate = Limits { rate: Some("100/1m".parse()?), ..Limits::default() };
    /// let mut tlo = TloContext::for_test()
    ///     .with(|builder| builder.limit(Target::Queue("mail".to_owned()), rate))
    ///     .start()
    ///     .await?;
    /// tlo.run_until_idle().await?;
    /// assert_eq!(tlo.client().limits().await?[0].limits.to_string(), "100 per 1m");
    /// # Ok(()) }
    /// ```
    pub fn limit(mut self, target: Target, limits: Limits) -> Self {
        self.limits.retain(|one| one.target != target);
        self.limits.push(DeclaredLimits { target, limits });
        self
    }

    /// Reads settings from these sources instead of those of the process.
    pub fn settings(mut self, source: SettingsSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets one value, above file and environment: `.set("concurrency", 4)`, `.set("task_state_store", "sqlite:tlo.db")`.
    pub fn set(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.explicit
            .push((key.into(), serde_json::to_value(value).unwrap_or_default()));
        self
    }

    /// Looks names of stores and registries up in this table instead of the built-in one.
    pub fn plugins(mut self, plugins: PluginTable) -> Self {
        self.plugins = Some(plugins);
        self
    }

    /// Uses this store, whatever the settings say.
    pub fn store(mut self, store: SharedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Uses this registry, whatever the settings say.
    pub fn registry(mut self, registry: Arc<dyn TaskRegistry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Takes time from here.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Takes ids and chance from here.
    pub fn ids(mut self, ids: Arc<IdSource>) -> Self {
        self.ids = Some(ids);
        self
    }

    /// Shares a value with all handlers: they find it with `context.get::<T>()`.
    pub fn state<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.surroundings.extensions.insert(value);
        self
    }

    /// Wraps all handlers; the layer given last is outermost.
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Tells this observer what happens.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers = self.observers.with(Arc::new(observer));
        self
    }

    /// The definitions of the tasks that were given so far.
    pub fn definitions(&self) -> impl Iterator<Item = &TaskDef> {
        self.tasks.iter().map(|task| &task.def)
    }

    /// The table that names of stores and registries are looked up in.
    #[must_use]
    pub fn plugin_table(&self) -> PluginTable {
        self.plugins.clone().unwrap_or_else(PluginTable::builtin)
    }

    /// These sources with what was given here over them: the sections of the plugins, and the values that were set.
    #[must_use]
    pub fn over(&self, source: SettingsSource) -> SettingsSource {
        let source = source.sections(self.plugin_table().sections());
        self.explicit
            .iter()
            .fold(source, |source, (key, value)| source.set(key, value))
    }

    /// Resolves and checks everything.
    ///
    /// # Errors
    /// `Configuration` with all mistakes of the settings, `UnknownPlugin`, `Invalid` with all mistakes of the tasks,
    /// `AlreadyExists` for a name that is registered twice, and those of opening the store.
    pub async fn build(mut self) -> Result<TloContext> {
        let mut loaded = self.load()?;
        serve_own_queues(&mut loaded, &self.tasks);
        let declares = declaration(&loaded, std::mem::take(&mut self.limits))?;
        let plugins = self.plugin_table();
        let clock = self.clock.take().unwrap_or_else(SystemClock::shared);
        let ids = self
            .ids
            .take()
            .unwrap_or_else(|| Arc::new(IdSource::random()));
        let registry = match self.registry.take() {
            Some(registry) => registry,
            None => {
                plugins
                    .open_task_registry(&loaded, Arc::clone(&clock), Arc::clone(&ids))
                    .await?
            }
        };
        let handlers = register(&*registry, std::mem::take(&mut self.tasks), &self.layers).await?;
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                plugins
                    .open_task_state_store(&loaded, Arc::clone(&clock), Arc::clone(&ids))
                    .await?
            }
        };
        let client = Client::new(ClientParts {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            observers: self.observers.clone(),
            created_by: Some(loaded.settings.name.clone()),
            payload_limit: loaded.settings.payload_limit,
        });
        let mut surroundings = self.surroundings;
        surroundings.clock = Arc::clone(&clock);
        surroundings.blocking = BlockingPool::beside(loaded.settings.concurrency);
        surroundings.payload_limit = loaded.settings.payload_limit;
        surroundings.extensions.insert(client.clone());
        Ok(TloContext(Arc::new(Parts {
            loaded,
            store,
            registry,
            handlers,
            surroundings: Arc::new(surroundings),
            clock,
            ids,
            observers: self.observers,
            client,
            declares,
        })))
    }

    fn load(&mut self) -> Result<Loaded> {
        let source = self.source.take().unwrap_or_else(SettingsSource::process);
        TloSettings::load(&self.over(source))
    }
}

/// Unless somebody listed the queues to serve, a process serves those of the tasks it can run: a task that names a queue
/// would else wait for a worker that nobody started. Tables of queues say what holds for them, and list none.
fn serve_own_queues(loaded: &mut Loaded, tasks: &[Task]) {
    let is_default =
        loaded.is_default("queues") && loaded.settings.queues == TloSettings::default().queues;
    if !is_default && !loaded.is_table("queues") {
        return;
    }
    let queues = &mut loaded.settings.queues;
    for task in tasks.iter().filter(|task| task.handler.is_some()) {
        if queues.iter().all(|queue| *queue != *task.def.queue) {
            queues.push(task.def.queue.to_string());
        }
    }
}

/// The limits of the settings, and those given in code for what the settings do not limit.
fn declaration(loaded: &Loaded, given: Vec<DeclaredLimits>) -> Result<Declaration> {
    let by = match loaded.file() {
        Some(file) => std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        None => std::env::current_exe().unwrap_or_default(),
    };
    let mut limits: Vec<DeclaredLimits> = loaded
        .queue_limits()
        .iter()
        .map(|(queue, limits)| DeclaredLimits {
            target: Target::Queue(queue.clone()),
            limits: *limits,
        })
        .collect();
    for one in limits.iter().chain(&given) {
        one.limits.check(&one.target)?;
    }
    for one in given {
        if limits.iter().all(|other| other.target != one.target) {
            limits.push(one);
        }
    }
    Ok(Declaration {
        by: by.display().to_string(),
        limits,
    })
}

/// Registers the tasks, and answers with their handlers in all layers. All mistakes come in one error.
async fn register(
    registry: &dyn TaskRegistry,
    tasks: Vec<Task>,
    layers: &[Arc<dyn Layer>],
) -> Result<HandlerTable> {
    let mut handlers = HandlerTable::default();
    let mut mistakes: Vec<Error> = Vec::new();
    for task in tasks {
        let registered = match task.check() {
            Ok(()) => registry
                .put(task.def.clone())
                .await
                .and_then(|()| handlers.insert(task)),
            Err(error) => Err(error),
        };
        match registered {
            Ok(()) => {}
            // The registry is away: that is nothing about this task, and the next one would hear the same.
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => mistakes.push(error),
        }
    }
    match mistakes.len() {
        0 => {}
        1 => return Err(mistakes.remove(0)),
        many => {
            let lines: Vec<_> = mistakes
                .iter()
                .map(|mistake| format!("\n  {mistake}"))
                .collect();
            let message = format!("{many} tasks cannot be registered:{}", lines.concat());
            return Err(Error::new(ErrorKind::Invalid, "register task", message));
        }
    }
    for layer in layers {
        handlers = handlers.layered(layer);
    }
    Ok(handlers.standard())
}

impl std::fmt::Debug for TloContextBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.tasks.iter().map(|task| &task.def.name).collect();
        f.debug_struct("TloContextBuilder")
            .field("tasks", &names)
            .finish_non_exhaustive()
    }
}

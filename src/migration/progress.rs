//! How far it came, kept in a mark of the target.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Migration, OPERATION, conflict};
use crate::error::{Error, Result};
use crate::page::Cursor;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Guard, Mark, MarkExpect, Op, Refusal, SharedStore};

/// The mark.
pub(super) const MARK: &str = "migration";

/// What is copied next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Marks, from the first one.
    #[default]
    Marks,
    /// Records behind a number of the source; so many were copied.
    Records {
        #[serde(default)]
        after: Option<Cursor>,
        done: u64,
    },
    /// Streams and keys, from the first one: not all stores can go on in the middle of them after a restart.
    Holdings,
    /// Nothing: the target held something before, and is only compared.
    Nothing,
}

/// What the mark says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) from: String,
    pub(super) stage: Stage,
}

/// An unfinished migration into a store, and the version of its mark.
pub(super) async fn begun_in(store: &SharedStore) -> Result<Option<(Begun, u64)>> {
    let marks = store.marks(MARK, None, 1).await?;
    let Some(mark) = marks.first().filter(|mark| is_ours(mark)) else {
        return Ok(None);
    };
    let begun = mark.value.decode().map_err(|error| {
        Error::new(
            crate::error::ErrorKind::Unsupported,
            OPERATION,
            format!(
                "the mark \"{MARK}\" cannot be read; another version of TLO may have written it"
            ),
        )
        .with_source(error)
    })?;
    Ok(Some((begun, mark.version)))
}

pub(super) fn is_ours(mark: &Mark) -> bool {
    &*mark.key == MARK
}

/// The mark of a migration that this process runs.
#[derive(Debug)]
pub(super) struct Progress {
    version: u64,
    pub(super) stage: Stage,
    pub(super) resumed: bool,
}

impl Progress {
    pub(super) async fn begin(
        migration: &Migration,
        expected: MarkExpect,
        stage: Stage,
    ) -> Result<Self> {
        let mut progress = Self {
            version: 0,
            stage,
            resumed: false,
        };
        progress.write(migration, expected, stage).await?;
        if begun_in(&migration.from)
            .await?
            .is_some_and(|(_, version)| version == progress.version)
        {
            progress.finish(migration).await?;
            return Err(conflict(format!(
                "{} and {} are the same store",
                migration.names.0, migration.names.1
            )));
        }
        Ok(progress)
    }

    /// Takes an unfinished migration over: another process that may still run it cannot go on.
    pub(super) async fn go_on(
        migration: &Migration,
        (begun, version): (Begun, u64),
    ) -> Result<Self> {
        let mut progress = Self {
            version,
            stage: begun.stage,
            resumed: true,
        };
        progress.save(migration, begun.stage).await?;
        Ok(progress)
    }

    /// That the migration is still the one of this process.
    pub(super) fn guard(&self) -> Guard {
        Guard::Mark(MARK.into(), MarkExpect::Version(self.version))
    }

    pub(super) async fn save(&mut self, migration: &Migration, stage: Stage) -> Result<()> {
        let expected = MarkExpect::Version(self.version);
        self.write(migration, expected, stage).await
    }

    async fn write(
        &mut self,
        migration: &Migration,
        expected: MarkExpect,
        stage: Stage,
    ) -> Result<()> {
        let begun = Begun {
            from: migration.names.0.clone(),
            stage,
        };
        let key: Arc<str> = MARK.into();
        let put = Op::PutMark {
            key: Arc::clone(&key),
            value: Payload::of(&begun)?,
            ttl: None,
        };
        let commit = Commit::of([put]).when(Guard::Mark(key, expected));
        match answer(&migration.to, commit).await? {
            Ok(effects) => {
                if let [Effect::Marked(version)] = effects.as_slice() {
                    self.version = *version;
                }
                self.stage = stage;
                Ok(())
            }
            Err(Refusal::Mark(..)) => Err(taken(migration)),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Takes the mark away: everything is there.
    pub(super) async fn finish(&self, migration: &Migration) -> Result<()> {
        let drop = Commit::of([Op::DropMark(MARK.into())]).when(self.guard());
        match answer(&migration.to, drop).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Refusal::Mark(..))) => Err(taken(migration)),
            Ok(Err(refusal)) => Err(refusal.into()),
            // The answer may have been lost.
            Err(error) if error.is_retryable() => match begun_in(&migration.to).await? {
                None => Ok(()),
                Some(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

pub(super) fn taken(migration: &Migration) -> Error {
    conflict(format!(
        "another process copies into {} as well, or has done so to the end; let one of them finish",
        migration.names.1
    ))
}

async fn answer(
    store: &SharedStore,
    commit: Commit,
) -> Result<std::result::Result<Vec<Effect>, Refusal>> {
    let answers = store.commit(vec![commit]).await?;
    answers.into_iter().next().ok_or_else(|| {
        Error::new(
            crate::error::ErrorKind::Internal,
            OPERATION,
            "a commit had no answer",
        )
    })
}

//! The end of a seed: all faults are over, and then everything must end and nothing be left behind.

use std::sync::Arc;
use std::time::Duration;

use super::node::Runs;
use super::report::Invariant;
use super::world::{REST, World};
use crate::clock::Clock;
use crate::error::Result;
use crate::id::{TaskId, WorkerId};
use crate::payload::Payload;
use crate::store::{
    Commit, CountBy, Create, Effect, GATE_MARK, Guard, LeaseTo, Op, StreamId, TaskFilter,
    TaskStateStoreExt,
};
use crate::task::{Gate, NewTask, OnConflict, Settlement, TaskStateRecord, Unique, UniqueScope};

/// Everything that waits must have ended after this long without faults.
const ENDS_WITHIN: Duration = Duration::from_secs(3600);

/// Steps of the clock that it may take, at most.
const STEPS: usize = 20_000;

/// How long the nodes work without faults before they stop.
const TOGETHER: Duration = Duration::from_secs(15);

/// What a stop takes beyond the times that are set for it, at most.
const MARGIN: Duration = Duration::from_secs(15);

impl World {
    /// Ends all faults and sees that everything ends well.
    pub(super) fn heal(&mut self) -> Result<()> {
        self.note(format_args!("all faults are over"));
        self.reopen()?;
        self.desk.link.heal();
        for node in self.nodes.iter_mut().flatten() {
            node.link.heal();
            node.paused = false;
        }
        self.drop_rules();
        if self.nodes.iter().all(Option::is_none) {
            self.start(0, Runs::All)?;
        }
        self.go_on_for(TOGETHER);
        // A rule that was slow on its way may have come since.
        self.drop_rules();
        self.stop_all();
        self.finish()?;
        if self.is_broken() {
            return Ok(());
        }
        self.sweep();
        self.slots()?;
        self.reads_only()?;
        self.program_says();
        self.nothing_left()?;
        self.check_store();
        Ok(())
    }

    fn drop_rules(&mut self) {
        let ruled = self.ground.witness.lock().ruled();
        for gate in ruled {
            let key = format!("{GATE_MARK}{gate}");
            self.desk.send([Op::DropMark(key.into())]);
        }
        self.desk_turn(REST);
    }

    fn steady(&self) -> Duration {
        self.clock.steady().at
    }

    /// Moves the clock to what comes next, at most by this much, and lets everybody do what is due.
    fn next_event(&mut self, most: Duration) {
        let by = self.clock.next_wake().unwrap_or(most).min(most);
        self.pass(by.max(Duration::from_millis(1)));
        self.all_rest();
    }

    fn all_rest(&mut self) {
        for place in 0..self.nodes.len() {
            self.turn(place, REST);
        }
        self.desk_turn(REST);
    }

    fn go_on_for(&mut self, time: Duration) {
        let until = self.steady() + time;
        while self.steady() < until && !self.is_broken() {
            self.next_event(Duration::from_millis(500));
        }
    }

    /// Every node stops in the time that is set for it.
    fn stop_all(&mut self) {
        let settings = self.desk.context.settings();
        let limit = settings.drain_timeout + settings.kill_grace * 4 + MARGIN;
        self.note(format_args!("all nodes are told to stop"));
        for node in self.nodes.iter_mut().flatten() {
            if !node.stopping {
                node.stop(None);
            }
        }
        let until = self.steady() + limit;
        while self.nodes.iter().any(Option::is_some) {
            if self.is_broken() {
                return;
            }
            if self.steady() > until {
                let left: Vec<_> = self
                    .nodes
                    .iter()
                    .flatten()
                    .map(|n| n.name.clone())
                    .collect();
                self.broken(
                    Invariant::Stops,
                    format!(
                        "after {limit:?} these have not stopped: {}",
                        left.join(", ")
                    ),
                );
                return;
            }
            self.next_event(Duration::from_millis(500));
        }
    }

    /// Two fresh nodes without schedules end everything that waits.
    fn finish(&mut self) -> Result<()> {
        if self.is_broken() {
            return Ok(());
        }
        let crew = self.nodes.len().min(2);
        for place in 0..crew {
            self.start(place, Runs::TasksOnly)?;
        }
        let until = self.steady() + ENDS_WITHIN;
        for step in 0..STEPS {
            self.next_event(Duration::from_secs(600));
            if self.is_broken() {
                return Ok(());
            }
            if step % 16 == 0 {
                self.sweep();
            }
            let is_done = {
                let witness = self.ground.witness.lock();
                witness.present().all(|record| record.status.is_terminal())
            };
            if is_done {
                self.stop_all();
                return Ok(());
            }
            if self.steady() > until {
                break;
            }
        }
        self.sweep();
        let left: Vec<String> = {
            let witness = self.ground.witness.lock();
            let open = witness
                .present()
                .filter(|record| !record.status.is_terminal());
            open.map(|record| waits(record)).collect()
        };
        if !left.is_empty() {
            self.broken(
                Invariant::Live,
                format!(
                    "{} tasks have not ended {ENDS_WITHIN:?} after all faults were over: {}",
                    left.len(),
                    left.join("; ")
                ),
            );
        }
        Ok(())
    }

    /// Each slot of each schedule has one run or a decision.
    fn slots(&mut self) -> Result<()> {
        let store = self.ground.store()?;
        let definitions = self.desk.wait(self.desk.context.registry().list())?;
        for def in definitions {
            let Some(schedule) = &def.schedule else {
                continue;
            };
            let schedule = schedule.clone().seeded(&def.name)?;
            let cursor = self
                .desk
                .wait(store.mark(&format!("cursor/{}", def.name)))?;
            let stream = StreamId::new(&*def.name, "decisions")?;
            let decisions = self.desk.wait(store.events(&stream, 1, 10_000))?;
            let mut witness = self.ground.witness.lock();
            // What a clock that was set back decided was decided for another time.
            if let Some(cursor) = cursor.filter(|_| !witness.clock_was_set_back) {
                witness.slots_accounted_for(&def.name, &schedule, &cursor.value, &decisions);
            }
        }
        Ok(())
    }

    /// Looking at everything changes nothing.
    fn reads_only(&mut self) -> Result<()> {
        let client = self.desk.context.client();
        let before = self.desk.wait(self.ground.all())?;
        self.desk.wait(async {
            client.stats().await?;
            for record in &before {
                client.get(&record.id).await?;
            }
            let store = client.store();
            store.marks("", None, 1_000).await?;
            store
                .count(&TaskFilter::default(), CountBy::Status, 10_000)
                .await
        })?;
        let after = self.desk.wait(self.ground.all())?;
        if before != after {
            self.broken(Invariant::ReadsOnly, "reading changed a record".to_owned());
        }
        Ok(())
    }

    fn program_says(&mut self) {
        let Some(check) = self.program.check.clone() else {
            return;
        };
        let records: Vec<TaskStateRecord> = {
            let witness = self.ground.witness.lock();
            witness
                .records()
                .map(|record| TaskStateRecord::clone(record))
                .collect()
        };
        if let Err(why) = check(&records) {
            self.broken(Invariant::Program, why);
        }
    }

    /// Keys that nobody owns can be taken, gates that nobody holds let somebody in, and what is deleted is gone.
    fn nothing_left(&mut self) -> Result<()> {
        let (keys, gates) = {
            let witness = self.ground.witness.lock();
            (witness.free_keys(), witness.gate_keys())
        };
        let store = self.ground.store()?;
        for (number, key) in keys.into_iter().enumerate() {
            let mut probe = NewTask::new(
                TaskId::new(format!("probe-key-{number}"))?,
                "probe",
                Payload::null(),
            );
            probe.unique = Some(Arc::new(Unique {
                key: Arc::clone(&key),
                scope: UniqueScope::WhileUnfinished,
                until: None,
            }));
            let id = probe.id.clone();
            let made = self.desk.wait(store.create(probe));
            if let Err(error) = made {
                self.broken(
                    Invariant::OneOwner,
                    format!("nobody owns the key \"{key}\", and it cannot be had: {error}"),
                );
                continue;
            }
            self.desk.wait(store.delete(&id))?;
        }
        for (number, key) in gates.into_iter().enumerate() {
            self.gate_lets_in(number, &key)?;
        }
        self.empty()
    }

    fn gate_lets_in(&mut self, number: usize, key: &str) -> Result<()> {
        let store = self.ground.store()?;
        let id = TaskId::new(format!("probe-gate-{number}"))?;
        let mut task = NewTask::new(id.clone(), "probe", Payload::null());
        task.on_conflict = OnConflict::Fail;
        task.gates = vec![Gate {
            key: key.to_owned(),
            limit: 1,
        }];
        let create = Create {
            task,
            lease_to: Some(LeaseTo {
                worker: WorkerId::new("probe#1")?,
                ttl: Duration::from_secs(60),
            }),
        };
        let made = self
            .desk
            .wait(store.apply(Commit::of([Op::Create(Box::new(create))])))?;
        let leased = match made.into_iter().next() {
            Some(Effect::Created { leased, .. }) => leased,
            _ => None,
        };
        let Some(lease) = leased.as_ref().and_then(|record| record.lease.as_ref()) else {
            self.broken(
                Invariant::Gated,
                format!("nobody holds the gate \"{key}\", and it lets nobody in"),
            );
            return Ok(());
        };
        let end = Op::Settle(id.clone(), Box::new(Settlement::success(Payload::null())));
        let commit =
            Commit::of([end, Op::Delete(id.clone())]).when(Guard::Held(id, lease.reference()));
        self.desk.wait(store.apply(commit)).map(drop)
    }

    /// Deletes everything, and looks for what is left.
    fn empty(&mut self) -> Result<()> {
        let store = self.ground.store()?;
        let all = self.desk.wait(self.ground.all())?;
        let deletes: Vec<_> = all
            .iter()
            .map(|record| Commit::of([Op::Delete(record.id.clone())]))
            .collect();
        let refused = self.desk.wait(store.commit(deletes))?;
        let refused = refused.iter().filter(|answer| answer.is_err()).count();
        let everything = TaskFilter::default();
        let count = store.count(&everything, CountBy::All, 10_000);
        let counted = self.desk.wait(count)?.total();
        let listed = self.desk.wait(self.ground.all())?.len();
        if refused > 0 || counted > 0 || listed > 0 {
            self.broken(
                Invariant::NothingLeft,
                format!("all was deleted: {refused} deletes were refused, {counted} records are counted, {listed} listed"),
            );
        }
        let sleepers = self.clock.sleepers();
        if sleepers > 0 {
            self.broken(
                Invariant::NothingLeft,
                format!("all nodes have stopped, and {sleepers} still sleep"),
            );
        }
        Ok(())
    }
}

/// Why a task has not ended.
fn waits(record: &TaskStateRecord) -> String {
    let parked = record.parked.as_ref();
    let parked = parked.map(|parked| format!(", parked at {}: {}", parked.gate, parked.reason));
    format!(
        "\"{}\" of {} in {} is {}, due {}, attempt {}{}",
        record.id,
        record.name,
        record.queue,
        record.status,
        record.run_at,
        record.attempt,
        parked.unwrap_or_default()
    )
}

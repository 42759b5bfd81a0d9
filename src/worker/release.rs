//! Handing back what runs.

use std::sync::Arc;

use super::execute::Finished;
use super::held::HeldTask;
use super::{Worker, settle};
use crate::handler::Interruption;
use crate::task::Ended;

impl Worker {
    /// Hands back what still runs: interrupted is not failed.
    pub(super) async fn release(&mut self) {
        self.shared.starters.close();
        let running = self.shared.held.all();
        // Also those that cannot be dropped hear that they are to end: somebody else may run their tasks soon.
        for task in &running {
            task.context.interrupt(Interruption::Stopping);
        }
        abort(&running);
        self.take_ends();
        let mut ended = std::mem::take(&mut self.ended);
        let had_ended = ended.len();
        for task in running {
            let has_ended = ended.iter().any(|finished| {
                finished.record().id == task.record().id && finished.lease == task.lease
            });
            if !has_ended {
                ended.push(Finished::new(task.context, task.lease, Ended::Released));
            }
        }
        let handed_back = ended.len() - had_ended;
        let clock = Arc::clone(&self.shared.parts.clock);
        let settling = async {
            let mut failed = 0;
            while !ended.is_empty() {
                ended = settle::settle(&self.shared, std::mem::take(&mut ended)).await;
                if !ended.is_empty() {
                    failed += 1;
                    clock.sleep(settle::pause(failed)).await;
                }
            }
        };
        tokio::select! {
                biased;
            () = settling => {}
            () = clock.sleep(self.shared.parts.options.kill_grace) => {
                tracing::warn!(tasks = handed_back, "the store did not take back what was running; its leases will end by themselves");
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.starters.close();
        abort(&self.shared.held.all());
    }
}

fn abort(running: &[HeldTask]) {
    for abort in running.iter().filter_map(|task| task.abort.as_ref()) {
        abort.abort();
    }
}

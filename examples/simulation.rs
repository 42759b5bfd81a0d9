//! A program in a simulation: its handlers run on nodes that are killed and paused, on a store that crashes, a hundred
//! times over, and still every order is shipped and none is charged twice.
//!
//! Run it with `cargo run --example simulation --features testing`.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tlo::prelude::*;
use tlo::testing::simulation::{Program, Simulation};

/// A bank that is called from outside: it keeps what it charged by the key that it is given.
#[derive(Clone, Debug, Default)]
struct Bank(Arc<Mutex<BTreeMap<String, u64>>>);

impl Bank {
    /// Charges once per key; says how much was charged under it.
    fn charge(&self, key: &str, amount: u64) -> u64 {
        let mut charged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *charged.entry(key.to_owned()).or_insert(amount)
    }

    fn total(&self) -> u64 {
        let charged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        charged.values().sum()
    }
}

/// Charges and ships one order. It may be killed anywhere and run again, so it shows the bank its id.
fn ship(bank: Bank) -> Task {
    task("ship")
        .exclusive("customer/{customer}")
        .retry(RetryPolicy {
            base: secs(1),
            ..RetryPolicy::default()
        })
        // Workers die often here; an order is not given up for that.
        .max_lost(1_000)
        .run(move |context: TaskContext, order: Order| {
            let bank = bank.clone();
            async move {
                let charged = bank.charge(context.id().as_str(), order.amount);
                context.clock().sleep(secs(3)).await;
                TaskResult::Ok(charged)
            }
        })
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Order {
    customer: u64,
    amount: u64,
}

fn shop() -> Program {
    let bank = Bank::default();
    let asked = bank.clone();
    Program::new(move || vec![ship(bank.clone())])
        .submitting(|client, chance| {
            client.task("ship").args(&Order {
                customer: chance.number(0..3),
                amount: chance.number(1..100),
            })
        })
        .at_the_end(move |records| {
            let shipped: u64 = records
                .iter()
                .filter(|record| record.status == TaskStatus::Succeeded)
                .filter_map(|record| record.result.as_ref()?.decode::<u64>().ok())
                .sum();
            // Who cancels an order may do so after it was charged.
            if asked.total() < shipped {
                return Err(format!("shipped for {shipped}, charged {}", asked.total()));
            }
            match records
                .iter()
                .find(|record| record.status == TaskStatus::Failed)
            {
                Some(record) => Err(format!("{} failed: {:?}", record.id, record.error)),
                None => Ok(()),
            }
        })
}

fn main() {
    let report = Simulation::of(shop).seeds(0..20).steps(200).run();
    println!(
        "{} orders in {} lives, {} runs, {} nodes killed",
        report.tasks, report.seeds, report.runs, report.kills
    );
    report.assert_ok();
}

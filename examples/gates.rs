//! How many run at once: gates by key, and idempotency keys that turn a second submit into the first.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tlo::prelude::*;
use tlo::task::{OnConflict, UniqueScope};

/// How many runs there are at this moment, and the most there were, by user.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<String, (u32, u32)>>);

impl Seen {
    fn change(&self, key: &str, begins: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, most) = seen.entry(key.to_owned()).or_default();
        *now = if begins { *now + 1 } else { *now - 1 };
        *most = (*most).max(*now);
    }

    fn most(&self, key: &str) -> u32 {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(key).map_or(0, |(_, most)| *most)
    }
}

async fn export(context: TaskContext, args: serde_json::Value) -> TaskResult {
    let seen = context.get::<Arc<Seen>>()?;
    let user = args["user_id"].to_string();
    for key in [user.as_str(), "all"] {
        seen.change(key, true);
    }
    context.clock().sleep(millis(20)).await;
    for key in [user.as_str(), "all"] {
        seen.change(key, false);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let seen = Arc::new(Seen::default());
    let tlo = TloContext::builder()
        .state(Arc::clone(&seen))
        // One export at a time for each user, and three at a time for all.
        .task(task("export").exclusive("{user_id}").limit(3).run(export))
        .task(task("mail").run(|_: TaskContext, _: String| async {}))
        .build()
        .await?;
    let client = tlo.client();

    // A field that the key needs must be there.
    let error = client.task("export").args(&json!({})).submit().await;
    println!(
        "{}",
        error
            .map(|_| String::new())
            .unwrap_or_else(|error| error.to_string())
    );

    let mut exports = Vec::new();
    for number in 0..20 {
        let args = json!({ "user_id": number % 5, "number": number });
        exports.push(client.task("export").args(&args).submit().await?);
    }

    // The same key while the first waits: one mail, with the newest text.
    let mail = |text: &'static str| {
        let scope = UniqueScope::WhileQueued;
        let later = millis(50);
        let submit = client.task("mail").args(&text).delay(later);
        submit
            .unique_or("mail/ada", scope, OnConflict::Replace)
            .submit()
    };
    let (first, second) = (mail("draft").await?, mail("final").await?);
    assert!(first.is_new() && !second.is_new());
    assert_eq!(first.id(), second.id());
    assert_eq!(first.record().await?.args.decode::<String>()?, "final");

    let runner = Runner::new(tlo);
    let work = async move {
        for export in exports {
            export.wait().await?;
        }
        first.wait().await?;
        Ok(())
    };
    let mut done: tlo::Result<()> = Ok(());
    runner.run_until(async { done = work.await }).await?;
    done?;
    for user in 0..5 {
        println!("user {user}: {} at once", seen.most(&user.to_string()));
        assert_eq!(seen.most(&user.to_string()), 1);
    }
    println!("all: {} at once", seen.most("all"));
    assert!(seen.most("all") <= 3);
    Ok(())
}

//! Processes that are killed while they make the file.

use std::time::Duration;

use crate::parent::{Home, chance, is_full, pause, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_maker_was_killed_is_a_store_all_the_same() {
    let (mut chance, seed) = chance();
    let times = if is_full() { 100 } else { 5 };
    let mut early = 0;
    let mut time = 0;
    // A fast machine has the file ready soon: until one was killed before that, there is another try.
    while time < times || (early == 0 && time < 20 * times) {
        let home = Home::new(Duration::from_secs(1));
        let mut maker = home.start("work");
        let file = home.path("tlo.db");
        while !file.exists() {
            assert!(maker.ended().is_none(), "{}", home.errors());
            std::thread::yield_now();
        }
        // As often below a tenth of a millisecond as above one: nobody knows how fast this machine is.
        pause(Duration::from_micros(1 << chance.u32(0..14)));
        maker.kill_9();
        early += usize::from(!home.book().up.contains(&maker.who));
        // Half of the time one opens it alone, and otherwise two at once.
        let mut worker = home.start("work");
        if time % 2 == 0 {
            until("the worker is up", || home.book().up.contains(&worker.who));
        }
        home.everything_can_be_had_again(home.open()).await;
        worker.kill_9();
        home.nobody_failed();
        let (_, filed, wrong) = home.violations(false).await;
        assert_eq!(wrong, [], "seed {seed}, time {time}");
        assert!(!filed.records.is_empty());
        time += 1;
    }
    println!("seed {seed}; {time} makers killed, {early} of them before the file was a store");
    assert!(early > 0, "none was killed in time");
}

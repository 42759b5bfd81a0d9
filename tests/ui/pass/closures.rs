use tlo::prelude::*;

fn main() {
    let tasks = [
        task("tick").every(secs(1)).run(|_: TaskContext, _: ()| async { println!("tick") }),
        task("moves").run(|context: TaskContext, text: String| async move {
            println!("{} {text}", context.id());
        }),
        task("two errors").run(|_: TaskContext, text: String| async move {
            let bytes = text.into_bytes();
            let number: i64 = String::from_utf8(bytes)?.parse()?;
            TaskResult::Ok(number)
        }),
        task("async closure").run(async |_: TaskContext, text: String| -> TaskResult<i64> {
            let bytes = text.into_bytes();
            Ok(String::from_utf8(bytes)?.parse()?)
        }),
        task("without async").run(|_: TaskContext, (a, b): (i32, i32)| TaskResult::Ok(a + b)),
        task("nothing").run(|_: TaskContext, _: ()| ()),
        task("never").run(|_: TaskContext, _: ()| async { panic!("never returns") }),
        task("captures").run({
            let shared = std::sync::Arc::new(7);
            move |_: TaskContext, _: ()| {
                let shared = shared.clone();
                async move { TaskResult::Ok(*shared) }
            }
        }),
    ];
    for task in tasks {
        task.check().unwrap();
    }
}

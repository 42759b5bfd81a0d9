//! The shapes of functions that become handlers.

use tlo::prelude::*;

#[test]
fn closures_and_functions_of_both_shapes_are_taken() {
    async fn named(_: TaskContext, name: String) -> TaskResult<String> {
        Ok(name)
    }
    fn blocking(_: TaskContext, (a, b): (i32, i32)) -> Result<i32, std::num::ParseIntError> {
        Ok(a + b)
    }
    async fn boxed(
        _: TaskContext,
        text: String,
    ) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
        Ok(text.parse()?)
    }
    let tasks = [
        task("tick")
            .every(secs(1))
            .run(|_: TaskContext, _: ()| async { println!("tick") }),
        task("named").run(named),
        task("blocking").run(blocking),
        task("plain").run(|_: TaskContext, _: ()| ()),
        task("async").run(async |_: TaskContext, text: String| -> TaskResult<i64> {
            let number: i64 = text.parse()?;
            String::from_utf8(vec![1])?;
            Ok(number)
        }),
        task("panics").run(|_: TaskContext, _: ()| async { panic!("no") }),
        task("panics too").run(|_: TaskContext, _: ()| panic!("no")),
        task("inner async").run(|context: TaskContext, _: u8| async move {
            context.progress(1)?;
            TaskResult::Ok(context.attempt())
        }),
        Task::of(named).build(),
        task("boxed").run(boxed),
        task("boxed in a closure").run(
            async |_: TaskContext, _: ()| -> Result<(), Box<dyn std::error::Error>> {
                Err("text")?;
                Ok(())
            },
        ),
    ];
    for task in &tasks {
        task.check().unwrap();
        assert!(task.handler.is_some());
    }
    assert_eq!(&*tasks[8].def.name, "named");
}

//! Schedules in English.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use tlo::schedule::Schedule;

#[test]
fn english() {
    for (expression, expected) in [
        ("30 2 * * *", "At 02:30 every day"),
        ("0 3 * * 1-5", "At 03:00 on Monday to Friday"),
        ("0 3 * * SAT,SUN", "At 03:00 on Saturday and Sunday"),
        ("0 8,20 * * *", "At 08:00 and 20:00 every day"),
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("2-59/5 * * * *", "Every 5 minutes from minute 2"),
        ("*/7 * * * *", "Every 7 minutes from minute 0 to 56"),
        ("0-29 * * * *", "Every minute from minute 0 to 29"),
        ("5,35 * * * *", "At minutes 5 and 35 of every hour"),
        ("10,20 * * * * *", "At seconds 10 and 20 of every minute"),
        ("30 * * * * *", "At second 30 of every minute"),
        ("5,35 8 1 * *", "At 08:05 and 08:35 on day 1 of the month"),
        (
            "1-3 4-6 * * *",
            "Every minute from minute 1 to 3, from 04:00 to 06:59",
        ),
        (
            "*/30 0-6,22,23 * * *",
            "Every 30 minutes in the hours 0 to 6, 22 and 23",
        ),
        ("0 1-23/2 * * *", "Every 2 hours from 01:00 to 23:00"),
        (
            "20 1-23/2 * * *",
            "At 20 minutes past every 2nd hour from 01 to 23",
        ),
        ("0 */6 * * *", "Every 6 hours"),
        (
            "0 0 1 1-3,12 *",
            "At 00:00 on day 1 of the month in January to March and December",
        ),
        (
            "0 0 * * 0,1-3,6",
            "At 00:00 on Monday to Wednesday, Saturday and Sunday",
        ),
        ("0 * * * *", "Every hour"),
        ("1 * * * *", "At 1 minute past every hour"),
        ("17 * * * *", "At 17 minutes past every hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("30 */2 * * *", "At 30 minutes past every 2nd hour"),
        (
            "0 9-17 * * 1-5",
            "Every hour from 09:00 to 17:00 on Monday to Friday",
        ),
        (
            "*/15 9-17 * * MON-FRI",
            "Every 15 minutes from 09:00 to 17:59 on Monday to Friday",
        ),
        ("* 3 * * *", "Every minute from 03:00 to 03:59"),
        ("*/10 1,5 * * *", "Every 10 minutes in the hours 1 and 5"),
        ("0 0 1 * *", "At 00:00 on day 1 of the month"),
        ("0 0 1,15 * *", "At 00:00 on days 1 and 15 of the month"),
        ("0 0 1-7 * *", "At 00:00 on days 1 to 7 of the month"),
        (
            "0 0 */2 * *",
            "At 00:00 on every 2nd day from day 1 of the month",
        ),
        ("0 0 L * *", "At 00:00 on the last day of the month"),
        (
            "0 0 L-3 * *",
            "At 00:00 on the day 3 days before the last day of the month",
        ),
        (
            "0 0 15W * *",
            "At 00:00 on the Monday-to-Friday day nearest day 15 of the month",
        ),
        (
            "0 0 LW * *",
            "At 00:00 on the last Monday-to-Friday day of the month",
        ),
        ("0 0 * * 5#2", "At 00:00 on the 2nd Friday of the month"),
        ("0 0 * * 5L", "At 00:00 on the last Friday of the month"),
        ("0 0 13 * 5", "At 00:00 on day 13 of the month or on Friday"),
        (
            "0 0 */2 * 1",
            "At 00:00 on every 2nd day from day 1 of the month that is also Monday",
        ),
        ("0 0 1 1 *", "At 00:00 on day 1 of the month in January"),
        ("0 12 * 6-8 *", "At 12:00 in June to August"),
        (
            "0 0 0 1 1 * 2027",
            "At 00:00 on day 1 of the month in January in 2027",
        ),
        ("15 30 2 * * *", "At 02:30:15 every day"),
        ("* * * * * *", "Every second"),
        ("*/10 * * * * *", "Every 10 seconds"),
        (
            "*/10 30 * * * *",
            "Every 10 seconds at 30 minutes past every hour",
        ),
        ("@daily", "At 00:00 every day"),
        ("@every 90m", "Every 1 hour and 30 minutes"),
        ("@every 1h", "Every hour"),
        ("@reboot", "Once after each boot of the machine"),
    ] {
        assert_eq!(
            Schedule::cron(expression).unwrap().describe(),
            expected,
            "{expression}"
        );
    }
    let quartz = Schedule::quartz("0 0 12 ? * 2-6", "UTC").unwrap();
    assert_eq!(quartz.describe(), "At 12:00 on Monday to Friday");
}

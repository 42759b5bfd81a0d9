//! Gates: how many tasks of one key may run at once, and how often.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::id::check_name;
use crate::payload::Payload;
use crate::schedule::{duration_text, parse_duration};

/// The most gates a task may carry.
pub const GATE_LIMIT: usize = 4;

/// The name of the records that hold locks. No worker has a handler for it.
pub(crate) const LOCK_NAME: &str = "tlo.lock";

/// A gate that a task must pass to run: at most `limit` holders of `key` at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// What is limited, such as `user/7`.
    pub key: String,
    /// The most tasks of that key that may run at once, as this task sees it; at least 1.
    pub limit: u32,
}

impl Gate {
    /// Checks key and limit.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge`, naming the key.
    pub fn check(&self) -> Result<()> {
        check_name("a gate key", &self.key)?;
        if self.limit == 0 {
            return Err(Error::invalid(
                "gate",
                format!(
                    "the gate \"{}\" has limit 0; use 1 or more, or pause it",
                    self.key
                ),
            ));
        }
        Ok(())
    }
}

/// What an operator set for a gate; stored as the mark `gate/<key>` and read by every claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateRule {
    /// Replaces the limit that tasks carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// How often tasks of this key may start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Nothing of this key starts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Why it is paused, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who paused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The file or the program that declares `max`, `rate` and `max_depth`; absent when somebody set them while it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_by: Option<String>,
    /// For a queue: a submit, a move to it and a revival are refused when this many tasks wait. What it took before comes
    /// back whatever this says: retries, snoozes and lost leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u64>,
}

impl GateRule {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.paused && !self.has_limits()
    }

    /// Whether it limits how many run, start or wait.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.max.is_some() || self.rate.is_some() || self.max_depth.is_some()
    }

    /// Reads the rule of a gate as it is stored.
    ///
    /// # Errors
    /// `Invalid`, naming the gate and what is wrong.
    pub fn read(gate: &str, value: &Payload) -> Result<Self> {
        let bad = |why: String| {
            Error::invalid(
                "gate rule",
                format!(
                    "the rule of the gate \"{gate}\" cannot be used: {why}; \
                     it is an object of max, rate, paused, reason, by, declared_by and max_depth, such as {{\"max\": 3}}"
                ),
            )
        };
        check_name("a gate key", gate)?;
        let rule: Self = value.decode().map_err(|error| bad(error.to_string()))?;
        match rule.rate {
            Some(rate) if rate.n == 0 || rate.burst == Some(0) => Err(bad(
                "its rate allows nothing; use 1 or more, or paused".to_owned(),
            )),
            Some(rate) if rate.per.is_zero() => Err(bad("the period of its rate is 0".to_owned())),
            _ => Ok(rule),
        }
    }
}

/// `n` starts per `per`, with up to `burst` at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Starts in each period; at least 1.
    pub n: u32,
    /// The period.
    #[serde(with = "duration_text")]
    pub per: Duration,
    /// The most starts at once; at least 1, by default `n`.
    #[serde(default)]
    pub burst: Option<u32>,
}

impl Rate {
    /// The most tokens the bucket holds.
    #[must_use]
    pub fn capacity(self) -> u32 {
        self.burst.unwrap_or(self.n).max(1)
    }

    /// The time in which one token comes, in whole microseconds.
    #[must_use]
    pub fn interval(self) -> Duration {
        let micros = self.per.as_micros() / u128::from(self.n.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX).max(1))
    }
}

impl FromStr for Rate {
    type Err = Error;

    /// Reads `10/1m`, `5/s` for 5 a second, and `10/1m/20` for at most 20 at once after a quiet time.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            let message = format!(
                "\"{text}\" is no rate: {why}; write 10/1m for 10 a minute, and 10/1m/20 for at most 20 at once after a quiet time"
            );
            Error::invalid("rate", message)
        };
        let mut parts = text.split('/').map(str::trim);
        let (Some(n), Some(per)) = (parts.next(), parts.next()) else {
            return Err(bad("it has no \"/\""));
        };
        let number = |text: &str| {
            let number = text.parse().ok().filter(|n| *n >= 1);
            number.ok_or_else(|| bad(&format!("\"{text}\" is no number of starts above 0")))
        };
        let n = number(n)?;
        let per = match per.starts_with(|c: char| c.is_ascii_digit()) {
            true => parse_duration(per),
            false => parse_duration(&format!("1{per}")),
        };
        let per = per.map_err(|error| bad(&error.to_string()))?;
        if per.is_zero() {
            return Err(bad("its period is 0"));
        }
        let burst = parts.next().map(number).transpose()?;
        match parts.next() {
            Some(_) => Err(bad("it has too many parts")),
            None => Ok(Self { n, per, burst }),
        }
    }
}

/// The fields a template names: `"{user}/{region.code}"` has two. `{{` and `}}` are literal braces.
///
/// # Errors
/// `Invalid`, quoting the template, when a brace has no partner or a field is empty.
pub fn template_fields(template: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    walk(template, |part| {
        if let Part::Field(field) = part {
            fields.push(field.to_owned());
        }
        Ok(())
    })?;
    Ok(fields)
}

/// Fills a template with the fields of a JSON object; `{a.b}` reaches into nested objects.
///
/// # Errors
/// `Invalid` when a field is missing or is not text, a number or a boolean; `TooLarge` when the key gets longer than 255 bytes.
pub fn render_template(template: &str, args: &Payload) -> Result<String> {
    let mut key = String::new();
    let mut parsed: Option<serde_json::Value> = None;
    walk(template, |part| {
        let field = match part {
            Part::Text(text) => {
                key.push_str(text);
                return Ok(());
            }
            Part::Field(field) => field,
        };
        if parsed.is_none() {
            parsed = Some(args.decode::<serde_json::Value>()?);
        }
        let found = parsed.as_ref().and_then(|json| {
            field
                .split('.')
                .try_fold(json, |value, name| value.get(name))
        });
        match found {
            Some(serde_json::Value::String(text)) => key.push_str(text),
            Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                key.push_str(&value.to_string());
            }
            Some(_) => {
                return Err(Error::invalid(
                    "template",
                    format!(
                        "the field \"{field}\" of \"{template}\" is neither text, a number nor a boolean in these args"
                    ),
                ));
            }
            None => {
                return Err(Error::invalid(
                    "template",
                    format!("the args have no field \"{field}\", which \"{template}\" needs"),
                ));
            }
        }
        Ok(())
    })?;
    check_name("a rendered key", &key).map_err(|error| {
        let kind = if error.kind() == ErrorKind::TooLarge {
            ErrorKind::TooLarge
        } else {
            ErrorKind::Invalid
        };
        Error::new(
            kind,
            "template",
            format!("\"{template}\" gives no usable key: {error}"),
        )
    })?;
    Ok(key)
}

enum Part<'a> {
    Text(&'a str),
    Field(&'a str),
}

fn walk(template: &str, mut visit: impl FnMut(Part<'_>) -> Result<()>) -> Result<()> {
    let bad = |why: &str| {
        Err(Error::invalid(
            "template",
            format!("\"{template}\" is not a key template: {why}"),
        ))
    };
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        visit(Part::Text(&rest[..at]))?;
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if rest.starts_with(brace) {
            visit(Part::Text(brace))?;
            rest = &rest[1..];
        } else if brace == "}" {
            return bad("a \"}\" closes nothing");
        } else {
            let Some(end) = rest.find('}') else {
                return bad("a \"{\" is never closed");
            };
            let field = &rest[..end];
            if field.is_empty() || field.contains('{') {
                return bad("a field needs a name, as in {user_id}");
            }
            visit(Part::Field(field))?;
            rest = &rest[end + 1..];
        }
    }
    visit(Part::Text(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_render_text_numbers_and_nested_fields() {
        let args =
            Payload::parse(r#"{"user": 7, "where": {"region": "eu"}, "live": true, "list": []}"#)
                .unwrap();
        assert_eq!(
            render_template("user/{user}/{where.region}/{live}/{{x}}", &args).unwrap(),
            "user/7/eu/true/{x}"
        );
        for bad in ["{list}", "{missing}", "{user", "user}", "{}", "{a{b}}"] {
            assert!(render_template(bad, &args).is_err(), "{bad}");
        }
        assert_eq!(template_fields("{a}-{b.c}").unwrap(), ["a", "b.c"]);
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        let rate = |n, secs, burst| Rate {
            n,
            per: Duration::from_secs(secs),
            burst,
        };
        for (text, wanted) in [
            ("10/1m", rate(10, 60, None)),
            ("5/s", rate(5, 1, None)),
            (" 3 / 2h / 9 ", rate(3, 7_200, Some(9))),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap(), wanted, "{text}");
        }
        for text in [
            "",
            "10",
            "0/1m",
            "-1/1m",
            "x/1m",
            "10/0s",
            "10/1m/0",
            "10/1m/2/3",
            "10/fast",
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.to_string().contains("is no rate"), "{text}: {error}");
        }
    }

    #[test]
    fn braces_in_a_value_stay_text() {
        let args = Payload::parse(r#"{"user": "{admin}"}"#).unwrap();
        assert_eq!(render_template("u/{user}", &args).unwrap(), "u/{admin}");
        let long = Payload::parse(format!(r#"{{"user": "{}"}}"#, "x".repeat(300))).unwrap();
        assert_eq!(
            render_template("u/{user}", &long).map_err(|e| e.kind()),
            Err(ErrorKind::TooLarge)
        );
    }
}

//! Where the tables are.

use super::options::PostgresOptions;
use crate::id::stable_hash;
use crate::store::Tables;

/// Schema and prefix, filled into statements: `@task` becomes the quoted name of a table or sequence, `%task_lane` that of
/// an index, `@@` the schema.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) schema: String,
    prefix: String,
}

impl Names {
    pub(super) fn of(options: &PostgresOptions) -> Self {
        Self {
            schema: options.schema.clone(),
            prefix: options.table_prefix.clone(),
        }
    }

    /// As others are told of it.
    pub(super) fn tables(&self) -> Tables {
        Tables::new(super::NAME, &self.schema, &self.prefix)
    }

    /// What locks and channels of this store are named by.
    pub(super) fn space(&self) -> String {
        format!("{}.{}", self.schema, self.prefix)
    }

    /// The channel of hints.
    pub(super) fn channel(&self) -> String {
        // The names themselves can be longer than a channel may be.
        format!("tlo_{:016x}", stable_hash(self.space().as_bytes()))
    }

    pub(super) fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len() + 64);
        let mut rest = template;
        while let Some(at) = rest.find(['@', '%']) {
            filled.push_str(&rest[..at]);
            let (mark, after) = rest[at..].split_at(1);
            if mark == "@" && after.starts_with('@') {
                filled.push_str(&format!("\"{}\"", self.schema));
                rest = &after[1..];
                continue;
            }
            let end = after
                .find(|c: char| !(c.is_ascii_lowercase() || c == '_'))
                .unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            let prefix = &self.prefix;
            match mark {
                // An operator, as in `tags @> $1`.
                _ if name.is_empty() => filled.push_str(mark),
                "@" => filled.push_str(&format!("\"{}\".\"{prefix}{name}\"", self.schema)),
                _ => filled.push_str(&format!("\"{prefix}{name}\"")),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_quoted() {
        let options = PostgresOptions {
            schema: "jobs".to_owned(),
            table_prefix: "a_".to_owned(),
            ..PostgresOptions::at("postgres://h/d")
        };
        assert_eq!(
            Names::of(&options).fill("CREATE INDEX %x ON @task (k) WHERE t @> $1; SET s TO @@"),
            "CREATE INDEX \"a_x\" ON \"jobs\".\"a_task\" (k) WHERE t @> $1; SET s TO \"jobs\""
        );
    }
}

//! What is wrong with the records: read all, and all lists of them, page by page.

use super::reading::{LISTS, READ_PAGE, Reader};
use super::record::decode;
use crate::error::Result;

/// Where a check goes on: among the records, or in one of the lists.
#[derive(Clone, Debug)]
pub(super) enum CheckStep {
    Records(String),
    List(usize, String),
}

impl Reader<'_> {
    /// What is wrong with some of the records, and where to go on.
    pub(super) async fn check(
        &self,
        step: Option<CheckStep>,
    ) -> Result<(Vec<String>, Option<CheckStep>)> {
        match step.unwrap_or_else(|| CheckStep::Records("0".to_owned())) {
            CheckStep::Records(cursor) => self.check_records(&cursor).await,
            CheckStep::List(list, behind) => self.check_list(list, &behind).await,
        }
    }

    async fn check_records(&self, cursor: &str) -> Result<(Vec<String>, Option<CheckStep>)> {
        let mut page = self
            .ask("check", |args| {
                args.text(cursor);
                args.number(READ_PAGE);
            })
            .await?;
        let next = match page.text()? {
            end if end == "0" => CheckStep::List(0, "-inf".to_owned()),
            cursor => CheckStep::Records(cursor),
        };
        let (mut rows, mut wrong) = (page.array()?, Vec::new());
        while !rows.is_empty() {
            let mut row = rows.array()?;
            let id = row.id()?;
            match decode(Some(&id), row.value()?) {
                Err(error) => wrong.push(error.to_string()),
                Ok(Some(record)) if row.number::<i64>()? == 0 => wrong.push(format!(
                    "the record \"{id}\" is not in the list of what is {}: lists leave it out",
                    record.status
                )),
                Ok(_) => {}
            }
        }
        Ok((wrong, Some(next)))
    }

    async fn check_list(
        &self,
        list: usize,
        behind: &str,
    ) -> Result<(Vec<String>, Option<CheckStep>)> {
        let mut page = self
            .ask("astray", |args| {
                args.text(LISTS[list]);
                args.text(behind);
                args.number(READ_PAGE);
            })
            .await?;
        let behind = page.text()?;
        let astray = page.array()?.ids()?;
        let wrong = astray
            .iter()
            .map(|id| format!("the list of its status has \"{id}\", which is no record"))
            .collect();
        let next = match behind.is_empty() {
            false => Some(CheckStep::List(list, behind)),
            true if list + 1 < LISTS.len() => Some(CheckStep::List(list + 1, "-inf".to_owned())),
            true => None,
        };
        Ok((wrong, next))
    }
}

//! Pages of wrapped rows: what is wrapped lies end to end in one buffer, which the next page takes over.
use chrono::NaiveDate;
use event_schemas::{CustomerId, MerchantId};
use group_commit::{Cells, StoreError, values};

use crate::{
    Error,
    keys::{DataKeyId, Epoch, Owner},
    session::Session,
};

/// What is wrapped by merchants' keys.
#[derive(Clone, Copy)]
pub(crate) enum Table {
    Subjects,
    Days,
}

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Subjects => "subject_key",
            Self::Days => "day_key",
        }
    }

    const fn owner(self) -> &'static str {
        match self {
            Self::Subjects => "subject",
            Self::Days => "day",
        }
    }

    fn id(self, row: &dyn Cells) -> Result<DataKeyId, StoreError> {
        let merchant = MerchantId::from_bytes(row.at(1)?);
        Ok(match self {
            Self::Subjects => DataKeyId::subject(merchant, CustomerId::from_bytes(row.at(2)?)),
            Self::Days => {
                let day = NaiveDate::from_num_days_from_ce_opt(row.at(2)?);
                DataKeyId::day(merchant, day.ok_or(StoreError::misread("a day"))?)
            }
        })
    }
}

/// A row as it was read, and what is wrapped in it.
pub(crate) struct WrappedRow<W = Vec<u8>> {
    pub(crate) n: i64,
    pub(crate) id: DataKeyId,
    pub(crate) epoch: Epoch,
    pub(crate) wrapped: W,
}

impl WrappedRow {
    /// A row of subjects as n, merchant, subject, epoch, wrapped.
    pub(crate) fn of_subject(row: &dyn Cells) -> Result<Self, StoreError> {
        let id = Table::Subjects.id(row)?;
        Ok(Self { n: row.at(0)?, id, epoch: row.at(3)?, wrapped: row.at(4)? })
    }

    /// Whose it is, if it is a subject's.
    pub(crate) fn subject(&self) -> Option<[u8; 16]> {
        match self.id.owner {
            Owner::Subject(subject) => Some(subject.bytes()),
            Owner::Day(_) => None,
        }
    }
}

/// Rows in the order of their numbers.
#[derive(Default)]
pub(crate) struct Page {
    /// Each with where in `wrapped` it ends.
    rows: Vec<WrappedRow<usize>>,
    wrapped: Vec<u8>,
}

impl Page {
    /// The number to go on behind, if there was a row.
    pub(crate) fn last(&self) -> Option<i64> {
        self.rows.last().map(|row| row.n)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = WrappedRow<&[u8]>> {
        let mut start = 0;
        self.rows.iter().map(move |WrappedRow { n, id, epoch, wrapped: end }| {
            let wrapped = self.wrapped.get(start..*end).unwrap_or_default();
            start = *end;
            WrappedRow { n: *n, id: *id, epoch: *epoch, wrapped }
        })
    }
}

impl Session<'_> {
    /// So many rows behind this number; `page` gives its buffers.
    pub(crate) fn page(&self, table: Table, after: i64, limit: u32, mut page: Page) -> Result<Page, Error> {
        let (name, owner) = (table.name(), table.owner());
        let rows = format!(
            "SELECT n, merchant, {owner}, epoch, wrapped FROM {name} WHERE n > ?1 ORDER BY n LIMIT ?2"
        );
        page.rows.clear();
        page.wrapped.clear();
        self.store.each(&rows, values![after, limit], &mut |row| {
            page.wrapped.extend_from_slice(row.cell(4)?.bytes()?);
            let (n, id, epoch) = (row.at(0)?, table.id(row)?, row.at(3)?);
            page.rows.push(WrappedRow { n, id, epoch, wrapped: page.wrapped.len() });
            Ok(())
        })?;
        Ok(page)
    }
}

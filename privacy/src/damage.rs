//! Which wrapped keys do not open. Damage is named and the rest is served; nothing is ever made anew over it.
use std::{collections::HashMap, sync::Arc};

use event_schemas::MerchantId;
use group_commit::values;

use crate::{
    Error, KeyStore,
    aead::Cipher,
    erasure::is_destroyed,
    keys::{Epoch, Wrap},
    rotation::Table,
    session::Session,
};

/// Rows that one look reads.
const PAGE: u32 = 1_000;

/// A merchant's wrapping key; `None` if the shop is erased, the text of the fault if it does not open.
type LiveWrapping = Result<Option<Arc<Cipher>>, String>;

impl KeyStore {
    /// The rows whose keys do not open although nobody destroyed them, in words that name epoch, merchant and subject or
    /// day. Reads the whole store, in pages beside the traffic.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn damaged(&self) -> Result<Vec<String>, Error> {
        let mut damaged = self.look(|session| session.damaged_merchants()).await?;
        for table in [Table::Subjects, Table::Days] {
            let mut after = Some(0);
            while let Some(last) = after {
                let (next, more) = self.look(move |session| session.damaged_rows(table, last)).await?;
                damaged.extend(more);
                after = next;
            }
        }
        Ok(damaged)
    }
}

impl Session<'_> {
    fn damaged_merchants(&self) -> Result<Vec<String>, Error> {
        let mut damaged = Vec::new();
        let rows = "SELECT DISTINCT merchant FROM merchant_key ORDER BY merchant";
        for id in self.store.all(rows, values![], |row| row.at(0).map(MerchantId::from_bytes))? {
            let Some(merchant) = self.read_merchant(id)? else { continue };
            let opens = |epoch: &Epoch| {
                let wrapping = self.vault.wrapping(id, &merchant, *epoch);
                wrapping.and_then(|wrapping| {
                    let own_key =
                        merchant.rows.get(epoch).map(|row| row.own_key.as_slice()).unwrap_or_default();
                    Wrap::Own(id, *epoch).open::<64>(&wrapping, &self.vault.log_id, own_key)
                })
            };
            damaged.extend(
                merchant
                    .rows
                    .iter()
                    .filter(|(_, row)| !(is_destroyed(&row.wrapped) && merchant.fence.is_some()))
                    .filter_map(|(epoch, _)| opens(epoch).err().map(|error| error.to_string())),
            );
        }
        Ok(damaged)
    }

    /// The damage of a page, and the row to go on behind.
    fn damaged_rows(&self, table: Table, after: i64) -> Result<(Option<i64>, Vec<String>), Error> {
        let rows = self.wrapped_rows(table, after, PAGE)?;
        let last = rows.last().map(|row| row.n);
        let mut wrappings = HashMap::<(MerchantId, Epoch), LiveWrapping>::new();
        let mut damaged = Vec::new();
        for row in rows.iter().filter(|row| !is_destroyed(&row.wrapped)) {
            let at = (row.id.merchant, row.epoch);
            let wrapping = match wrappings.get(&at) {
                Some(known) => known,
                None => {
                    let wrapping = self.live_wrapping(at)?;
                    wrappings.entry(at).or_insert(wrapping)
                }
            };
            let fault = match wrapping {
                Ok(None) => None,
                Ok(Some(cipher)) => {
                    let opened =
                        Wrap::Data(row.id, row.epoch).open::<64>(cipher, &self.vault.log_id, &row.wrapped);
                    opened.err().map(|error| error.to_string())
                }
                Err(fault) => Some(format!("{}: {fault}", row.id.missing())),
            };
            damaged.extend(fault);
        }
        Ok((last, damaged))
    }

    /// The merchant's wrapping key; `None` if the shop is erased, the text of the fault if it does not open.
    fn live_wrapping(&self, at: (MerchantId, Epoch)) -> Result<LiveWrapping, Error> {
        let (id, epoch) = at;
        let Some(merchant) = self.read_merchant(id)? else {
            return Ok(Err(Error::UnknownMerchant { merchant: id }.to_string()));
        };
        if merchant.fence.is_some() {
            return Ok(Ok(None));
        }
        let opened = self.epoch_cipher(epoch).and_then(|_| self.vault.wrapping(id, &merchant, epoch));
        Ok(opened.map(Some).map_err(|error| error.to_string()))
    }
}

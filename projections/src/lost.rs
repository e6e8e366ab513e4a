//! After the log lost records: which tables hold what it does not, and how they begin anew.
use event_log::{Checkpoint, Log};

use crate::{Error, ReadStore, all, catch_up::places, generations, live::Live};

impl ReadStore {
    /// How far each projection's table has come, in every partition that it has begun with.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn remembered(&self, log: &Log) -> Result<Vec<(&'static str, Checkpoint)>, Error> {
        let tables = self.all_tables().await?;
        let places = places(self, &tables, log.partitions()).await?;
        let of_table = |(table, places): (&std::sync::Arc<Live>, Vec<Option<Checkpoint>>)| {
            let name = table.definition.name;
            places.into_iter().flatten().map(move |place| (name, place)).collect::<Vec<_>>()
        };
        Ok(tables.iter().zip(places).flat_map(of_table).collect())
    }

    /// Serves empty tables for these projections from now on, which are filled from the log. No older table is kept for a
    /// way back. For who has the store alone.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn begin_anew(&self, names: Vec<&'static str>) -> Result<(), Error> {
        let _alone = self.alone().await?;
        self.write(move |session| {
            for definition in all().iter().filter(|definition| names.contains(&definition.name)) {
                let next = generations::served(session, definition)?.saturating_add(1);
                generations::forget_all(session, definition.name)?;
                let live = Live::new(definition, next);
                session.create(&live.shape)?;
                session.index(&live.shape)?;
                generations::serve(session, definition, next)?;
            }
            Ok(())
        })
        .await
    }
}

//! A store's own schema, brought up to date step by step: as often as one likes, and by several nodes at once.
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{Address, Error};

/// The namespace of one store's tables and how it came to be.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its name, which nobody outside chose.
    pub name: &'static str,
    /// What to do, in order, from an empty schema on; each may hold several statements, which find the schema in their
    /// `search_path`. Steps that were released are never edited.
    pub steps: &'static [&'static str],
}

impl Schema {
    /// Does the steps that are missing. A schema that is up to date is only read.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] if a newer program has been here; those of the server.
    pub async fn migrate(&self, address: &Address, connection: &mut PgConnection) -> Result<(), Error> {
        let known = self.known();
        let mut found = self.version(connection).await.map_err(|error| address.explain(error))?;
        if found < known {
            found = self.advance(connection).await.map_err(|error| address.explain(error))?;
        }
        if found > known {
            return Err(Error::NewerSchema { schema: self.name, found, known });
        }
        Ok(())
    }

    fn known(&self) -> i32 {
        i32::try_from(self.steps.len()).unwrap_or(i32::MAX)
    }

    /// 0 if there is no such schema.
    async fn version(&self, connection: &mut PgConnection) -> sqlx::Result<i32> {
        let table = format!("{}.schema_version", self.name);
        let is_there = "SELECT to_regclass($1) IS NOT NULL";
        if !sqlx::query_scalar::<_, bool>(is_there).bind(&table).fetch_one(&mut *connection).await? {
            return Ok(0);
        }
        self.newest(connection).await
    }

    async fn newest(&self, connection: &mut PgConnection) -> sqlx::Result<i32> {
        let version = format!("SELECT coalesce(max(version), 0) FROM {}.schema_version", self.name);
        sqlx::query_scalar(&version).fetch_one(connection).await
    }

    /// Whoever comes second waits for the first and then finds nothing to do.
    async fn advance(&self, connection: &mut PgConnection) -> sqlx::Result<i32> {
        let name = self.name;
        let mut transaction = connection.begin().await?;
        let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(name);
        lock.execute(&mut *transaction).await?;
        let enter = format!(
            "CREATE SCHEMA IF NOT EXISTS {name}; SET LOCAL search_path TO {name};
             CREATE TABLE IF NOT EXISTS {name}.schema_version (version INTEGER PRIMARY KEY);"
        );
        transaction.execute(sqlx::raw_sql(&enter)).await?;
        // Asked of the table itself: what the server remembers of names may be older than the lock.
        let mut version = self.newest(&mut transaction).await?;
        for (step, number) in self.steps.iter().zip(1..) {
            if number > version {
                transaction.execute(sqlx::raw_sql(step)).await?;
                let note = format!("INSERT INTO {name}.schema_version VALUES ({number})");
                transaction.execute(sqlx::raw_sql(&note)).await?;
                version = number;
            }
        }
        transaction.commit().await?;
        Ok(version)
    }
}

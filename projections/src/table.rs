//! One table of a projection: a typed row whose first columns are its key.
use std::marker::PhantomData;

use rusqlite::{Connection, OptionalExtension as _, params_from_iter, types::Value};

/// A row, as [`table!`] defines it.
pub trait Row: Sized + Clone + PartialEq {
    /// Key columns: how many of [`Self::COLUMNS`], from the first on. The merchant is always the first.
    const KEY_LEN: usize;
    /// Name and type of each column.
    const COLUMNS: &'static [(&'static str, &'static str)];
    /// Indexes beside the key, each a list of columns.
    const INDEXES: &'static [&'static str];

    /// The values in the order of the columns.
    fn values(&self) -> Vec<Value>;

    /// The row from all columns in their order.
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self>;
}

/// The key of one row of the table of `R`.
#[derive(Clone, Debug, PartialEq)]
pub struct Key<R>(Vec<Value>, PhantomData<fn() -> R>);

impl<R> Key<R> {
    /// For [`table!`] only: the values of the key columns, in order.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        Self(values, PhantomData)
    }
}

/// Defines a row type, its table and how to name one row of it.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $name:ident {
            key { $( $(#[$key_doc:meta])* $key:ident: $key_type:ty ),* $(,)? }
            $( $(#[$column_doc:meta])* $column:ident: $type:ty ),* $(,)?
        }
        indexes [ $( $index:literal ),* ]
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$key_doc])* pub $key: $key_type, )*
            $( $(#[$column_doc])* pub $column: $type, )*
        }

        impl $name {
            /// The key of one row.
            #[must_use]
            pub fn at($( $key: $key_type ),*) -> $crate::table::Key<Self> {
                $crate::table::Key::new(vec![ $( $crate::column::Column::store(&$key) ),* ])
            }
        }

        impl $crate::table::Row for $name {
            const KEY_LEN: usize = [ $( stringify!($key) ),* ].len();
            const COLUMNS: &'static [(&'static str, &'static str)] = &[
                $( (stringify!($key), <$key_type as $crate::column::Column>::TYPE), )*
                $( (stringify!($column), <$type as $crate::column::Column>::TYPE), )*
            ];
            const INDEXES: &'static [&'static str] = &[ $( $index ),* ];

            fn values(&self) -> Vec<rusqlite::types::Value> {
                vec![
                    $( $crate::column::Column::store(&self.$key), )*
                    $( $crate::column::Column::store(&self.$column), )*
                ]
            }

            fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                let mut next = 0..;
                let mut cell = || -> rusqlite::Result<_> { row.get_ref(next.next().unwrap_or_default()) };
                Ok(Self {
                    $( $key: $crate::column::Column::load(cell()?)?, )*
                    $( $column: $crate::column::Column::load(cell()?)?, )*
                })
            }
        }
    };
}
pub(crate) use table;

/// The statements over one generation of a table.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    pub(crate) create: String,
    /// Makes the indexes that there are not yet. No fold needs them.
    pub(crate) index: String,
    /// All rows in the order of their keys.
    pub(crate) scan: String,
    /// Names of the columns; the first of them are the key.
    pub(crate) names: Vec<&'static str>,
    pub(crate) key_len: usize,
    select: String,
    upsert: String,
}

impl Statements {
    /// For the table of this name, its generation already in it.
    pub(crate) fn of<R: Row>(table: &str) -> Self {
        let names = columns::<R>();
        let columns: Vec<_> = R::COLUMNS.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        let key: Vec<_> = R::COLUMNS.iter().take(R::KEY_LEN).map(|(name, _)| *name).collect();
        let matches: Vec<_> = key.iter().map(|name| format!("{name} = ?")).collect();
        let places = vec!["?"; R::COLUMNS.len()].join(", ");
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {table} ({}, PRIMARY KEY ({})) STRICT, WITHOUT ROWID;",
            columns.join(", "),
            key.join(", ")
        );
        let indexes = R::INDEXES.iter().enumerate().map(|(number, columns)| {
            format!("CREATE INDEX IF NOT EXISTS {table}_by_{number} ON {table} ({columns});")
        });
        Self {
            create,
            index: indexes.collect(),
            scan: format!("SELECT {names} FROM {table} ORDER BY {}", key.join(", ")),
            names: R::COLUMNS.iter().map(|(name, _)| *name).collect(),
            key_len: R::KEY_LEN,
            select: format!("SELECT {names} FROM {table} WHERE {}", matches.join(" AND ")),
            upsert: format!("INSERT OR REPLACE INTO {table} ({names}) VALUES ({places})"),
        }
    }

    /// The row with this key.
    pub(crate) fn load<R: Row>(&self, connection: &Connection, key: &Key<R>) -> rusqlite::Result<Option<R>> {
        let mut select = connection.prepare_cached(&self.select)?;
        select.query_row(params_from_iter(&key.0), R::read).optional()
    }

    /// Writes the row over the one with its key.
    pub(crate) fn save<R: Row>(&self, connection: &Connection, row: &R) -> rusqlite::Result<()> {
        connection.prepare_cached(&self.upsert)?.execute(params_from_iter(row.values())).map(drop)
    }
}

/// All columns of a row, as [`Row::read`] wants them.
pub(crate) fn columns<R: Row>() -> String {
    let names: Vec<_> = R::COLUMNS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

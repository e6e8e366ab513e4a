//! One table of a projection: a typed row whose first columns are its key.
use std::{borrow::Cow, marker::PhantomData};

use crate::{
    StoreError, Value,
    column::ColumnType,
    session::{Cells, Session},
};

/// A column's name and type.
pub(crate) type NamedColumn = (&'static str, ColumnType);

/// A row, as [`table!`] defines it.
pub trait Row: Sized + Clone + PartialEq + Send {
    /// Key columns: how many of [`Self::COLUMNS`], from the first on. The merchant is always the first.
    const KEY_LEN: usize;
    /// Name and type of each column.
    const COLUMNS: &'static [NamedColumn];
    /// Indexes beside the key, each a list of columns.
    const INDEXES: &'static [&'static str];
    /// The column that says whose the sealed columns are, if there are any.
    const SUBJECT: Option<&'static str>;

    /// The values in the order of the columns.
    fn values(&self) -> Vec<Value>;

    /// Those of the key.
    fn key(&self) -> Vec<Value>;

    /// The row from all columns in their order.
    fn read(row: &dyn Cells) -> Result<Self, StoreError>;
}

/// The key of one row of the table of `R`.
#[derive(Clone, Debug, PartialEq)]
pub struct Key<R>(pub(crate) Vec<Value>, PhantomData<fn() -> R>);

impl<R> Key<R> {
    /// For [`table!`] only: the values of the key columns, in order.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        Self(values, PhantomData)
    }
}

/// Whether a table keeps something sealed.
pub(crate) const fn seals(columns: &[NamedColumn]) -> bool {
    let mut rest = columns;
    while let [(_, first), behind @ ..] = rest {
        if first.sealed {
            return true;
        }
        rest = behind;
    }
    false
}

/// Defines a row type, its table and how to name one row of it. A table with sealed columns must say by `sealed for`
/// whose they are, or it does not compile.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $name:ident {
            key { $( $(#[$key_doc:meta])* $key:ident: $key_type:ty ),* $(,)? }
            $( $(#[$column_doc:meta])* $column:ident: $type:ty ),* $(,)?
        }
        indexes [ $( $index:literal ),* ]
        $(sealed for $subject:ident)?
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
            const COLUMNS: &'static [$crate::table::NamedColumn] = &[
                $( (stringify!($key), <$key_type as $crate::column::Column>::TYPE), )*
                $( (stringify!($column), <$type as $crate::column::Column>::TYPE), )*
            ];
            const INDEXES: &'static [&'static str] = &[ $( $index ),* ];
            const SUBJECT: Option<&'static str> = {
                let subject: &[&str] = &[ $( stringify!($subject) )? ];
                let seals = $crate::table::seals(Self::COLUMNS);
                assert!(seals != subject.is_empty(), "sealed columns are somebody's");
                if let [column] = subject { Some(*column) } else { None }
            };

            fn values(&self) -> Vec<$crate::Value> {
                vec![
                    $( $crate::column::Column::store(&self.$key), )*
                    $( $crate::column::Column::store(&self.$column), )*
                ]
            }

            fn key(&self) -> Vec<$crate::Value> {
                vec![ $( $crate::column::Column::store(&self.$key) ),* ]
            }

            fn read(row: &dyn $crate::session::Cells) -> Result<Self, $crate::StoreError> {
                let mut next = 0..;
                let mut cell = || row.cell(next.next().unwrap_or_default());
                Ok(Self {
                    $( $key: $crate::column::Column::load(cell()?)?, )*
                    $( $column: $crate::column::Column::load(cell()?)?, )*
                })
            }
        }
    };
}
pub(crate) use table;

/// A table's name and columns, without its rows' type.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Its name, the generation already in it.
    pub(crate) table: Cow<'static, str>,
    /// Its columns; the first of them are the key.
    pub(crate) columns: &'static [NamedColumn],
    pub(crate) key_len: usize,
    /// Each a list of columns.
    pub(crate) indexes: &'static [&'static str],
    /// The column that says whose the sealed columns are, if there are any.
    pub(crate) subject: Option<&'static str>,
}

impl Shape {
    /// For the table of this name, its generation already in it.
    pub(crate) fn of<R: Row>(table: String) -> Self {
        Self {
            table: table.into(),
            columns: R::COLUMNS,
            key_len: R::KEY_LEN,
            indexes: R::INDEXES,
            subject: R::SUBJECT,
        }
    }

    /// The columns of the key.
    pub(crate) fn key(&self) -> &'static [NamedColumn] {
        self.columns.get(..self.key_len).unwrap_or(self.columns)
    }

    /// The columns that hold something sealed.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().filter(|(_, of)| of.sealed).map(|(name, _)| *name)
    }

    /// All columns, as [`Row::read`] wants them.
    pub(crate) fn names(&self) -> String {
        names(self.columns)
    }

    /// The columns of the key, with commas between.
    pub(crate) fn key_names(&self) -> String {
        names(self.key())
    }

    /// All rows in the order of their keys.
    pub(crate) fn scan(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.table, self.key_names())
    }

    /// The row with this key.
    pub(crate) fn find<R: Row>(&self, session: &dyn Session, key: &Key<R>) -> Result<Option<R>, StoreError> {
        let mut found = None;
        session.rows_at(self, &[&key.0], &mut |row| {
            found = Some(R::read(row)?);
            Ok(())
        })?;
        Ok(found)
    }
}

fn names(columns: &[NamedColumn]) -> String {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

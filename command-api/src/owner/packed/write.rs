//! Values to packed bytes.
use serde::{
    Serialize,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{FIELDS_MAX, PackError, put_varint};

pub(super) struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

fn no_form(what: &str) -> PackError {
    PackError(format!("{what} has no packed form"))
}

impl Writer<'_> {
    fn number(&mut self, number: u64) {
        put_varint(self.out, number);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn length(&mut self, length: Option<usize>) -> Result<(), PackError> {
        let length = length.ok_or_else(|| no_form("a sequence of unknown length"))?;
        self.number(length as u64);
        Ok(())
    }
}

/// A struct being written: its bitmaps go in front of its fields once they are known.
pub(super) struct Fields<'a, 'b> {
    writer: &'a mut Writer<'b>,
    start: usize,
    next: u32,
    present: u64,
    skipped: u64,
}

impl<'a, 'b> Fields<'a, 'b> {
    fn new(writer: &'a mut Writer<'b>) -> Self {
        // Most structs need one byte.
        let start = writer.out.len();
        writer.out.push(0);
        Self { writer, start, next: 0, present: 0, skipped: 0 }
    }

    fn next(&mut self) -> Result<u64, PackError> {
        if self.next == FIELDS_MAX {
            return Err(no_form("a struct of so many fields"));
        }
        self.next += 1;
        Ok(1 << (self.next - 1))
    }

    fn field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), PackError> {
        let field = self.next()?;
        let start = self.writer.out.len();
        value.serialize(&mut *self.writer)?;
        if self.writer.out.get(start..) == Some(&[0]) {
            self.writer.out.truncate(start);
        } else {
            self.present |= field;
        }
        Ok(())
    }

    fn skip(&mut self) -> Result<(), PackError> {
        self.skipped |= self.next()?;
        Ok(())
    }

    fn finish(self) {
        let bits = self.present << 1 | u64::from(self.skipped != 0);
        if bits < 0x80 && self.skipped == 0 {
            self.writer.out[self.start] = bits as u8;
            return;
        }
        let mut bitmaps = Vec::with_capacity(20);
        put_varint(&mut bitmaps, bits);
        if self.skipped != 0 {
            put_varint(&mut bitmaps, self.skipped);
        }
        self.writer.out.splice(self.start..=self.start, bitmaps);
    }
}

impl<'a, 'b> ser::Serializer for &'a mut Writer<'b> {
    type Ok = ();
    type Error = PackError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Fields<'a, 'b>;
    type SerializeStructVariant = Fields<'a, 'b>;

    fn is_human_readable(&self) -> bool {
        false
    }
    fn serialize_bool(self, v: bool) -> Result<(), PackError> {
        self.out.push(u8::from(v));
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Result<(), PackError> {
        self.serialize_i64(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result<(), PackError> {
        self.serialize_i64(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result<(), PackError> {
        self.serialize_i64(v.into())
    }
    /// Small numbers of either sign are short.
    fn serialize_i64(self, v: i64) -> Result<(), PackError> {
        self.number(((v << 1) ^ (v >> 63)).cast_unsigned());
        Ok(())
    }
    fn serialize_u8(self, v: u8) -> Result<(), PackError> {
        self.out.push(v);
        Ok(())
    }
    fn serialize_u16(self, v: u16) -> Result<(), PackError> {
        self.serialize_u64(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result<(), PackError> {
        self.serialize_u64(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result<(), PackError> {
        self.number(v);
        Ok(())
    }
    fn serialize_f32(self, _: f32) -> Result<(), PackError> {
        Err(no_form("a floating point number"))
    }
    fn serialize_f64(self, _: f64) -> Result<(), PackError> {
        Err(no_form("a floating point number"))
    }
    fn serialize_char(self, v: char) -> Result<(), PackError> {
        self.serialize_u32(v.into())
    }
    fn serialize_str(self, v: &str) -> Result<(), PackError> {
        self.bytes(v.as_bytes());
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), PackError> {
        self.bytes(v);
        Ok(())
    }
    fn serialize_none(self) -> Result<(), PackError> {
        self.serialize_bool(false)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), PackError> {
        self.out.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), PackError> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), PackError> {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), PackError> {
        self.serialize_u32(index)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), PackError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), PackError> {
        self.number(index.into());
        value.serialize(self)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, PackError> {
        self.length(length)?;
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, PackError> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, PackError> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, PackError> {
        self.number(index.into());
        Ok(self)
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Self, PackError> {
        self.length(length)?;
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a, 'b>, PackError> {
        Ok(Fields::new(self))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a, 'b>, PackError> {
        self.number(index.into());
        Ok(Fields::new(self))
    }
}

/// Parts that follow each other with nothing between them.
macro_rules! in_a_row {
    ($($kind:ident :: $part:ident),*) => { $(
        impl $kind for &mut Writer<'_> {
            type Ok = ();
            type Error = PackError;
            fn $part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), PackError> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), PackError> {
                Ok(())
            }
        }
    )* };
}

in_a_row!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

impl SerializeMap for &mut Writer<'_> {
    type Ok = ();
    type Error = PackError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), PackError> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), PackError> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), PackError> {
        Ok(())
    }
}

macro_rules! with_bitmap {
    ($($kind:ident),*) => { $(
        impl $kind for Fields<'_, '_> {
            type Ok = ();
            type Error = PackError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), PackError> {
                self.field(value)
            }
            fn skip_field(&mut self, _: &'static str) -> Result<(), PackError> {
                self.skip()
            }
            fn end(self) -> Result<(), PackError> {
                self.finish();
                Ok(())
            }
        }
    )* };
}

with_bitmap!(SerializeStruct, SerializeStructVariant);

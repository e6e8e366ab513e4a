//! Packed bytes to values.
use serde::{
    de::{
        self, DeserializeSeed, Deserializer as _, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
        VariantAccess, Visitor, value::U64Deserializer,
    },
    forward_to_deserialize_any,
};

use super::{FIELDS_MAX, PackError, take_varint};

pub(super) struct Reader<'a, 'de> {
    pub(super) rest: &'a mut &'de [u8],
}

impl<'de> Reader<'_, 'de> {
    fn number(&mut self) -> Result<u64, PackError> {
        take_varint(self.rest)
    }

    fn byte(&mut self) -> Result<u8, PackError> {
        let (byte, rest) = self.rest.split_first().ok_or_else(PackError::cut)?;
        *self.rest = rest;
        Ok(*byte)
    }

    fn flag(&mut self) -> Result<bool, PackError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(PackError(format!("{other} is neither yes nor no"))),
        }
    }

    fn length(&mut self) -> Result<usize, PackError> {
        usize::try_from(self.number()?).map_err(|_| PackError::cut())
    }

    fn bytes(&mut self) -> Result<&'de [u8], PackError> {
        let length = self.length()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(PackError::cut)?;
        *self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'de str, PackError> {
        std::str::from_utf8(self.bytes()?).map_err(|error| PackError(error.to_string()))
    }
}

/// The signed number whose small values of either sign are short.
const fn unfold(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

macro_rules! numbers {
    (signed: $($signed:ident)*; unsigned: $($unsigned:ident)*) => {
        $( fn $signed<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
            visitor.visit_i64(unfold(self.number()?))
        } )*
        $( fn $unsigned<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
            visitor.visit_u64(self.number()?)
        } )*
    };
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_, 'de> {
    type Error = PackError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, PackError> {
        Err(PackError("the packed form does not describe itself".to_owned()))
    }

    forward_to_deserialize_any! { i128 u128 f32 f64 ignored_any }

    numbers! {
        signed: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64;
        unsigned: deserialize_u16 deserialize_u32 deserialize_u64 deserialize_identifier
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_bool(self.flag()?)
    }
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_u8(self.byte()?)
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        let code = u32::try_from(self.number()?).ok().and_then(char::from_u32);
        visitor.visit_char(code.ok_or_else(|| PackError("no such character".to_owned()))?)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_borrowed_str(self.text()?)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_borrowed_str(self.text()?)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PackError> {
        visitor.visit_unit()
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PackError> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        let left = self.length()?;
        visitor.visit_seq(Items { reader: self, left })
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, PackError> {
        visitor.visit_seq(Items { reader: self, left })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, PackError> {
        visitor.visit_seq(Items { reader: self, left })
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackError> {
        let left = self.length()?;
        visitor.visit_map(Items { reader: self, left })
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PackError> {
        let bits = self.number()?;
        let skipped = if bits & 1 == 0 { 0 } else { self.number()? };
        let all = u32::try_from(fields.len()).ok().filter(|count| *count <= FIELDS_MAX);
        let all = all.ok_or_else(|| PackError("a struct has too many fields".to_owned()))?;
        let left = ((1 << all) - 1) & !skipped;
        visitor.visit_map(Fields { reader: self, left, present: bits >> 1, is_present: false })
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PackError> {
        visitor.visit_enum(Variant(self))
    }
}

/// Items that follow each other; their number is known.
struct Items<'r, 'a, 'de> {
    reader: &'r mut Reader<'a, 'de>,
    left: usize,
}

impl Items<'_, '_, '_> {
    /// No more room than there can be items, whatever damaged bytes say.
    fn expected(&self) -> usize {
        self.left.min(self.reader.rest.len())
    }
}

impl<'de> SeqAccess<'de> for Items<'_, '_, 'de> {
    type Error = PackError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, PackError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.expected())
    }
}

impl<'de> MapAccess<'de> for Items<'_, '_, 'de> {
    type Error = PackError;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, PackError> {
        self.next_element_seed(seed)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, PackError> {
        seed.deserialize(&mut *self.reader)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.expected())
    }
}

/// A struct: the fields that were not skipped, each named by its place.
struct Fields<'r, 'a, 'de> {
    reader: &'r mut Reader<'a, 'de>,
    left: u64,
    present: u64,
    /// Whether the field at hand is among the bytes; else it is a single zero.
    is_present: bool,
}

impl<'de> MapAccess<'de> for Fields<'_, '_, 'de> {
    type Error = PackError;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, PackError> {
        if self.left == 0 {
            return Ok(None);
        }
        let place = self.left.trailing_zeros();
        self.left &= self.left - 1;
        self.is_present = self.present >> place & 1 == 1;
        let name: U64Deserializer<PackError> = u64::from(place).into_deserializer();
        seed.deserialize(name).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, PackError> {
        if self.is_present {
            return seed.deserialize(&mut *self.reader);
        }
        let mut zero: &[u8] = &[0];
        seed.deserialize(&mut Reader { rest: &mut zero })
    }
}

struct Variant<'r, 'a, 'de>(&'r mut Reader<'a, 'de>);

impl<'de> EnumAccess<'de> for Variant<'_, '_, 'de> {
    type Error = PackError;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), PackError> {
        let place: U64Deserializer<PackError> = self.0.number()?.into_deserializer();
        Ok((seed.deserialize(place)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_, 'de> {
    type Error = PackError;
    fn unit_variant(self) -> Result<(), PackError> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, PackError> {
        seed.deserialize(self.0)
    }
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, PackError> {
        self.0.deserialize_tuple(length, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PackError> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

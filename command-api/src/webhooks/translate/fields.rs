//! Reads Shopify's JSON field by field: ids and amounts as the text that was sent, and errors that name the field only.
use std::{borrow::Cow, fmt};

use event_schemas::{
    Currency, Money, Timestamp, Title,
    money::Invalid::{Currency as NotACurrency, Number, TooLarge, TooPrecise},
};
use http_edge::shopify_id;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::plan::Private;

/// Why a payload cannot be used. It says where, never what stood there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {problem:?}")]
pub struct Unusable {
    field: String,
    problem: Flaw,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Absent or null.
    Missing,
    /// Not an object.
    NotAnObject,
    /// Not a list.
    NotAList,
    /// Not a text.
    NotText,
    /// Neither true nor false.
    NotABoolean,
    /// Not an integer from 1 to 2^64 − 1, or digits that say one.
    NotAnId,
    /// Not a plain decimal number.
    NotAnAmount,
    /// Not a whole number that fits 32 bits.
    NotACount,
    /// Not a time with an offset.
    NotATime,
    /// Below zero.
    Negative,
    /// More places than the currency has.
    TooPrecise,
    /// Beyond 64 bits of minor units, or more than what it is taken from.
    TooLarge,
    /// Not the shop's currency.
    OtherCurrency,
    /// The name of something else.
    OfAnotherKind,
    /// No such currency or time zone.
    Unknown,
}

impl Unusable {
    /// The flaw of a field, named by its path.
    pub(super) fn new(field: impl Into<String>, problem: Flaw) -> Self {
        Self { field: field.into(), problem }
    }

    /// The reason in kebab-case, such as `line-items-price-negative`.
    #[must_use]
    pub fn reason(&self) -> String {
        let field = if self.field.is_empty() { "body" } else { &self.field };
        format!("{}-{}", field.replace(['_', '.'], "-"), self.problem.code())
    }
}

impl Flaw {
    const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotAnObject => "not-an-object",
            Self::NotAList => "not-a-list",
            Self::NotText => "not-text",
            Self::NotABoolean => "not-a-boolean",
            Self::NotAnId => "not-an-id",
            Self::NotAnAmount => "not-an-amount",
            Self::NotACount => "not-a-count",
            Self::NotATime => "not-a-time",
            Self::Negative => "negative",
            Self::TooPrecise => "too-precise",
            Self::TooLarge => "too-large",
            Self::OtherCurrency => "other-currency",
            Self::OfAnotherKind => "of-another-kind",
            Self::Unknown => "unknown",
        }
    }
}

/// A JSON object and where it stands.
#[derive(Default)]
pub(super) struct Object<'a> {
    path: String,
    /// As they were sent; of two with one name the last counts.
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// A field of an object, present or not. Null counts as absent.
pub(super) struct Field<'a> {
    path: String,
    raw: Option<&'a RawValue>,
}

impl<'a> Object<'a> {
    /// The body as a whole.
    pub(super) fn body(body: &'a str) -> Result<Self, Unusable> {
        Self::read(String::new(), body)
    }

    /// Of a body as a whole the fields with these names.
    pub(super) fn only<'de: 'a, D: Deserializer<'de>>(
        names: &'static [&'static str],
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_map(FieldsOf { only: Some(names) })?;
        Ok(Self { path: String::new(), fields })
    }

    fn read(path: String, json: &'a str) -> Result<Self, Unusable> {
        match serde_json::from_str(json) {
            Ok(Fields(fields)) => Ok(Self { path, fields }),
            Err(_) => Err(Unusable::new(path, Flaw::NotAnObject)),
        }
    }

    /// The field of this name.
    pub(super) fn field(&self, name: &str) -> Field<'a> {
        let found = self.fields.iter().rev().find(|(found, _)| found == name);
        let raw = found.map(|(_, raw)| *raw).filter(|raw| raw.get() != "null");
        Field { path: self.path_of(name), raw }
    }

    /// The path of a field of this object.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The flaw of a field of this object.
    pub(super) fn flaw(&self, name: &str, problem: Flaw) -> Unusable {
        Unusable::new(self.path_of(name), problem)
    }

    /// An amount of the shop's money as it was sent, in minor units: `<name>_set.shop_money` if there, else `<name>`.
    pub(super) fn signed_minor(&self, name: &str, currency: Currency) -> Result<Option<i64>, Unusable> {
        let plain = self.field(name);
        let Some(set) = self.field(&format!("{name}_set")).object()? else {
            return plain.minor(currency);
        };
        let Some(shop_money) = set.field("shop_money").object()? else {
            return plain.minor(currency);
        };
        if shop_money.field("currency_code").text()?.is_some_and(|code| code != currency.code()) {
            return Err(self.flaw(name, Flaw::OtherCurrency));
        }
        let amount = Field { path: plain.path, raw: shop_money.field("amount").raw.or(plain.raw) };
        amount.minor(currency)
    }

    /// The same, not below zero.
    pub(super) fn minor(&self, name: &str, currency: Currency) -> Result<Option<i64>, Unusable> {
        match self.signed_minor(name, currency)? {
            Some(minor) if minor < 0 => Err(self.flaw(name, Flaw::Negative)),
            minor => Ok(minor),
        }
    }

    /// Refuses a body whose own global id names another kind of thing: only the body is signed, not its topic.
    pub(super) fn expect_kind(&self, kind: &str) -> Result<(), Unusable> {
        const NAME: &str = "admin_graphql_api_id";
        let other = self.field(NAME).text()?.is_some_and(|id| {
            id.strip_prefix("gid://shopify/").and_then(|rest| rest.split('/').next()) != Some(kind)
        });
        if other { Err(self.flaw(NAME, Flaw::OfAnotherKind)) } else { Ok(()) }
    }
}

/// It does not show what it holds.
impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("path", &self.path).finish_non_exhaustive()
    }
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsOf { only: None }).map(Self)
    }
}

/// Reads the fields of an object, all or only some.
struct FieldsOf {
    only: Option<&'static [&'static str]>,
}

impl<'de> Visitor<'de> for FieldsOf {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if self.only.is_none_or(|only| only.contains(&&*name)) {
                fields.push((name, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(fields)
    }
}

/// A field's name, copied only if it is written with escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor).map(Self)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

impl<'a> Field<'a> {
    /// A value of this field that must be there.
    pub(super) fn required<T>(
        self,
        read: impl FnOnce(&Self) -> Result<Option<T>, Unusable>,
    ) -> Result<T, Unusable> {
        read(&self)?.ok_or_else(|| self.flaw(Flaw::Missing))
    }

    pub(super) fn flaw(&self, problem: Flaw) -> Unusable {
        Unusable::new(&self.path, problem)
    }

    pub(super) fn is_present(&self) -> bool {
        self.raw.is_some()
    }

    pub(super) fn object(&self) -> Result<Option<Object<'a>>, Unusable> {
        self.raw.map(|raw| Object::read(self.path.clone(), raw.get())).transpose()
    }

    /// The objects of a list. A flaw in one is named by the list's path: the place would say nothing to most readers.
    pub(super) fn objects(&self) -> Result<Option<Vec<Object<'a>>>, Unusable> {
        let Some(raw) = self.raw else { return Ok(None) };
        let items: Vec<&'a RawValue> =
            serde_json::from_str(raw.get()).map_err(|_| self.flaw(Flaw::NotAList))?;
        items
            .into_iter()
            .map(|item| Object::read(self.path.clone(), item.get()))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    pub(super) fn text(&self) -> Result<Option<String>, Unusable> {
        self.parsed(Flaw::NotText)
    }

    /// A text that leads to a person; an empty one counts as absent.
    pub(super) fn private(&self) -> Result<Option<Private>, Unusable> {
        Ok(self.text()?.filter(|text| !text.trim().is_empty()).map(Private))
    }

    /// True or false; absent is false.
    pub(super) fn flag(&self) -> Result<bool, Unusable> {
        Ok(self.parsed(Flaw::NotABoolean)?.unwrap_or_default())
    }

    /// An id in its one decimal form. Never through a float: ids exceed 2^53.
    pub(super) fn id(&self) -> Result<Option<String>, Unusable> {
        let Some(digits) = self.digits(Flaw::NotAnId)? else { return Ok(None) };
        shopify_id(&digits).map(Some).ok_or_else(|| self.flaw(Flaw::NotAnId))
    }

    /// The ids of a list; absent is none.
    pub(super) fn ids(&self) -> Result<Vec<String>, Unusable> {
        let Some(raw) = self.raw else { return Ok(Vec::new()) };
        let items: Vec<&'a RawValue> =
            serde_json::from_str(raw.get()).map_err(|_| self.flaw(Flaw::NotAList))?;
        let id = |raw| Field { path: self.path.clone(), raw: Some(raw) }.id();
        items.into_iter().map(|raw| id(raw)?.ok_or_else(|| self.flaw(Flaw::NotAnId))).collect()
    }

    /// A name that the shop gave; cut where it is too long. An empty one counts as absent.
    pub(super) fn title(&self) -> Result<Option<Title>, Unusable> {
        const CHARS_MAX: usize = 255;
        Ok(self
            .text()?
            .and_then(|text| Title::try_new(text.chars().take(CHARS_MAX).collect::<String>()).ok()))
    }

    /// The id inside a global one such as `gid://shopify/Customer/7`, if it is of this kind.
    pub(super) fn global_id(&self, kind: &str) -> Result<Option<String>, Unusable> {
        let Some(text) = self.text()? else { return Ok(None) };
        let mut parts = text.strip_prefix("gid://shopify/").unwrap_or_default().split('/');
        if parts.next() != Some(kind) {
            return Err(self.flaw(Flaw::OfAnotherKind));
        }
        let id = parts.next().and_then(shopify_id).filter(|_| parts.next().is_none());
        id.map(Some).ok_or_else(|| self.flaw(Flaw::NotAnId))
    }

    /// The items of a list of texts, or of one text with commas between them.
    pub(super) fn texts(&self) -> Result<Vec<String>, Unusable> {
        match self.raw.map(RawValue::get) {
            Some(raw) if raw.starts_with('[') => Ok(self.parsed(Flaw::NotText)?.unwrap_or_default()),
            _ => Ok(self.text()?.unwrap_or_default().split(',').map(str::to_owned).collect()),
        }
    }

    /// A number of things.
    pub(super) fn count(&self) -> Result<Option<i64>, Unusable> {
        let Some(digits) = self.digits(Flaw::NotACount)? else { return Ok(None) };
        let count = digits.parse::<i32>().map_err(|_| self.flaw(Flaw::NotACount))?;
        if count < 0 { Err(self.flaw(Flaw::Negative)) } else { Ok(Some(count.into())) }
    }

    pub(super) fn time(&self) -> Result<Option<Timestamp>, Unusable> {
        let parse = |text: String| Timestamp::parse(&text).map_err(|_| self.flaw(Flaw::NotATime));
        self.parsed(Flaw::NotATime)?.map(parse).transpose()
    }

    fn minor(&self, currency: Currency) -> Result<Option<i64>, Unusable> {
        let Some(digits) = self.digits(Flaw::NotAnAmount)? else { return Ok(None) };
        Money::parse(&digits, currency).map(|money| Some(money.minor)).map_err(|invalid| {
            self.flaw(match invalid {
                Number | NotACurrency => Flaw::NotAnAmount,
                TooPrecise { .. } => Flaw::TooPrecise,
                TooLarge => Flaw::TooLarge,
            })
        })
    }

    /// The digits of a number, or of a text that should say one, exactly as sent.
    fn digits(&self, otherwise: Flaw) -> Result<Option<Cow<'a, str>>, Unusable> {
        let Some(raw) = self.raw else { return Ok(None) };
        match raw.get().as_bytes().first() {
            Some(b'"') => self.parsed::<String>(otherwise).map(|text| text.map(Cow::Owned)),
            Some(b'-' | b'0'..=b'9') => Ok(Some(Cow::Borrowed(raw.get()))),
            _ => Err(self.flaw(otherwise)),
        }
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, otherwise: Flaw) -> Result<Option<T>, Unusable> {
        self.raw.map(|raw| serde_json::from_str(raw.get()).map_err(|_| self.flaw(otherwise))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason<T>(result: Result<T, Unusable>) -> Option<String> {
        result.err().map(|unusable| unusable.reason())
    }

    #[test]
    fn ids_are_read_exactly_or_not_at_all() {
        for (json, id) in [
            (r#"{"id":820982911946154508}"#, Some("820982911946154508")),
            (r#"{"id":"820982911946154508"}"#, Some("820982911946154508")),
            (r#"{"id":18446744073709551615}"#, Some("18446744073709551615")),
            (r#"{"id":"007"}"#, Some("7")),
            (r#"{"id":null}"#, None),
            ("{}", None),
        ] {
            let read = Object::body(json).unwrap().field("id").id();
            assert_eq!(read.unwrap().as_deref(), id, "{json}");
        }
        for json in [
            r#"{"id":8.2e17}"#,
            r#"{"id":820982911946154508.0}"#,
            r#"{"id":18446744073709551616}"#,
            r#"{"id":-1}"#,
            r#"{"id":0}"#,
            r#"{"id":"+7"}"#,
            r#"{"id":""}"#,
            r#"{"id":true}"#,
            r#"{"id":[7]}"#,
        ] {
            let read = Object::body(json).unwrap().field("id").id();
            assert_eq!(reason(read).as_deref(), Some("id-not-an-id"), "{json}");
        }
    }

    #[test]
    fn amounts_are_read_as_text_and_shop_money_comes_first() {
        let usd = Currency::try_new("USD").unwrap();
        for (json, minor) in [
            (r#"{"price":"10.10"}"#, 1010),
            (r#"{"price":89.99}"#, 8999),
            (r#"{"price":0}"#, 0),
            (r#"{"price":"1","price_set":{"shop_money":{"amount":"2.00","currency_code":"USD"}}}"#, 200),
            (r#"{"price":"1","price_set":{"presentment_money":{"amount":"2.00"}}}"#, 100),
            (r#"{"price":"1","price_set":null}"#, 100),
        ] {
            let read = Object::body(json).unwrap().minor("price", usd);
            assert_eq!(read.unwrap(), Some(minor), "{json}");
        }
        for (json, why) in [
            (r#"{"price":"-0.01"}"#, "price-negative"),
            (r#"{"price":"10.999"}"#, "price-too-precise"),
            (r#"{"price":1e3}"#, "price-not-an-amount"),
            (r#"{"price":"1e3"}"#, "price-not-an-amount"),
            (r#"{"price":"ten"}"#, "price-not-an-amount"),
            (r#"{"price":true}"#, "price-not-an-amount"),
            (r#"{"price":"99999999999999999999"}"#, "price-too-large"),
            (
                r#"{"price":"1","price_set":{"shop_money":{"amount":"1","currency_code":"EUR"}}}"#,
                "price-other-currency",
            ),
            (r#"{"price":"1","price_set":7}"#, "price-set-not-an-object"),
        ] {
            let read = Object::body(json).unwrap().minor("price", usd);
            assert_eq!(reason(read).as_deref(), Some(why), "{json}");
        }
    }

    #[test]
    fn a_flaw_inside_names_its_path_and_no_value() {
        let body = Object::body(r#"{"line_items":[{"quantity":1},{"quantity":-3}]}"#).unwrap();
        let lines = body.field("line_items").objects().unwrap().unwrap();
        assert_eq!(
            reason(lines[1].field("quantity").count()).as_deref(),
            Some("line-items-quantity-negative")
        );
        for json in ["[]", "7", "\"x\""] {
            assert_eq!(reason(Object::body(json)).as_deref(), Some("body-not-an-object"));
        }
    }
}

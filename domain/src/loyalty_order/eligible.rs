//! What of an order, or of a refund, counts for points. One function for both, so they can never disagree.
use event_schemas::{
    ProductId, ProductTag,
    loyalty_order::{EarnRule, RefundLine},
};

use super::{Line, Shipping};
use crate::Rejection;

/// A line, sold or refunded, or shipping.
pub(super) struct Part<'a> {
    product_id: Option<&'a ProductId>,
    gift_card: bool,
    tags: &'a [ProductTag],
    minor: i64,
    tax_minor: i64,
}

impl<'a> From<&'a Line> for Part<'a> {
    fn from(line: &'a Line) -> Self {
        Self {
            product_id: line.product_id.as_ref(),
            gift_card: line.gift_card,
            tags: &line.tags,
            minor: line.subtotal_minor,
            tax_minor: line.tax_minor,
        }
    }
}

/// A refund does not tell tags: products excluded by one are in the order's rule by id.
impl<'a> From<&'a RefundLine> for Part<'a> {
    fn from(line: &'a RefundLine) -> Self {
        Self {
            product_id: line.product_id.as_ref(),
            gift_card: line.gift_card,
            tags: &[],
            minor: line.subtotal_minor,
            tax_minor: line.tax_minor,
        }
    }
}

impl From<Shipping> for Part<'_> {
    fn from(shipping: Shipping) -> Self {
        let Shipping { minor, tax_minor } = shipping;
        Self { product_id: None, gift_card: false, tags: &[], minor, tax_minor }
    }
}

/// The part of lines and shipping that earns under the rule, in minor units; never below zero.
pub(super) fn amount<'a>(
    parts: impl IntoIterator<Item = Part<'a>>,
    shipping: Shipping,
    taxes_included: bool,
    rule: &EarnRule,
) -> Result<i64, Rejection> {
    let shipping = rule.include_shipping.then(|| Part::from(shipping));
    let earning = parts.into_iter().chain(shipping).filter(|part| !excluded(part, rule));
    sum(earning, taxes_included, rule.include_tax).map(|minor| minor.max(0))
}

/// All that lines and shipping come to with their tax, in minor units.
pub(super) fn gross<'a>(
    parts: impl IntoIterator<Item = Part<'a>>,
    shipping: Shipping,
    taxes_included: bool,
) -> Result<i64, Rejection> {
    sum(parts.into_iter().chain([shipping.into()]), taxes_included, true)
}

/// The rule with every product added by id that one of its tags excludes, so that a refund, which tells no tags, is
/// judged like the sale.
pub(super) fn with_products_of_tags(mut rule: EarnRule, lines: &[Line]) -> EarnRule {
    let by_tag = lines.iter().filter(|line| line.tags.iter().any(|tag| rule.excluded_tags.contains(tag)));
    for product in by_tag.filter_map(|line| line.product_id.as_ref()) {
        if !rule.excluded_product_ids.contains(product) {
            rule.excluded_product_ids.push(product.clone());
        }
    }
    rule
}

fn excluded(part: &Part<'_>, rule: &EarnRule) -> bool {
    part.gift_card
        || part.product_id.is_some_and(|product| rule.excluded_product_ids.contains(product))
        || part.tags.iter().any(|tag| rule.excluded_tags.contains(tag))
}

fn sum<'a>(
    parts: impl Iterator<Item = Part<'a>>,
    taxes_included: bool,
    include_tax: bool,
) -> Result<i64, Rejection> {
    let tax_sign = match (taxes_included, include_tax) {
        (true, false) => -1,
        (false, true) => 1,
        (true, true) | (false, false) => 0,
    };
    minor(parts.map(|part| i128::from(part.minor) + tax_sign * i128::from(part.tax_minor)).sum())
}

/// The sum as an amount, if it fits.
pub(super) fn minor(sum: i128) -> Result<i64, Rejection> {
    i64::try_from(sum).map_err(|_| Rejection::AmountOverflow)
}

#[cfg(test)]
mod tests {
    use event_schemas::Rate;

    use super::*;

    fn rule() -> EarnRule {
        EarnRule {
            version: 1,
            points_per_unit: Rate::ONE,
            include_tax: false,
            include_shipping: false,
            excluded_product_ids: vec![ProductId::try_new("7").unwrap()],
            excluded_tags: vec![ProductTag::try_new("sale").unwrap()],
        }
    }

    fn line(subtotal_minor: i64, tax_minor: i64) -> Line {
        Line { product_id: None, gift_card: false, tags: Vec::new(), subtotal_minor, tax_minor }
    }

    fn eligible(lines: &[Line], taxes_included: bool, rule: &EarnRule) -> i64 {
        let shipping = Shipping { minor: 500, tax_minor: 50 };
        amount(lines.iter().map(Part::from), shipping, taxes_included, rule).unwrap()
    }

    #[test]
    fn tax_and_shipping_count_only_if_the_rule_says_so() {
        let lines = [line(1000, 190)];
        for (include_tax, include_shipping, taxes_included, expected) in [
            (false, false, false, 1000),
            (false, false, true, 810),
            (true, false, false, 1190),
            (true, false, true, 1000),
            (false, true, false, 1500),
            (false, true, true, 1260),
            (true, true, false, 1740),
            (true, true, true, 1500),
        ] {
            let rule = EarnRule { include_tax, include_shipping, ..rule() };
            assert_eq!(eligible(&lines, taxes_included, &rule), expected, "{rule:?} {taxes_included}");
        }
    }

    #[test]
    fn gift_cards_and_excluded_products_and_tags_earn_nothing() {
        let lines = [
            line(100, 0),
            Line { gift_card: true, ..line(1, 0) },
            Line { product_id: Some(ProductId::try_new("7").unwrap()), ..line(10, 0) },
            Line { product_id: Some(ProductId::try_new("8").unwrap()), ..line(1000, 0) },
            Line { tags: vec![ProductTag::try_new("sale").unwrap()], ..line(10_000, 0) },
        ];
        assert_eq!(eligible(&lines, false, &rule()), 1100);
    }

    #[test]
    fn a_product_excluded_by_a_tag_is_excluded_from_refunds_too() {
        let product_id = Some(ProductId::try_new("9").unwrap());
        let tags = vec![ProductTag::try_new("sale").unwrap()];
        let sold = Line { product_id: product_id.clone(), tags, ..line(100, 0) };
        let rule = with_products_of_tags(rule(), &[sold]);
        let refunded = RefundLine { product_id, gift_card: false, subtotal_minor: 100, tax_minor: 0 };
        assert_eq!(amount([Part::from(&refunded)], Shipping::default(), false, &rule), Ok(0));
    }

    #[test]
    fn amounts_beyond_64_bits_are_refused() {
        let lines = [line(i64::MAX, 0), line(1, 0)];
        let sum = amount(lines.iter().map(Part::from), Shipping::default(), false, &rule());
        assert_eq!(sum, Err(Rejection::AmountOverflow));
    }
}

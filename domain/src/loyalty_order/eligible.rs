//! What of an order, or of a refund, counts for points. One function for both, so they can never disagree.
use event_schemas::{
    ProductId, ProductTag,
    loyalty_order::{EarnRule, OrderRefunded, RefundLine},
    merchant::Bonus,
};

use super::{Line, Shipping};
use crate::Rejection;

/// A line, sold or refunded, or shipping.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    product_id: Option<&'a ProductId>,
    gift_card: bool,
    tip: bool,
    minor: i64,
    tax_minor: i64,
}

/// Tags are judged once per product ([`with_products_of_tags`]), never line by line.
impl<'a> From<&'a Line> for Part<'a> {
    fn from(line: &'a Line) -> Self {
        Self {
            product_id: line.product_id.as_ref(),
            gift_card: line.gift_card,
            tip: line.tip,
            minor: line.subtotal_minor,
            tax_minor: line.tax_minor,
        }
    }
}

impl<'a> From<&'a RefundLine> for Part<'a> {
    fn from(line: &'a RefundLine) -> Self {
        Self {
            product_id: line.product_id.as_ref(),
            gift_card: line.gift_card,
            tip: line.tip,
            minor: line.subtotal_minor,
            tax_minor: line.tax_minor,
        }
    }
}

impl From<Shipping> for Part<'_> {
    fn from(shipping: Shipping) -> Self {
        let Shipping { minor, tax_minor } = shipping;
        Self { product_id: None, gift_card: false, tip: false, minor, tax_minor }
    }
}

impl Part<'_> {
    /// What a refund paid out beyond its lines and shipping. It is for nothing that has a name, so it counts as goods do.
    pub(super) const fn beyond(refund: &OrderRefunded) -> Self {
        let (minor, tax_minor) = (refund.beyond_minor, refund.beyond_tax_minor);
        Self { product_id: None, gift_card: false, tip: false, minor, tax_minor }
    }
}

/// Lines and shipping of an order, or of a refund of it.
#[derive(Clone)]
pub(super) struct Parts<'a, I> {
    pub(super) lines: I,
    pub(super) shipping: Shipping,
    pub(super) taxes_included: bool,
    pub(super) rule: &'a EarnRule,
}

impl<'a, I: Iterator<Item = Part<'a>>> Parts<'a, I> {
    /// What of them earns under the rule, in minor units; never below zero.
    pub(super) fn amount(self) -> Result<i64, Rejection> {
        self.amount_of(|_| true)
    }

    /// What of that earns the bonus too. Shipping earns one that is for the whole order only.
    pub(super) fn amount_of_bonus(self, bonus: &Bonus) -> Result<i64, Rejection> {
        let whole = bonus.product_ids.is_empty() && bonus.tags.is_empty();
        self.amount_of(|part| whole || named(part, &bonus.product_ids))
    }

    fn amount_of(self, counts: impl Fn(&Part<'_>) -> bool) -> Result<i64, Rejection> {
        let Self { lines, shipping, taxes_included, rule } = self;
        let shipping = rule.include_shipping.then(|| Part::from(shipping));
        let earning = lines.chain(shipping).filter(|part| !excluded(part, rule) && counts(part));
        sum(earning, taxes_included, rule.include_tax).map(|minor| minor.max(0))
    }
}

/// The rule with every product added by id that one of its tags names: a refund, which tells no tags, is judged like the
/// sale, and so is every later state of the order. What a tag said of a product once, it says of this order for ever: a
/// product that is put on sale does not take the points of those who bought it before.
pub(super) fn with_products_of_tags(mut rule: EarnRule, lines: &[Line]) -> EarnRule {
    if rule.excluded_tags.is_empty() && rule.bonuses.iter().all(|bonus| bonus.tags.is_empty()) {
        return rule;
    }
    for line in lines {
        let Some(product) = line.product_id.as_ref().filter(|id| !rule.judged_product_ids.contains(id))
        else {
            continue;
        };
        rule.judged_product_ids.push(product.clone());
        add_if_tagged(&mut rule.excluded_product_ids, &rule.excluded_tags, product, line);
        for bonus in &mut rule.bonuses {
            add_if_tagged(&mut bonus.product_ids, &bonus.tags, product, line);
        }
    }
    rule
}

fn add_if_tagged(products: &mut Vec<ProductId>, tags: &[ProductTag], product: &ProductId, line: &Line) {
    let is_tagged = line.tags.iter().any(|tag| tags.iter().any(|other| other.is_same(tag)));
    if is_tagged && !products.contains(product) {
        products.push(product.clone());
    }
}

fn excluded(part: &Part<'_>, rule: &EarnRule) -> bool {
    (part.gift_card && !rule.include_gift_cards)
        || (part.tip && !rule.include_tips)
        || named(part, &rule.excluded_product_ids)
}

fn named(part: &Part<'_>, products: &[ProductId]) -> bool {
    part.product_id.is_some_and(|product| products.contains(product))
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
    use super::*;
    use crate::loyalty_order::specs;

    fn rule() -> EarnRule {
        EarnRule {
            excluded_product_ids: vec![ProductId::try_new("7").unwrap()],
            excluded_tags: vec![ProductTag::try_new("sale").unwrap()],
            ..specs::rule()
        }
    }

    fn line(subtotal_minor: i64, tax_minor: i64) -> Line {
        Line { tax_minor, ..specs::line(subtotal_minor) }
    }

    fn parts<'a>(lines: &'a [Line], rule: &'a EarnRule) -> Parts<'a, impl Iterator<Item = Part<'a>> + Clone> {
        let shipping = Shipping { minor: 500, tax_minor: 50 };
        Parts { lines: lines.iter().map(Part::from), shipping, taxes_included: false, rule }
    }

    fn tag(text: &str) -> ProductTag {
        ProductTag::try_new(text).unwrap()
    }

    fn product(id: &str) -> Option<ProductId> {
        Some(ProductId::try_new(id).unwrap())
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
            let amount = Parts { taxes_included, ..parts(&lines, &rule) }.amount();
            assert_eq!(amount, Ok(expected), "{rule:?} {taxes_included}");
        }
    }

    #[test]
    fn tips_and_gift_cards_count_only_if_the_rule_says_so() {
        let lines = [line(100, 0), Line { gift_card: true, ..line(1, 0) }, Line { tip: true, ..line(10, 0) }];
        for (include_gift_cards, include_tips, expected) in
            [(false, false, 100), (true, false, 101), (false, true, 110), (true, true, 111)]
        {
            let rule = EarnRule { include_gift_cards, include_tips, ..rule() };
            assert_eq!(parts(&lines, &rule).amount(), Ok(expected));
        }
    }

    #[test]
    fn excluded_products_and_tags_earn_nothing() {
        let lines = [
            line(100, 0),
            Line { product_id: product("7"), ..line(10, 0) },
            Line { product_id: product("8"), ..line(1000, 0) },
            Line { product_id: product("9"), tags: vec![tag("Sale")], ..line(10_000, 0) },
        ];
        assert_eq!(parts(&lines, &with_products_of_tags(rule(), &lines)).amount(), Ok(1100));
    }

    #[test]
    fn a_bonus_is_earned_by_its_products_its_tags_or_the_whole_order() {
        let lines = [
            line(1, 0),
            Line { product_id: product("8"), ..line(10, 0) },
            Line { product_id: product("9"), tags: vec![tag("new")], ..line(100, 0) },
            Line { product_id: product("7"), tags: vec![tag("new")], ..line(1000, 0) },
        ];
        let rule = EarnRule { include_shipping: true, ..rule() };
        for (product_ids, tags, expected) in [
            (vec![], vec![], 611),
            (vec![], vec![tag("NEW")], 100),
            (vec![product("8").unwrap()], vec![], 10),
            (vec![product("8").unwrap()], vec![tag("new")], 110),
            (vec![], vec![tag("other")], 0),
        ] {
            let bonus = Bonus { product_ids, tags, ..specs::bonus("double", "2") };
            let rule = with_products_of_tags(EarnRule { bonuses: vec![bonus], ..rule.clone() }, &lines);
            let bonus = &rule.bonuses[0];
            assert_eq!(parts(&lines, &rule).amount_of_bonus(bonus), Ok(expected), "{bonus:?}");
        }
    }

    #[test]
    fn a_product_named_by_a_tag_is_named_in_refunds_too() {
        let sold = Line { product_id: product("9"), tags: vec![tag("sale"), tag("new")], ..line(100, 0) };
        let bonus = Bonus { tags: vec![tag("new")], ..specs::bonus("double", "2") };
        let rule = with_products_of_tags(EarnRule { bonuses: vec![bonus], ..rule() }, &[sold]);
        let refunded = RefundLine {
            product_id: product("9"),
            gift_card: false,
            tip: false,
            subtotal_minor: 100,
            tax_minor: 0,
        };
        let lines = || [Part::from(&refunded)].into_iter();
        let shipping = Shipping::default();
        assert_eq!(Parts { lines: lines(), shipping, taxes_included: false, rule: &rule }.amount(), Ok(0));
        let kept = EarnRule { excluded_product_ids: Vec::new(), ..rule };
        let parts = Parts { lines: lines(), shipping, taxes_included: false, rule: &kept };
        assert_eq!(parts.amount_of_bonus(&kept.bonuses[0]), Ok(100));
    }

    #[test]
    fn amounts_beyond_64_bits_are_refused() {
        let lines = [line(i64::MAX, 0), line(1, 0)];
        assert_eq!(parts(&lines, &rule()).amount(), Err(Rejection::AmountOverflow));
    }
}

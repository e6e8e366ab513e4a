//! One plain sentence per entry that answers "why?". Names nobody and nothing from outside.
use event_schemas::{
    Points,
    points_account::{Release, RuleUsed},
    reward::Benefit,
};

use super::{Entry, EntryType, movement::MERGED_INTO};
use crate::column::Json;

impl Entry {
    /// Why the points moved.
    #[must_use]
    pub fn why(&self) -> String {
        let mut why = match self.entry_type {
            EntryType::Earn => self.why_earned(),
            EntryType::ClawBack => {
                format!("{} of an order taken back ({})", taken(self), self.reason())
            }
            EntryType::Reserve => format!("{} held for {}", points(self.held), self.bought()),
            EntryType::Unreserve => format!("{} no longer held ({})", points(self.held), self.reason()),
            EntryType::Redeem => format!("{} spent on a discount", taken(self)),
            EntryType::Reinstate => {
                let why = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                format!("{} given back because the redemption was cancelled{why}", points(self.points))
            }
            EntryType::Adjust if self.points.is_positive() => {
                format!("{} added by hand ({})", points(self.points), self.reason())
            }
            EntryType::Adjust => format!("{} taken by hand ({})", taken(self), self.reason()),
            EntryType::Release => format!("{} of an earlier award can be spent now", points(self.points)),
            EntryType::Void => {
                format!(
                    "{} of an order taken back before they could be spent ({})",
                    points(self.voided()),
                    self.reason()
                )
            }
            EntryType::Expire => format!("{} ended ({})", taken(self), self.reason()),
            EntryType::Transfer => self.why_transferred(),
            EntryType::Arrive => "Points sent to another customer arrived there".to_owned(),
            EntryType::Merge => self.why_merged(),
        };
        let rests = [
            (self.repaid, "of them repaid what was owed"),
            (self.to_debt, "of them are owed"),
            (self.forgiven, "more were let go"),
        ];
        for (rest, what) in rests.into_iter().filter(|(rest, _)| rest.is_positive()) {
            why.push_str(&format!("; {rest} {what}"));
        }
        why.push('.');
        why
    }

    fn why_earned(&self) -> String {
        let earned = points(if self.release.is_some() { self.pending } else { self.points });
        let mut why = self.why_awarded(&earned);
        match self.release.as_ref().map(|release| release.0) {
            Some(Release::AwaitingFulfilment) => why.push_str("; they wait for the order to be fulfilled"),
            Some(Release::At(time)) => why.push_str(&format!("; they can be spent from {time} on")),
            None => {}
        }
        why
    }

    fn why_awarded(&self, earned: &str) -> String {
        if let Some(action) = &self.action {
            return format!("{earned} earned by an action ({action})");
        }
        let occasion = match (&self.pos, self.order_id, &self.rule) {
            (Some(_), _, _) => " earned at a till",
            (None, Some(_), _) => " for an order",
            (None, None, Some(_)) => "",
            (None, None, None) => " given by the shop",
        };
        let calculated = self.rule.as_ref().map(|Json(rule)| format!(": {}", calculation(rule)));
        format!("{earned}{occasion} ({}){}", self.reason(), calculated.unwrap_or_default())
    }

    fn why_transferred(&self) -> String {
        match (self.points.is_positive(), self.other) {
            (true, Some(_)) => format!("{} came from another customer", points(self.points)),
            (true, None) => {
                format!(
                    "{} came back, because the other customer could not take them ({})",
                    points(self.points),
                    self.reason()
                )
            }
            (false, _) => format!("{} sent to another customer ({})", taken(self), self.reason()),
        }
    }

    fn why_merged(&self) -> String {
        match self.reason() {
            MERGED_INTO => "The customer was merged into another one, who has all of this account now",
            _ => "Another customer was merged into this one, who has all of that account now",
        }
        .to_owned()
    }

    fn voided(&self) -> Points {
        self.pending.negated().unwrap_or(Points(i64::MAX))
    }

    fn reason(&self) -> &str {
        self.reason.as_ref().map_or("no reason", |reason| reason.as_str())
    }

    /// What the points buy. A reward that is no amount has a discount of zero, so it is told first.
    fn bought(&self) -> String {
        match (self.reward.as_ref().map(|Json(used)| used.benefit), &self.discount) {
            (Some(Benefit::Percentage { percent }), _) => format!("a discount of {percent} %"),
            (Some(Benefit::FreeShipping), _) => "free shipping".to_owned(),
            (Some(Benefit::FixedDiscount { .. }) | None, Some(Json(money))) => {
                format!("a discount of {} {}", money.currency, money.amount())
            }
            (Some(Benefit::FixedDiscount { .. }) | None, None) => "a discount".to_owned(),
        }
    }
}

fn calculation(rule: &RuleUsed) -> String {
    // A bonus adds what its multiplier has above one.
    let bonus = rule.multiplier.map(|multiplier| format!("; {} makes it {multiplier} times that", rule.rule));
    format!(
        "{} {} eligible at {} per {}, settings version {}{}",
        rule.eligible.currency,
        rule.eligible.amount(),
        rule.rate,
        rule.eligible.currency,
        rule.version,
        bonus.unwrap_or_default()
    )
}

fn points(points: Points) -> String {
    if points.0 == 1 { "1 point".to_owned() } else { format!("{points} points") }
}

/// The points that an entry took, without their sign.
fn taken(entry: &Entry) -> String {
    points(entry.points.negated().unwrap_or(Points(i64::MAX)))
}

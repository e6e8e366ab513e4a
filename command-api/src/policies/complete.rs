//! What a pure policy cannot know: the time, the programme's settings, outside names and keyed digests.
//!
//! A command that runs again may be filled in otherwise; its key is known by then, so the first outcome stands.
use std::sync::Arc;

use domain::{
    Command, StreamRef,
    points_account::{self, ExpiryRule, Grace, RecordAction, SettleOrder},
};
use event_schemas::{Code, CustomerId, EntryId, Personal, RedemptionId, Timestamp};
use privacy::{Kind, Reference};
use uuid::Uuid;

use super::{Cause, Policies, perform::Trouble};
use crate::{actions, shops::Shop};

impl Policies {
    /// Fills in a command that goes to this stream.
    pub(super) async fn complete(
        &self,
        cause: &Cause,
        stream: StreamRef,
        command: &mut Command,
    ) -> Result<(), Trouble> {
        let (Command::PointsAccount(command), Some(customer)) = (command, stream.subject()) else {
            return Ok(());
        };
        let Some(shop) = self.parts.shops.by_id(cause.merchant) else {
            return Err(self.without_shop(cause).await);
        };
        let now = self.parts.clock.now();
        let days = shop.settings.redeem.reinstate_grace_days;
        let grace = Grace { days, timezone: shop.timezone.clone() };
        match command {
            points_account::Command::SettleOrder(settle) => {
                self.complete_settlement(cause, customer, &shop, settle).await?;
            }
            points_account::Command::OpenAccount(open) => {
                open.sign_up = self.sign_up(cause, customer, &shop, now)?;
            }
            points_account::Command::EarnPoints(earn) => {
                earn.at = earn.at.min(now);
                earn.expiry = expiry(&shop);
            }
            points_account::Command::ReservePoints(reserve) => {
                reserve.at = reserve.at.min(now);
                reserve.expiry = expiry(&shop);
                reserve.rule_version = shop.settings_version;
                self.note_owner(cause, reserve.redemption, customer).await?;
            }
            points_account::Command::ReleaseReservation(release) => {
                (release.at, release.grace) = (now, grace);
            }
            points_account::Command::ReinstatePoints(reinstate) => {
                (reinstate.at, reinstate.grace) = (now, grace);
                reinstate.expiry = expiry(&shop);
            }
            points_account::Command::TransferPointsIn(arrive) => {
                (arrive.at, arrive.expiry) = (now, expiry(&shop));
            }
            points_account::Command::ReturnTransfer(back) => {
                (back.at, back.grace) = (now, grace);
            }
            _ => {}
        }
        Ok(())
    }

    async fn complete_settlement(
        &self,
        cause: &Cause,
        customer: CustomerId,
        shop: &Shop,
        settle: &mut SettleOrder,
    ) -> Result<(), Trouble> {
        let keys = &self.parts.keys;
        settle.when_short = shop.settings.refund.when_short;
        settle.at = self.parts.clock.now();
        settle.expiry = expiry(shop);
        let reference = keys.reveal(cause.merchant, Kind::Order, settle.order.0).await?;
        settle.reference = reference.map(Personal::Clear);
        let mut level = settle.order.bytes().to_vec();
        level.extend(settle.version.to_be_bytes());
        level.extend(settle.target.0.to_be_bytes());
        for bonus in &settle.bonuses {
            level.extend(bonus.rule.as_str().as_bytes());
            level.extend(bonus.target.0.to_be_bytes());
        }
        settle.content = keys.sealer(cause.merchant, customer)?.digest("settle-order", &level);
        Ok(())
    }

    /// What signing up earns, if it earns anything. It is one record with the opening, so whoever signed up while it
    /// earned nothing gets nothing later either.
    fn sign_up(
        &self,
        cause: &Cause,
        customer: CustomerId,
        shop: &Arc<Shop>,
        now: Timestamp,
    ) -> Result<Option<RecordAction>, Trouble> {
        let action = Code::fixed(actions::SIGN_UP);
        let Some(award) = actions::award(shop, &action, cause.occurred_at) else { return Ok(None) };
        let sealer = self.parts.keys.sealer(cause.merchant, customer)?;
        Ok(Some(RecordAction {
            // One account signs up once.
            entry: EntryId(Uuid::new_v5(&customer.0, actions::SIGN_UP.as_bytes())),
            points: award.points,
            limit: award.limit,
            period: award.period,
            source: sealer.digest("action-source", actions::SIGN_UP.as_bytes()),
            at: now,
            expiry: expiry(shop),
            reference: None,
            content: sealer.digest("record-action", actions::SIGN_UP.as_bytes()),
            action,
        }))
    }

    /// Remembers whose redemption it is, so that its id alone finds it.
    async fn note_owner(
        &self,
        cause: &Cause,
        redemption: RedemptionId,
        customer: CustomerId,
    ) -> Result<(), Trouble> {
        let reference =
            Reference::new(Kind::Redemption, redemption.to_string(), redemption.0, Some(customer));
        Ok(self.parts.keys.resolve(cause.merchant, reference).await.map(drop)?)
    }
}

/// The programme's rule of expiry, frozen.
pub(crate) fn expiry(shop: &Shop) -> ExpiryRule {
    let expiry = &shop.settings.expiry;
    ExpiryRule { mode: expiry.mode, months: expiry.months, timezone: shop.timezone.clone() }
}

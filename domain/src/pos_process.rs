//! What a till took in reaches the account; what the account refuses is noted at the till.
use event_schemas::{
    Code, DeviceId, Event, EventId, Money, RedemptionId,
    catalogue::PosDeviceEvent,
    points_account::PosEntry,
    pos_device::{PosEntryAccepted, PosEntryKind},
};

use crate::{
    Command, Reaction, StreamRef,
    points_account::{EarnPoints, EarnSource, ExpiryRule, ReservePoints},
    policies::Instead,
    pos_device::RejectPosEntry,
};

pub(crate) fn react(id: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    let Event::PosDevice(PosDeviceEvent::PosEntryAccepted(accepted)) = event else { return Vec::new() };
    let pos = PosEntry { device: DeviceId(stream.id), sequence: accepted.sequence };
    let reject = RejectPosEntry { sequence: accepted.sequence, code: Code::fixed("refused") };
    let instead = Instead { step: "reject-pos-entry", stream, command: reject.into() };
    let (step, command): (_, Command) = match (accepted.kind, accepted.discount) {
        (PosEntryKind::Earn, _) => ("pos-earn", earn(id, pos, accepted).into()),
        (PosEntryKind::Redeem, Some(discount)) => ("pos-redeem", redeem(id, pos, accepted, discount).into()),
        (PosEntryKind::Redeem, None) => {
            let code = Code::fixed("discount-missing");
            let reject = RejectPosEntry { sequence: accepted.sequence, code };
            return vec![Reaction::command("reject-pos-entry", stream, reject)];
        }
    };
    vec![Reaction::to_account_or(step, accepted.customer, command, instead)]
}

/// The sender fills in the programme's rule of expiry.
fn earn(id: EventId, pos: PosEntry, accepted: &PosEntryAccepted) -> EarnPoints {
    EarnPoints {
        entry: id.entry("pos-earn"),
        points: accepted.points,
        reason: Code::fixed("pos"),
        source: EarnSource::Pos(pos),
        rule: accepted.rule.clone(),
        release: None,
        at: accepted.occurred_at,
        expiry: ExpiryRule::none(),
        reference: None,
        content: accepted.content,
    }
}

/// The sender fills in the programme's rule of expiry and its version.
fn redeem(id: EventId, pos: PosEntry, accepted: &PosEntryAccepted, discount: Money) -> ReservePoints {
    ReservePoints {
        redemption: RedemptionId(id.command_key("pos-redemption").0),
        points: accepted.points,
        discount,
        rule_version: 0,
        reward: None,
        pos: Some(pos),
        at: accepted.occurred_at,
        expiry: ExpiryRule::none(),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        RecordId,
        payload::Payload,
        sample::{CUSTOMER, DEVICE, ENTRY, usd},
    };

    use super::*;
    use crate::{Effect, IfRefused, Rejection, points_account, pos_device};

    const ID: EventId = EventId { record: RecordId(ENTRY.0), index: 0 };

    fn asked(kind: PosEntryKind, discount: Option<Money>) -> (StreamRef, Command, IfRefused) {
        let accepted = PosEntryAccepted { kind, discount, ..PosEntryAccepted::sample() };
        let event = PosDeviceEvent::from(accepted).into();
        let mut reactions = react(ID, StreamRef::pos_device(DEVICE), &event);
        match (reactions.pop(), reactions.is_empty()) {
            (Some(Reaction { effect: Effect::Command { stream, command, if_refused }, .. }), true) => {
                (stream, command, if_refused)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_entry_earns_under_the_tills_number_for_it() {
        let (stream, command, _) = asked(PosEntryKind::Earn, None);
        let Command::PointsAccount(points_account::Command::EarnPoints(earn)) = command else { panic!() };
        assert_eq!(stream, StreamRef::account(CUSTOMER));
        assert_eq!(earn.source, EarnSource::Pos(PosEntry { device: DEVICE, sequence: 4 }));
    }

    /// Seen to fail when the award named no rule.
    #[test]
    fn an_entry_with_an_amount_earns_by_the_rule_that_held_when_it_came() {
        let (_, command, _) = asked(PosEntryKind::Earn, None);
        let Command::PointsAccount(points_account::Command::EarnPoints(earn)) = command else { panic!() };
        assert_eq!(earn.rule.map(|rule| (rule.version, rule.eligible)), Some((1, usd(1299))));
    }

    #[test]
    fn an_entry_spends_points_for_what_the_till_took_off() {
        let (_, command, _) = asked(PosEntryKind::Redeem, Some(usd(12)));
        let Command::PointsAccount(points_account::Command::ReservePoints(reserve)) = command else {
            panic!()
        };
        assert_eq!((reserve.discount, reserve.pos.map(|pos| pos.sequence)), (usd(12), Some(4)));
    }

    #[test]
    fn what_the_account_refuses_is_noted_at_the_till_with_the_reason() {
        let (_, _, if_refused) = asked(PosEntryKind::Redeem, Some(usd(12)));
        let IfRefused::GoOnOr(instead) = if_refused else { panic!() };
        assert_eq!(instead.stream, StreamRef::pos_device(DEVICE));
        let mut command = instead.command;
        command.because(&Rejection::AccountFrozen);
        let Command::PosDevice(pos_device::Command::RejectPosEntry(reject)) = command else { panic!() };
        assert_eq!((reject.sequence, reject.code.as_str()), (4, "account-frozen"));
    }
}

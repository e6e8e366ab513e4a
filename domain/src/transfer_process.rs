//! A transfer between two customers: out, then in and done, or back. It ends either way, also across merges.
use event_schemas::{Code, Event, EventId, Timestamp, catalogue::PointsAccountEvent};

use crate::{
    Reaction, StreamRef,
    points_account::{CompleteTransfer, ExpiryRule, Grace, ReturnTransfer, TransferPointsIn},
    policies::Instead,
};

pub(crate) fn react(id: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    let (Event::PointsAccount(event), Some(customer)) = (event, stream.subject()) else { return Vec::new() };
    match event {
        PointsAccountEvent::PointsTransferredOut(out) => {
            let transfer = out.transfer;
            let arrive = TransferPointsIn {
                transfer,
                from: customer,
                points: out.points,
                lots: out.lots.clone(),
                entry: id.entry("transfer-in"),
                at: Timestamp::EPOCH,
                expiry: ExpiryRule::none(),
            };
            // The sender fills in when and why, and how long the points live on at least.
            let back = ReturnTransfer {
                transfer,
                entry: id.entry("return-transfer"),
                reason: Code::fixed("refused"),
                at: Timestamp::EPOCH,
                grace: Grace::none(),
            };
            let instead = Instead {
                step: "return-transfer",
                stream: StreamRef::account(customer),
                command: back.into(),
            };
            vec![Reaction::to_account_or("transfer-in", out.to, arrive, instead)]
        }
        PointsAccountEvent::PointsTransferredIn(arrived) => {
            let complete = CompleteTransfer { transfer: arrived.transfer };
            vec![Reaction::to_account("complete-transfer", arrived.from, complete)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        RecordId,
        payload::Payload,
        points_account::{PointsTransferredIn, PointsTransferredOut},
        sample::{CUSTOMER, ENTRY, OTHER_CUSTOMER, TRANSFER},
    };

    use super::*;
    use crate::{Command, Effect, IfRefused, Rejection, points_account};

    const ID: EventId = EventId { record: RecordId(ENTRY.0), index: 0 };

    #[test]
    fn points_that_left_arrive_or_come_back_with_the_reason() {
        let out = PointsAccountEvent::from(PointsTransferredOut::sample()).into();
        let reactions = react(ID, StreamRef::account(CUSTOMER), &out);
        let [
            Reaction {
                effect: Effect::Command { stream, if_refused: IfRefused::GoOnOr(instead), .. }, ..
            },
        ] = &reactions[..]
        else {
            panic!("{reactions:?}")
        };
        assert_eq!(*stream, StreamRef::account(OTHER_CUSTOMER));
        assert_eq!(instead.stream, StreamRef::account(CUSTOMER));
        let mut command = instead.command.clone();
        command.because(&Rejection::AccountFrozen);
        let Command::PointsAccount(points_account::Command::ReturnTransfer(back)) = command else { panic!() };
        assert_eq!((back.transfer, back.reason.as_str()), (TRANSFER, "account-frozen"));
    }

    #[test]
    fn points_that_arrived_are_no_longer_in_transit() {
        let arrived = PointsAccountEvent::from(PointsTransferredIn::sample()).into();
        let complete = CompleteTransfer { transfer: TRANSFER };
        assert_eq!(
            react(ID, StreamRef::account(CUSTOMER), &arrived),
            [Reaction::to_account("complete-transfer", OTHER_CUSTOMER, complete)]
        );
    }
}

//! Compares what clients were told with what a plain reader finds in the log.

use std::collections::HashMap;

use super::{
    Told, Verdict, World,
    owner::{Account, decode},
};

/// Every violation, in words.
pub(super) async fn check(world: &World) -> Vec<String> {
    let halts = world.halts.borrow().clone();
    let mut violations: Vec<String> = halts.iter().map(|why| format!("halted: {why}")).collect();
    let mut reader = world.store.log().reader(0, None).unwrap();
    let mut account = Account::default();
    let mut places = HashMap::new();
    loop {
        let batch = match reader.next(1_000).await {
            Ok(batch) if batch.records.is_empty() => break,
            Ok(batch) => batch,
            Err(error) => {
                violations.push(format!("halted: {error}"));
                break;
            }
        };
        for record in &batch.records {
            let Some((command, verdict)) = decode(record) else { continue };
            if places.insert(command.id, (record.position, verdict)).is_some() {
                violations.push(format!("command {} is recorded twice", command.id));
            }
            if account.decide(command) != verdict {
                violations.push(format!("command {} was wrongly decided", command.id));
            }
            account.evolve(command, verdict);
        }
    }
    let told = world.told.borrow().clone();
    for told in &told {
        let violation = match places.get(&told.command.id) {
            None if told.verdict == Verdict::Rejected => "a stale rejection",
            None => "a lost acknowledgement",
            Some((_, verdict)) if *verdict != told.verdict => "two answers",
            Some(_) => continue,
        };
        violations.push(format!("{violation}: {told:?}"));
    }
    violations
        .extend(out_of_order(&told, |told| places.get(&told.command.id).map(|(position, _)| *position)));
    violations
}

/// What was answered before something else was asked must stand before it.
fn out_of_order<P: Ord>(told: &[Told], place: impl Fn(&Told) -> Option<P>) -> Vec<String> {
    let mut violations = Vec::new();
    for earlier in told {
        for later in told.iter().filter(|later| earlier.answered < later.invoked) {
            if let (Some(one), Some(other)) = (place(earlier), place(later))
                && one >= other
            {
                violations.push(format!("out of order: {earlier:?}, {later:?}"));
            }
        }
    }
    violations
}

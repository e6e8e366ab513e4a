//! `checkpoint-apart`: rows and checkpoint are committed in two transactions. A simulation does so with every batch;
//! if `LOYALNEST_PLANTED_BUG` names it, with those that have the name in a record. Then a test may hold it between
//! the two (at `checkpoint`), and where the second one failed (at `checkpoint:failed`), as `privacy::planted` has it.
use crate::fold::Batch;

/// Whether the checkpoint behind this batch is committed apart from its rows.
pub(crate) fn is_apart(batch: &Batch) -> bool {
    simulated::is_apart() || marked::is_apart(batch)
}

pub(crate) use marked::hold_at;

#[cfg(feature = "simulated")]
mod simulated {
    pub(super) fn is_apart() -> bool {
        seeded::is_planted("checkpoint-apart")
    }
}

#[cfg(not(feature = "simulated"))]
mod simulated {
    pub(super) const fn is_apart() -> bool {
        false
    }
}

#[cfg(feature = "planted-bugs")]
mod marked {
    use std::sync::LazyLock;

    use super::Batch;

    #[cfg(not(debug_assertions))]
    compile_error!("planted-bugs must never be part of a release build");

    const NAME: &str = "checkpoint-apart";

    static IS_PLANTED: LazyLock<bool> = LazyLock::new(|| {
        let planted = std::env::var("LOYALNEST_PLANTED_BUG").unwrap_or_default();
        planted.split(',').any(|bug| bug == NAME)
    });

    pub(super) fn is_apart(batch: &Batch) -> bool {
        let is_named = |body: &[u8]| body.windows(NAME.len()).any(|text| text == NAME.as_bytes());
        *IS_PLANTED && batch.records.iter().any(|(record, _)| is_named(&record.body))
    }

    pub(crate) async fn hold_at(place: &str) {
        privacy::planted::hold_at(place).await;
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod marked {
    use super::Batch;

    pub(super) const fn is_apart(_: &Batch) -> bool {
        false
    }

    pub(crate) async fn hold_at(_: &str) {}
}

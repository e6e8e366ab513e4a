//! Each planted bug is caught: the promise that it breaks holds without it and fails with it.
use std::{env, process::Command};

/// Bugs of `privacy/src/planted.rs`, and the promise of this target that catches each.
const BUGS: [(&str, &str); 5] = [
    ("destroy-without-fence", "erasure::nothing_is_destroyed_before_its_fence"),
    ("cache-not-evicted", "erasure::a_fence_stops_opening_and_sealing_at_once_while_the_key_is_still_there"),
    ("key-minted-again", "erasure::a_key_minted_beside_a_fence_is_destroyed_or_never_made"),
    ("epoch-kept", "epochs::a_copy_from_before_opens_nothing_once_its_epoch_is_destroyed"),
    ("unbound-merchant", "erasure::keys_that_are_moved_to_another_shop_open_nothing_there"),
];

#[test]
fn every_planted_bug_breaks_a_promise() {
    let here = module_path!().split_once("::").unwrap().1;
    let above = here.strip_suffix("planted").unwrap();
    for (bug, promise) in BUGS {
        ensure_caught(bug, &format!("{above}{promise}"));
    }
}

/// Runs one test of this target without the bug and with it.
pub(crate) fn ensure_caught(bug: &str, promise: &str) {
    let run = |bug: &str| {
        let mut test = Command::new(env::current_exe().unwrap());
        let done = test.args([promise, "--exact"]).env("LOYALNEST_PLANTED_BUG", bug).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(said.contains("running 1 test"), "{promise}: {said}");
        done.status.success()
    };
    assert!(run(""), "{promise} does not even hold without a bug");
    assert!(!run(bug), "{bug} is not caught by {promise}");
}

//! How long a page is.
use http_edge::Problem;

use crate::failure::parameter;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// The demanded length of a page, checked.
pub(crate) fn limit(demanded: Option<u32>) -> Result<u32, Problem> {
    let limit = demanded.unwrap_or(LIMIT_DEFAULT);
    let fits = (1..=LIMIT_MAX).contains(&limit);
    fits.then_some(limit).ok_or_else(|| parameter("limit", "expected 1 to 200"))
}

/// Cuts rows, of which one more than a page was asked for, to a page; returns the last row's cursor if there are more.
pub(crate) fn cut<T>(rows: &mut Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Option<String> {
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > length;
    rows.truncate(length);
    rows.last().filter(|_| more).map(cursor)
}

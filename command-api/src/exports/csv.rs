//! Ledger entries as CSV (RFC 4180), in which no text is taken for a formula.
use std::fmt::Write as _;

use serde_json::Value;

use super::gather::Told;

const COLUMNS: [&str; 16] = [
    "partition",
    "position",
    "recorded_at",
    "occurred_at",
    "customer_id",
    "type",
    "entry_id",
    "points",
    "available_after",
    "pending_after",
    "reserved_after",
    "debt_after",
    "reason",
    "reference",
    "note",
    "by",
];

/// What a spreadsheet takes for the beginning of a formula; a tab or a line break in front does not keep it from that.
const FORMULA: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A table with a head and one row per entry that states balances.
pub(super) fn table(ledger: &[&Told]) -> (String, usize) {
    let (mut csv, mut rows) = (COLUMNS.join(","), 0);
    csv.push_str("\r\n");
    for told in ledger {
        let Some(after) = told.data.get("after") else { continue };
        rows += 1;
        let balance = |name: &str| number(after.get(name).or(Some(&Value::from(0))));
        let note = ["note", "public_note", "internal_note"].map(|name| text(told.data.get(name)));
        let note = note.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(" / ");
        let cells = [
            told.partition.to_string(),
            told.position.to_string(),
            told.recorded_at.to_string(),
            told.occurred_at.to_string(),
            told.route.to_string(),
            told.event.to_owned(),
            text(told.data.get("entry")),
            number(told.data.get("points")),
            balance("available"),
            balance("pending"),
            balance("reserved"),
            balance("debt"),
            cell(&text(told.data.get("reason"))),
            cell(&text(told.data.get("reference"))),
            cell(&note),
            told.by.to_owned(),
        ];
        // Writing to a text does not fail.
        let _ = write!(csv, "{}\r\n", cells.join(","));
    }
    (csv, rows)
}

/// A number is one, with its sign; anything else is no number.
fn number(value: Option<&Value>) -> String {
    value.and_then(Value::as_i64).map(|number| number.to_string()).unwrap_or_default()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A text as a cell: an apostrophe before what would be taken for a formula, quotes around what would break the row.
fn cell(text: &str) -> String {
    let looks_like_one = text.trim_start_matches(' ').starts_with(FORMULA);
    let guarded = if looks_like_one { format!("'{text}") } else { text.to_owned() };
    if guarded.contains(['"', ',', '\r', '\n', ';', '\t']) {
        return format!("\"{}\"", guarded.replace('"', "\"\""));
    }
    guarded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches, tried: a cell that is quoted but not guarded, and a guard that a space in front defeats.
    #[test]
    fn no_text_is_taken_for_a_formula_and_none_breaks_its_row() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("=1+1", "'=1+1"),
            ("+49 30", "'+49 30"),
            ("-5", "'-5"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\t=1", "\"'\t=1\""),
            ("\r\n=1", "\"'\r\n=1\""),
            ("＝1", "'＝1"),
            ("a,b", "\"a,b\""),
            ("a;b", "\"a;b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("two\nlines", "\"two\nlines\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn points_keep_their_sign_and_nothing_else_stands_where_points_do() {
        assert_eq!(number(Some(&Value::from(-5))), "-5");
        assert_eq!(number(Some(&Value::from("=1"))), "");
    }
}

//! The one table at the end: ratios first, absolutes beside them, and whether each mark is reached.
use serde_json::{Value, json};

use crate::measure::{Mark, Measurement, Row, Unit};

/// A measurement and what it found, or why it found nothing.
pub(crate) struct Found {
    pub(crate) measurement: &'static Measurement,
    pub(crate) rows: Result<Vec<Row>, String>,
}

const HEAD: [&str; 6] = ["measured", "ratio", "mark", "ours", "peer", "case"];

/// As Markdown, so that it can stand in a page as printed.
pub(crate) fn markdown(found: &[Found]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for Found { measurement, rows } in found {
        match rows {
            Ok(rows) => lines.extend(rows.iter().map(|row| cells(measurement, row))),
            Err(why) => {
                let mut line = [const { String::new() }; HEAD.len()];
                (line[0], line[2], line[5]) = (measurement.name.to_owned(), "failed".to_owned(), why.clone());
                lines.push(line);
            }
        }
    }
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        text.push_str(&format!("|{}\n", padded.collect::<String>()));
        if number == 0 {
            let rule = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2)));
            text.push_str(&format!("|{}\n", rule.collect::<String>()));
        }
    }
    text.push('\n');
    for Found { measurement, .. } in found {
        let beside = if measurement.peer.is_empty() { "" } else { ", beside " };
        text.push_str(&format!("- {}: {}{beside}{}\n", measurement.name, measurement.what, measurement.peer));
    }
    text
}

/// For programs: absolutes as numbers, times in microseconds.
pub(crate) fn json(machine: &str, found: &[Found]) -> Value {
    let rows = found.iter().flat_map(|Found { measurement, rows }| match rows {
        Ok(rows) => rows.iter().map(|row| object(measurement, row)).collect(),
        Err(why) => vec![json!({"measured": measurement.name, "failed": why})],
    });
    json!({"machine": machine, "rows": rows.collect::<Vec<_>>()})
}

fn object(measurement: &Measurement, row: &Row) -> Value {
    let unit = match row.unit {
        Unit::PerSecond => "per second",
        Unit::Micros => "microseconds",
        Unit::Bytes => "bytes",
        Unit::Count => "count",
    };
    json!({
        "measured": measurement.name, "what": measurement.what, "beside": measurement.peer, "case": row.case,
        "unit": unit, "ours": row.ours, "peer": row.peer, "ratio_permille": row.permille(),
        "reached": row.reaches(measurement.mark),
    })
}

fn cells(measurement: &Measurement, row: &Row) -> [String; 6] {
    [
        measurement.name.to_owned(),
        row.permille().map_or_else(String::new, ratio),
        mark(measurement.mark, row),
        figure(row.ours, row.unit),
        row.peer.map_or_else(String::new, |peer| figure(peer, row.unit)),
        row.case.clone(),
    ]
}

fn mark(mark: Mark, row: &Row) -> String {
    let Some(reached) = row.reaches(mark) else { return "reported".to_owned() };
    let wanted = match row.mark(mark) {
        Mark::PercentOfPeer(percent) => format!("≥ {}", ratio(percent * 10)),
        Mark::AtMostPercentOfPeer(percent) => format!("≤ {}", ratio(percent * 10)),
        Mark::AtMost(most) => format!("≤ {}", figure(most, row.unit)),
        Mark::AtLeast(least) => format!("≥ {}", figure(least, row.unit)),
        Mark::Reported => String::new(),
    };
    format!("{wanted}: {}", if reached { "ok" } else { "missed" })
}

/// Below ten times as per cent, from there on as a multiple.
fn ratio(permille: u64) -> String {
    if permille < 10_000 {
        format!("{} %", tenths(permille))
    } else {
        format!("{} x", tenths(permille / 100))
    }
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

fn figure(number: u64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => format!("{}/s", thousands(number)),
        Unit::Micros if number < 1_000 => format!("{number} us"),
        Unit::Micros => format!("{} ms", tenths(number / 100)),
        Unit::Bytes if number < 1024 * 1024 => format!("{} B", thousands(number)),
        Unit::Bytes => format!("{} MiB", thousands(number / 1024 / 1024)),
        Unit::Count => thousands(number),
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Measurement = Measurement {
        name: "sums",
        what: "sums",
        peer: "an abacus",
        mark: Mark::PercentOfPeer(150),
        needs: &[],
        run: |_| Box::pin(async { Ok(Vec::new()) }),
    };

    fn verdict(ours: u64, peer: u64) -> String {
        mark(MEASURED.mark, &Row::beside("case", (ours, peer)))
    }

    #[test]
    fn a_mark_is_reached_from_its_own_value_on() {
        assert_eq!(verdict(150, 100), "≥ 150.0 %: ok");
        assert_eq!(verdict(1499, 1000), "≥ 150.0 %: missed");
        assert_eq!(verdict(1, 0), "reported", "a peer that did nothing judges nothing");
    }

    #[test]
    fn figures_are_told_so_that_they_can_be_read() {
        assert_eq!(figure(1_234_567, Unit::PerSecond), "1,234,567/s");
        assert_eq!(figure(12_345, Unit::Micros), "12.3 ms");
        assert_eq!([figure(999, Unit::Bytes), figure(3 << 20, Unit::Bytes)], ["999 B", "3 MiB"]);
        assert_eq!([ratio(412), ratio(18_340)], ["41.2 %", "18.3 x"]);
    }

    #[test]
    fn what_failed_stands_in_the_table_with_its_reason() {
        let found = [Found { measurement: &MEASURED, rows: Err("no beads".to_owned()) }];
        let table = markdown(&found);
        assert!(table.contains("| failed |") && table.contains("no beads"), "{table}");
        assert_eq!(json("here", &found)["rows"][0]["failed"], "no beads");
    }
}

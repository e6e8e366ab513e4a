//! Which event feeds which projection. An event that none handles stands there with a dash, for all to see.
use event_schemas::EVENTS;

#[test]
fn the_table_of_events_and_projections_is_as_committed() {
    let width = EVENTS.iter().map(|kind| kind.name.len()).max().unwrap_or(0);
    let table: String = EVENTS
        .iter()
        .map(|kind| {
            let handlers = projections::all().iter().filter(|line| line.handles(kind.number));
            let names: Vec<_> = handlers.map(|line| line.name).collect();
            let names = if names.is_empty() { "-".to_owned() } else { names.join(" ") };
            format!("{:width$}  {names}\n", kind.name)
        })
        .collect();
    assert_eq!(
        table,
        include_str!("coverage.txt"),
        "write the new table to tests/coverage.txt if it is meant so"
    );
}

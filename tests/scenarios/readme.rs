//! The tour of the README, command by command as it is written there, with the answers it shows.
use std::process::Command;

use serde_json::Value;

use crate::harness::{Door, EXECUTABLE, Folder, Spoken};

/// What differs from one installation to the next.
const OWN: [&str; 4] = ["redemption_id", "code", "position", "available"];

/// A piece of the tour.
#[derive(Debug)]
enum Piece {
    Command(String),
    /// What the command before it answers, perhaps only the beginning.
    Answer(String),
}

/// The commands and answers between two headings.
fn tour() -> Vec<Piece> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let tour = text.split("## A short tour").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut pieces = Vec::new();
    let mut behind = "";
    for (index, block) in tour.split("```").enumerate() {
        if index % 2 == 0 {
            behind = block;
        } else if let Some(script) = block.strip_prefix("sh\n") {
            let lines = script.replace("\\\n", " ");
            pieces.extend(
                lines.lines().filter(|line| !line.contains('…')).map(|line| Piece::Command(line.to_owned())),
            );
        } else if let Some(answer) = block.strip_prefix("json\n").filter(|_| behind.trim().is_empty()) {
            pieces.push(Piece::Answer(answer.to_owned()));
        }
    }
    pieces
}

/// The word behind `before` in what was printed.
fn printed(text: &str, before: &str) -> String {
    let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("{before} in {text}"));
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect()
}

/// Runs a line of the tour; `cargo run` is the executable under test, on its own port and folder.
fn run(line: &str, folder: &Folder, server: &Spoken, environment: &[(&str, &str)]) -> String {
    let own = line
        .replace("cargo run -q --", &format!("'{EXECUTABLE}'"))
        .replace(
            "webhook send docs/",
            &format!("webhook send --url {} '{}'/docs/", server.url, env!("CARGO_MANIFEST_DIR")),
        )
        .replace("http://127.0.0.1:8080", &server.url);
    let output = Command::new("sh")
        .args(["-c", &own])
        .current_dir(folder.root())
        .envs(environment.iter().copied())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{own}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every field that the README shows is there, with the value shown unless every installation has its own.
fn compare(shown: &str, answered: &str) {
    let shown = shown.replace(",…}", "}");
    let shown: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
    let answered: Value =
        serde_json::from_str(answered).unwrap_or_else(|error| panic!("{error}: {answered}"));
    for (name, value) in shown.as_object().unwrap() {
        let found = answered.get(name).unwrap_or_else(|| panic!("{name} in {answered}"));
        assert!(OWN.contains(&name.as_str()) || found == value, "{name} is {found} and not {value}");
    }
}

#[tokio::test]
async fn the_tour_works_as_it_is_written() {
    let folder = Folder::new();
    let server = Spoken::start(&folder, &["--port", "0"], &[("LOYALNEST_OPERATOR_TOKEN", "tour")]);
    let door = Door::at(&server.url, "tour");
    let text = server.printed();
    let (token, customer) = (printed(&text, "Bearer "), printed(&text, "customer_id="));
    let environment = [("TOKEN", token.as_str()), ("CUSTOMER", customer.as_str())];
    let (mut last, mut commands, mut answers) = (String::new(), 0, 0);
    for piece in tour() {
        match piece {
            Piece::Command(line) => {
                last = run(&line, &folder, &server, &environment);
                assert!(!last.contains("urn:loyalnest:problem"), "{line}\n{last}");
                door.until_idle().await;
                commands += 1;
            }
            Piece::Answer(shown) => {
                compare(&shown, &last);
                answers += 1;
            }
        }
    }
    assert!(commands >= 5 && answers >= 2, "{commands} commands and {answers} answers were found");
}

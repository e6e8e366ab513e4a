//! The tour of the README, command by command as it is written there, with the answers it shows; then what
//! `docs/privacy.md` prints; then how it grows.
#[cfg(all(feature = "kafka", feature = "postgres"))]
mod growing;

use std::process::Command;

use serde_json::Value;

use crate::harness::{Door, EXECUTABLE, Folder, Spoken};

/// What differs from one installation to the next.
const OWN: [&str; 6] = ["redemption_id", "code", "position", "available", "customer_id", "certificate"];
/// The operator's token in the tour.
const OPERATOR: &str = "tour";

/// A piece of the tour.
#[derive(Debug)]
enum Piece {
    Command(String),
    /// A variable, and the field of the answer before that it takes.
    Variable(String, String),
    /// What the command before it answers, perhaps only the beginning.
    Answer(String),
}

/// The commands and answers of a document between this heading and the next one.
fn pieces(document: &str, heading: &str) -> Vec<Piece> {
    let text = std::fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let tour = text.split(heading).nth(1).unwrap().split("\n## ").next().unwrap();
    let mut pieces = Vec::new();
    let mut behind = "";
    for (index, block) in tour.split("```").enumerate() {
        if index % 2 == 0 {
            behind = block;
        } else if let Some(script) = block.strip_prefix("sh\n") {
            pieces.extend(script.replace("\\\n", " ").lines().filter_map(line));
        } else if let Some(answer) = block.strip_prefix("json\n").filter(|_| behind.trim().is_empty()) {
            pieces.push(Piece::Answer(answer.to_owned()));
        }
    }
    pieces
}

/// A line of a script; none if it only shows what the reader fills in from the server's first words.
fn line(line: &str) -> Option<Piece> {
    let Some((variable, rest)) = line.split_once("=…") else {
        return (!line.contains('…')).then(|| Piece::Command(line.to_owned()));
    };
    let field = rest.trim().strip_prefix("# ")?.strip_suffix(" of the answer")?;
    Some(Piece::Variable(variable.to_owned(), field.to_owned()))
}

/// The word behind `before` in what was printed.
fn printed(text: &str, before: &str) -> String {
    let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("{before} in {text}"));
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect()
}

/// Runs a line of the tour; `cargo run` is the executable under test, on its own port and folder.
fn run(line: &str, folder: &Folder, url: &str, environment: &[(String, String)]) -> String {
    let own = line
        .replace("cargo run -q --", &format!("'{EXECUTABLE}'"))
        .replace("loyalnest privacy", &format!("'{EXECUTABLE}' privacy"))
        .replace("webhook send", &format!("webhook send --url {url}"))
        .replace(" docs/", &format!(" '{}'/docs/", env!("CARGO_MANIFEST_DIR")))
        .replace("http://127.0.0.1:8080", url);
    let output = Command::new("sh")
        .args(["-c", &own])
        .current_dir(folder.root())
        .envs(environment.iter().cloned())
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
    contains(&answered, &shown);
}

fn contains(answered: &Value, shown: &Value) {
    match (answered, shown) {
        (Value::Object(answered), Value::Object(shown)) => {
            for (name, value) in shown {
                let found = answered.get(name).unwrap_or_else(|| panic!("{name} in {answered:?}"));
                if !OWN.contains(&name.as_str()) {
                    contains(found, value);
                }
            }
        }
        (Value::Array(answered), Value::Array(shown)) => {
            assert!(answered.len() >= shown.len(), "{answered:?} is shorter than {shown:?}");
            answered.iter().zip(shown).for_each(|(answered, shown)| contains(answered, shown));
        }
        _ => assert_eq!(answered, shown),
    }
}

#[tokio::test]
async fn the_tour_works_as_it_is_written() {
    let folder = Folder::new();
    let server = Spoken::start(&folder, &["--port", "0"], &[("LOYALNEST_OPERATOR_TOKEN", OPERATOR)]);
    let door = Door::at(&server.url, OPERATOR);
    let text = server.printed();
    let mut environment = [("TOKEN", "Bearer "), ("CUSTOMER", "customer_id=")]
        .map(|(name, before)| (name.to_owned(), printed(&text, before)))
        .to_vec();
    let (mut last, mut commands, mut answers) = (String::new(), 0, 0);
    for piece in pieces("README.md", "## A short tour") {
        match piece {
            Piece::Command(line) => {
                last = run(&line, &folder, &server.url, &environment);
                assert!(!last.contains("urn:loyalnest:problem"), "{line}\n{last}");
                door.until_idle().await;
                commands += 1;
            }
            Piece::Variable(name, field) => {
                let answer: Value = serde_json::from_str(&last).unwrap();
                environment.push((name, answer[field].as_str().unwrap().to_owned()));
            }
            Piece::Answer(shown) => {
                compare(&shown, &last);
                answers += 1;
            }
        }
    }
    assert!(commands >= 20 && answers >= 6, "{commands} commands and {answers} answers were found");
    let asking = pieces("docs/privacy.md", "\n## Asking\n").into_iter().filter_map(|piece| match piece {
        Piece::Command(line) => Some(line),
        _ => None,
    });
    let (offline, asking): (Vec<_>, Vec<_>) = asking.partition(|line| line.contains("rotate-root"));
    assert!(asking.len() >= 4 && offline.len() == 1, "{asking:?} {offline:?}");
    for line in asking {
        run(&line, &folder, &server.url, &environment);
    }
    let open = door.queues().await["privacy_requests"].clone();
    assert!(open["overdue"] == 0 && open["from_day_27"] == 0, "{open}");
    let url = server.url.clone();
    assert!(server.end_by("TERM").success());
    run(&offline[0], &folder, &url, &environment);
}

//! A server, an address or a file that cannot be used is refused at the start, and what is said says what to change.
use std::fs;

use event_log::kafka::testing::{self, new_topic};
use postgres_store::testing::TestDatabase;

use super::on_kafka::scribble;
use crate::harness::{Folder, Server, run};

/// Where something is asked for that is wrong.
#[derive(Clone, Copy)]
enum Of {
    Log,
    Reads,
    Stores,
}

impl Of {
    const ALL: [Self; 3] = [Self::Log, Self::Reads, Self::Stores];

    fn at(self, address: &str) -> Folder {
        match self {
            Self::Log => Folder::with_log(address),
            Self::Reads => Folder::with_reads(address),
            Self::Stores => Folder::with_stores(address),
        }
    }

    const fn schema(self) -> &'static str {
        match self {
            Self::Log => "loyalnest_log",
            Self::Reads => "loyalnest_read",
            Self::Stores => "loyalnest_keys",
        }
    }
}

/// What is said where a start is refused; it holds no secret.
fn refused(what: &str, folder: &Folder, more: &[&str], wanted: &[&str]) {
    let serve = ["serve", "--no-demo", "--port", "0", "--data", "data"];
    let output = run(folder, &[&serve[..], more].concat(), &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{what} was accepted");
    assert!(!said.contains("hunter2"), "{what}: {said}");
    for wanted in wanted {
        assert!(said.contains(wanted), "{what}: {wanted:?} is not in {said}");
    }
}

/// With the address left out of what is said, the first line was seen to fail; with a schema that is only brought up to
/// date, the last ones.
#[test]
fn a_postgres_that_cannot_be_used_is_told_with_what_to_change() {
    let database = TestDatabase::create();
    let nowhere = "postgres://me:hunter2@127.0.0.1:1/nowhere";
    let host = database.url();
    let (_, host) = host.split_once("//").unwrap();
    let (_, host) = host.split_once('@').unwrap();
    let stranger = format!("postgres://nobody_here:hunter2@{host}");
    let other_file = database.url().replace("disable", "verify-full&sslrootcert=/nowhere/ca.pem");
    for of in Of::ALL {
        for (what, address, wanted) in [
            (
                "unreachable",
                nowhere.to_owned(),
                &["postgres://me@127.0.0.1:1/nowhere", "correct host and port"][..],
            ),
            (
                "no such database",
                database.url().replace("/test_", "/nowhere_"),
                &["createdb", "correct the address"],
            ),
            ("a stranger", stranger.clone(), &["the user or the password", "correct them in the address"]),
            ("no database named", nowhere.replace("/nowhere", ""), &["names no database"]),
            (
                "an unknown parameter",
                format!("{nowhere}?sslcompression=hunter2"),
                &["no parameter sslcompression"],
            ),
            (
                "a TLS file that is not there",
                other_file.clone(),
                &["sslmode", "files that the address names"],
            ),
        ] {
            refused(what, &of.at(&address), &[], wanted);
        }
        let database = TestDatabase::create();
        drop(Server::start_on(&of.at(&database.url()), &[]));
        let newer = format!("INSERT INTO {}.schema_version VALUES (99)", of.schema());
        database.execute(&newer).unwrap();
        refused(
            "a newer program's",
            &of.at(&database.url()),
            &[],
            &[of.schema(), "99", "start a newer program"],
        );
    }
}

/// Certificates and passwords are refused by a broker in `event-log/src/backends/kafka/tests/secure.rs`.
#[test]
fn a_kafka_that_cannot_be_used_is_told_with_what_to_change() {
    let database = TestDatabase::create();
    let host = database.url();
    let host = host.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let nowhere = "kafka://127.0.0.1:1/x";
    refused("unreachable", &Folder::with_log(nowhere), &[], &[nowhere, "advertised.listeners"]);
    refused(
        "no Kafka",
        &Folder::with_log(&format!("kafka://{host}/x")),
        &[],
        &[&host, "advertised.listeners"],
    );
    refused("no port", &Folder::with_log("kafka://127.0.0.1"), &[], &["kafka://HOST:PORT"]);

    let folder = Folder::with_log(nowhere);
    let file = folder.root().join("kafka.properties");
    let name = file.display().to_string();
    refused("no file", &folder, &["--kafka-config", &name], &["kafka_config", &name, "could not be read"]);
    for (text, wanted) in [
        ("security.protocol=SSL\nssl.ca.location=/nowhere/ca.pem\n", "ssl.ca.location"),
        ("security.protocol=TLS\n", "expected security.protocol=SSL, SASL_SSL or SASL_PLAINTEXT"),
        ("security.protocol=SSL\nsasl.password=hunter2\n", "sasl.password says nothing"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=me\n", "sasl.password is missing"),
        ("enable.ssl.certificate.verification=false\n", "there is no such setting"),
    ] {
        fs::write(&file, text).unwrap();
        refused(text, &folder, &["--kafka-config", &name], &[wanted]);
    }
    refused("a file for no Kafka", &Folder::new(), &["--kafka-config", &name], &["for a log on Kafka"]);
}

/// A topic that a log was made in and that was changed since.
#[tokio::test]
async fn a_topic_that_no_longer_keeps_a_log_is_told_with_what_to_change() {
    let log = || {
        let topic = new_topic();
        let folder = Folder::with_log(&topic.to_string());
        drop(Server::start_on(&folder, &[]));
        (topic, folder)
    };
    let (topic, folder) = log();
    testing::change(&topic, &[("cleanup.policy", "compact"), ("retention.ms", "604800000")]).await.unwrap();
    let wanted = ["cleanup.policy is compact, but must be", "retention.ms is 604800000, but must be"];
    refused("wrong settings", &folder, &[], &wanted);

    let (topic, folder) = log();
    testing::grow(&topic, 12).await.unwrap();
    refused("more partitions", &folder, &[], &["8 partitions for ever", "the topic has 12"]);

    let (topic, folder) = log();
    scribble(&topic.to_string(), 0, &["loyalnest-frame=\u{2}newer"]);
    refused("a newer record", &folder, &[], &["update this program"]);
}

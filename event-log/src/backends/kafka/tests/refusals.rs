//! What is refused when a log is made or opened, and whether the text says what to change.

use rdkafka::admin::ResourceSpecifier;

use super::{editor::Plain, *};

fn reason(refused: Result<impl Sized, Error>) -> String {
    match refused.err().expect("it was accepted") {
        Error::Unusable { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

async fn reopened(topic: &Topic) -> String {
    reason(opened(&topic.address).await)
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_no_log_and_one_that_is_is_not_made_again() {
    let address = testing::new_topic();
    let place = address.to_string();
    assert!(matches!(open(&address, None).await, Err(Error::NotFound { place: found }) if found == place));
    let topic = Topic::new().await;
    let again = init(&topic.address, 4, None).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    assert_eq!(open(&topic.address, None).await.unwrap().id(), topic.log().id());
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_named_with_what_to_check() {
    // Not one that the system gives to whoever connects: a client may be connected to itself there.
    let address: Address = "kafka://127.0.0.1:9/x".parse().unwrap();
    let (opened, made) = tokio::join!(open(&address, None), init(&address, 1, None));
    for refused in [opened, made] {
        let told = refused.err().unwrap().to_string();
        assert!(told.contains(&address.to_string()) && told.contains("advertised.listeners"), "{told}");
        assert!(told.contains("Connection refused"), "{told}");
    }
}

/// With a check that stops at the first fault this was seen to fail.
#[tokio::test]
async fn every_wrong_setting_of_a_topic_is_named() {
    let topic = Topic::new().await;
    let wrong = [
        ("cleanup.policy", "compact"),
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "1000000"),
    ];
    testing::change(&topic.address, &wrong).await.unwrap();
    let told = reopened(&topic).await;
    for (name, value) in wrong {
        assert!(told.contains(&format!("{name} is {value}, but must be")), "{name}: {told}");
    }
}

#[tokio::test]
async fn a_log_whose_partitions_were_added_to_is_refused() {
    let topic = Topic::new().await;
    testing::grow(&topic.address, 6).await.unwrap();
    let told = opened(&topic.address).await.err().unwrap().to_string();
    assert!(told.contains("partition 4") || told.contains("4 partitions"), "{told}");
}

#[tokio::test]
async fn a_topic_without_certificates_is_refused_and_never_filled() {
    let topic = Topic::new().await;
    let genesis = topic.kafka.store.genesis;
    let mut content = topic.editor().read(4);
    let certificate = content[3].remove(0);
    topic.editor().replace(&genesis, &content);
    assert!(reopened(&topic).await.contains("partition 3 does not begin with the certificate"));
    let stray = Plain { headers: Vec::new(), ..certificate };
    topic.editor().write(&[Vec::new(), Vec::new(), Vec::new(), vec![stray]]);
    assert!(reopened(&topic).await.contains("partition 3 does not begin with the certificate"));
}

#[tokio::test]
async fn partitions_of_two_logs_are_refused() {
    let (topic, other) = (Topic::new().await, Topic::new().await);
    let mut content = topic.editor().read(4);
    content[2] = other.editor().read(4).remove(2);
    topic.editor().replace(&topic.kafka.store.genesis, &content);
    assert!(reopened(&topic).await.contains("partition 2 holds another log"));
}

#[tokio::test]
async fn a_log_of_a_newer_program_is_refused() {
    let topic = Topic::new().await;
    let mut content = topic.editor().read(4);
    for byte in [0, 1] {
        let before = content[0][0].clone();
        content[0][0].headers[0].1[byte] = 2;
        topic.editor().replace(&topic.kafka.store.genesis, &content);
        assert!(reopened(&topic).await.contains("newer program"), "byte {byte}");
        content[0][0] = before;
    }
}

#[tokio::test]
async fn a_log_opened_for_reading_writes_nothing() {
    let topic = Topic::new().await;
    let log = open_read_only(&topic.address).await.unwrap();
    assert!(matches!(log.claim(0, |_| Ok(())).await.map(drop), Err(Error::ReadOnly)));
    assert_eq!(topic.editor().read(4).concat().len(), 4);
}

#[tokio::test]
async fn a_topic_with_too_few_replicas_is_refused() {
    // With one broker there can be no more, so the rule itself is asked.
    let topic = Topic::new().await;
    let described = admin(&topic.address)
        .describe_configs(&[ResourceSpecifier::Topic(&topic.address.topic)], &AdminOptions::new())
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(settings::faults(&described, 1, settings::Copies::of(1)), Vec::<String>::new());
    let faults = settings::faults(&described, 1, settings::Copies::of(3)).join("; ");
    assert!(faults.contains("min.insync.replicas is 1") && faults.contains("1 replicas"), "{faults}");
    assert!(settings::few(1).unwrap().contains("1 of the 3 copies") && settings::few(3).is_none());
}

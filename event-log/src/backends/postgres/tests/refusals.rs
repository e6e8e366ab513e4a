//! Servers, users and addresses that a log cannot be trusted to: the message says what to change, and no secret.

use std::error::Error as _;

use super::{cluster::*, *};

/// The error with its causes.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    assert!(!format!("{text} {error:?}").contains(PASSWORD), "the password is shown: {text}");
    text
}

async fn refused(address: &str) -> String {
    let address: Address = address.parse().unwrap();
    let refusals = [
        open(&address, None).await.err(),
        init(&address, 4, None).await.err(),
        open_read_only(&address).await.err(),
    ];
    let texts: Vec<String> = refusals.iter().map(|refusal| text(refusal.as_ref().unwrap())).collect();
    texts.join("\n")
}

/// What is wanted stands in each of the three refusals.
fn says(text: &str, wanted: &[&str]) {
    for word in wanted {
        assert_eq!(text.lines().filter(|line| line.contains(word)).count(), 3, "{word} in {text}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_had_is_refused_with_what_to_change() {
    let mut cluster = Cluster::create().await;
    says(&refused(&cluster.url()).await, &["cannot be reached", "127.0.0.1"]);

    cluster.start(&[]).await;
    says(&refused(&cluster.url().replace(PASSWORD, "wrong")).await, &["password"]);
    says(&refused(&cluster.url().replace("/postgres?", "/nowhere?")).await, &["database does not exist"]);
    says(&refused(&cluster.url().replace("sslmode=disable", "sslmode=require")).await, &["sslmode"]);
    let missing = "sslmode=verify-full&sslrootcert=/nowhere/root.pem";
    says(&refused(&cluster.url().replace("sslmode=disable", missing)).await, &["sslmode", "files"]);
}

/// With `sslmode=require`, which checks nobody's certificate, the stranger's was seen to be taken.
#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_is_refused() {
    let mut cluster = Cluster::create().await;
    let (settings, root, stranger) = cluster.certify();
    cluster.start(&settings.each_ref().map(String::as_str)).await;
    let signed_by = |authority: &std::path::Path| {
        let checked = format!("sslmode=verify-full&sslrootcert={}", authority.display());
        cluster.url().replace("sslmode=disable", &checked)
    };
    init(&signed_by(&root).parse().unwrap(), 4, None).await.unwrap();
    says(&refused(&signed_by(&stranger)).await, &["sslmode", "files"]);
}

#[tokio::test]
async fn a_server_that_forgets_what_it_committed_is_refused() {
    let mut cluster = Cluster::create().await;
    cluster.start(&["fsync=off"]).await;
    says(&refused(&cluster.url()).await, &["fsync", "set it to on"]);
    cluster.kill();

    cluster.start(&["synchronous_commit=off"]).await;
    says(&refused(&cluster.url()).await, &["synchronous_commit", "set it to on"]);
    cluster.kill();

    // What is enough for one server is not enough for one with a standby that is to take over.
    cluster.start(&["synchronous_commit=local"]).await;
    init(&cluster.address(), 4, None).await.unwrap();
    cluster.kill();
    cluster.start(&["synchronous_commit=local", "synchronous_standby_names=other"]).await;
    says(&refused(&cluster.url()).await, &["synchronous_commit", "set it to on"]);
}

/// A standby may lack what its primary answered, and never says so.
#[tokio::test]
async fn a_log_is_not_read_from_a_standby() {
    let mut primary = Cluster::create().await;
    primary.start(&[]).await;
    let log = init(&primary.address(), 4, None).await.unwrap();
    append(&mut claim(&log).await, 1).await.unwrap();
    let mut standby = primary.standby();
    standby.start(&["hot_standby=on"]).await;
    says(&refused(&standby.url()).await, &["the server is a standby", "name the primary"]);

    // Who had it open before the server was changed asks again with each connection.
    primary.kill();
    let reads = Reads::new(&standby.address(), Arc::new(Ends::new(4)));
    let fault = reads.load_ends().await.unwrap_err();
    assert!(fault.source.to_string().contains("standby"), "{fault:?}");
}

/// Nothing that the operator changes while the server runs makes a commit of ours less durable.
#[tokio::test]
async fn a_connection_stays_durable_when_the_default_changes() {
    let database = Database::init().await;
    let mut connection = schema::connect(&database.database.address()).await.unwrap();
    let name = "SELECT current_database()";
    let name: String = sqlx::query_scalar(name).fetch_one(&mut connection).await.unwrap();
    database.execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let kept: String =
        sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept, "on");
    let refused = open(&database.database.address(), None).await.err().unwrap();
    assert!(text(&refused).contains("synchronous_commit"));
}

#[tokio::test]
async fn who_may_only_read_cannot_open_for_writing() {
    let database = Database::init().await;
    append(&mut claim(&database.log()).await, 1).await.unwrap();
    let reader = format!("reader_{}", database.log().id());
    database.execute(&format!("CREATE ROLE {reader} LOGIN"));
    let address: Address = database.database.url_as(Some(&reader)).parse().unwrap();
    let stranger = open_read_only(&address).await.err().unwrap();
    assert!(text(&stranger).contains("the user may not"), "{}", text(&stranger));
    database.execute(&format!(
        "GRANT USAGE ON SCHEMA loyalnest_log TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA loyalnest_log TO {reader}"
    ));
    assert_eq!(bodies(&open_read_only(&address).await.unwrap()).await.unwrap(), [1]);
    let refused = text(&open(&address, None).await.err().unwrap());
    assert!(refused.contains("may not append") && refused.contains("grant"), "{refused}");
    let made = database.database.address();
    execute(&made, &format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}

#[tokio::test]
async fn who_may_make_nothing_is_told_so_by_init() {
    let database = TestDatabase::create();
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let guest = format!("guest_{name}");
    execute(&database.address(), &format!("CREATE ROLE {guest} LOGIN"));
    let address: Address = database.url_as(Some(&guest)).parse().unwrap();
    let refused = text(&init(&address, 4, None).await.err().unwrap());
    assert!(refused.contains("the user may not") && refused.contains("grant"), "{refused}");
    execute(&database.address(), &format!("DROP ROLE {guest}"));
}

#[tokio::test]
async fn a_log_that_a_newer_program_changed_is_refused() {
    let database = Database::init().await;
    database.execute("INSERT INTO loyalnest_log.schema_version VALUES (99)");
    let refused = text(&open(&database.database.address(), None).await.err().unwrap());
    assert!(refused.contains("99") && refused.contains("newer"), "{refused}");
    database.execute("DELETE FROM loyalnest_log.schema_version WHERE version = 99");
    database.execute("UPDATE loyalnest_log.genesis SET hash_version = 2");
    let refused = text(&open(&database.database.address(), None).await.err().unwrap());
    assert!(refused.contains("hashes are of another version"), "{refused}");
}

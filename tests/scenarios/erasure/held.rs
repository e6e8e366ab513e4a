//! Between the destruction of keys and whoever hears of it, and in files that were written by hand: nobody gets at anybody.
//! And the bugs that would let them.
use rusqlite::Connection;

use super::{canary::rows_of, *};
use crate::harness::{Folder, Hold};

/// An erasure whose keys are destroyed, while neither streams nor tables have heard of it.
struct Unheard {
    server: Server,
    shop: Shop,
    gone: Member,
    request: String,
    hold: Hold,
}

impl Unheard {
    async fn begin(bug: &str) -> Self {
        let folder = Folder::new();
        let hold = Hold::at(&folder, "mark:before");
        let setting = hold.setting();
        let server =
            Server::start_on(&folder, &[("LOYALNEST_HOLD", &setting), ("LOYALNEST_PLANTED_BUG", bug)]);
        let shop = Shop::open(&server).await.unthrottled().await;
        let gone = Member::join(&shop, "Gone").await;
        let request = asked(&shop, &json!({"customer_id": gone.customer})).await;
        hold.reached().await;
        Self { server, shop, gone, request, hold }
    }

    /// Who gets at them all the same.
    async fn wrong(&self) -> Vec<String> {
        let Self { server, shop, gone, .. } = self;
        let mut wrong = Vec::new();
        let named = Markers::new(&gone.markers("Gone"));
        for (path, text) in gone.answers(shop).await {
            let text = text.replace(&gone.order.id.to_string(), "");
            let found = named.found(text.as_bytes());
            if !found.is_empty() {
                wrong.push(format!("{path} tells {found:?}: {text}"));
            }
        }
        let note = json!({
            "customer_id": gone.customer, "points": 1, "reason_code": "goodwill", "public_note": "after it",
        });
        let sealed = shop.post("/v1/api/points/adjust", &note).await;
        if sealed.status != 409 || sealed.json()["code"] != "account-redacted" {
            wrong.push(format!("something is sealed for them: {} {}", sealed.status, sealed.text));
        }
        let id: uuid::Uuid = gone.customer.parse().unwrap();
        for (_, name, bytes) in rows_of(&server.folder).iter().filter(|(of, ..)| of == id.as_bytes()) {
            if bytes.iter().any(|byte| *byte != 0) {
                wrong.push(format!("{name} of theirs is there"));
            }
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_has_heard_of_it_a_person_is_unreadable_all_the_same() {
    let unheard = Unheard::begin("").await;
    assert_eq!(unheard.wrong().await, [""; 0]);
    unheard.hold.release();
    certified(&unheard.shop, &unheard.request).await;
    assert_eq!(unheard.gone.remembered(&unheard.shop, "Gone").await, [""; 0]);
}

/// A fence that comes after the destruction or not at all, and what is remembered of a key and not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_by_which_somebody_gets_at_them_are_caught() {
    for bug in ["destroy-without-fence", "cache-not-evicted"] {
        let wrong = Unheard::begin(bug).await.wrong().await;
        println!("{bug}: {wrong:#?}");
        assert!(!wrong.is_empty(), "{bug} went unnoticed");
    }
}

/// What finds them after Shopify has told of them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_made_again_for_a_late_delivery_is_caught() {
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[("LOYALNEST_PLANTED_BUG", "key-minted-again")]);
    let shop = Shop::open(&server).await;
    let gone = Member::join(&shop, "Gone").await;
    erased(&shop, &gone.customer).await;
    gone.comes_late(&shop).await;
    let wrong = gone.remembered(&shop, "Gone").await;
    println!("{wrong:#?}");
    assert!(!wrong.is_empty(), "it went unnoticed");
}

/// Somebody who can write into the files gives one shop the keys and the rows of another. What that shop is told of them.
async fn given_to_another_shop(bug: &str) -> Vec<String> {
    let folder = Folder::new();
    let bug = [("LOYALNEST_PLANTED_BUG", bug)];
    let server = Server::start_on(&folder, &bug);
    let (here, there) = (Shop::open(&server).await, Shop::open(&server).await);
    let taken = Member::join(&here, "Taken").await;
    assert!(server.end_by("TERM").0.success());
    let [from, to] =
        [&here, &there].map(|shop| shop.merchant_id.parse::<uuid::Uuid>().unwrap().simple().to_string());
    let keys = Connection::open(folder.data().join("keys.db")).unwrap();
    let moved = format!(
        "DELETE FROM merchant_key WHERE merchant = x'{to}';
         UPDATE merchant_key SET merchant = x'{to}' WHERE merchant = x'{from}';
         UPDATE subject_key SET merchant = x'{to}' WHERE merchant = x'{from}'"
    );
    keys.execute_batch(&moved).unwrap();
    let tables = Connection::open(folder.data().join("read.db")).unwrap();
    let mut found = tables
        .prepare("SELECT DISTINCT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE c.name = 'merchant'")
        .unwrap();
    let named: Vec<String> = found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(found);
    assert!(named.len() > 5, "{named:?}");
    for table in named {
        let moved = format!("UPDATE OR IGNORE {table} SET merchant = x'{to}' WHERE merchant = x'{from}'");
        tables.execute_batch(&moved).unwrap();
    }
    drop((keys, tables));
    let Ok(server) = Server::try_start_with(&folder, &bug) else { return Vec::new() };
    let user = there.at(&server).ask("/v1/api/users/get", &[("customer_id", &taken.customer)]).await;
    println!("{bug:?}: {} {}", user.status, user.text);
    let named = Markers::new(&taken.markers("Taken"));
    named.found(user.text.as_bytes()).into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_rows_that_are_given_to_another_shop_open_nothing_there() {
    assert_eq!(given_to_another_shop("").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_without_its_merchant_is_caught() {
    assert!(!given_to_another_shop("unbound-merchant").await.is_empty(), "it went unnoticed");
}

//! One run: a few lives of the process, each ended by a crash, then a quiet one in which everything is compared.
use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use event_log::{
    Class, Log,
    faulty::{self, Faulty, Plan},
    memory,
};
use group_commit::simulated::{Disk, Faults};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    check,
    clients::{self, People},
    journal::Journal,
    shopify::{Asked, OPERATOR, SHOP},
    slots::Slotted,
    system::{Refused, System},
};

/// 2026-06-01T00:00:00Z.
const FIRST_DAY_US: i64 = 1_780_272_000_000_000;
const PARTITIONS: u16 = 2;
/// What everybody is given at the beginning.
const OPENING: i64 = 500;

/// What a seed came to.
#[derive(Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What happened, line by line, with the simulated time.
    pub lines: Vec<String>,
    /// What must not have happened.
    pub violations: Vec<String>,
}

impl Run {
    /// A hash over all lines.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(digest(&SHA256, self.lines.join("\n").as_bytes()))
    }

    /// What to do about a violation.
    #[must_use]
    pub fn report(&self) -> String {
        format!(
            "seed {}: {:#?}\nrepeat with: cargo xtask soak --simulations 1 --seed {}",
            self.seed, self.violations, self.seed
        )
    }
}

/// Lives through the world of a seed, in which there is one of the planted bugs, or none.
#[must_use]
pub fn run(seed: u64, planted: Option<&'static str>) -> Run {
    let world = Rc::new(World::new(seed));
    let clock = Rc::clone(&world);
    faulty::seed_chance(seed);
    seeded::enter(seed, planted, move || clock.now_us());
    let disk = Disk::default();
    disk.insert();
    World::live_through(&world, &disk);
    Disk::eject();
    seeded::leave();
    let (lines, violations) = (world.lines.take(), world.violations.take());
    Run { seed, lines, violations }
}

/// What outlasts a crash, and what is written down.
pub(crate) struct World {
    log: Log,
    /// Names the files of the simulated disk; the key store also makes its own there.
    folder: TempDir,
    pub(crate) journal: RefCell<Journal>,
    pub(crate) rng: RefCell<StdRng>,
    /// Before this life, and when it began.
    day_us: Cell<i64>,
    born: Cell<Option<Instant>>,
    lines: RefCell<Vec<String>>,
    pub(crate) violations: RefCell<Vec<String>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        // What the default backend is, and now and then the class of Kafka.
        let class = if rng.random_ratio(1, 4) { Class::Open } else { Class::Conditional };
        faulty::seed_chance(seed);
        Self {
            log: memory::init(PARTITIONS, class),
            folder: tempfile::tempdir().unwrap(),
            journal: RefCell::new(Journal { opening: OPENING, ..Journal::default() }),
            rng: RefCell::new(rng),
            day_us: Cell::new(FIRST_DAY_US),
            born: Cell::new(None),
            lines: RefCell::default(),
            violations: RefCell::default(),
        }
    }

    fn now_us(&self) -> i64 {
        let age = self.born.get().map_or(Duration::ZERO, |born| born.elapsed());
        self.day_us.get() + i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
    }

    pub(crate) fn note(&self, line: &str) {
        self.lines.borrow_mut().push(format!("{} {line}", self.now_us()));
    }

    pub(crate) fn expect(&self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            let violation = violation();
            self.note(&violation);
            self.violations.borrow_mut().push(violation);
        }
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.rng.borrow_mut())
    }

    fn live_through(self: &Rc<Self>, disk: &Disk) {
        let mut people = None;
        self.live(async { people = Some(self.settle().await) });
        let Some(people) = people else { return };
        for _ in 0..self.draw(|rng| rng.random_range(1..=3)) {
            self.crash_during(disk, &people);
        }
        disk.set_faults(Faults::default());
        self.live(check::everything(self, &people));
    }

    /// One life, to the end of `work`; what else runs in it is dropped then.
    fn live(&self, work: impl Future<Output = ()>) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            self.born.set(Some(Instant::now()));
            work.await;
            self.day_us.set(self.now_us());
            self.born.set(None);
        });
    }

    /// A shop and its people, before anything goes wrong.
    async fn settle(&self) -> People {
        let system = self.begin(Plan::default()).await.unwrap();
        let merchant = json!({"shop_domain": SHOP, "currency": "USD", "timezone": "UTC"});
        let made = system.ask(&Asked::command(OPERATOR, "/admin/merchants", self.id(), &merchant)).await;
        let made: serde_json::Value = serde_json::from_str(&made.1).unwrap();
        let token = made["token"].as_str().unwrap().to_owned();
        let merchant = made["merchant_id"].as_str().unwrap().parse::<Uuid>().unwrap();
        let mut customers = Vec::new();
        for number in 1..=3_u64 {
            let body = json!({"shopify_customer_id": number.to_string()});
            let made = system.ask(&Asked::command(&token, "/v1/api/users/create", self.id(), &body)).await;
            let made: serde_json::Value = serde_json::from_str(&made.1).unwrap();
            let customer: Uuid = made["customer_id"].as_str().unwrap().parse().unwrap();
            let body = json!({"customer_id": customer, "points": OPENING, "reason": "opening", "source_id": "opening"});
            let earned = system.ask(&Asked::command(&token, "/v1/api/points/earn", self.id(), &body)).await;
            assert_eq!(earned.0, 200, "{}", earned.1);
            customers.push(customer);
        }
        People { token, merchant, customers }
    }

    pub(crate) fn id(&self) -> Uuid {
        self.draw(|rng| Uuid::from_u128(rng.random()))
    }

    /// A life that ends at any instant, whatever is under way.
    fn crash_during(&self, disk: &Disk, people: &People) {
        let (plan, faults, life_ms) = self.draw(|rng| {
            let plan = Plan {
                seed: rng.random(),
                lose_report: rng.random_range(0..30),
                lose: rng.random_range(0..20),
                delay_report: rng.random_range(0..300),
                late: rng.random_range(0..20),
                twice: rng.random_range(0..20),
                delay_max: Duration::from_millis(rng.random_range(1..400)),
                crash_after_steps: None,
            };
            let delay_max = Duration::from_millis(rng.random_range(0..40));
            let faults =
                Faults { fail: rng.random_range(0..30), lose_report: rng.random_range(0..30), delay_max };
            (plan, faults, rng.random_range(10..3_500))
        });
        disk.set_faults(Faults { fail: 0, lose_report: 0, ..faults });
        self.live(async {
            let life = async {
                match self.begin(plan).await {
                    Ok(system) => {
                        disk.set_faults(faults);
                        clients::all(self, &system, people).await;
                    }
                    Err(refused) => self.note(&format!("no start: {refused}")),
                }
            };
            tokio::select! {
                biased;
                () = life => {}
                () = sleep(Duration::from_millis(life_ms)) => {}
            }
            self.note("crash");
        });
        // Whoever sets the machine's clock may also set it back.
        let jump_s = self.draw(|rng| rng.random_range(-300..3_600_i64));
        self.day_us.set(self.day_us.get() + jump_s * 1_000_000);
    }

    pub(crate) async fn begin(&self, plan: Plan) -> Result<System, Refused> {
        let log = Log::new(Arc::new(Slotted::new(Arc::new(Faulty::new(&self.log, plan)))));
        System::start(log, self.folder.path()).await
    }

    /// A file of the simulated disk.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

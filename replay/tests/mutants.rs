//! Whatever an editor does to a record is found, and nothing is found where nobody edited.
use std::{path::PathBuf, str::FromStr};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use replay::{
    progress::Progress,
    verify::{Files, Verdict, verify},
};

use crate::{
    book::Book,
    editor::{EDITS, Edit, Editor, starts},
};

/// Mutants in one test run; the soak has more.
const MUTANTS: usize = 1_000;
/// Mutants of one log, before the next one is written.
const MUTANTS_OF_A_LOG: usize = 250;

fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mutant_is_found_and_nothing_else() {
    let seed: u64 = variable("LOYALNEST_SEED").unwrap_or_else(rand::random);
    let mutants: usize = variable("LOYALNEST_MUTANTS").unwrap_or(MUTANTS);
    println!("{mutants} mutants of seed {seed} (LOYALNEST_SEED={seed} plays them again)");
    let mut random = StdRng::seed_from_u64(seed);
    let mut missed = Vec::new();
    let mut done = 0;
    while done < mutants {
        let many = MUTANTS_OF_A_LOG.min(mutants - done);
        missed.extend(mutants_of_a_log(many, &mut random).await);
        done += many;
    }
    assert!(missed.is_empty(), "seed {seed}: {} of {done} were missed: {missed:#?}", missed.len());
}

/// Those of the log that were not found.
async fn mutants_of_a_log(mutants: usize, random: &mut StdRng) -> Vec<String> {
    let mut book = Book::open(StdRng::seed_from_u64(random.random())).await;
    for _ in 0..random.random_range(1..4) {
        let commands = random.random_range(10..40);
        book.lives(commands).await;
        book.change_owner().await;
    }
    book.catch_up().await;
    let (starts, original, folder) = (starts(&book.log), book.files(), tempfile::tempdir().unwrap());
    let _closed = book.close();
    let mut missed = Vec::new();
    let mut judged = async |log: PathBuf, told: String, expected: Verdict| {
        let report = verify(&Files { log, ..original.clone() }, &mut Progress::silent()).await;
        let verdict = report.as_ref().map(|report| report.verdict());
        if verdict.as_ref().ok() != Some(&expected) {
            missed.push(format!("{told}: {report:?}"));
        }
    };
    for mutant in 0..mutants {
        let copy = folder.path().join(format!("{mutant}.db"));
        std::fs::copy(&original.log, &copy).unwrap();
        if mutant % 25 == 0 {
            judged(copy.clone(), "nothing was edited".to_owned(), Verdict::Sound).await;
        }
        let edit = EDITS[random.random_range(0..EDITS.len())];
        let told = Editor::open(&copy, &starts).edit(edit, random.random(), random);
        judged(copy.clone(), told, Verdict::Faulty).await;
        std::fs::remove_file(&copy).unwrap();
    }
    missed
}

/// Only a witness outside the folder can show such a cut; there is none yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_careful_cut_that_nothing_remembers_is_not_found() {
    let mut random = StdRng::seed_from_u64(9);
    let mut book = Book::open(StdRng::seed_from_u64(9)).await;
    book.lives(20).await;
    let (starts, files) = (starts(&book.log), book.files());
    let _closed = book.close();
    Editor::open(&files.log, &starts).edit(Edit::CutLog, true, &mut random);
    assert_eq!(verify(&files, &mut Progress::silent()).await.unwrap().verdict(), Verdict::Sound);
}

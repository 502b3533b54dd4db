//! No input may make a reader of the outside world panic, hang, eat memory or contradict itself.
//!
//! Each target takes bytes, plays them and says what does not hold. Inputs are damaged copies of
//! well-formed ones; those that made a target do something new are kept and damaged further. What
//! fails is made small, saved in `tests/data/fuzz/TARGET/`, and played again in every run.
//!
//! `TICKFORGE_FUZZ_SECONDS` is the time for each target: 2 by default, 600 with `tests/run --long`.
//! `TICKFORGE_FUZZ_SEED` repeats a run; a short one always has the same seed, a long one a new one.

mod decoders;
mod files;
mod mutate;

use crate::servers;
use mutate::Rng;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// What an input did, as numbers that tell one behaviour from another; or what does not hold.
type Verdict = Result<Vec<u64>, String>;

/// Inputs kept for what they did; of more than this, one goes for each that comes.
const KEPT: usize = 4_000;

fn fingerprint(behaviour: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    behaviour.hash(&mut hasher);
    hasher.finish()
}

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", "fuzz", target]
        .iter()
        .collect()
}

/// Files of a folder in the order of their names; none where there is no folder.
fn saved(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder(target)).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// A folder in memory where there is one: a test of a reader is not one of a disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Long runs are two at a time, whatever the machine.
struct Turn;

static TURNS: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

impl Turn {
    fn take() -> Turn {
        let mut free = TURNS
            .1
            .wait_while(TURNS.0.lock().unwrap(), |free| *free == 0)
            .unwrap();
        *free -= 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURNS.0.lock().unwrap() += 1;
        TURNS.1.notify_one();
    }
}

fn seconds() -> f64 {
    let given = std::env::var("TICKFORGE_FUZZ_SECONDS").ok();
    let given = given.map(|text| text.parse().expect("TICKFORGE_FUZZ_SECONDS: a number"));
    given.unwrap_or(if servers::long() { 600.0 } else { 2.0 })
}

fn seed(target: &str) -> u64 {
    if let Ok(text) = std::env::var("TICKFORGE_FUZZ_SEED") {
        return text.parse().expect("TICKFORGE_FUZZ_SEED: a number");
    }
    if seconds() <= 2.0 {
        return 1;
    }
    fingerprint((target, tickforge::clock::now_ns()))
}

/// Plays what was saved, then damaged copies of `seeds` until the time is over.
fn fuzz(target: &str, seeds: Vec<Vec<u8>>, mut play: impl FnMut(&[u8]) -> Verdict) {
    let mut check = |input: &[u8]| {
        catch_unwind(AssertUnwindSafe(|| play(input))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(format!("panic: {}", text.unwrap_or("without words")))
        })
    };
    let mut kept = Vec::new();
    let mut known = HashSet::new();
    for (path, input) in saved(target) {
        match check(&input) {
            Ok(did) => known.extend(did),
            Err(what) => panic!("{}: {what}", path.display()),
        }
        kept.push(input);
    }
    for input in seeds {
        known.extend(check(&input).unwrap_or_else(|what| panic!("{target}: a seed: {what}")));
        kept.push(input);
    }
    let _turn = Turn::take();
    let seed = seed(target);
    let (mut rng, mut runs, began) = (Rng(seed), 0u64, Instant::now());
    while began.elapsed() < Duration::from_secs_f64(seconds()) {
        let (one, other) = (rng.below(kept.len()), rng.below(kept.len()));
        let input = mutate::mutate(&kept[one], &kept[other], &mut rng);
        runs += 1;
        match check(&input) {
            Ok(did) if did.iter().any(|d| !known.contains(d)) => {
                known.extend(did);
                if kept.len() == KEPT {
                    kept.swap_remove(rng.below(KEPT));
                }
                kept.push(input);
            }
            Ok(_) => {}
            Err(what) => fail(target, seed, runs, input, what, &mut check),
        }
    }
    eprintln!(
        "{target}: {runs} inputs, {} behaviours, seed {seed}",
        known.len()
    );
}

/// Makes a failing input small, saves it, and ends the test.
fn fail(
    target: &str,
    seed: u64,
    run: u64,
    input: Vec<u8>,
    what: String,
    check: &mut impl FnMut(&[u8]) -> Verdict,
) -> ! {
    let small = minimise(input, |input| check(input).is_err());
    let why = check(&small).expect_err("it failed before");
    let path = folder(target).join(format!("{:016x}", fingerprint(&small)));
    std::fs::create_dir_all(folder(target)).unwrap();
    std::fs::write(&path, &small).unwrap();
    let shown = String::from_utf8_lossy(&small[..small.len().min(2_000)]);
    panic!(
        "{target}, seed {seed}, input {run}: {what}\nmade small: {why}\nsaved: {}\n{shown}",
        path.display()
    );
}

/// Removes lines, then ever smaller parts, as long as it still fails.
fn minimise(mut input: Vec<u8>, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut tries = 0;
    let mut part = input.len().div_ceil(2).max(1);
    while tries < 20_000 {
        let (before, mut at) = (input.len(), 0);
        while at < input.len() && tries < 20_000 {
            let end = (at + part).min(input.len());
            let shorter = [&input[..at], &input[end..]].concat();
            tries += 1;
            if fails(&shorter) {
                input = shorter;
            } else {
                at = end;
            }
        }
        if part == 1 && input.len() == before {
            break;
        }
        part = part.div_ceil(2);
    }
    input
}

#[test]
fn a_failing_input_is_made_small() {
    let input = b"a long text with a needle in it, and with an end".to_vec();
    let contains = |i: &[u8]| i.windows(3).any(|w| w == b"nee") && i.contains(&b',');
    assert_eq!(minimise(input, contains), b"nee,");
}

#[test]
fn a_seed_says_what_is_tried() {
    let (input, other) = (br#"{"a":[1,"2.5",{"b":null}],"c":true}"#, b"x\ny\n");
    let run = |seed| {
        let mut rng = Rng(seed);
        (0..2_000)
            .map(|_| mutate::mutate(input, other, &mut rng))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    let different: HashSet<_> = run(7).into_iter().collect();
    assert!(
        different.len() > 1_000,
        "{} different inputs",
        different.len()
    );
}

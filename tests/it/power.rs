//! Power cuts at random moments, on a disk that loses what was not synced: what the journal
//! promised before is there afterwards, with its number, and every store gets it. Each failure
//! names the seed that shows it again.

use crate::disk::{Draw, Fragile};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tickforge::config::{JournalConfig, JournalSync};
use tickforge::publishers::journal::{AppendError, Cursor, Disk, Journal, Opened, Reader};

/// Seeds, each with several power cuts one after the other.
const SEEDS: u64 = 200;
const CUTS: usize = 5;

/// A signal's text: its own number, and padding, so that records are of all sizes.
fn payload(token: u64) -> String {
    format!(
        "{{\"token\":{token},\"x\":\"{}\"}}",
        "x".repeat((token * 37 % 700) as usize)
    )
}

fn token(payload: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let token = value["token"].as_u64()?;
    (self::payload(token).as_bytes() == payload).then_some(token)
}

/// A store as the test plays it: it never fails, and may lose what it has.
#[derive(Default)]
struct Store {
    has: BTreeSet<u64>,
    ever_took: BTreeSet<u64>,
    /// It lost what came after this number and the cursor does not say so yet.
    behind: Option<u64>,
}

impl Store {
    fn take(&mut self, token: u64) {
        self.has.insert(token);
        self.ever_took.insert(token);
    }
}

/// One store's side of a running daemon.
struct Follower {
    cursor: Cursor,
    reader: Reader,
}

/// What the whole history of cuts came to, to show that the test meets what it is about.
#[derive(Default)]
struct Met {
    cuts: u64,
    lost: u64,
    torn: u64,
    damaged: u64,
    deleted: u64,
}

struct World {
    seed: u64,
    draw: Draw,
    root: PathBuf,
    journal: PathBuf,
    config: JournalConfig,
    durable: bool,
    next_token: u64,
    /// Every token that may be on the disk, and its number.
    given: BTreeMap<u64, u64>,
    /// What must be found after the next cut, unless all stores have taken it.
    promised: BTreeMap<u64, u64>,
    /// Of the current life, what was written and not synced.
    unsynced: BTreeMap<u64, u64>,
    stores: [Store; 2],
    met: Met,
}

#[test]
fn power_cuts_take_only_what_was_not_synced_and_every_store_gets_the_rest() {
    let mut met = Met::default();
    for seed in 0..SEEDS {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(seed, dir.path());
        for _ in 0..CUTS {
            let disk = Fragile::on(&world.root);
            let fuse = world.draw.below(150);
            disk.cut_after(fuse);
            world.live(&disk);
            disk.power_cut(&world.root, &mut world.draw);
            world.met.cuts += 1;
            world.check();
        }
        world.last_life();
        let m = &world.met;
        met.cuts += m.cuts;
        met.lost += m.lost;
        met.torn += m.torn;
        met.damaged += m.damaged;
        met.deleted += m.deleted;
    }
    eprintln!(
        "{} power cuts: {} unsynced signals lost, {} torn tails, {} signals damaged, {} segments \
         given up",
        met.cuts, met.lost, met.torn, met.damaged, met.deleted
    );
    assert!(met.lost > 100 && met.torn > 20 && met.damaged > 5 && met.deleted > 20);
}

impl World {
    fn new(seed: u64, root: &Path) -> World {
        let mut draw = Draw::new(seed);
        let durable = draw.percent(50);
        let sync = match durable {
            true => JournalSync::BeforePublish,
            false => JournalSync::Every(Duration::from_millis(10)),
        };
        let max_bytes = if draw.percent(50) { 8_000 } else { 1 << 20 };
        let config = JournalConfig {
            sync,
            max_bytes,
            segment_bytes: 1_000 + draw.below(3_000),
        };
        World {
            seed,
            draw,
            root: root.to_owned(),
            journal: root.join("data").join("journal"),
            config,
            durable,
            next_token: 1,
            given: BTreeMap::new(),
            promised: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            stores: Default::default(),
            met: Met::default(),
        }
    }

    fn open(&mut self, disk: &Arc<Fragile>) -> Option<(Journal, Opened, Vec<Follower>)> {
        let disk: Arc<dyn Disk> = Arc::<Fragile>::clone(disk);
        let opened = Journal::open_on(Arc::clone(&disk), &self.journal, &self.config);
        let (journal, opened) = opened.ok()?;
        self.met.torn += u64::from(opened.torn_bytes > 0);
        self.met.damaged += opened.damaged;
        let followers = ["postgres", "redis"].map(|name| {
            let cursor = Cursor::open(Arc::clone(&disk), &self.journal, name);
            let reader = Reader::open(&self.journal, cursor.seq() + 1);
            assert!(cursor.seq() <= opened.last_seq, "seed {}", self.seed);
            Follower { cursor, reader }
        });
        Some((journal, opened, followers.into()))
    }

    /// A daemon at work until the power goes.
    fn live(&mut self, disk: &Arc<Fragile>) {
        let Some((mut journal, opened, mut followers)) = self.open(disk) else {
            return;
        };
        let mut published = opened.last_seq;
        // What an open journal has read is synced, and so promised.
        self.promised = self.found();
        self.unsynced.clear();
        while !disk.is_off() {
            match self.draw.below(10) {
                0..4 => self.append(&mut journal, &mut published, disk),
                4 if journal.sync().is_ok() => self.promised.append(&mut self.unsynced),
                4 => {}
                5..9 => {
                    let which = self.draw.below(2) as usize;
                    self.deliver(which, &mut followers[which], published);
                }
                _ => {
                    let taken = followers.iter().map(|f| f.cursor.seq()).min();
                    journal.release(taken.unwrap());
                }
            }
        }
        self.met.deleted += disk.removals();
    }

    fn append(&mut self, journal: &mut Journal, published: &mut u64, disk: &Fragile) {
        let mut batch = Vec::new();
        for _ in 0..=self.draw.below(4) {
            let token = self.next_token;
            self.next_token += 1;
            match journal.append(payload(token).as_bytes()) {
                Ok(seq) => batch.push((token, seq)),
                Err(AppendError::Full { .. }) => {}
                Err(AppendError::Io { .. }) if disk.is_off() => {}
                Err(e) => panic!("seed {}: {e}", self.seed),
            }
        }
        self.given.extend(batch.iter().copied());
        match journal.commit(self.durable) {
            Ok(end) => {
                *published = end;
                let numbered = batch.into_iter().map(|(token, seq)| (seq, token));
                self.unsynced.extend(numbered);
                if self.durable {
                    self.promised.append(&mut self.unsynced);
                }
            }
            // Nobody was told; what of it reached the disk may be found all the same.
            Err(_) => assert!(disk.is_off(), "seed {}", self.seed),
        }
    }

    /// A store takes some signals; now and then it has lost some before.
    fn deliver(&mut self, which: usize, follower: &mut Follower, published: u64) {
        let store = &mut self.stores[which];
        if self.draw.percent(5) && store.behind.is_none() {
            let has = self.draw.below(follower.cursor.seq() + 1);
            let given = &self.given;
            store.has.retain(|token| given[token] <= has);
            store.behind = Some(has);
        }
        if let Some(has) = store.behind {
            let has = has.min(follower.cursor.seq());
            if follower.cursor.set_back(has).is_err() {
                return;
            }
            follower.reader = Reader::open(&self.journal, has + 1);
            store.behind = None;
        }
        for _ in 0..=self.draw.below(6) {
            let Some(record) = follower.reader.next(published).unwrap() else {
                break;
            };
            let token = token(record.payload);
            store.take(token.unwrap_or_else(|| panic!("seed {}: damaged", self.seed)));
            follower.cursor.set(record.seq);
        }
        if self.draw.percent(40) {
            // Refused when the power is off.
            let _ = follower.cursor.save();
        }
    }

    /// All that a reader finds, by number.
    fn found(&self) -> BTreeMap<u64, u64> {
        let mut reader = Reader::open(&self.journal, 1);
        let (mut found, mut last) = (BTreeMap::new(), 0);
        if !self.journal.is_dir() {
            return found; // the power went before its name was on the disk
        }
        while let Some(record) = reader.next(u64::MAX).unwrap() {
            let token = token(record.payload);
            let token = token.unwrap_or_else(|| panic!("seed {}: damaged", self.seed));
            let number = self.given.get(&token);
            assert_eq!(
                number,
                Some(&record.seq),
                "seed {}: another number",
                self.seed
            );
            assert!(record.seq > last, "seed {}: out of order", self.seed);
            last = record.seq;
            found.insert(record.seq, token);
        }
        found
    }

    fn taken_by_all(&self, token: u64) -> bool {
        self.stores.iter().all(|s| s.ever_took.contains(&token))
    }

    /// After a cut, before the next start.
    fn check(&mut self) {
        let found = self.found();
        for (seq, token) in &self.promised {
            assert!(
                found.get(seq) == Some(token) || self.taken_by_all(*token),
                "seed {}: number {seq}, promised, is gone",
                self.seed
            );
        }
        let kept: BTreeSet<u64> = found.values().copied().collect();
        let seen: BTreeSet<u64> = self
            .stores
            .iter()
            .flat_map(|s| &s.ever_took)
            .copied()
            .collect();
        let vanished = seen
            .iter()
            .filter(|t| !kept.contains(t) && !self.taken_by_all(**t))
            .count() as u64;
        assert!(
            !self.durable || vanished == 0,
            "seed {}: before_publish, and a store saw what is gone",
            self.seed
        );
        // A number that is given again belongs to the new signal.
        let before = self.given.len();
        self.given
            .retain(|token, _| kept.contains(token) || seen.contains(token));
        self.met.lost += (before - self.given.len()) as u64;
    }

    /// The power stays: what the journal has, every store gets.
    fn last_life(&mut self) {
        let disk = Fragile::on(&self.root);
        let (_journal, opened, mut followers) = self.open(&disk).expect("opens");
        let found = self.found();
        for (which, follower) in followers.iter_mut().enumerate() {
            for _ in 0..200 {
                self.deliver(which, follower, opened.last_seq);
            }
            while let Some(record) = follower.reader.next(opened.last_seq).unwrap() {
                self.stores[which].take(token(record.payload).unwrap());
            }
            for (seq, token) in &found {
                let has = self.stores[which].has.contains(token);
                assert!(has, "seed {}: store {which} misses number {seq}", self.seed);
            }
        }
    }
}

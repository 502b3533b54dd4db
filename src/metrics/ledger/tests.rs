//! A ledger as it would be found after a kill at each step.

use super::*;
use std::path::PathBuf;

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("ledger").join("store");
    Place { _dir: dir, path }
}

impl Place {
    /// What is lost and what is unsure of each instrument, were the process killed now.
    fn lost(&self, landed: Landed<'_>) -> Vec<(String, u64, u64)> {
        let contents = Contents::read(&self.path, landed)
            .expect("read")
            .expect("a ledger");
        let rows = contents.rows.iter();
        rows.map(|r| (r.name.clone(), r.lost(), r.unsure)).collect()
    }

    fn sum(&self, landed: Landed<'_>) -> u64 {
        self.lost(landed).iter().map(|(_, lost, _)| lost).sum()
    }
}

const NEVER: Landed<'static> = &|_| false;

fn row(name: &str, lost: u64, unsure: u64) -> (String, u64, u64) {
    (name.to_owned(), lost, unsure)
}

#[test]
fn what_is_offered_and_not_settled_is_lost() {
    let place = place();
    let ledger = Ledger::create(&place.path).expect("a file");
    assert_eq!(place.lost(NEVER), []);
    ledger.list(0, "binance BTC/USDT");
    let long = format!("binance {}/USDT", "é".repeat(40));
    ledger.list(1, &long);
    (0..10).for_each(|_| ledger.offer(0));
    ledger.withdraw(0);
    ledger.offer(1);
    ledger.offer(u32::MAX);
    let tally: [(Arc<str>, u64); 2] = [("binance BTC/USDT".into(), 4), ("a stranger".into(), 7)];
    ledger.settle(Settler::Publisher, &ledger.shares(&tally));
    ledger.settle(Settler::Disk, &vec![(0, 2)]);
    let cut = &long[..long.floor_char_boundary(64)];
    let expected = [
        row("binance BTC/USDT", 3, 0),
        row(cut, 1, 0),
        row("others", 1, 0),
    ];
    assert_eq!(place.lost(NEVER), expected);
    drop(ledger);
    assert_eq!(place.lost(NEVER), expected, "unmapped, it says the same");
    Ledger::create(&place.path).expect("a file");
    assert_eq!(place.lost(NEVER), [], "a new one begins at nothing");
}

#[test]
fn a_kill_before_and_after_an_effect_counts_exactly() {
    let place = place();
    let ledger = Ledger::create(&place.path).expect("a file");
    (0..100).for_each(|_| ledger.offer(3));
    let mut stored = 0;
    for n in 1..=9 {
        let segment = Effect::Segment {
            table: 1,
            hour: 500_000,
            number: n,
        };
        let effect = if n % 2 == 0 {
            Effect::Frame(n.into())
        } else {
            segment
        };
        let (settler, other) = match n % 2 {
            0 => (Settler::Disk, Settler::Publisher),
            _ => (Settler::Publisher, Settler::Disk),
        };
        let landed: Landed<'_> = &|asked| asked == effect;
        let begun = ledger.begin(settler, vec![(3, 4), (3, 1)], effect);
        assert_eq!(place.sum(NEVER), 100 - stored, "killed before it");
        assert_eq!(place.sum(landed), 100 - stored - 5, "killed after it");
        // Meanwhile others end.
        ledger.settle(settler, &vec![(3, 1)]);
        ledger.settle(other, &vec![(3, 1)]);
        stored += 2;
        assert_eq!(place.sum(NEVER), 100 - stored);
        assert_eq!(place.sum(landed), 100 - stored - 5);
        if n % 3 == 0 {
            drop(begun); // it did not come about
        } else {
            begun.complete();
            stored += 5;
        }
        assert_eq!(place.sum(NEVER), 100 - stored);
        assert_eq!(
            place.sum(landed),
            100 - stored,
            "an old effect counts no more"
        );
    }
    assert_eq!(place.lost(NEVER), [row("unknown", 100 - stored, 0)]);
}

#[test]
fn what_was_on_its_way_to_a_server_is_lost_and_unsure() {
    let place = place();
    let ledger = Ledger::create(&place.path).expect("a file");
    (0..10).for_each(|_| ledger.offer(0));
    let begun = ledger.begin(Settler::Publisher, vec![(0, 4)], Effect::Sent);
    let asked: Landed<'_> = &|effect| panic!("nobody knows of {effect:?}");
    assert_eq!(place.lost(asked), [row("unknown", 10, 4)]);
    begun.complete();
    assert_eq!(place.lost(asked), [row("unknown", 6, 0)]);
    let contents = || {
        Contents::read(&place.path, NEVER)
            .expect("read")
            .expect("a ledger")
    };
    assert_eq!((contents().clean, contents().boot_id), (false, boot_id()));
    assert!(!boot_id().is_empty());
    ledger.close();
    assert!(contents().clean);
}

#[test]
fn what_is_no_ledger_is_seen() {
    let place = place();
    drop(Ledger::create(&place.path).expect("a file"));
    let whole = std::fs::read(&place.path).expect("read");
    let read = |bytes: &[u8]| {
        std::fs::write(&place.path, bytes).expect("written");
        Contents::read(&place.path, NEVER).expect("read").is_some()
    };
    assert!(read(&whole));
    assert!(!read(&whole[..whole.len() - 1]) && !read(&[&whole[..], &[0]].concat()));
    assert!(!read(&[]) && !read(&whole[..8]));
    let mut foreign = whole.clone();
    foreign[7] += 1;
    assert!(!read(&foreign));
}

/// Pages that are touched, not the file's size, are what memory holds.
#[test]
fn five_hundred_instruments_take_little_memory() {
    let place = place();
    let ledger = Ledger::create(&place.path).expect("a file");
    for id in 0..500 {
        ledger.list(id, &format!("binance COIN{id}/USDT"));
        ledger.offer(id);
        for settler in [Settler::Publisher, Settler::Disk] {
            let begun = ledger.begin(settler, vec![(id, 1)], Effect::Sent);
            begun.complete();
        }
    }
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
    let name = place.path.display().to_string();
    let from = smaps.find(&name).expect("mapped under its last name");
    let rss = smaps[from..].lines().find_map(|l| l.strip_prefix("Rss:"));
    let kib: u64 = rss
        .and_then(|v| v.trim().strip_suffix(" kB")?.parse().ok())
        .expect("a number");
    let bytes = std::fs::metadata(&place.path).expect("a file").len();
    println!("{kib} KiB in memory of {} KiB", bytes >> 10);
    assert!(kib <= bytes >> 10 && kib <= 128, "{kib} KiB");
}

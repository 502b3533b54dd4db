//! Rows offered are rows stored, whenever the kill comes.

use super::*;
use crate::market::{Event, Flags, Quote, Side, Trade};
use crate::publishers::journal::sample;
use crate::ring::ring;
use polars::prelude::{DataFrame, ParquetReader, SerReader};
use std::fs::File;
use std::sync::atomic::AtomicBool;

const START: i64 = 1_763_805_600_000_000_000; // 2025-11-22T10:00:00Z

fn trade(n: i64, recv_ns: i64) -> Tick {
    let taker = if n % 2 == 0 { Side::Buy } else { Side::Sell };
    let trade = Trade {
        price: 9_000_000 + n,
        amount: n,
        id: n as u128,
        taker,
    };
    Tick {
        event: Event::from_trade(0, 0, recv_ns, trade),
        day: Default::default(),
    }
}

fn quote(n: i64, recv_ns: i64) -> Tick {
    let quote = Quote {
        bid: n,
        bid_amount: 1,
        ask: n + 1,
        ask_amount: 2,
    };
    Tick {
        event: Event::from_quote(0, recv_ns - 5, recv_ns, 7, quote),
        day: Default::default(),
    }
}

fn config(max_rows: usize) -> ParquetConfig {
    ParquetConfig {
        segment: Duration::from_secs(3600),
        max_rows,
    }
}

fn store(dir: &Path, max_rows: usize) -> Store {
    Store::open(
        dir.to_owned(),
        config(max_rows),
        sample::registry(),
        Arc::default(),
    )
}

/// All files below `dir` that end in `suffix`, sorted.
fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            out.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn read(path: &Path) -> DataFrame {
    ParquetReader::new(File::open(path).expect("opens"))
        .finish()
        .expect("a whole file")
}

fn ints(frame: &DataFrame, column: &str) -> Vec<i64> {
    let column = frame
        .column(column)
        .expect("a column")
        .i64()
        .expect("integers");
    column.into_no_null_iter().collect()
}

/// The amounts (1, 2, 3 … as made by `trade`) of all stored trades, sorted.
fn amounts(dir: &Path) -> Vec<i64> {
    let mut all: Vec<i64> = Vec::new();
    for path in files(&dir.join("trades"), ".parquet") {
        all.extend(ints(&read(&path), "amount"));
    }
    all.sort_unstable();
    all
}

#[test]
fn all_that_was_offered_is_stored_exactly() {
    let dir = tempfile::tempdir().expect("a folder");
    let metrics = Arc::new(Metrics::default());
    let (mut producer, consumer) = ring(4096);
    let (_stop, stopping) = watch::channel(None);
    let (path, theirs) = (dir.path().to_owned(), Arc::clone(&metrics));
    let thread = std::thread::spawn(move || {
        run(
            consumer,
            path,
            config(100),
            sample::registry(),
            theirs,
            stopping,
        );
    });
    let rescale = Status::Rescale {
        price: 9,
        amount: 10,
    };
    for n in 1..=1000 {
        assert!(
            producer.push(trade(n, START + n)).is_ok(),
            "the ring is large enough"
        );
        assert!(
            producer.push(quote(n, START + n)).is_ok(),
            "the ring is large enough"
        );
        if n == 500 {
            let event = Event::from_status(0, START, rescale);
            assert!(
                producer
                    .push(Tick {
                        event,
                        day: Default::default()
                    })
                    .is_ok()
            );
        }
    }
    drop(producer);
    thread.join().expect("the thread ends by itself");
    let m = &metrics.parquet;
    assert_eq!(
        (m.stored.get(), m.spooled.get(), m.dropped.get()),
        (2000, 0, 0)
    );
    assert!((1..=1000).eq(amounts(dir.path())));
    let trades = files(&dir.path().join("trades/2025-11-22/10"), ".parquet");
    assert_eq!(trades.len(), 10);
    let (first, last) = (read(&trades[0]), read(&trades[9]));
    let text = |f: &DataFrame, c: &str| {
        f.column(c)
            .expect("a column")
            .get(0)
            .expect("a row")
            .to_string()
    };
    assert_eq!(text(&first, "exchange"), "\"binance\"");
    assert_eq!(text(&first, "symbol"), "\"BTC/USDT\"");
    assert_eq!(
        (text(&first, "id"), text(&first, "side")),
        ("\"1\"".into(), "\"sell\"".into())
    );
    assert_eq!(
        (text(&first, "price"), text(&first, "price_scale")),
        ("9000001".into(), "8".into())
    );
    assert_eq!(
        (text(&last, "price_scale"), text(&last, "amount_scale")),
        ("9".into(), "10".into())
    );
    assert_eq!(text(&first, "exchange_ns"), "null");
    let flags = Flags::FIRST.with(Flags::LAST).with(Flags::SELL).0;
    assert_eq!(text(&first, "flags"), flags.to_string());
    let quotes = read(&files(&dir.path().join("quotes"), ".parquet")[0]);
    assert_eq!(
        (ints(&quotes, "ask")[1], ints(&quotes, "exchange_ns")[1]),
        (3, START - 3)
    );
    assert_eq!(text(&quotes, "update_id"), "7");
}

#[test]
fn a_kill_loses_the_open_segment_at_most() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut first = store(dir.path(), 100);
    (1..=250).for_each(|n| first.push(&trade(n, START + n)));
    drop(first); // no finish: as a kill, the last 50 were in memory
    let hour = dir.path().join("trades/2025-11-22/10");
    std::fs::write(hour.join("segment-000003.parquet.tmp"), b"half").expect("writes");
    assert!((1..=200).eq(amounts(dir.path())));
    let mut second = store(dir.path(), 100);
    assert!(files(dir.path(), ".tmp").is_empty());
    (251..=300).for_each(|n| second.push(&trade(n, START + n)));
    second.finish();
    assert!((1..=200).chain(251..=300).eq(amounts(dir.path())));
}

#[test]
fn rows_go_to_their_own_hour() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = store(dir.path(), 1000);
    for (n, recv_ns) in [
        (1, START - 2),
        (2, START - 1),
        (3, START + 1),
        (4, START - 1),
        (5, START + 2),
    ] {
        store.push(&trade(n, recv_ns));
    }
    store.finish();
    let in_hour = |hour: &str| -> Vec<i64> {
        let files = files(&dir.path().join("trades/2025-11-22").join(hour), ".parquet");
        files
            .iter()
            .flat_map(|f| ints(&read(f), "amount"))
            .collect()
    };
    assert_eq!((in_hour("09"), in_hour("10")), (vec![1, 2, 4], vec![3, 5]));
}

#[test]
fn an_hour_is_merged_once_whenever_the_kill_comes() {
    let dir = tempfile::tempdir().expect("a folder");
    let go_on = AtomicBool::new(false);
    let hour = dir.path().join("trades/2025-11-22/10");
    let mut first = store(dir.path(), 100);
    (1..=300).for_each(|n| first.push(&trade(n, START + n)));
    first.finish();
    let parts = files(&hour, ".parquet");
    let images: Vec<Vec<u8>> = parts
        .iter()
        .map(|p| std::fs::read(p).expect("reads"))
        .collect();
    assert_eq!(
        files::merge(&hour, &AtomicBool::new(true)).expect("stops"),
        None
    );
    assert_eq!(
        files(dir.path(), ""),
        parts,
        "an abandoned merge leaves nothing"
    );
    assert_eq!(files::merge(&hour, &go_on).expect("merges"), Some(300));
    let merged = hour.join("segment-000001-000003.parquet");
    assert_eq!(files(dir.path(), ""), std::slice::from_ref(&merged));
    assert!((1..=300).eq(ints(&read(&merged), "amount")), "in order");
    // A kill after the rename and before all parts were deleted.
    for (path, image) in parts.iter().zip(&images).skip(1) {
        std::fs::write(path, image).expect("writes");
    }
    assert_eq!(amounts(dir.path()).len(), 500);
    assert_eq!(files::recover(dir.path()).expect("recovers"), []);
    assert!((1..=300).eq(amounts(dir.path())));
    // The same hour goes on: numbers go on, and a second merge takes the first one in.
    let mut second = store(dir.path(), 100);
    (301..=400).for_each(|n| second.push(&trade(n, START + n)));
    second.finish();
    assert_eq!(
        files::recover(dir.path()).expect("recovers"),
        [(hour.clone(), START + HOUR_NS)]
    );
    assert_eq!(files::merge(&hour, &go_on).expect("merges"), Some(400));
    assert_eq!(
        files(dir.path(), ""),
        [hour.join("segment-000001-000004.parquet")]
    );
    assert!((1..=400).eq(amounts(dir.path())));
    assert_eq!(files::merge(&hour, &go_on).expect("nothing to do"), None);
}

#[test]
fn what_cannot_be_read_is_set_aside_and_the_rest_merged() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = store(dir.path(), 100);
    (1..=300).for_each(|n| store.push(&trade(n, START + n)));
    store.finish();
    let hour = dir.path().join("trades/2025-11-22/10");
    std::fs::write(hour.join("segment-000002.parquet"), b"PAR1 and no more").expect("writes");
    assert_eq!(
        files::merge(&hour, &AtomicBool::new(false)).expect("merges"),
        Some(200)
    );
    assert!((1..=100).chain(201..=300).eq(amounts(dir.path())));
    assert_eq!(files(dir.path(), ".damaged").len(), 1);
}

#[test]
fn a_full_disk_costs_the_oldest_and_memory_stays_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = store(dir.path(), 100);
    std::fs::write(dir.path().join("trades"), b"a file in the way").expect("writes");
    (1..=1000).for_each(|n| store.push(&trade(n, START + n)));
    let dropped = store.counts().dropped.get();
    assert!(store.waiting() <= 200);
    assert_eq!(store.waiting() as u64 + dropped, 1000);
    assert_eq!(
        (store.counts().stored.get(), store.counts().retries.get()),
        (0, 1)
    );
    std::fs::remove_file(dir.path().join("trades")).expect("removes");
    store.finish();
    assert!(
        (dropped as i64 + 1..=1000).eq(amounts(dir.path())),
        "the newest are there"
    );
}

//! Which ticks did the run before take with it when it was killed? Says so, counts them, and begins
//! this run's ledger. Called once at start, before anything is offered; nothing here is fatal.

use crate::metrics::TickMetrics;
use crate::metrics::ledger::{Contents, Landed, Ledger, boot_id};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Instruments that a line about lost ticks names.
const NAMED: usize = 5;

/// The ledger of a tick store (`influx`, `parquet`) below the data folder.
pub fn path(data_dir: &Path, store: &str) -> PathBuf {
    data_dir.join("ledger").join(store)
}

/// Closes the books of the run before, and opens this run's.
pub fn renew(counts: &mut TickMetrics, data_dir: &Path, store: &str, landed: Landed<'_>) {
    let path = path(data_dir, store);
    let place = path.display();
    match Contents::read(&path, landed) {
        Ok(Some(contents)) => enter(&contents, counts, store),
        Ok(None) => {
            let aside = path.with_extension("damaged");
            let set_aside = std::fs::rename(&path, &aside);
            let aside = aside.display();
            tracing::error!(
                ?set_aside,
                "{place} is no ledger of ours: what the run before lost is not known; \
                 it is set aside as {aside}"
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => tracing::error!("{place}: {error}; what the run before lost is not known"),
    }
    match Ledger::create(&path) {
        Ok(ledger) => counts.ledger = ledger,
        Err(error) => tracing::error!(
            "{place}: {error}; is the disk full? Ticks are stored all the same, but what a kill \
             takes from memory will not be known"
        ),
    }
}

fn enter(contents: &Contents, counts: &TickMetrics, store: &str) {
    let lost = contents.lost();
    if lost == 0 {
        return;
    }
    let rows = contents.rows.iter().filter(|row| row.lost() > 0);
    let mut most: Vec<(u64, &str)> = rows.clone().map(|r| (r.lost(), &*r.name)).collect();
    for row in rows {
        counts.lost.add(&row.name.as_str().into(), row.lost());
        counts.died.add(row.lost());
        counts.died_unsure.add(row.unsure);
    }
    let instruments = most.len();
    most.sort_unstable_by(|a, b| b.cmp(a));
    let most = most.iter().take(NAMED);
    let most: Vec<String> = most.map(|(n, name)| format!("{name}: {n}")).collect();
    let most = most.join(", ");
    let unsure = counts.died_unsure.get();
    if contents.boot_id == boot_id() {
        tracing::error!(
            lost,
            unsure,
            instruments,
            most,
            "{store}: the run before was killed with ticks in memory: they are lost (unsure: were \
             on their way, and may be stored)"
        );
    } else {
        tracing::error!(
            lost,
            unsure,
            instruments,
            most,
            "{store}: the machine went down with ticks in memory: about so many are lost; the \
             account on disk may be half a minute older than the end"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ledger::{Effect, Settler};
    use crate::publishers::parquet;

    fn opened(dir: &Path) -> TickMetrics {
        let mut counts = TickMetrics::default();
        renew(&mut counts, dir, "influx", &|_| false);
        counts
    }

    /// A segment under its own name, or in a merged file, holds what was about to be settled by it.
    #[test]
    fn a_segment_that_a_kill_left_complete_is_not_lost() {
        for (file, lost) in [
            ("segment-000007.parquet.tmp", 3),
            ("segment-000006.parquet", 3),
            ("segment-000007.parquet", 0),
            ("segment-000001-000009.parquet", 0),
        ] {
            let dir = tempfile::tempdir().expect("a folder");
            let renewed = || {
                let mut counts = TickMetrics::default();
                parquet::renew_ledger(&mut counts, dir.path());
                counts
            };
            let counts = renewed();
            (0..3).for_each(|_| counts.ledger.offer(0));
            let segment = Effect::Segment {
                table: 1,
                hour: 490_000,
                number: 7,
            };
            let begun = counts
                .ledger
                .begin(Settler::Publisher, vec![(0, 3)], segment);
            std::mem::forget(begun);
            let hour = parquet::dir(dir.path()).join("quotes/2025-11-24/16");
            std::fs::create_dir_all(&hour).expect("a folder");
            std::fs::write(hour.join(file), b"").expect("written");
            assert_eq!(renewed().died.get(), lost, "{file}");
        }
    }

    fn lost(counts: &TickMetrics) -> Vec<(String, u64)> {
        let all = counts.lost.all().into_iter();
        all.map(|(name, n)| (name.to_string(), n)).collect()
    }

    #[test]
    fn what_a_run_took_with_it_the_next_one_counts_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = opened(dir.path());
        assert_eq!((first.died.get(), lost(&first)), (0, vec![]));
        first.ledger.list(0, "binance BTC/USDT");
        first.ledger.list(1, "binance ETH/USDT");
        for instrument in [0, 0, 0, 1, 1, 5] {
            first.ledger.offer(instrument);
        }
        first
            .ledger
            .settle(Settler::Publisher, &vec![(0, 1), (1, 2)]);
        let begun = first
            .ledger
            .begin(Settler::Publisher, vec![(0, 1)], Effect::Sent);
        std::mem::forget(begun); // as a kill
        drop(first);
        let second = opened(dir.path());
        assert_eq!((second.died.get(), second.died_unsure.get()), (3, 1));
        let expected = [("binance BTC/USDT", 2), ("unknown", 1)];
        assert_eq!(lost(&second), expected.map(|(s, n)| (s.to_owned(), n)));
        drop(second);
        assert_eq!(opened(dir.path()).died.get(), 0);
    }

    #[test]
    fn what_is_no_ledger_is_set_aside_and_a_full_disk_is_borne() {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = path(dir.path(), "influx");
        drop(opened(dir.path()));
        for foreign in [b"".as_slice(), b"TFLEDG01", b"something else"] {
            std::fs::write(&ledger, foreign).expect("written");
            let counts = opened(dir.path());
            counts.ledger.offer(0);
            let aside = ledger.with_extension("damaged");
            assert_eq!(std::fs::read(aside).expect("set aside"), foreign);
            drop(counts);
            assert_eq!(opened(dir.path()).died.get(), 1, "a new one was begun");
        }
        let file = dir.path().join("file");
        std::fs::write(&file, b"").expect("written");
        let counts = opened(&file); // no folder can be below a file
        counts.ledger.offer(0);
        assert_eq!(counts.died.get(), 0);
    }
}

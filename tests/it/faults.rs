//! The network between the daemon and its stores, and its exchange, at fault: every signal is in
//! both stores once in the end, every tick is counted, and what is not at fault does not wait.

use crate::daemon::{self, Exchange, Process, u64_of};
use crate::pipeline::{self, STRATEGIES, Stores};
use crate::proxy::{Mode, Proxy, address_of};
use crate::servers::{self, OwnRedis};
use crate::watch::{Watch, until};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A market, a daemon, and a proxy before everything that the daemon talks to.
struct Site {
    dir: tempfile::TempDir,
    exchange: Exchange,
    stores: Stores,
    postgres: Proxy,
    redis: Proxy,
    influx: Proxy,
    market: Proxy,
    watch: Watch,
    daemon: Process,
    _redis: OwnRedis,
}

impl Site {
    /// `None` says what is skipped.
    fn start() -> Option<Site> {
        servers::postgres_url()?;
        let influx = servers::influx_url()?;
        let redis = servers::own_redis()?;
        let dir = tempfile::tempdir().expect("a folder");
        let stores = Stores {
            postgres: servers::fresh_database(),
            redis: redis.url(),
            influx,
            database: servers::unique_name(),
        };
        let truth = dir.path().join("truth.jsonl").display().to_string();
        let flags = ["--symbols", "4", "--rate", "2000", "--truth", &truth];
        let exchange = Exchange::start(dir.path(), &flags);
        let proxy = |url: &str| Proxy::start(address_of(url));
        let (postgres, influx) = (proxy(&stores.postgres), proxy(&stores.influx));
        let (through_redis, market) = (proxy(&stores.redis), proxy(&exchange.ws));
        let watch = Watch::new();
        let text = format!(
            "name = \"it\"\ndata_dir = {:?}\n\
             [exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\n\
             snapshots_per_second = 50\nsilence = \"1s\"\nbackoff_max = \"500ms\"\n\
             [stores.postgres]\nurl = {:?}\ntimeout = \"1s\"\n\
             [stores.redis]\nurl = {:?}\ntimeout = \"1s\"\n\
             [stores.influx]\nurl = {:?}\nversion = 1\ndatabase = {:?}\ntimeout = \"1s\"\n\
             flush = \"100ms\"\n{}{STRATEGIES}",
            dir.path().join("data"),
            market.before(&exchange.ws),
            exchange.rest,
            postgres.before(&stores.postgres),
            through_redis.before(&stores.redis),
            influx.before(&stores.influx),
            stores.database,
            watch.section(),
        );
        let config = dir.path().join("tickforge.toml");
        std::fs::write(&config, text).expect("the configuration");
        let config = config.display().to_string();
        let log = dir.path().join("run.log");
        let daemon = Process::start(&["run", "--config", &config, "--json"], &log);
        let site = Site {
            dir,
            exchange,
            stores,
            postgres,
            redis: through_redis,
            influx,
            market,
            watch,
            daemon,
            _redis: redis,
        };
        until("signals in both stores", Duration::from_secs(30), || {
            site.delivered("postgres") > 0.0 && site.delivered("redis") > 0.0
        });
        Some(site)
    }

    fn delivered(&self, store: &str) -> f64 {
        let name = format!("signals_delivered_total{{store=\"{store}\"}}");
        self.watch.metric(&name)
    }

    fn stored(&self) -> f64 {
        self.watch.metric("ticks_stored_total{store=\"influx\"}")
    }

    /// Everything that goes on: signals in each store, ticks, the engine.
    fn progress(&self) -> [f64; 4] {
        [
            self.delivered("postgres"),
            self.delivered("redis"),
            self.stored(),
            self.watch.metric("engine_events_total"),
        ]
    }

    /// Each store takes what was decided until now, and ticks beyond `stored`. How far behind they
    /// are in the stream that goes on depends on the disk's speed, and is not asked.
    fn catches_up(&self, stored: f64) {
        let owed = self.watch.metric("journal_appended_total");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let [postgres, redis, ticks, _] = self.progress();
            if postgres >= owed && redis >= owed && ticks > stored {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "of {owed} signals postgres has {postgres}, redis {redis}; \
                 of more than {stored} ticks influx has {ticks}; {:?}",
                self.watch.readiness()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The market ends and everything arrives.
    fn drain(&mut self) {
        self.exchange.process.terminate();
        assert!(self.exchange.process.wait(Duration::from_secs(10)));
        // What it sent last is still on its way through the process.
        std::thread::sleep(Duration::from_secs(1));
        let waiting = "ticks_waiting{store=\"influx\"}";
        until("all is delivered", Duration::from_secs(60), || {
            self.watch.lag() == 0.0 && self.watch.metric(waiting) == 0.0
        });
    }

    /// And the daemon ends: its summary.
    fn finish(&mut self) -> serde_json::Value {
        self.daemon.terminate();
        let summary = self.daemon.line();
        assert!(self.daemon.wait(Duration::from_secs(30)));
        summary
    }
}

const MODES: [Mode; 5] = [
    Mode::Hang,
    Mode::NoAnswer,
    Mode::Tear,
    Mode::Slow(2_000),
    Mode::Refuse,
];

#[tokio::test]
async fn alone_stores_behind_a_faulty_network_get_everything_once() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let (fault, calm) = match servers::long() {
        true => (Duration::from_secs(8), Duration::from_secs(3)),
        false => (Duration::from_millis(2_500), Duration::from_millis(700)),
    };
    // All three at once, each in another mode.
    for turn in 0..MODES.len() {
        let modes = [0, 1, 2].map(|i| MODES[(turn + 2 * i) % MODES.len()]);
        let proxies = [&site.postgres, &site.redis, &site.influx];
        proxies.iter().zip(modes).for_each(|(p, mode)| p.set(mode));
        std::thread::sleep(fault);
        proxies.iter().for_each(|p| p.set(Mode::Pass));
        std::thread::sleep(calm);
    }
    let broken = [&site.postgres, &site.redis, &site.influx].map(Proxy::broken);
    assert!(broken.iter().all(|n| *n >= 3), "{broken:?}");
    let reconnects = site.watch.metric("reconnects_total");
    assert_eq!(reconnects, 0.0, "the exchange was not at fault");
    site.drain();
    let summary = site.finish();
    assert_eq!(u64_of(&summary, "/ticks/dropped"), 0);
    pipeline::assert_everywhere_once(site.dir.path(), &site.stores, &summary).await;
}

/// One store hangs at a time: the others, and the engine, go on as if nothing were.
#[tokio::test]
async fn alone_a_store_that_hangs_holds_up_nothing_else() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let modes = match servers::long() {
        true => &MODES[..],
        false => &MODES[..1],
    };
    for mode in modes {
        for (which, name) in ["postgres", "redis", "influx"].into_iter().enumerate() {
            let proxy = [&site.postgres, &site.redis, &site.influx][which];
            proxy.set(*mode);
            std::thread::sleep(Duration::from_millis(500));
            let before = site.progress();
            std::thread::sleep(Duration::from_secs(2));
            let after = site.progress();
            proxy.set(Mode::Pass);
            for (other, (before, after)) in before.into_iter().zip(after).enumerate() {
                let went_on = after > before;
                assert!(
                    went_on || other == which,
                    "{mode:?} of {name} held up {other}"
                );
            }
            let events = after[3] - before[3];
            assert!(
                events > 2_000.0,
                "{mode:?} of {name}: {events} events in 2 s"
            );
            site.catches_up(after[2]);
        }
    }
    assert_eq!(site.watch.metric("ring_full_total"), 0.0);
    assert_eq!(site.watch.metric("signal_ring_full_total"), 0.0);
    site.drain();
    let summary = site.finish();
    pipeline::assert_everywhere_once(site.dir.path(), &site.stores, &summary).await;
}

/// A market whose socket stalls, crawls, tears: the daemon connects again, its books come back, and
/// no trade is taken twice.
#[tokio::test]
async fn alone_an_exchange_behind_a_faulty_network_is_met_again() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let modes = match servers::long() {
        true => &MODES[..],
        false => &[Mode::Tear, Mode::Refuse, Mode::Slow(2_000), Mode::Hang],
    };
    for mode in modes {
        let reconnects = site.watch.metric("reconnects_total");
        site.market.set(*mode);
        std::thread::sleep(Duration::from_millis(2_500));
        site.market.set(Mode::Pass);
        // A hung handshake is given up after ten seconds.
        until(
            "connected, all books right",
            Duration::from_secs(40),
            || site.watch.metric("books_synced") == 4.0 && site.watch.ready(),
        );
        let again = site.watch.metric("reconnects_total") - reconnects;
        // What crawls is late, and may stay connected.
        assert!(
            again >= 1.0 || matches!(mode, Mode::Slow(_)),
            "{mode:?}: {again}"
        );
    }
    std::thread::sleep(Duration::from_secs(2)); // of a sound market
    site.drain();
    let handled = site.watch.metric("trades_total");
    let summary = site.finish();
    daemon::assert_balanced(&summary);
    let trades = site.exchange_trades();
    let (url, database) = (&site.stores.influx, &site.stores.database);
    let points = daemon::influx_trades(url, database).await;
    let stored: BTreeSet<_> = points.keys().cloned().collect();
    assert!(
        stored.len() > 300 && stored.is_subset(&trades),
        "{}",
        stored.len()
    );
    assert!(points.values().all(|n| *n == 1));
    assert_eq!(
        handled,
        stored.len() as f64,
        "the engine met each of them once"
    );
    let signals = daemon::journalled(&site.dir.path().join("data"));
    pipeline::assert_signals_once(&signals, &site.stores.postgres, &site.stores.redis).await;
}

impl Site {
    fn exchange_trades(&self) -> BTreeSet<(String, String)> {
        daemon::true_trades(&self.dir.path().join("truth.jsonl"))
    }
}

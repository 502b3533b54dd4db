//! `tickforge demo`: the whole path on embedded defaults. A simulated exchange on loopback,
//! ingested over a real WebSocket; the three strategies; journal and Parquet in one folder. No
//! server, no network.

use super::{Common, run};
use crate::app::App;
use crate::clock;
use crate::config::Config;
use crate::market::Registry;
use crate::market::decimal::to_decimal;
use crate::metrics::{BookGauge, Metrics};
use crate::publishers::journal::Reader;
use crate::signal::record::SignalRecord;
use crate::simulate;
use crate::view::{self, Board, BookLine, SignalLine};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Stop after this time, as `30s`; until Ctrl-C where left out
    #[arg(long = "for", value_name = "TIME", value_parser = super::duration)]
    run_for: Option<Duration>,
    /// Seed of the simulated market
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instruments of the simulated market
    #[arg(long, default_value_t = 4)]
    symbols: usize,
    /// Messages per second of the simulated market, on average
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Record it as a capture, for `replay` and `strategies --check`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// The strategies at a pace that shows something within half a minute; the simulated exchange's
/// candles warm them up.
const STRATEGIES: &str = r#"
[strategies.ema_cross]
bar = "1s"
fast = 3
slow = 7
atr = 8
min_gap_bp = 0.05
[strategies.rsi_reversion]
bar = "1s"
period = 5
[strategies.book_imbalance]
smoothing = "500ms"
threshold = 0.4
cooldown = "2s"
"#;

/// How often the screen's books and signals are looked up.
const GLANCE: Duration = Duration::from_millis(200);

pub fn run(args: &Args, common: &Common) -> anyhow::Result<bool> {
    let data_dir = match &common.data_dir {
        Some(dir) => dir.clone(),
        None => fresh_folder(Path::new("tickforge-demo")),
    };
    let mut config = Config::parse(STRATEGIES, "the demo's own configuration")?;
    config.data_dir.clone_from(&data_dir);
    config.name = "demo".to_owned();
    config.http.listen = None;
    // The screen is for the market; what goes wrong still shows.
    config.log.level = "warn".to_owned();
    crate::logging::init(&config.log);
    super::install_crypto();
    super::without_huge_pages();
    let summary = super::block_on(demo(args, config, common.json))??;
    run::print(&summary, common.json)?;
    Ok(true)
}

/// A folder of its own for each run, named by its start.
fn fresh_folder(root: &Path) -> PathBuf {
    let stamp = clock::rfc3339(clock::now_ns()).replace(':', "-");
    root.join(stamp.split('.').next().unwrap_or("run"))
}

async fn demo(
    args: &Args,
    mut config: Config,
    json: bool,
) -> anyhow::Result<crate::summary::Summary> {
    let exchange = Simulated::start(args)?;
    config
        .exchanges
        .insert("binance".to_owned(), exchange.config());
    let data_dir = config.data_dir.clone();
    let app = App::start(config, args.record.clone())?;
    let board = Arc::new(Board::new(data_dir.display().to_string()));
    let (end, until) = watch::channel(args.run_for.map(|d| Instant::now() + d));
    let (asked, quit) = mpsc::channel(1);
    let glance = tokio::task::spawn_local(glance(
        Arc::clone(&board),
        Arc::clone(&app.metrics),
        Arc::clone(&app.registry),
        data_dir.join("journal"),
    ));
    let screen = view::show(
        Arc::clone(&board),
        Arc::clone(&app.metrics),
        until,
        asked,
        json,
    );
    let screen = tokio::task::spawn_local(screen);
    wait(args.run_for, quit).await?;
    end.send_replace(Some(Instant::now()));
    if let Ok(Err(e)) = screen.await {
        tracing::warn!("the screen failed: {e}");
    }
    glance.abort();
    let summary = app.stop();
    exchange.stop()?;
    summary
}

/// Until the time is over, a signal, or `q` on the screen.
async fn wait(run_for: Option<Duration>, mut quit: mpsc::Receiver<()>) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let time = async {
        match run_for {
            Some(d) => tokio::time::sleep(d).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        Some(()) = quit.recv() => {}
    }
    Ok(())
}

/// The exchange, on a thread of its own.
struct Simulated {
    ws: String,
    rest: String,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Simulated {
    fn start(args: &Args) -> anyhow::Result<Simulated> {
        let options = simulate::Options {
            seed: args.seed,
            symbols: args.symbols,
            rate: args.rate,
            ..simulate::Options::default()
        };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (started, addresses) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("exchange".to_owned())
            .spawn(move || {
                super::block_on(async {
                    let running = simulate::start(options).await?;
                    // The receiver waits below; it is gone only if the demo failed meanwhile.
                    let _ = started.send((running.ws.clone(), running.rest.clone()));
                    let _ = stopped.await;
                    running.stop().await?;
                    anyhow::Ok(())
                })?
            })?;
        let (ws, rest) = addresses
            .recv()
            .context("the simulated exchange did not start")?;
        Ok(Simulated {
            ws,
            rest,
            stop,
            thread,
        })
    }

    fn config(&self) -> crate::config::ExchangeConfig {
        let text = format!(
            "[exchanges.binance]\nsymbols = [\"*\"]\nws = {:?}\nrest = {:?}\nsnapshots_per_second = 50",
            self.ws, self.rest
        );
        let config = Config::parse(&text, "the demo's exchange").expect("a valid table");
        config.exchanges["binance"].clone()
    }

    fn stop(self) -> anyhow::Result<()> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the simulated exchange panicked"))?
    }
}

/// Keeps the board: books from the engine's gauges, signals from the journal.
async fn glance(
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    journal: PathBuf,
) {
    let mut reader = Reader::open(&journal, 1);
    loop {
        tokio::time::sleep(GLANCE).await;
        metrics
            .books
            .iter()
            .filter_map(|g| book(g, &registry))
            .for_each(|line| board.book(line));
        let end = metrics.journal.appended.get();
        while let Ok(Some(record)) = reader.next(end) {
            if let Ok(record) = serde_json::from_slice::<SignalRecord>(record.payload) {
                board.signal(SignalLine {
                    event_ns: record.event_ns,
                    strategy: record.strategy,
                    symbol: record.symbol,
                    signal_type: record.signal_type,
                    strength: record.strength,
                    price: record.price,
                    reasoning: record.reasoning,
                });
            }
        }
    }
}

fn book(gauge: &BookGauge, registry: &Registry) -> Option<BookLine> {
    let id = gauge.instrument.get().checked_sub(1)?;
    let instrument = registry.get(id as u32);
    let price = |v: u64| to_decimal(v as i64, gauge.price_scale.get() as u8);
    let (bid, ask) = (gauge.bid.get(), gauge.ask.get());
    let middle = (bid + ask) as f64 / 2.0;
    Some(BookLine {
        exchange: instrument.exchange,
        symbol: instrument.symbol.clone(),
        bid: price(bid),
        ask: price(ask),
        spread_bp: if middle > 0.0 {
            (ask as f64 - bid as f64) / middle * 1e4
        } else {
            0.0
        },
        levels: (gauge.bids.get() as usize, gauge.asks.get() as usize),
        state: if gauge.synced.get() == 1 {
            "synced"
        } else {
            "stale"
        },
    })
}

//! What is the daemon doing, at a glance? One live screen where stdout is a terminal, one line a
//! second elsewhere. For `demo`, and for whoever runs the daemon by hand.
//!
//! It only reads: [`Metrics`], and a [`Board`] that the publisher side fills a few times a second.
//! It runs on a thread of its own, so that a terminal that does not take output (Ctrl-S, a full
//! pipe) holds up nobody. The hot threads never see it.

mod screen;

use crate::metrics::{Histogram, Metrics};
use rust_decimal::Decimal;
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

pub use screen::restore;

/// Newest signals that are kept for showing.
const MAX_SIGNALS: usize = 50;
/// Books that are kept for showing.
const MAX_BOOKS: usize = 64;
/// How long a terminal that takes no output may hold up the end of a run.
const GRACE: Duration = Duration::from_secs(1);

/// An instrument's book as the screen shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct BookLine {
    pub exchange: &'static str,
    pub symbol: String,
    pub bid: Decimal,
    pub ask: Decimal,
    pub spread_bp: f64,
    /// Levels of bids and asks.
    pub levels: (usize, usize),
    /// `synced`, `loading`, `stale`.
    pub state: &'static str,
}

/// A signal as the screen shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalLine {
    pub event_ns: i64,
    pub strategy: String,
    pub symbol: String,
    pub signal_type: String,
    pub strength: Decimal,
    pub price: Decimal,
    pub reasoning: String,
}

/// What the publisher side puts up for showing. Never touched by a hot thread: it takes a lock.
pub struct Board {
    /// Where the run keeps its data.
    data_dir: String,
    started: Instant,
    posted: Mutex<Posted>,
}

#[derive(Default)]
struct Posted {
    books: Vec<BookLine>,
    signals: VecDeque<SignalLine>,
}

impl Board {
    /// The run's time counts from here.
    pub fn new(data_dir: impl Into<String>) -> Board {
        let posted = Mutex::default();
        Board {
            data_dir: data_dir.into(),
            started: Instant::now(),
            posted,
        }
    }

    /// Puts up a book, in place of what stood there of the same exchange and symbol.
    pub fn book(&self, line: BookLine) {
        let books = &mut self.posted().books;
        let same = |b: &&mut BookLine| b.exchange == line.exchange && b.symbol == line.symbol;
        if let Some(old) = books.iter_mut().find(same) {
            *old = line;
        } else if books.len() < MAX_BOOKS {
            books.push(line);
        }
    }

    /// Puts up a signal; the oldest one makes room.
    pub fn signal(&self, line: SignalLine) {
        let signals = &mut self.posted().signals;
        signals.truncate(MAX_SIGNALS - 1);
        signals.push_front(line);
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A stage's latencies, ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    pub name: &'static str,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl Stage {
    fn of(name: &'static str, h: &Histogram) -> Stage {
        Stage {
            name,
            p50: h.quantile(0.5),
            p99: h.quantile(0.99),
            max: h.max_ns(),
        }
    }
}

/// All that is shown, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub elapsed: Duration,
    /// `None` where the run has no set end.
    pub left: Option<Duration>,
    pub messages_per_second: f64,
    pub events_per_second: f64,
    pub books: Vec<BookLine>,
    /// Newest first.
    pub signals: Vec<SignalLine>,
    pub signals_total: u64,
    pub stages: [Stage; 5],
    pub dropped: u64,
    pub rejected: u64,
    pub reconnects: u64,
    pub resyncs: u64,
    pub data_dir: String,
}

/// Makes snapshots; rates are since the one before.
struct Observer {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    last: Instant,
    frames: u64,
    events: u64,
}

impl Observer {
    fn new(board: Arc<Board>, metrics: Arc<Metrics>) -> Observer {
        let (frames, events) = (
            metrics.ingest.frames_received.get(),
            metrics.engine.events.get(),
        );
        Observer {
            board,
            metrics,
            last: Instant::now(),
            frames,
            events,
        }
    }

    fn snapshot(&mut self, now: Instant, end: Option<Instant>) -> Snapshot {
        let (ingest, engine) = (&self.metrics.ingest, &self.metrics.engine);
        let (frames, events) = (ingest.frames_received.get(), engine.events.get());
        let seconds = now
            .saturating_duration_since(self.last)
            .as_secs_f64()
            .max(1e-3);
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        let posted = self.board.posted();
        let snapshot = Snapshot {
            elapsed: now.saturating_duration_since(self.board.started),
            left: end.map(|end| end.saturating_duration_since(now)),
            messages_per_second: rate(frames, self.frames),
            events_per_second: rate(events, self.events),
            books: posted.books.clone(),
            signals: posted.signals.iter().cloned().collect(),
            signals_total: engine.signals.get(),
            stages: [
                Stage::of("receive → decoded", &engine.recv_to_decoded),
                Stage::of("ring", &engine.ring),
                Stage::of("decide", &engine.decide),
                Stage::of("tick → signal", &engine.tick_to_signal),
                Stage::of("signal → sent", &self.metrics.journal.signal_to_sent),
            ],
            dropped: ingest.events_dropped.get(),
            rejected: ingest.frames_rejected.get(),
            reconnects: ingest.reconnects.get(),
            resyncs: ingest.resyncs.get(),
            data_dir: self.board.data_dir.clone(),
        };
        drop(posted);
        (self.last, self.frames, self.events) = (now, frames, events);
        snapshot
    }
}

/// When the run ends: at the watched instant, or when its sender is gone.
struct End(watch::Receiver<Option<Instant>>);

impl End {
    fn instant(&self) -> Option<Instant> {
        *self.0.borrow()
    }
    fn is_over(&self) -> bool {
        self.0.has_changed().is_err() || self.instant().is_some_and(|end| end <= Instant::now())
    }
    async fn wait(&mut self) {
        while !self.is_over() {
            let end = self.instant();
            let instant = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.0.changed() => {}
                () = instant => {}
            }
        }
    }
}

/// Shows the run until its end: a screen where stdout is a terminal, else a line a second. With
/// `json` stdout is left to the summary and the lines go to stderr. `q` and Ctrl-C on the screen
/// ask for the end by `stop`. Cut short (dropped), it gives the terminal back too.
pub async fn show(
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    until: watch::Receiver<Option<Instant>>,
    stop: mpsc::Sender<()>,
    json: bool,
) -> io::Result<()> {
    let _restore = screen::RestoreOnDrop;
    let (done, mut ended) = oneshot::channel();
    let end = End(until.clone());
    let observer = Observer::new(board, metrics);
    let cut_short = CutShort(Arc::default());
    let quit = Arc::clone(&cut_short.0);
    std::thread::Builder::new()
        .name("view".to_owned())
        .spawn(move || {
            let _ = done.send(run(observer, &end, &stop, json, &quit));
        })?;
    let mut end = End(until);
    tokio::select! {
        result = &mut ended => return result.unwrap_or(Ok(())),
        () = end.wait() => {}
    }
    // A terminal that takes no output must not hold up the end.
    match tokio::time::timeout(GRACE, ended).await {
        Ok(result) => result.unwrap_or(Ok(())),
        Err(_) => Ok(()),
    }
}

/// Tells the thread to end where the task that shows was dropped.
struct CutShort(Arc<AtomicBool>);

impl Drop for CutShort {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The thread's life.
fn run(
    mut observer: Observer,
    end: &End,
    stop: &mpsc::Sender<()>,
    json: bool,
    quit: &AtomicBool,
) -> io::Result<()> {
    let over = || quit.load(Relaxed) || end.is_over();
    if !json && io::stdout().is_terminal() {
        // A request that waits already is as good as another one.
        let stop = || {
            let _ = stop.try_send(());
        };
        screen::run(
            || observer.snapshot(Instant::now(), end.instant()),
            stop,
            &over,
        )?;
    }
    // Where a panic took the screen away, lines go on.
    let mut next = Instant::now();
    let mut stuck = false;
    while !over() {
        next += Duration::from_secs(1);
        while !over() && Instant::now() < next {
            std::thread::sleep(Duration::from_millis(50));
        }
        if stuck || over() {
            continue;
        }
        let line = line(&observer.snapshot(Instant::now(), end.instant()));
        let written = match json {
            true => writeln!(io::stderr().lock(), "{line}"),
            false => writeln!(io::stdout().lock(), "{line}"),
        };
        // A reader that went away (`| head`) is no reason to end the run.
        stuck = written.is_err();
    }
    Ok(())
}

/// A snapshot as one plain line.
fn line(s: &Snapshot) -> String {
    let synced = s.books.iter().filter(|b| b.state == "synced").count();
    let tick = &s.stages[3];
    let mut text = format!(
        "{:>4} s  {:.0} msg/s  {:.0} events/s  books {synced}/{} synced  signals {}",
        s.elapsed.as_secs(),
        s.messages_per_second,
        s.events_per_second,
        s.books.len(),
        s.signals_total,
    );
    if tick.max > 0 {
        text += &format!(
            "  tick-to-signal p50 {} p99 {}",
            time(tick.p50),
            time(tick.p99)
        );
    }
    for (what, n) in troubles(s) {
        if n > 0 {
            text += &format!("  {what} {n}");
        }
    }
    if let Some(last) = s.signals.first() {
        let (kind, symbol, strategy) = (&last.signal_type, &last.symbol, &last.strategy);
        text += &format!("  last: {kind} {symbol} at {} by {strategy}", last.price);
    }
    // Symbols come from the world: what steers a terminal does not get through.
    text.retain(|c| !c.is_control());
    text
}

fn troubles(s: &Snapshot) -> [(&'static str, u64); 4] {
    [
        ("dropped", s.dropped),
        ("rejected", s.rejected),
        ("reconnects", s.reconnects),
        ("resyncs", s.resyncs),
    ]
}

/// A duration in the unit that suits it: `840 ns`, `12.3 µs`, `4.56 ms`.
fn time(ns: u64) -> String {
    let v = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", v / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", v / 1e6),
        _ => format!("{:.2} s", v / 1e9),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn signal(n: i64) -> SignalLine {
        SignalLine {
            event_ns: 1_700_000_000_000_000_000 + n * 1_000_000_000,
            strategy: "ema_cross".to_owned(),
            symbol: "BTC/USDT".to_owned(),
            signal_type: "strong_buy".to_owned(),
            strength: Decimal::new(87, 2),
            price: Decimal::new(6_412_345, 2),
            reasoning: "the fast average crossed above the slow one".to_owned(),
        }
    }

    pub(crate) fn book(symbol: &str, state: &'static str) -> BookLine {
        BookLine {
            exchange: "binance",
            symbol: symbol.to_owned(),
            bid: Decimal::new(6_412_340, 2),
            ask: Decimal::new(6_412_350, 2),
            spread_bp: 0.02,
            levels: (1000, 998),
            state,
        }
    }

    pub(crate) fn filled() -> (Arc<Board>, Arc<Metrics>) {
        let (board, metrics) = (Board::new("/tmp/demo"), Metrics::default());
        board.book(book("BTC/USDT", "stale"));
        board.book(book("ETH/USDT", "loading"));
        board.book(book("BTC/USDT", "synced"));
        (0..60).for_each(|n| board.signal(signal(n)));
        metrics.engine.signals.set(60);
        metrics.engine.tick_to_signal.record(12_345);
        metrics.ingest.frames_rejected.set(3);
        (Arc::new(board), Arc::new(metrics))
    }

    pub(crate) fn snapshot() -> Snapshot {
        let (board, metrics) = filled();
        let mut observer = Observer::new(board, Arc::clone(&metrics));
        metrics.ingest.frames_received.set(3_000);
        metrics.engine.events.set(9_000);
        let now = observer.last + Duration::from_secs(2);
        observer.snapshot(now, Some(now + Duration::from_secs(7)))
    }

    #[test]
    fn a_snapshot_is_the_board_and_the_rates_since_the_last_one() {
        let s = snapshot();
        assert_eq!(
            (s.messages_per_second, s.events_per_second),
            (1500.0, 4500.0)
        );
        assert_eq!(s.left, Some(Duration::from_secs(7)));
        let books: Vec<_> = s
            .books
            .iter()
            .map(|b| (b.symbol.as_str(), b.state))
            .collect();
        assert_eq!(books, [("BTC/USDT", "synced"), ("ETH/USDT", "loading")]);
        assert_eq!(s.signals.len(), MAX_SIGNALS);
        assert_eq!(s.signals[0], signal(59), "newest first");
    }

    #[test]
    fn a_line_says_what_matters_and_steers_no_terminal() {
        let mut s = snapshot();
        let text = line(&s);
        let expected = "   2 s  1500 msg/s  4500 events/s  books 1/2 synced  signals 60  \
                        tick-to-signal p50 12.3 µs p99 12.3 µs  rejected 3  \
                        last: strong_buy BTC/USDT at 64123.45 by ema_cross";
        assert_eq!(text, expected);
        s.signals[0].symbol = "\u{1b}[2JX/Y\n".to_owned();
        assert!(!line(&s).contains(char::is_control));
    }

    #[test]
    fn durations_take_the_unit_that_suits_them() {
        let all = [0, 999, 12_345, 4_560_000, 1_500_000_000].map(time);
        assert_eq!(all, ["0 ns", "999 ns", "12.3 µs", "4.56 ms", "1.50 s"]);
    }

    #[tokio::test]
    async fn it_ends_at_its_time_and_when_the_sender_is_gone() {
        for at_its_time in [true, false] {
            let (board, metrics) = filled();
            let (sender, until) = watch::channel(None);
            let (stop, _asked) = mpsc::channel(1);
            let showing = tokio::spawn(show(board, metrics, until, stop, true));
            if at_its_time {
                sender.send_replace(Some(Instant::now() + Duration::from_millis(50)));
            } else {
                drop(sender);
            }
            let ended = tokio::time::timeout(Duration::from_secs(5), showing).await;
            assert!(ended.expect("in time").expect("no panic").is_ok());
        }
    }
}

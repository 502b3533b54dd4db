//! Wire to handler: from before the exchange's `write` to the frame's bytes at the decoder, on
//! loopback, beside bare TCP readers that wait in the same manner.
//!
//! `cargo bench --bench wire`. One connection, a trade every 200 µs in Binance's format inside a
//! WebSocket frame. Sender and reader are pinned to a core each, so that at most two threads spin.
//! Every contender has its turn in every round; a ratio is that of two medians of one round, and
//! the last lines show the median of the rounds' ratios.
//!
//! - A bare reader is `read` in a loop; it stamps when a `read` has returned with the end of the
//!   frame. It does not look into the frame. `blocking` sleeps in `read`; `tokio` in the epoll of a
//!   single-threaded runtime, as the ingest thread does; `polling` has a non-blocking socket.
//! - `ingest` is [`tickforge::net::ingest`] as the daemon runs it: instrument list by REST,
//!   handshake, subscription, ack, timers. Its stamp is `recv_ns` of the events in the ring, taken
//!   before a frame is decoded: by then the WebSocket frame is parsed and its UTF-8 checked.
//!   `decoded` is that and the decoding of the trade.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tickforge::clock::Clock;
use tickforge::config::{Config, IngestMode};
use tickforge::cores;
use tickforge::market::{Event, Kind, Registry};
use tickforge::metrics::Metrics;
use tickforge::net::{self, Hub};
use tickforge::ring::ring;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message};

const PACE: Duration = Duration::from_micros(200);
/// Messages of a turn that are sent before those that count.
const WARM_UP: usize = 500;

struct Scale {
    rounds: usize,
    messages: usize,
}

impl Scale {
    fn total(&self) -> usize {
        WARM_UP + self.messages
    }
}

/// Where reader and sender run.
#[derive(Clone, Copy)]
struct Cores {
    reader: usize,
    sender: usize,
}

/// The n-th trade: a frame as a server sends it, unmasked.
fn frame(n: usize) -> Vec<u8> {
    let id = 5_000_000_000 + n;
    let text = format!(
        r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1795339200000,"s":"BTCUSDT","t":{id},"p":"91234.56000000","q":"0.01250000","T":1795339200000,"m":true,"M":true}}}}"#
    );
    let length = u16::try_from(text.len()).expect("a short frame");
    let mut frame = vec![0x81, 126];
    frame.extend(length.to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}

/// Sends at an even pace; when each was handed to the socket.
fn send(socket: &mut TcpStream, total: usize, clock: Clock) -> Vec<i64> {
    let mut sent = Vec::with_capacity(total);
    let mut due = Instant::now() + PACE;
    for n in 0..total {
        let frame = frame(n);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        due += PACE;
        sent.push(clock.now_ns());
        socket.write_all(&frame).expect("the reader reads");
    }
    sent
}

/// Stamps of the ends of frames, of which `received` bytes have come in all.
struct Stamps {
    length: usize,
    received: usize,
    stamps: Vec<i64>,
}

impl Stamps {
    fn new(total: usize) -> Stamps {
        Stamps {
            length: frame(0).len(),
            received: 0,
            stamps: Vec::with_capacity(total),
        }
    }

    #[inline]
    fn take(&mut self, bytes: usize, clock: Clock) {
        self.received += bytes;
        while self.stamps.len() < self.received / self.length {
            self.stamps.push(clock.now_ns());
        }
    }

    fn complete(&self, total: usize) -> bool {
        self.stamps.len() >= total
    }
}

/// A bare reader's turn; the latencies that count.
fn bare(scale: &Scale, at: Cores, read: fn(TcpStream, usize, Clock) -> Vec<i64>) -> Vec<i64> {
    let clock = Clock::system();
    let total = scale.total();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let reader = thread::spawn(move || {
        cores::allow(&[at.reader]).expect("pinned");
        let socket = TcpStream::connect(address).expect("connected");
        socket.set_nodelay(true).expect("no delay");
        read(socket, total, clock)
    });
    let sender = thread::spawn(move || {
        cores::allow(&[at.sender]).expect("pinned");
        let (mut socket, _) = listener.accept().expect("a reader");
        socket.set_nodelay(true).expect("no delay");
        send(&mut socket, total, clock)
    });
    let sent = sender.join().expect("the sender");
    let received = reader.join().expect("the reader");
    latencies(&sent, &received)
}

fn blocking(mut socket: TcpStream, total: usize, clock: Clock) -> Vec<i64> {
    let (mut stamps, mut buffer) = (Stamps::new(total), [0; 4096]);
    while !stamps.complete(total) {
        let n = socket.read(&mut buffer).expect("bytes");
        stamps.take(n, clock);
    }
    stamps.stamps
}

fn polling(mut socket: TcpStream, total: usize, clock: Clock) -> Vec<i64> {
    socket.set_nonblocking(true).expect("non-blocking");
    let (mut stamps, mut buffer) = (Stamps::new(total), [0; 4096]);
    while !stamps.complete(total) {
        match socket.read(&mut buffer) {
            Ok(n) => stamps.take(n, clock),
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock, "{e}"),
        }
    }
    stamps.stamps
}

fn tokio_reader(socket: TcpStream, total: usize, clock: Clock) -> Vec<i64> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        socket.set_nonblocking(true).expect("non-blocking");
        let mut socket = tokio::net::TcpStream::from_std(socket).expect("a socket");
        let (mut stamps, mut buffer) = (Stamps::new(total), [0; 4096]);
        while !stamps.complete(total) {
            let n = socket.read(&mut buffer).await.expect("bytes");
            stamps.take(n, clock);
        }
        stamps.stamps
    })
}

const LISTING: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001"}]}]}"#;

/// Answers one REST request: the instrument list.
fn serve_listing(listener: &TcpListener) {
    let (mut socket, _) = listener.accept().expect("a request");
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        let n = socket.read(&mut buffer).expect("a request");
        request.extend(&buffer[..n]);
    }
    let (length, list) = (LISTING.len(), LISTING);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    write!(socket, "{head}Content-Length: {length}\r\n\r\n{list}").expect("the answer is taken");
}

/// Accepts one WebSocket, and its subscription.
fn accept(listener: &TcpListener) -> TcpStream {
    let (socket, _) = listener.accept().expect("a connection");
    socket.set_nodelay(true).expect("no delay");
    let mut ws = tungstenite::accept(socket).expect("a handshake");
    let request = ws.read().expect("a subscription");
    assert!(request.to_text().expect("text").contains("btcusdt@trade"));
    ws.send(Message::text(r#"{"result":null,"id":1}"#))
        .expect("the ack is taken");
    ws.get_ref().try_clone().expect("the socket")
}

/// The daemon's ingest thread against an exchange that sends the same; to the handler, and decoded.
fn ingest(scale: &Scale, at: Cores, mode: IngestMode) -> (Vec<i64>, Vec<i64>) {
    let clock = Clock::system();
    let total = scale.total();
    let (ws, rest) = (
        TcpListener::bind("127.0.0.1:0").expect("a port"),
        TcpListener::bind("127.0.0.1:0").expect("a port"),
    );
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let config = format!(
        "[exchanges.binance]\nsymbols = [\"BTC/USDT\"]\nquotes = false\nbook = false\n\
         ws = \"ws://127.0.0.1:{}\"\nrest = \"http://127.0.0.1:{}\"\n",
        port(&ws),
        port(&rest)
    );
    let mut config = Config::parse(&config, "bench").expect("a configuration");
    config.ingest.mode = mode;
    let (events, mut events_out) = ring::<Event>(2 * total);
    let (_broken, broken_out) = ring(64);
    let (stop, stopped) = watch::channel(None);
    let reader = thread::spawn(move || {
        cores::allow(&[at.reader]).expect("pinned");
        let work = async move {
            let (registry, metrics) = (Arc::new(Registry::default()), Arc::new(Metrics::default()));
            let hub = Hub::new(
                events,
                broken_out,
                registry,
                metrics,
                clock,
                None,
                Default::default(),
            );
            net::ingest(&config, hub, net::PastContext::default(), stopped).await;
        };
        net::drive::block_on(None, work).expect("a runtime");
    });
    let sender = thread::spawn(move || {
        cores::allow(&[at.sender]).expect("pinned");
        serve_listing(&rest);
        let mut socket = accept(&ws);
        let sent = send(&mut socket, total, clock);
        thread::sleep(Duration::from_millis(50));
        stop.send_replace(Some(Instant::now()));
        sent
    });
    let sent = sender.join().expect("the sender");
    reader.join().expect("the ingest thread");
    let all = std::iter::from_fn(|| events_out.pop());
    let trades: Vec<Event> = all.filter(|e| e.kind == Kind::Trade).collect();
    for (n, trade) in trades.iter().enumerate() {
        assert_eq!(
            trade.trade().id,
            5_000_000_000 + n as u128,
            "no trade is missing"
        );
    }
    let handled: Vec<i64> = trades.iter().map(|e| e.recv_ns).collect();
    let decoded = trades.iter().map(|e| e.recv_ns + i64::from(e.decode_ns));
    let decoded: Vec<i64> = decoded.collect();
    (latencies(&sent, &handled), latencies(&sent, &decoded))
}

/// Sorted, without the warm-up.
fn latencies(sent: &[i64], received: &[i64]) -> Vec<i64> {
    assert_eq!(sent.len(), received.len(), "every message arrived");
    let all = sent.iter().zip(received).skip(WARM_UP);
    let mut latencies: Vec<i64> = all.map(|(s, r)| r - s).collect();
    latencies.sort_unstable();
    latencies
}

fn quantile(sorted: &[i64], q: f64) -> i64 {
    sorted[((sorted.len() - 1) as f64 * q) as usize]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What every round measures, in the order of its columns.
const NAMES: [&str; 7] = [
    "blocking: bare",
    "tokio: bare",
    "tokio: ingest",
    "tokio: ingest, decoded",
    "polling: bare",
    "polling: ingest",
    "polling: ingest, decoded",
];

fn round(scale: &Scale, at: Cores) -> [Vec<i64>; NAMES.len()] {
    let asleep = bare(scale, at, tokio_reader);
    let (handled, decoded) = ingest(scale, at, IngestMode::Tokio);
    let awake = bare(scale, at, polling);
    let (polled, polled_decoded) = ingest(scale, at, IngestMode::BusyPoll);
    let blocked = bare(scale, at, blocking);
    [
        blocked,
        asleep,
        handled,
        decoded,
        awake,
        polled,
        polled_decoded,
    ]
}

fn main() -> std::io::Result<()> {
    let test = std::env::args().any(|arg| arg == "--test");
    let scale = match test {
        true => Scale {
            rounds: 1,
            messages: 100,
        },
        false => Scale {
            rounds: 15,
            messages: 2_000,
        },
    };
    let mut out = std::io::stdout();
    let allowed = cores::allowed()?;
    let &[reader, sender, ..] = allowed.as_slice() else {
        return writeln!(out, "wire: skipped, sender and reader need a core each");
    };
    tickforge::commands::install_crypto();
    let at = Cores { reader, sender };
    let rounds: Vec<_> = (0..scale.rounds).map(|_| round(&scale, at)).collect();
    for (column, name) in NAMES.iter().enumerate() {
        let of = |q: f64| {
            median(
                rounds
                    .iter()
                    .map(|r| quantile(&r[column], q) as f64)
                    .collect(),
            )
        };
        writeln!(
            out,
            "wire to handler, {name:<26} p50 {:>7.0} ns, p99 {:>7.0} ns",
            of(0.5),
            of(0.99)
        )?;
    }
    for (ours, bare) in [(2, 1), (2, 0), (5, 4), (6, 4)] {
        let of = |q: f64| {
            let ratio = |r: &[Vec<i64>; NAMES.len()]| {
                quantile(&r[ours], q) as f64 / quantile(&r[bare], q) as f64
            };
            median(rounds.iter().map(ratio).collect())
        };
        writeln!(
            out,
            "ratio of {} rounds, {} / {}: p50 {:.3}, p99 {:.3}",
            rounds.len(),
            NAMES[ours],
            NAMES[bare],
            of(0.5),
            of(0.99)
        )?;
    }
    Ok(())
}

//! The simulator over real sockets: a client that follows the exchange's rules has the right book.

use super::*;
use crate::capture::{Dir, Line, Writer};
use crate::exchanges::trades::{Hole, Pages, PastTrade};
use crate::exchanges::{BookRule, Channels, Exchange, Frame, Hosts, Limits, Output, Plan};
use crate::exchanges::{Reject, Request, Rest};
use crate::market::{Bar, Instrument, InstrumentId, Scale};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(url: &str) -> Socket {
    let config = WebSocketConfig::default().read_buffer_size(8 << 10);
    let connected = connect_async_with_config(url, Some(config), true).await;
    connected.expect("connects").0
}

async fn get(rest: &str, path: &str) -> (u16, Value) {
    let host = rest.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

/// The next text, parsed; none at a close in good order.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("JSON")),
            Ok(Message::Close(_)) => return None,
            Ok(_) => {}
            Err(error) => panic!("not closed in good order: {error}"),
        }
    }
}

type Levels = BTreeMap<u64, String>;

/// One side's levels, by price in 1e-8.
fn apply(side: &mut Levels, levels: &Value) {
    for level in levels.as_array().expect("levels") {
        let price: u64 = text(&level[0]).replace('.', "").parse().expect("a price");
        let amount = text(&level[1]);
        if amount.bytes().all(|b| matches!(b, b'0' | b'.')) {
            side.remove(&price);
        } else {
            side.insert(price, amount.to_owned());
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// A book kept by the documented rule.
#[derive(Default)]
struct Book {
    bids: Levels,
    asks: Levels,
    last: Option<u64>,
    buffered: Vec<Value>,
}

impl Book {
    fn snapshot(&mut self, snapshot: &Value) {
        let last = snapshot["lastUpdateId"].as_u64().expect("an id");
        let first = self.buffered.first().and_then(|d| d["U"].as_u64());
        assert!(
            first.is_none_or(|first| last + 1 >= first),
            "the snapshot joins"
        );
        apply(&mut self.bids, &snapshot["bids"]);
        apply(&mut self.asks, &snapshot["asks"]);
        self.last = Some(last);
        std::mem::take(&mut self.buffered)
            .iter()
            .for_each(|diff| self.diff(diff));
    }

    fn diff(&mut self, diff: &Value) {
        let Some(last) = self.last else {
            self.buffered.push(diff.clone());
            return;
        };
        let id = |key: &str| diff[key].as_u64().expect("an id");
        if id("u") <= last {
            return;
        }
        assert!(id("U") <= last + 1, "no gap: {} after {last}", id("U"));
        self.last = Some(id("u"));
        apply(&mut self.bids, &diff["b"]);
        apply(&mut self.asks, &diff["a"]);
    }

    fn assert_is(&self, symbol: &str, truth: &Value) {
        let (mut bids, mut asks) = (Levels::new(), Levels::new());
        apply(&mut bids, &truth["bids"]);
        apply(&mut asks, &truth["asks"]);
        assert!(bids.len() >= 500 && asks.len() >= 500, "{symbol}");
        assert_eq!((&self.bids, &self.asks), (&bids, &asks), "{symbol}");
    }
}

fn truth(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("the truth");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn a_client_that_follows_the_rule_has_the_market_s_books() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("truth.ndjson");
    let options = Options {
        rate: 4000,
        truth: Some(path.clone()),
        ..Options::default()
    };
    let running = start(options).await.expect("starts");
    let (status, listing) = get(&running.rest, "/api/v3/exchangeInfo").await;
    assert_eq!(
        (status, listing["symbols"].as_array().map(Vec::len)),
        (200, Some(4))
    );
    assert_eq!(
        get(&running.rest, "/api/v3/depth?symbol=NOSUCH").await.0,
        400
    );

    let mut socket = connect(&format!("{}/stream", running.ws)).await;
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let streams = symbols
        .map(|s| s.to_lowercase())
        .map(|s| format!("\"{s}@trade\",\"{s}@bookTicker\",\"{s}@depth@100ms\""));
    let subscribe = format!(
        r#"{{"method":"SUBSCRIBE","params":[{}],"id":7}}"#,
        streams.join(",")
    );
    socket.send(Message::text(subscribe)).await.expect("sends");
    let ack = next(&mut socket).await.expect("an answer");
    assert_eq!(ack, json!({"result": null, "id": 7}));

    let mut books: BTreeMap<&str, Book> = symbols.map(|s| (s, Book::default())).into();
    let (mut trades, mut messages) = (BTreeSet::new(), 0u64);
    let (mut running, mut sent) = (Some(running), None);
    while let Some(message) = next(&mut socket).await {
        messages += 1;
        let data = &message["data"];
        let book = books
            .get_mut(text(&data["s"]))
            .expect("a subscribed symbol");
        match data["e"].as_str() {
            Some("trade") => {
                let new = trades.insert((text(&data["s"]).to_owned(), data["t"].to_string()));
                assert!(new, "sent once");
            }
            Some("depthUpdate") => book.diff(data),
            _ => assert!(data["u"].is_u64()),
        }
        if let Some(at) = running.as_ref().filter(|_| messages % 300 == 100) {
            for (symbol, book) in books.iter_mut().filter(|(_, b)| b.last.is_none()).take(1) {
                let path = format!("/api/v3/depth?symbol={symbol}&limit=5000");
                book.snapshot(&get(&at.rest, &path).await.1);
            }
        }
        if messages == 3000 {
            sent = running.take().map(|r| tokio::spawn(r.stop()));
        }
    }
    let sent = sent
        .expect("stopped")
        .await
        .expect("no panic")
        .expect("no error");
    assert_eq!(sent.messages, messages + 1, "with the ack");
    let lines = truth(&path);
    for line in lines.iter().filter(|l| l["ch"] == "book_final") {
        if let Some(book) = books.get(text(&line["symbol"])) {
            book.assert_is(text(&line["symbol"]), line);
        }
    }
    let listed: BTreeSet<(String, String)> = lines
        .iter()
        .filter(|l| l["ch"] == "trade")
        .map(|l| (text(&l["symbol"]).to_owned(), text(&l["id"]).to_owned()))
        .collect();
    assert_eq!(listed, trades);
    let summary = lines.last().expect("a summary");
    assert_eq!(
        (&summary["ch"], summary["trades"].as_u64()),
        (&json!("summary"), Some(sent.trades))
    );
    assert_eq!(sent.trades as usize, trades.len());
}

#[tokio::test]
async fn the_market_stands_still_unheard_and_ends_in_time() {
    let options = Options {
        run_for: Some(Duration::from_millis(300)),
        ..Options::default()
    };
    let running = start(options).await.expect("starts");
    let depth = "/api/v3/depth?symbol=SOLUSDT&limit=5";
    let before = get(&running.rest, depth).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(get(&running.rest, depth).await, before);
    let sent = running.ended().await.expect("ends");
    assert_eq!(sent, Sent::default());
}

#[tokio::test]
async fn raw_paths_have_no_wrapper_and_unknown_paths_do_not_exist() {
    let running = start(Options::default()).await.expect("starts");
    let mut socket = connect(&format!("{}/ws/solusdt@bookTicker", running.ws)).await;
    let first = next(&mut socket).await.expect("a message");
    assert_eq!(
        (&first["s"], &first["stream"]),
        (&json!("SOLUSDT"), &Value::Null)
    );
    let refused = connect_async_with_config(format!("{}/nosuch", running.ws), None, true).await;
    assert!(refused.is_err());
    drop(socket);
    running.stop().await.expect("stops");
}

#[tokio::test]
async fn times_are_in_the_unit_that_a_connection_asks_for() {
    let options = Options {
        rate: 20_000,
        ..Options::default()
    };
    let running = start(options).await.expect("starts");
    let streams = "streams=btcusdt@trade/btcusdt@depth@100ms";
    let mut fine = connect(&format!(
        "{}/stream?timeUnit=MICROSECOND&{streams}",
        running.ws
    ))
    .await;
    let mut coarse = connect(&format!("{}/stream?{streams}", running.ws)).await;
    let (mut micros, mut compared) = (BTreeMap::new(), BTreeSet::new());
    while compared.len() < 20 || !compared.contains("u") {
        for (socket, is_fine) in [(&mut fine, true), (&mut coarse, false)] {
            let data = next(socket).await.expect("a message")["data"].take();
            let of = if data["t"].is_u64() { "t" } else { "u" };
            for time in ["E", "T"] {
                let Some(stamp) = data[time].as_u64() else {
                    continue;
                };
                let key = format!("{of} {} {time}", data[of]);
                if is_fine {
                    assert!(stamp > 1_000_000_000_000_000, "{data}");
                    micros.insert(key, stamp);
                } else if let Some(exact) = micros.get(&key) {
                    assert_eq!(stamp, exact / 1_000, "{data}");
                    compared.insert(if of == "u" { of.to_owned() } else { key });
                }
            }
        }
    }
    drop((fine, coarse));
    running.stop().await.expect("stops");
}

#[tokio::test]
async fn candles_are_of_the_trades_that_were_sent() {
    let running = start(Options::default()).await.expect("starts");
    let mut socket = connect(&format!("{}/ws/btcusdt@trade", running.ws)).await;
    let mut prices = Vec::new();
    while prices.len() < 5 {
        let trade = next(&mut socket).await.expect("a trade");
        prices.push(trade["p"].clone());
    }
    let path = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3";
    let (status, rows) = get(&running.rest, path).await;
    let rows = rows.as_array().expect("rows");
    assert_eq!(status, 200);
    let number = |v: &Value| text(v).replace('.', "").parse::<u64>().expect("a price");
    let highest = rows.iter().map(|row| number(&row[2])).max();
    let lowest = rows.iter().map(|row| number(&row[3])).min();
    for price in prices.iter().map(number) {
        assert!(Some(price) <= highest && Some(price) >= lowest);
    }
    drop(socket);
    running.stop().await.expect("stops");
}

#[tokio::test]
async fn trades_by_rest_are_those_that_were_sent() {
    let options = Options {
        rate: 20_000,
        faults: "malformed=0.2,duplicate_trade=0.2".parse().expect("faults"),
        ..Options::default()
    };
    let running = start(options).await.expect("starts");
    let mut socket = connect(&format!("{}/ws/ethusdt@trade", running.ws)).await;
    let mut sent: BTreeMap<u64, Value> = BTreeMap::new();
    while sent.len() < 40 {
        let Some(Ok(message)) = socket.next().await else {
            panic!("it goes on");
        };
        let trade = serde_json::from_str::<Value>(message.to_text().unwrap_or_default());
        // Not a ping, and not a torn one.
        if let Ok(trade) = trade {
            let id = trade["t"].as_u64().expect("an id");
            sent.insert(id, trade);
        }
    }
    let first = sent.keys().next().expect("a trade");
    let path = format!("/api/v3/historicalTrades?symbol=ETHUSDT&fromId={first}&limit=40");
    let (status, rows) = get(&running.rest, &path).await;
    let rows = rows.as_array().expect("rows");
    assert_eq!((status, rows.len()), (200, 40));
    for (row, (id, trade)) in rows.iter().zip(&sent) {
        assert_eq!(row["id"].as_u64(), Some(*id));
        for (rest, stream) in [
            ("price", "p"),
            ("qty", "q"),
            ("time", "T"),
            ("isBuyerMaker", "m"),
        ] {
            assert_eq!(row[rest], trade[stream], "{rest} of {id}");
        }
    }
    drop(socket);
    running.stop().await.expect("stops");
}

/// An exchange as far as a playback needs one: acks say "ok", books are at `/book/NAME`.
struct Venue;

impl Exchange for Venue {
    fn name(&self) -> &'static str {
        "venue"
    }
    fn hosts(&self) -> Hosts {
        Hosts {
            ws: "wss://venue",
            rest: "https://venue",
        }
    }
    fn limits(&self) -> Limits {
        Limits {
            messages_per_second: 1,
            snapshots_per_second: 1,
            candles_per_second: 1,
            trades_per_second: 1,
            instruments_per_connection: 1,
            silence: Duration::from_secs(1),
            ping: None,
        }
    }
    fn stamp_resolution_ns(&self) -> u32 {
        1
    }
    fn book_rule(&self) -> BookRule {
        BookRule::RestSnapshot
    }
    fn listing_path(&self) -> String {
        "/list".to_owned()
    }
    fn parse_listing(&self, _: &[u8]) -> anyhow::Result<Vec<Instrument>> {
        Ok(Vec::new())
    }
    fn guess(&self) -> Option<fn(&str) -> Option<Instrument>> {
        None
    }
    fn plan(&self, _: &[(InstrumentId, &Instrument)], _: Channels) -> Vec<Plan> {
        Vec::new()
    }
    fn resubscribe_book(&self, _: &str, _: u64) -> Vec<Request> {
        Vec::new()
    }
    fn snapshot_path(&self, native: &str) -> Option<String> {
        Some(format!("/book/{native}"))
    }
    fn candles(&self, _: &str, _: i64, _: u32, _: i64) -> Option<String> {
        None
    }
    fn parse_candles(
        &self,
        _: &[u8],
        _: i64,
        _: i64,
        _: Scale,
        _: Scale,
    ) -> Result<Vec<Bar>, Reject> {
        Ok(Vec::new())
    }
    fn trade_pages(&self) -> Pages {
        Pages {
            most: 1,
            from_the_end: false,
            gapless: true,
        }
    }
    fn trades_since(&self, _: &str, _: &Hole) -> Option<String> {
        None
    }
    fn parse_trades(&self, _: &[u8]) -> Result<Vec<PastTrade>, Reject> {
        Ok(Vec::new())
    }
    fn classify(&self, url: &str) -> Rest {
        match url.split_once("/book/") {
            Some((_, native)) => Rest::Snapshot(native.to_owned()),
            None if url.ends_with("/list") => Rest::Listing,
            None => Rest::Other,
        }
    }
    fn decode(&mut self, _: &[u8], _: &mut Output) -> Result<Frame, Reject> {
        Ok(Frame::Ignored)
    }
    fn decode_snapshot(&mut self, _: &str, _: &[u8], _: &mut Output) -> Result<(), Reject> {
        Ok(())
    }
    fn answer(&self, request: &str) -> Vec<String> {
        vec![format!("{{\"ok\":{request}}}")]
    }
    fn is_answer(&self, frame: &str) -> bool {
        frame.starts_with("{\"ok\"")
    }
}

fn recording(path: &Path) -> playback::Recording {
    let mut writer = Writer::create(path).expect("creates");
    let http = |t: i64, url: &str, body: &str| Line {
        url: Some(format!("https://venue{url}")),
        ..Line::new(t, "http", Dir::Http).with_payload(body.as_bytes(), false)
    };
    let ms = 1_000_000;
    let frame = |i: i64| {
        let line = Line::new(i * 10 * ms, "ws", Dir::Recv);
        line.with_payload(format!("{{\"i\":{i}}}").as_bytes(), i == 3)
    };
    let mut lines = vec![
        http(0, "/list", "[\"A\"]"),
        Line::new(0, "ws", Dir::Connect),
        Line::new(1, "ws", Dir::Recv).with_payload(b"{\"ok\":1}", false),
    ];
    lines.extend((1..=4).map(frame));
    lines.push(http(45 * ms, "/book/A", "{\"at\":4}"));
    lines.extend((5..=40).map(frame));
    lines.push(http(450 * ms, "/book/A", "{\"at\":40}"));
    lines.iter().for_each(|l| writer.write(l).expect("writes"));
    writer.finish().expect("finishes");
    playback::Recording::of(path, Box::new(Venue)).expect("opens")
}

async fn play(path: &Path, speed: Speed) -> Running {
    let options = Options {
        speed,
        ..Options::default()
    };
    let recording = recording(path);
    let (sockets, inbox) = server::serve(options.listen, |_| true)
        .await
        .expect("serves");
    let driver = playback::Playback::new(&options, recording, inbox).expect("starts");
    let (stop, stopped) = watch::channel(false);
    Running {
        ws: format!("ws://{}", sockets.ws),
        rest: format!("http://{}", sockets.rest),
        stop,
        driver: tokio::spawn(driver.run(stopped, None)),
        tasks: sockets.tasks,
    }
}

/// Frames' numbers until `count` came or the connection was closed.
async fn numbers(socket: &mut Socket, count: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let bytes = match socket.next().await {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message.into_data(),
            Some(Ok(_)) | None => break,
            Some(Err(error)) => panic!("not closed in good order: {error}"),
        };
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        seen.push(value["i"].as_i64().expect("a frame, not a recorded ack"));
    }
    seen
}

#[tokio::test]
async fn a_capture_is_one_timeline_over_reconnects() {
    let dir = tempfile::tempdir().expect("folder");
    let running = play(&dir.path().join("c.jsonl.zst"), Speed::Times(1.0)).await;
    assert_eq!(get(&running.rest, "/list").await, (200, json!(["A"])));
    assert_eq!(get(&running.rest, "/nosuch").await.0, 404);
    let mut socket = connect(&running.ws).await;
    socket.send(Message::text("1")).await.expect("sends");
    assert_eq!(next(&mut socket).await, Some(json!({"ok": 1})));
    // The answer waits for its place in the recording.
    assert_eq!(get(&running.rest, "/book/A").await, (200, json!({"at": 4})));
    let first = numbers(&mut socket, 10).await;
    assert_eq!(first, (1..=10).collect::<Vec<_>>());
    socket.close(None).await.expect("closes");
    drop(socket);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut socket = connect(&running.ws).await;
    socket.send(Message::text("2")).await.expect("sends");
    assert_eq!(next(&mut socket).await, Some(json!({"ok": 2})));
    let rest = numbers(&mut socket, 1000).await;
    assert!(rest[0] > 10 && rest[0] < 25, "{rest:?}");
    assert_eq!(rest, (rest[0]..=40).collect::<Vec<_>>());
    let sent = running.ended().await.expect("ends by itself");
    assert_eq!(
        (sent.connections, sent.slow_clients, sent.broken_lines),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn at_full_speed_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("folder");
    let running = play(&dir.path().join("c.jsonl"), Speed::Max).await;
    let mut socket = connect(&format!("{}/stream?streams=a", running.ws)).await;
    assert_eq!(
        numbers(&mut socket, 1000).await,
        (1..=40).collect::<Vec<_>>()
    );
    assert_eq!(running.ended().await.expect("ends").messages, 40);
}

#[test]
fn arguments_are_read() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    let parse = |text: &str| {
        <Cli as clap::Parser>::try_parse_from(text.split(' ')).map(|cli| Options::from(cli.args))
    };
    let options = parse("x --seed 7 --for 1.5m --speed max --faults malformed=0.5").expect("valid");
    assert_eq!(options.run_for, Some(Duration::from_secs(90)));
    assert_eq!(
        (options.seed, options.speed, options.symbols),
        (7, Speed::Max, 4)
    );
    assert_eq!(options.faults.malformed, 0.5);
    assert!(parse("x --speed 0").is_err() && parse("x --for 3d").is_err());
    assert!(parse("x --faults typo=1").is_err());
}

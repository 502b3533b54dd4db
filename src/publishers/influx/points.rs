//! A trade or a quote as one line: names, units, and the time that keeps points apart.
//!
//! Pure: values in, text out. The measurement `market_data` is the document's, with the trade's id
//! and side added; `market_quotes` holds best bids and offers.

use super::line::{self, Line};
use crate::market::{Event, Instrument, Kind, Registry, Side, Tick};
use crate::publishers::intake::{self, CHANGE_SCALE, Instruments, Known, SEEN_SCALE};
use std::sync::Arc;

/// Spread of points that carry the time of their receipt, ns: far below what that time is good for.
const RECEIPT_RESOLUTION_NS: u64 = 1_000;

/// The beginnings of an instrument's lines.
pub struct Series {
    /// `binance BTC/USDT`.
    pub name: Arc<str>,
    /// Symbol and exchange, as the store's tags have them.
    tags: (String, String),
    trades: Vec<u8>,
    quotes: Vec<u8>,
    resolution_ns: u64,
}

impl Series {
    /// The beginning of the lines of trades and bars.
    pub fn trades(&self) -> &[u8] {
        &self.trades
    }

    pub fn tags(&self) -> &(String, String) {
        &self.tags
    }

    pub fn resolution_ns(&self) -> u64 {
        self.resolution_ns
    }
}

pub fn series(instrument: &Instrument) -> Series {
    let tags = [
        ("symbol", instrument.symbol.as_str()),
        ("exchange", instrument.exchange),
    ];
    Series {
        name: instrument.name().into(),
        tags: (
            line::tag(&instrument.symbol),
            line::tag(instrument.exchange),
        ),
        trades: line::series("market_data", &tags),
        quotes: line::series("market_quotes", &tags),
        resolution_ns: u64::from(instrument.stamp_resolution_ns.max(1)),
    }
}

/// The lines of trades and quotes, as they are posted; for whoever wants to know what that costs.
pub fn render(registry: &Arc<Registry>, ticks: &[Tick], out: &mut Vec<u8>) {
    let mut known = Instruments::new(Arc::clone(registry), series);
    for tick in ticks {
        encode(tick, known.get(tick.event.instrument), out);
    }
}

/// One line for a trade or a quote.
pub fn encode(tick: &Tick, known: &Known<Series>, out: &mut Vec<u8>) {
    match tick.event.kind {
        Kind::Trade => encode_trade(tick, known, out),
        _ => encode_quote(&tick.event, known, out),
    }
}

fn encode_trade(tick: &Tick, known: &Known<Series>, out: &mut Vec<u8>) {
    let (event, day, trade) = (&tick.event, &tick.day, tick.event.trade());
    let mut line = Line::begin(out, &known.label.trades);
    line.decimal("price", trade.price, known.price_scale);
    line.decimal("volume", trade.amount, known.amount_scale);
    if day.open != 0 {
        line.decimal("high_24h", day.high, known.price_scale);
        line.decimal("low_24h", day.low, known.price_scale);
    }
    if let Some(change) = intake::change_24h(day) {
        line.decimal("change_24h", change, CHANGE_SCALE);
    }
    if day.open != 0 {
        line.decimal("volume_24h", day.volume, known.amount_scale);
        line.decimal("seen_24h", intake::seen_24h(day), SEEN_SCALE);
    }
    line.id("id", trade.id);
    let bought = trade.taker == Side::Buy;
    line.text("side", if bought { "buy" } else { "sell" });
    line.end(trade_time_ns(event, known.label.resolution_ns));
}

/// The time of a trade's point: the event's, and below its resolution a part of its id.
pub fn trade_time_ns(event: &Event, resolution_ns: u64) -> i64 {
    let id = event.trade().id;
    // Most ids are numbers of 64 bits, and a remainder of those is ten times as fast.
    let offset = match u64::try_from(id) {
        Ok(id) => id % resolution_ns,
        Err(_) => (id % u128::from(resolution_ns)) as u64,
    };
    event.time_ns().saturating_add(offset as i64)
}

/// An empty side has an amount of 0 and no price.
fn encode_quote(event: &Event, known: &Known<Series>, out: &mut Vec<u8>) {
    let quote = event.quote();
    let mut line = Line::begin(out, &known.label.quotes);
    for (price, price_key, amount, amount_key) in [
        (quote.bid, "bid", quote.bid_amount, "bid_amount"),
        (quote.ask, "ask", quote.ask_amount, "ask_amount"),
    ] {
        if amount != 0 || price != 0 {
            line.decimal(price_key, price, known.price_scale);
        }
        line.decimal(amount_key, amount, known.amount_scale);
    }
    let resolution_ns = if event.exchange_ns == 0 {
        RECEIPT_RESOLUTION_NS
    } else {
        known.label.resolution_ns
    };
    let offset = event.update_id % resolution_ns;
    line.end(event.time_ns().saturating_add(offset as i64));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{DayStats, Quote, Status};
    use crate::publishers::influx::tests::{TIME, registry, trade};
    use crate::publishers::intake::Instruments;

    fn status(status: Status) -> Tick {
        Tick {
            event: Event::from_status(0, TIME, status),
            day: DayStats::default(),
        }
    }

    fn lines(ticks: &[Tick]) -> Vec<String> {
        let mut known = Instruments::new(registry(), series);
        let mut out = Vec::new();
        for tick in ticks {
            match tick.event.kind {
                Kind::Status => known.status(&tick.event),
                _ => encode(tick, known.get(0), &mut out),
            }
        }
        String::from_utf8(out)
            .expect("UTF-8")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn trades_of_one_millisecond_get_times_of_their_own() {
        let fields = "high_24h=0.00000046,low_24h=0.00000044,change_24h=2.5,\
                      volume_24h=0.00000007,seen_24h=0.5";
        let line = |id: &str, ns: &str| {
            format!(
                "market_data,symbol=BTC/USDT,exchange=binance price=45000.5,volume=0.00001,\
                 {fields},id=\"{id}\",side=\"sell\" 1705329930123{ns}"
            )
        };
        assert_eq!(
            lines(&[trade(7_000_001), trade(7_000_002)]),
            [line("7000001", "000001"), line("7000002", "000002")]
        );
    }

    #[test]
    fn a_change_of_scale_holds_from_its_place_on() {
        let ticks = [
            trade(1),
            status(Status::Rescale {
                price: 9,
                amount: 8,
            }),
            trade(2),
        ];
        let lines = lines(&ticks);
        assert!(lines[0].contains("price=45000.5,"), "{lines:?}");
        assert!(lines[1].contains("price=4500.05,"), "{lines:?}");
    }

    #[test]
    fn a_quote_leaves_out_the_price_of_an_empty_side() {
        let quote = |exchange_ns, quote| Tick {
            event: Event::from_quote(0, exchange_ns, TIME + 1_000, 5_000_003, quote),
            day: DayStats::default(),
        };
        let full = Quote {
            bid: 100,
            bid_amount: 200,
            ask: 300,
            ask_amount: 400,
        };
        let empty = Quote {
            bid: 0,
            bid_amount: 0,
            ..full
        };
        let lines = lines(&[quote(TIME, full), quote(0, empty)]);
        let start = "market_quotes,symbol=BTC/USDT,exchange=binance";
        let ask = "ask=0.000003,ask_amount=0.000004";
        let bid = "bid=0.000001,bid_amount=0.000002";
        assert_eq!(lines[0], format!("{start} {bid},{ask} 1705329930123000003"));
        assert_eq!(
            lines[1],
            format!("{start} bid_amount=0,{ask} 1705329930123001003")
        );
    }
}

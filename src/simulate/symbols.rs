//! What is traded in the simulated market, and the listing that says so.
//!
//! Twenty well-known pairs, then generated ones. Prices are round figures of their magnitude, not
//! quotes of any day. Called when a simulation starts.

use serde_json::{Value, json};

/// One pair. Prices are whole ticks and amounts whole lots; both are given in units of 1e-8.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    pub name: String,
    pub base: String,
    pub quote: String,
    /// Where the price begins, in ticks.
    pub start: i64,
    /// One tick, in 1e-8 of the quote currency.
    pub tick: u64,
    /// One lot, in 1e-8 of the base currency.
    pub lot: u64,
    /// Typical distance between two levels, in ticks.
    pub gap: f64,
    /// Typical amount of a level, in lots.
    pub size: f64,
}

/// Base, price, tick, lot, gap, size.
type Row = (&'static str, f64, f64, f64, f64, f64);

const KNOWN: &[Row] = &[
    ("BTC", 91_234.56, 0.01, 0.00001, 150.0, 8_000.0),
    ("ETH", 3_012.34, 0.01, 0.0001, 5.0, 12_000.0),
    ("SOL", 151.27, 0.01, 0.001, 1.0, 40_000.0),
    ("BNB", 842.15, 0.01, 0.001, 2.0, 6_000.0),
    ("XRP", 2.1457, 0.0001, 0.1, 1.0, 25_000.0),
    ("DOGE", 0.15832, 0.00001, 1.0, 1.0, 60_000.0),
    ("ADA", 0.51230, 0.00001, 0.1, 3.0, 90_000.0),
    ("TRX", 0.28150, 0.00001, 0.1, 2.0, 80_000.0),
    ("AVAX", 14.382, 0.001, 0.01, 1.0, 20_000.0),
    ("LINK", 13.405, 0.001, 0.01, 1.0, 20_000.0),
    ("DOT", 2.4710, 0.0001, 0.01, 1.0, 90_000.0),
    ("LTC", 84.61, 0.005, 0.001, 1.0, 30_000.0),
    ("BCH", 498.30, 0.01, 0.001, 2.0, 8_000.0),
    ("UNI", 6.3120, 0.0005, 0.01, 1.0, 40_000.0),
    ("ATOM", 2.5930, 0.0001, 0.01, 1.0, 60_000.0),
    ("NEAR", 1.9840, 0.0001, 0.1, 1.0, 20_000.0),
    ("APT", 2.8410, 0.0001, 0.01, 1.0, 50_000.0),
    ("ARB", 0.21360, 0.00001, 0.1, 1.0, 90_000.0),
    ("SUI", 1.5420, 0.0001, 0.1, 1.0, 30_000.0),
    ("FIL", 1.6510, 0.0001, 0.01, 1.0, 50_000.0),
];

/// The first `count` symbols.
pub fn symbols(count: usize) -> Vec<Symbol> {
    (0..count)
        .map(|i| match KNOWN.get(i) {
            Some(row) => symbol(row.0.to_owned(), row),
            None => generated(i),
        })
        .collect()
}

fn generated(i: usize) -> Symbol {
    let like = &KNOWN[2 + i % (KNOWN.len() - 2)];
    symbol(format!("SIM{}", i + 1 - KNOWN.len()), like)
}

fn symbol(base: String, &(_, price, tick, lot, gap, size): &Row) -> Symbol {
    let quote = "USDT".to_owned();
    let name = format!("{base}{quote}");
    let start = (price / tick).round() as i64;
    let units = |x: f64| (x * 1e8).round() as u64;
    Symbol {
        name,
        base,
        quote,
        start,
        tick: units(tick),
        lot: units(lot),
        gap,
        size,
    }
}

impl Symbol {
    /// As the REST listing shows it.
    fn listed(&self) -> Value {
        let text = |units: u64| format!("{}.{:08}", units / 100_000_000, units % 100_000_000);
        json!({
            "symbol": self.name, "status": "TRADING",
            "baseAsset": self.base, "baseAssetPrecision": 8,
            "quoteAsset": self.quote, "quotePrecision": 8, "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
            "icebergAllowed": true, "ocoAllowed": true, "otoAllowed": true,
            "quoteOrderQtyMarketAllowed": true, "allowTrailingStop": true,
            "cancelReplaceAllowed": true, "isSpotTradingAllowed": true,
            "isMarginTradingAllowed": false,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": text(self.tick),
                 "maxPrice": text(self.tick * 100_000_000), "tickSize": text(self.tick)},
                {"filterType": "LOT_SIZE", "minQty": text(self.lot),
                 "maxQty": text(self.lot * 900_000_000), "stepSize": text(self.lot)},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000",
                 "applyMinToMarket": true, "maxNotional": "9000000.00000000",
                 "applyMaxToMarket": false, "avgPriceMins": 5}
            ],
            "permissions": [], "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
        })
    }
}

/// The answer to `/api/v3/exchangeInfo`.
pub fn listing(symbols: &[Symbol], now_ms: i64) -> String {
    let listed: Vec<Value> = symbols.iter().map(Symbol::listed).collect();
    json!({
        "timezone": "UTC", "serverTime": now_ms,
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE",
                        "intervalNum": 1, "limit": 6000}],
        "exchangeFilters": [], "symbols": listed
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_books_have_room() {
        let list = symbols(120);
        assert_eq!(list[0].name, "BTCUSDT");
        assert_eq!(list[20].name, "SIM1USDT");
        let mut names: Vec<&str> = list.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 120);
        for s in &list {
            assert!(s.start as f64 > s.gap * 10_000.0, "{s:?}");
            assert!(s.tick > 0 && s.lot > 0, "{s:?}");
        }
    }

    #[test]
    fn the_listing_says_tick_and_lot() {
        let text = listing(&symbols(2), 5);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["symbols"][0]["filters"][0]["tickSize"], "0.01000000");
        assert_eq!(value["symbols"][1]["filters"][1]["stepSize"], "0.00010000");
        assert_eq!(value["symbols"][1]["baseAsset"], "ETH");
    }
}

//! What publishers of ticks share: each instrument's labels and scales in ring order, and waiting
//! without leaving the ring alone.
//!
//! Runs on the publishers' runtime. Does no I/O.

use crate::market::decimal::{self, Scale};
use crate::market::{DayStats, Event, Instrument, InstrumentId, Registry, Status};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often a ring is looked at: at a million ticks a second, 5000 wait in it at most.
pub const POLL: Duration = Duration::from_millis(5);

/// `None` while running; then the time by which a publisher has to be done.
pub type Stop = watch::Receiver<Option<Instant>>;

/// Does `work` and meanwhile calls `drain` at the pace of [`POLL`].
pub async fn alongside<F: Future>(work: F, mut drain: impl FnMut()) -> F::Output {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            output = &mut work => return output,
            () = tokio::time::sleep(POLL) => drain(),
        }
    }
}

/// Ends when the time to be done has come; never while running.
pub async fn deadline(mut stop: Stop) {
    let deadline = match stop.wait_for(Option::is_some).await {
        Ok(deadline) => *deadline,
        Err(_) => None,
    };
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How long to wait after `failures` failures in a row: from 0.2 s doubling to 5 s, jittered, so
/// that many daemons do not come back to a store at once.
pub fn backoff(failures: u32) -> Duration {
    let full = 200u64
        .saturating_mul(1 << failures.saturating_sub(1).min(5))
        .min(5_000);
    Duration::from_millis(rand::random_range(full / 2..=full).max(200))
}

/// An instrument as a publisher writes it.
#[derive(Debug)]
pub struct Known<T> {
    pub price_scale: Scale,
    pub amount_scale: Scale,
    pub label: T,
}

/// Labels and current scales by instrument. Every status event has to pass through, in ring order.
pub struct Instruments<T> {
    registry: Arc<Registry>,
    label: Box<dyn Fn(&Instrument) -> T + Send>,
    known: Vec<Option<Known<T>>>,
}

impl<T> Instruments<T> {
    pub fn new(registry: Arc<Registry>, label: impl Fn(&Instrument) -> T + Send + 'static) -> Self {
        Instruments {
            registry,
            label: Box::new(label),
            known: Vec::new(),
        }
    }

    #[cfg(test)]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn get(&mut self, id: InstrumentId) -> &mut Known<T> {
        let i = id as usize;
        if i >= self.known.len() {
            self.known.resize_with(i + 1, || None);
        }
        self.known[i].get_or_insert_with(|| {
            let instrument = self.registry.get(id);
            Known {
                price_scale: instrument.price_scale(),
                amount_scale: instrument.amount_scale(),
                label: (self.label)(&instrument),
            }
        })
    }

    /// Makes the labels anew: what they say may depend on what else is listed by now.
    pub fn relabel(&mut self) {
        for (id, known) in self.known.iter_mut().enumerate() {
            if let Some(known) = known {
                known.label = (self.label)(&self.registry.get(id as InstrumentId));
            }
        }
    }

    pub fn status(&mut self, event: &Event) {
        if let Status::Rescale { price, amount } = event.status() {
            let known = self.get(event.instrument);
            known.price_scale = price.min(decimal::MAX_SCALE);
            known.amount_scale = amount.min(decimal::MAX_SCALE);
        }
    }
}

/// Change over the rolling day in percent, as an integer at [`CHANGE_SCALE`]; `None` before the
/// first trade.
pub fn change_24h(day: &DayStats) -> Option<i64> {
    if day.open == 0 {
        return None;
    }
    let change = i128::from(day.last) - i128::from(day.open);
    let scaled = change * 100 * i128::from(decimal::pow10(CHANGE_SCALE));
    i64::try_from(div_round(scaled, i128::from(day.open))).ok()
}

/// Decimals of [`change_24h`].
pub const CHANGE_SCALE: Scale = 4;

/// The share of the last 24 hours in which trades were watched, as an integer at [`SEEN_SCALE`]: 1
/// where high, low, change and volume are those of the whole day.
pub fn seen_24h(day: &DayStats) -> i64 {
    let minutes = i64::from(day.seen_minutes).min(MINUTES_OF_A_DAY);
    minutes * decimal::pow10(SEEN_SCALE) as i64 / MINUTES_OF_A_DAY
}

/// Decimals of [`seen_24h`].
pub const SEEN_SCALE: Scale = 4;

const MINUTES_OF_A_DAY: i64 = 24 * 60;

/// Nearest integer, halves away from zero.
fn div_round(n: i128, d: i128) -> i128 {
    // Most prices are as small as that, and a division of 64 bits is far quicker.
    let small = i64::try_from(n).ok().zip(i64::try_from(d).ok());
    let divided = small.and_then(|(n, d)| Some((n.checked_div(d)?, n.checked_rem(d)?)));
    let (quotient, rest) = match divided {
        Some((quotient, rest)) => (i128::from(quotient), i128::from(rest)),
        None => (n / d, n % d),
    };
    let away = if (n < 0) == (d < 0) { 1 } else { -1 };
    if rest.unsigned_abs() * 2 >= d.unsigned_abs() {
        quotient + away
    } else {
        quotient
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::market::Market;
    use rust_decimal::Decimal;

    pub fn instrument(exchange: &'static str, symbol: &str) -> Instrument {
        Instrument {
            exchange,
            native: symbol.replace('/', ""),
            symbol: symbol.to_owned(),
            base: String::new(),
            quote: String::new(),
            market: Market::Spot,
            tick_size: Decimal::new(1, 2),
            amount_step: Decimal::new(1, 5),
            min_amount: Decimal::ZERO,
            max_amount: None,
            active: true,
            stamp_resolution_ns: 1_000_000,
            book_depth: 0,
            checksum: false,
        }
    }

    #[test]
    fn change_is_exact_to_four_decimals() {
        let day = |open, last| DayStats {
            open,
            last,
            ..DayStats::default()
        };
        for (open, last, expected) in [
            (0, 5, None),
            (100, 100, Some(0)),
            (40_000, 41_000, Some(25_000)),
            (300, 301, Some(3_333)),
            (300, 299, Some(-3_333)),
            (16, 17, Some(62_500)),
            (i64::MAX, i64::MAX - 1, Some(0)),
            (1, i64::MAX, None),
        ] {
            assert_eq!(change_24h(&day(open, last)), expected, "{open} -> {last}");
        }
    }

    #[test]
    fn scales_follow_the_ring() {
        let registry = Arc::new(Registry::default());
        let id = registry.add(instrument("binance", "BTC/USDT"));
        let mut all = Instruments::new(registry, |i| i.symbol.clone());
        assert_eq!(all.get(id).price_scale, 8);
        all.status(&Event::from_status(
            id,
            0,
            Status::Rescale {
                price: 11,
                amount: 9,
            },
        ));
        let known = all.get(id);
        assert_eq!((known.price_scale, known.amount_scale), (11, 9));
        assert_eq!(known.label, "BTC/USDT");
        all.status(&Event::from_status(id, 0, Status::Listed));
        assert_eq!(all.get(id).price_scale, 11);
    }

    #[tokio::test]
    async fn the_ring_is_looked_at_while_work_waits() {
        let mut drains = 0;
        alongside(tokio::time::sleep(Duration::from_millis(52)), || {
            drains += 1
        })
        .await;
        assert!((1..=10).contains(&drains), "{drains}");
    }
}

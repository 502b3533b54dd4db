//! HOT PATH. Time bars from trades, by the exchange's time.
//!
//! A bar closes with the first event of its instrument that is not before its end, so a bar is
//! never later than the market itself. An interval without a trade makes no bar. A trade that
//! arrives after its bar has closed counts into the open one (`late` says how many did).

/// One closed or open bar; prices and amounts are integers at the instrument's scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// First nanosecond of the interval, a multiple of it since the epoch.
    pub start_ns: i64,
    /// First nanosecond after the interval.
    pub end_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// Amount of base.
    pub volume: i64,
    /// Amount of base that takers bought.
    pub taker_buy_volume: i64,
    pub trades: u32,
    /// Trades in it whose own interval had closed already.
    pub late: u32,
}

/// Builds the bars of one interval for one instrument.
#[derive(Clone, Copy, Debug)]
pub struct BarBuilder {
    interval_ns: i64,
    bar: Bar,
}

impl BarBuilder {
    /// `interval_ns` is positive.
    pub fn new(interval_ns: i64) -> Self {
        assert!(interval_ns > 0, "a bar's interval is positive");
        BarBuilder {
            interval_ns,
            bar: Bar::default(),
        }
    }

    pub fn interval_ns(&self) -> i64 {
        self.interval_ns
    }

    /// Time has come to `now_ns`: the bar that is over, if any. Call before [`BarBuilder::trade`].
    #[inline]
    pub fn close_due(&mut self, now_ns: i64) -> Option<Bar> {
        if self.bar.trades == 0 || now_ns < self.bar.end_ns {
            return None;
        }
        let closed = self.bar;
        self.bar = Bar::default();
        // Remembered, so that an older trade is known to be late.
        self.bar.start_ns = closed.end_ns;
        Some(closed)
    }

    #[inline]
    pub fn trade(&mut self, time_ns: i64, price: i64, amount: i64, taker_bought: bool) {
        let bar = &mut self.bar;
        if bar.trades == 0 {
            let start = time_ns
                .saturating_sub(time_ns.rem_euclid(self.interval_ns))
                .max(bar.start_ns);
            let late = u32::from(time_ns < bar.start_ns);
            *bar = Bar {
                start_ns: start,
                end_ns: start.saturating_add(self.interval_ns),
                open: price,
                high: price,
                low: price,
                late,
                ..Bar::default()
            };
        } else {
            bar.late += u32::from(time_ns < bar.start_ns);
        }
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.volume = bar.volume.saturating_add(amount);
        if taker_bought {
            bar.taker_buy_volume = bar.taker_buy_volume.saturating_add(amount);
        }
        bar.trades += 1;
    }

    /// Re-expresses the open bar after a change of scale; one that no longer fits starts afresh.
    pub fn rescale(
        &mut self,
        price: impl Fn(i64) -> Option<i64>,
        amount: impl Fn(i64) -> Option<i64>,
    ) {
        let b = self.bar;
        let converted = (|| {
            Some(Bar {
                open: price(b.open)?,
                high: price(b.high)?,
                low: price(b.low)?,
                close: price(b.close)?,
                volume: amount(b.volume)?,
                taker_buy_volume: amount(b.taker_buy_volume)?,
                ..b
            })
        })();
        self.bar = converted.unwrap_or(Bar {
            start_ns: b.start_ns,
            ..Bar::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_close_with_the_first_event_past_their_end() {
        let mut bars = BarBuilder::new(10);
        bars.trade(103, 5, 1, true);
        bars.trade(107, 7, 2, false);
        assert_eq!(bars.close_due(109), None);
        let bar = bars.close_due(110).expect("over");
        assert_eq!(
            (
                bar.start_ns,
                bar.end_ns,
                bar.open,
                bar.high,
                bar.low,
                bar.close
            ),
            (100, 110, 5, 7, 5, 7)
        );
        assert_eq!((bar.volume, bar.taker_buy_volume, bar.trades), (3, 1, 2));
        assert_eq!(bars.close_due(1000), None, "no trade, no bar");
    }

    #[test]
    fn a_late_trade_counts_into_the_open_bar() {
        let mut bars = BarBuilder::new(10);
        bars.trade(105, 5, 1, true);
        assert!(bars.close_due(112).is_some());
        bars.trade(104, 6, 1, true);
        bars.trade(113, 7, 1, true);
        let bar = bars.close_due(120).expect("over");
        assert_eq!(
            (bar.start_ns, bar.trades, bar.late, bar.open),
            (110, 2, 1, 6)
        );
    }
}

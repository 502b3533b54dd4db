//! HOT PATH. The last 24 hours of one instrument, rolling by the minute: high, low, first price,
//! volume.
//!
//! 1440 one-minute buckets; a minute that falls out of the day takes its trades with it. An update
//! is a few nanoseconds; only when the bucket that held the extreme expires are all buckets looked
//! at again.

const MINUTES: usize = 1440;
const MINUTE_NS: i64 = 60_000_000_000;

/// What is true after an event, as integers at the instrument's scales; all 0 before the first
/// trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayStats {
    pub high: i64,
    pub low: i64,
    /// The oldest price in the window; change = last / open - 1.
    pub open: i64,
    pub last: i64,
    /// Amount of base traded; saturates.
    pub volume: i64,
}

impl DayStats {
    /// Change since the oldest price of the window, percent.
    pub fn change_percent(&self) -> f64 {
        if self.open == 0 {
            0.0
        } else {
            (self.last - self.open) as f64 / self.open as f64 * 100.0
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    /// Minutes since the epoch; which lap of the ring this bucket belongs to.
    stamp: i64,
    high: i64,
    low: i64,
    open: i64,
    volume: i64,
}

#[derive(Debug)]
pub struct Day {
    minutes: Box<[Minute]>,
    /// Newest minute seen.
    newest: i64,
    stats: DayStats,
}

impl Default for Day {
    fn default() -> Self {
        Day {
            minutes: vec![Minute::default(); MINUTES].into(),
            newest: 0,
            stats: DayStats::default(),
        }
    }
}

impl Day {
    pub fn stats(&self) -> DayStats {
        self.stats
    }

    /// A trade at `time_ns`. One older than the window is ignored.
    #[inline]
    pub fn trade(&mut self, time_ns: i64, price: i64, amount: i64) {
        let minute = time_ns.div_euclid(MINUTE_NS);
        if minute > self.newest {
            self.advance(minute);
        } else if minute <= self.newest - MINUTES as i64 {
            return;
        }
        let bucket = &mut self.minutes[minute.rem_euclid(MINUTES as i64) as usize];
        if bucket.stamp != minute {
            *bucket = Minute {
                stamp: minute,
                high: price,
                low: price,
                open: price,
                volume: 0,
            };
        }
        bucket.high = bucket.high.max(price);
        bucket.low = bucket.low.min(price);
        bucket.volume = bucket.volume.saturating_add(amount);
        let s = &mut self.stats;
        if s.open == 0 {
            *s = DayStats {
                high: price,
                low: price,
                open: price,
                last: price,
                volume: 0,
            };
        }
        s.high = s.high.max(price);
        s.low = s.low.min(price);
        s.last = price;
        s.volume = s.volume.saturating_add(amount);
    }

    /// Lets minutes older than a day fall out.
    fn advance(&mut self, minute: i64) {
        self.newest = minute;
        let oldest = minute - MINUTES as i64 + 1;
        let mut first: Option<Minute> = None;
        let last = self.stats.last;
        let (mut high, mut low, mut volume) = (i64::MIN, i64::MAX, 0i64);
        for m in self
            .minutes
            .iter()
            .filter(|m| m.stamp >= oldest && m.open != 0)
        {
            high = high.max(m.high);
            low = low.min(m.low);
            volume = volume.saturating_add(m.volume);
            if first.is_none_or(|f| m.stamp < f.stamp) {
                first = Some(*m);
            }
        }
        self.stats = match first {
            Some(f) => DayStats {
                high,
                low,
                open: f.open,
                last,
                volume,
            },
            None => DayStats::default(),
        };
    }

    /// Re-expresses all values after a change of scale; what no longer fits starts afresh.
    pub fn rescale(
        &mut self,
        price: impl Fn(i64) -> Option<i64>,
        amount: impl Fn(i64) -> Option<i64>,
    ) {
        let convert = |m: &Minute| {
            Some(Minute {
                stamp: m.stamp,
                high: price(m.high)?,
                low: price(m.low)?,
                open: price(m.open)?,
                volume: amount(m.volume)?,
            })
        };
        for m in self.minutes.iter_mut() {
            *m = convert(m).unwrap_or_default();
        }
        let last = price(self.stats.last).unwrap_or(0);
        self.stats.last = last;
        self.advance(self.newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_rolls_by_the_minute() {
        let mut day = Day::default();
        day.trade(MINUTE_NS * 10, 100, 1);
        day.trade(MINUTE_NS * 11, 120, 2);
        day.trade(MINUTE_NS * 12, 90, 3);
        assert_eq!(
            day.stats(),
            DayStats {
                high: 120,
                low: 90,
                open: 100,
                last: 90,
                volume: 6
            }
        );
        day.trade(MINUTE_NS * (11 + 1440), 95, 1);
        assert_eq!(
            day.stats(),
            DayStats {
                high: 95,
                low: 90,
                open: 90,
                last: 95,
                volume: 4
            }
        );
        day.trade(MINUTE_NS * 5, 1, 1);
        assert_eq!(
            day.stats().low,
            90,
            "a trade older than the window is ignored"
        );
    }

    #[test]
    fn equals_a_brute_force_window() {
        let (mut day, mut all, mut x) = (Day::default(), Vec::new(), 7u64);
        let mut time = MINUTE_NS * 100;
        for _ in 0..20_000 {
            x = x
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            time += (x >> 40) as i64 % (2 * MINUTE_NS);
            let price = 1000 + (x >> 33) as i64 % 500;
            day.trade(time, price, 1);
            all.push((time / MINUTE_NS, price));
        }
        let newest = time / MINUTE_NS;
        let window: Vec<_> = all.iter().filter(|(m, _)| *m > newest - 1440).collect();
        let s = day.stats();
        assert_eq!(s.volume, window.len() as i64);
        assert_eq!(s.high, window.iter().map(|w| w.1).max().expect("trades"));
        assert_eq!(s.low, window.iter().map(|w| w.1).min().expect("trades"));
        assert_eq!(s.open, window[0].1);
    }
}

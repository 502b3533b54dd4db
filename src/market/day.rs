//! HOT PATH. The last 24 hours of one instrument: high, low, first price, volume, and how much of
//! them was watched.
//!
//! The window is from the full minute at or before 24 hours ago up to now: never shorter than a
//! day, at most 59.999 s longer (as Binance's rolling window is). Within it all values are exact,
//! whatever the order of the trades. 1441 minutes of 36 bytes, 52 KB, and 25 hours above them: a
//! trade costs a few nanoseconds; where a minute begins, the hour that the oldest one fell out of
//! is looked through, and the hours.

use super::decimal::Scale;
use std::collections::HashMap;

/// The day, and the minute that is under way.
const MINUTES: usize = 24 * 60 + 1;
/// That many a window of `MINUTES` is in.
const HOURS: usize = 25;
const MINUTE_NS: i64 = 60_000_000_000;
/// A changed minute is saved after this time of the market at the latest.
const SAVE_NS: i64 = 1_000_000_000;
/// The volume of a minute that was watched and had no trade. One that nobody watched has 0.
const QUIET: i64 = -1;

/// What is true after an event, as integers at the instrument's scales; all 0 before the first
/// trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayStats {
    pub high: i64,
    pub low: i64,
    /// The oldest price in the window; change = last / open - 1.
    pub open: i64,
    /// The newest price.
    pub last: i64,
    /// Amount of base traded; saturates.
    pub volume: i64,
    /// Minutes of the window that were watched. The whole day is known from 1440 on.
    pub seen_minutes: u16,
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

/// A minute with trades, as it is kept from one run to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Since the epoch.
    pub minute: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub volume: i64,
    /// When its first trade was, microseconds into it.
    pub open_us: u32,
    /// Minutes right before it that were watched and had no trade.
    pub quiet: u16,
    pub price_scale: Scale,
    pub amount_scale: Scale,
}

/// A day of an earlier run, at these scales.
pub struct Kept {
    pub day: Box<Day>,
    pub price_scale: Scale,
    pub amount_scale: Scale,
}

/// Days of earlier runs, by `exchange symbol`.
pub type History = HashMap<String, Kept>;

#[derive(Debug)]
pub struct Day {
    /// The minutes of the window, a [`Slot`]'s fields each: numbers, since those come zeroed from
    /// the kernel, so that memory is taken as the day goes on where its pages are small (all 57 KiB
    /// at once where the kernel gives huge pages to whoever does not ask).
    minutes: Box<[[i64; 5]]>,
    /// High and low of each hour of the clock.
    hours: [(i64, i64); HOURS],
    /// Newest minute seen; `i64::MIN` before the first.
    newest: i64,
    /// The oldest minute of the window that has trades.
    first: i64,
    total: i128,
    last_ns: i64,
    /// Whether what is not heard of did not happen.
    listening: bool,
    stats: DayStats,
    saving: Saving,
}

/// What is known of a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// 0 = no trade.
    open: i64,
    high: i64,
    low: i64,
    volume: i64,
    open_us: u32,
}

/// Which minutes are to be saved.
#[derive(Debug)]
struct Saving {
    /// Changed since it was saved.
    changed: Option<i64>,
    last_ns: i64,
    due: Option<i64>,
}

const NO_HOUR: (i64, i64) = (i64::MIN, i64::MAX);

impl Default for Day {
    fn default() -> Self {
        Day {
            minutes: vec![[0; 5]; MINUTES].into_boxed_slice(),
            hours: [NO_HOUR; HOURS],
            newest: i64::MIN,
            first: i64::MAX,
            total: 0,
            last_ns: i64::MIN,
            listening: false,
            stats: DayStats::default(),
            saving: Saving {
                changed: None,
                last_ns: i64::MIN,
                due: None,
            },
        }
    }
}

#[inline]
fn slot(minute: i64) -> usize {
    minute.rem_euclid(MINUTES as i64) as usize
}

#[inline]
fn hour_slot(minute: i64) -> usize {
    minute.div_euclid(60).rem_euclid(HOURS as i64) as usize
}

impl Day {
    pub fn stats(&self) -> DayStats {
        self.stats
    }

    #[inline]
    fn at(&self, minute: i64) -> Slot {
        let [open, high, low, volume, open_us] = self.minutes[slot(minute)];
        Slot {
            open,
            high,
            low,
            volume,
            open_us: open_us as u32,
        }
    }

    #[inline]
    fn put(&mut self, minute: i64, s: Slot) {
        let open_us = i64::from(s.open_us);
        self.minutes[slot(minute)] = [s.open, s.high, s.low, s.volume, open_us];
    }

    /// From now on every trade comes here.
    pub fn listen(&mut self, now_ns: i64) {
        let minute = now_ns.div_euclid(MINUTE_NS);
        if minute > self.newest {
            self.advance(minute);
        }
        self.mark(minute);
        self.stats.seen_minutes = self.seen();
        self.listening = true;
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
        let us = (time_ns.rem_euclid(MINUTE_NS) / 1_000) as u32;
        self.add(minute, us, (price, price, price), amount);
        if time_ns >= self.last_ns {
            self.last_ns = time_ns;
            self.stats.last = price;
        }
        self.note(minute, time_ns);
    }

    /// Adds to a minute of the window: first, highest and lowest price of what is added.
    #[inline]
    fn add(&mut self, minute: i64, us: u32, (open, high, low): (i64, i64, i64), amount: i64) {
        let mut m = self.at(minute);
        if m.open == 0 {
            self.stats.seen_minutes += u16::from(m.volume != QUIET);
            m = Slot {
                open,
                high,
                low,
                volume: 0,
                open_us: us,
            };
            self.first = self.first.min(minute);
        } else {
            if us < m.open_us {
                (m.open, m.open_us) = (open, us);
            }
            m.high = m.high.max(high);
            m.low = m.low.min(low);
        }
        let before = m.volume;
        m.volume = before.saturating_add(amount);
        self.total += i128::from(m.volume - before);
        self.put(minute, m);
        let hour = &mut self.hours[hour_slot(minute)];
        *hour = (hour.0.max(high), hour.1.min(low));
        let first = self.at(self.first).open;
        let s = &mut self.stats;
        if s.open == 0 {
            (s.high, s.low) = (high, low);
        }
        s.high = s.high.max(high);
        s.low = s.low.min(low);
        s.open = first;
        s.volume = self.total.min(i128::from(i64::MAX)) as i64;
    }

    /// Lets minutes older than the window fall out.
    #[cold]
    fn advance(&mut self, minute: i64) {
        let oldest = minute - MINUTES as i64 + 1;
        // Beyond a whole window, all fell out already.
        let from = self.newest.max(oldest - 1);
        for m in from + 1..=minute {
            self.clear(m);
            if m.rem_euclid(60) == 0 || self.newest < oldest {
                self.hours[hour_slot(m)] = NO_HOUR;
            }
            if self.listening {
                self.mark(m);
            }
        }
        self.newest = minute;
        self.look_through(oldest);
    }

    fn clear(&mut self, minute: i64) {
        let m = self.at(minute);
        if m.open != 0 {
            self.total -= i128::from(m.volume);
        }
        let seen = m.open != 0 || m.volume == QUIET;
        self.stats.seen_minutes -= u16::from(seen);
        // What was never written is not touched.
        if seen {
            self.put(minute, Slot::default());
        }
    }

    /// It was watched.
    fn mark(&mut self, minute: i64) {
        let m = self.at(minute);
        if m.open == 0 && m.volume != QUIET {
            let volume = QUIET;
            self.put(minute, Slot { volume, ..m });
            self.stats.seen_minutes += 1;
        }
    }

    fn seen(&self) -> u16 {
        self.stats.seen_minutes
    }

    /// Finds the extremes anew, whose oldest hour may have lost its own.
    fn look_through(&mut self, oldest: i64) {
        let hour_end = (oldest.div_euclid(60) + 1) * 60;
        let mut extremes = NO_HOUR;
        for m in oldest..hour_end.min(self.newest + 1) {
            let m = self.at(m);
            if m.open != 0 {
                extremes = (extremes.0.max(m.high), extremes.1.min(m.low));
            }
        }
        self.hours[hour_slot(oldest)] = extremes;
        let both = |a: (i64, i64), b: &(i64, i64)| (a.0.max(b.0), a.1.min(b.1));
        let (high, low) = self.hours.iter().fold(NO_HOUR, both);
        self.first = self.first.max(oldest);
        while self.first <= self.newest && self.at(self.first).open == 0 {
            self.first += 1;
        }
        let seen_minutes = self.stats.seen_minutes;
        if self.first > self.newest {
            self.first = i64::MAX;
            self.stats = DayStats {
                seen_minutes,
                ..DayStats::default()
            };
            return;
        }
        self.stats = DayStats {
            high,
            low,
            open: self.at(self.first).open,
            last: self.stats.last,
            volume: self.total.min(i128::from(i64::MAX)) as i64,
            seen_minutes,
        };
    }

    #[inline]
    fn note(&mut self, minute: i64, time_ns: i64) {
        let saving = &mut self.saving;
        if let Some(before) = saving.changed.replace(minute)
            && before != minute
        {
            saving.due = Some(before);
        } else if time_ns.saturating_sub(saving.last_ns) >= SAVE_NS {
            saving.last_ns = time_ns;
            saving.changed = None;
            saving.due = Some(minute);
        }
    }

    /// A minute that changed and should be kept for the next run; `last` asks for what would have
    /// to wait.
    #[inline]
    pub fn to_save(&mut self, last: bool) -> Option<Minute> {
        let saving = &mut self.saving;
        let due = saving.due.take();
        let due = due.or_else(|| saving.changed.take_if(|_| last))?;
        self.saved(due)
    }

    #[cold]
    fn saved(&self, minute: i64) -> Option<Minute> {
        let m = self.at(minute);
        if m.open == 0 || minute <= self.newest - MINUTES as i64 {
            return None;
        }
        let before = (1..MINUTES as i64).take_while(|n| {
            let m = self.at(minute - n);
            m.open == 0 && m.volume == QUIET
        });
        Some(Minute {
            minute,
            open: m.open,
            high: m.high,
            low: m.low,
            volume: m.volume,
            open_us: m.open_us,
            quiet: before.count() as u16,
            ..Minute::default()
        })
    }

    /// Puts back a minute of an earlier run, its values at this run's scales. Before the first
    /// trade of this run, the oldest first.
    pub fn restore(&mut self, kept: &Minute) {
        if kept.minute <= self.newest || kept.open == 0 {
            return;
        }
        self.advance(kept.minute);
        let prices = (kept.open, kept.high, kept.low);
        self.add(kept.minute, kept.open_us, prices, kept.volume.max(0));
        let oldest = kept.minute - MINUTES as i64;
        for n in 1..=i64::from(kept.quiet) {
            if kept.minute - n > oldest {
                self.mark(kept.minute - n);
            }
        }
        // Its last price is not kept; the next trade brings one.
        self.stats.last = kept.open;
    }

    /// Re-expresses all values after a change of scale; what no longer fits starts afresh.
    #[cold]
    pub fn rescale(
        &mut self,
        price: impl Fn(i64) -> Option<i64>,
        amount: impl Fn(i64) -> Option<i64>,
    ) {
        self.hours = [NO_HOUR; HOURS];
        self.total = 0;
        if self.newest == i64::MIN {
            return;
        }
        for m in self.newest - MINUTES as i64 + 1..=self.newest {
            let old = self.at(m);
            if old.open == 0 {
                continue;
            }
            let converted = (|| {
                Some(Slot {
                    open: price(old.open)?,
                    high: price(old.high)?,
                    low: price(old.low)?,
                    volume: amount(old.volume)?,
                    ..old
                })
            })();
            let Some(new) = converted else {
                let quiet = Slot {
                    volume: QUIET,
                    ..Slot::default()
                };
                self.put(m, quiet);
                continue;
            };
            self.put(m, new);
            let Slot {
                high, low, volume, ..
            } = new;
            self.total += i128::from(volume);
            let hour = &mut self.hours[hour_slot(m)];
            *hour = (hour.0.max(high), hour.1.min(low));
        }
        self.stats.last = price(self.stats.last).unwrap_or(0);
        self.look_through(self.newest - MINUTES as i64 + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All trades, and what is looked for among them by its definition.
    #[derive(Default)]
    struct Brute(Vec<(i64, i64, i64)>);

    impl Brute {
        fn stats(&self) -> DayStats {
            let newest = self.0.iter().map(|t| t.0).max().unwrap_or(0);
            let day_ago = newest - 24 * 60 * MINUTE_NS;
            let from = day_ago - day_ago.rem_euclid(MINUTE_NS);
            let mut window: Vec<_> = self.0.iter().filter(|t| t.0 >= from).collect();
            // Stable: of equal times the first to come stays the first.
            window.sort_by_key(|t| t.0 / 1_000);
            let open = window.first().map_or(0, |t| t.1);
            window.sort_by_key(|t| t.0);
            DayStats {
                high: window.iter().map(|t| t.1).max().unwrap_or(0),
                low: window.iter().map(|t| t.1).min().unwrap_or(0),
                open,
                last: window.last().map_or(0, |t| t.1),
                volume: window.iter().map(|t| t.2).sum(),
                seen_minutes: 0,
            }
        }
    }

    fn but_seen(stats: DayStats) -> DayStats {
        DayStats {
            seen_minutes: 0,
            ..stats
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Whatever comes late or after a long silence, and across a restart.
        #[test]
        fn equals_a_brute_force_window(
            steps in prop::collection::vec(
                (prop_oneof![
                    6 => 0i64..90_000, 3 => 0i64..3_600_000, 1 => 0i64..100_000_000,
                    3 => -90_000i64..0, 1 => -90_000_000i64..0,
                ], 1i64..1_000, 1i64..100),
                1..400,
            ),
            begin in 0i64..86_400_000, restart in 0usize..400,
        ) {
            let (mut day, mut brute) = (Day::default(), Brute::default());
            let mut kept = std::collections::BTreeMap::new();
            let mut clock_ms = 20_000 * 86_400_000 + begin;
            for (n, (step, price, amount)) in steps.iter().enumerate() {
                if n == restart {
                    let last = day.stats().last;
                    while let Some(m) = day.to_save(true) {
                        kept.insert(m.minute, m);
                    }
                    day = Day::default();
                    kept.values().for_each(|m| day.restore(m));
                    let before = brute.stats();
                    prop_assert_eq!(
                        DayStats { last, ..but_seen(day.stats()) },
                        before
                    );
                }
                let time_ms = clock_ms + step;
                clock_ms = clock_ms.max(time_ms);
                let time_ns = time_ms * 1_000_000;
                let newest = brute.0.iter().map(|t| t.0).max().unwrap_or(time_ns);
                // As the newest trade has it, a minute may have fallen out for good.
                let oldest = newest / MINUTE_NS - MINUTES as i64 + 1;
                if time_ns / MINUTE_NS >= oldest {
                    brute.0.push((time_ns, *price, *amount));
                }
                day.trade(time_ns, *price, *amount);
                while let Some(m) = day.to_save(false) {
                    kept.insert(m.minute, m);
                }
                let mut expected = brute.stats();
                if n >= restart && day.stats().last != expected.last {
                    // Which trade was the newest is not kept.
                    expected.last = day.stats().last;
                    prop_assert!(*step < 0);
                }
                prop_assert_eq!(but_seen(day.stats()), expected, "after trade {}", n);
            }
        }
    }

    #[test]
    fn the_window_is_a_day_and_the_minute_under_way() {
        let mut day = Day::default();
        day.trade(MINUTE_NS * 10, 100, 1);
        day.trade(MINUTE_NS * 11, 120, 2);
        day.trade(MINUTE_NS * (10 + 1440), 110, 3);
        assert_eq!((day.stats().open, day.stats().high), (100, 120));
        day.trade(MINUTE_NS * (11 + 1440), 95, 1);
        let stats = day.stats();
        assert_eq!((stats.open, stats.high, stats.low), (120, 120, 95));
        assert_eq!((stats.last, stats.volume), (95, 6));
        day.trade(MINUTE_NS * 5, 1, 1);
        assert_eq!(
            day.stats().low,
            95,
            "a trade older than the window is ignored"
        );
    }

    #[test]
    fn what_was_watched_is_known_across_a_restart() {
        let mut day = Day::default();
        day.listen(MINUTE_NS * 100 + 5);
        assert_eq!(day.stats().seen_minutes, 1);
        day.trade(MINUTE_NS * 105, 10, 1);
        assert_eq!(day.stats().seen_minutes, 6);
        let kept = day.to_save(true).expect("changed");
        assert_eq!((kept.minute, kept.quiet), (105, 5));
        // An hour nobody watched.
        let mut day = Day::default();
        day.restore(&kept);
        assert_eq!(day.stats().seen_minutes, 6);
        day.listen(MINUTE_NS * 165);
        day.trade(MINUTE_NS * 166, 10, 1);
        assert_eq!(day.stats().seen_minutes, 8);
        // The first four fall out, then the hour that nobody watched.
        day.trade(MINUTE_NS * (103 + 1441), 10, 1);
        assert_eq!(day.stats().seen_minutes, 1441 - 59);
        day.trade(MINUTE_NS * (165 + 1441), 10, 1);
        assert_eq!(day.stats().seen_minutes, 1441);
    }

    #[test]
    fn a_change_of_scale_keeps_what_fits() {
        let mut day = Day::default();
        day.trade(MINUTE_NS, 5, 7);
        day.trade(MINUTE_NS * 2, i64::MAX / 5, 1);
        day.rescale(|v| v.checked_mul(10), |v| v.checked_mul(10));
        let stats = day.stats();
        assert_eq!((stats.open, stats.high, stats.volume), (50, 50, 70));
    }
}

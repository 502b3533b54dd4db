//! What `warm --from influx` feeds: the raw trades that InfluxDB still has, and of the time before
//! them bars, made of those that the daemon stored.
//!
//! Which bar comes from where is told at [`Cut`]. What no run has stored is in neither, and nothing
//! says so: a bar of a window in which the daemon was away for a while lacks those trades. Times
//! are those of the exchange, to the ns; when a trade was received was not stored.

use super::Warming;
use crate::clock;
use crate::commands::{block_on, install_crypto};
use crate::config::{Config, InfluxConfig};
use crate::engine::plan;
use crate::market::decimal::{self, MAX_SCALE};
use crate::market::{Bar, BarBuilder, BarKind, Bars, InstrumentId, Scale, Status};
use crate::publishers::influx::{RawTrade, Reader, has_bars};
use crate::publishers::parquet::Stored;
use anyhow::{Context, Error, ensure};
use rust_decimal::Decimal;
use std::ops::Range;

/// Decimals that every instrument has at least.
const LEAST_SCALE: Scale = 8;
/// Trades may bear a time after now: the clocks of exchange and host differ.
const SKEW_NS: i64 = 5_000_000_000;

/// How much was fed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fed {
    pub trades: u64,
    pub bars: u64,
}

/// Feeds the trades from `from_ns` on, and the bars before them.
pub(super) fn feed(config: &Config, from_ns: i64, warming: &mut Warming) -> anyhow::Result<Fed> {
    let store = config.stores.influx.as_ref().context(
        "no InfluxDB to warm up from: set [stores.influx] url and give --config FILE, or take \
         --from parquet",
    )?;
    install_crypto();
    block_on(read(store, from_ns, warming))?
}

async fn read(store: &InfluxConfig, from_ns: i64, warming: &mut Warming) -> anyhow::Result<Fed> {
    let now_ns = clock::now_ns();
    let reader = Reader::open(store, from_ns).await.map_err(Error::msg)?;
    warming.engine.promise_past();
    let mut wanted = plan::candles(warming.engine.plans());
    wanted.retain(|(interval_ns, _)| has_bars(*interval_ns));
    let mut feeder = Feeder {
        series: vec![Series::default(); reader.names().len()],
        reader: &reader,
        warming,
        wanted,
        now_ns,
        fed: Fed::default(),
    };
    for slice in reader.slices(now_ns.saturating_add(SKEW_NS)) {
        for trade in reader.trades(&slice).await.map_err(Error::msg)? {
            feeder.trade(&trade).await?;
        }
    }
    let fed = feeder.finish().await?;
    ensure!(
        fed.trades > 0,
        "{}: no trades of this time; a run with [stores.influx] stores them, and they are kept \
         for an hour or two",
        reader.place()
    );
    Ok(fed)
}

/// Where an instrument's raw trades begin, and what follows from it for each kind of its bars.
///
/// ```text
///            first raw trade
///                   │
///  ──┬─────────┬────┼────┬─────────┬─────────┬──── windows of one interval
///    │ stored  │ stored, │  made of the raw  │
///    │         │ or cut  │  trades, as live  │
/// ```
/// The window in which it lies is cut: the bar that the raw trades make of it lacks those before,
/// and is flagged as incomplete. Once the window is over, the stored bar takes its place if it has
/// more trades. If it has no more, or there is no bar as fine as the interval needs, or the last
/// raw trade lies in the window, too, then the flagged one stays. The window of the last raw trade
/// never comes from the store: it is open, and goes on with the next run.
///
/// So that both are known before anybody sees a bar, strategies that are warmed by bars wait from
/// the first raw trade until the cut windows are over, as at a start they wait for candles. Then
/// the engine puts the stored bars among those that it made meanwhile: one that it made whole it
/// keeps, one that is flagged it replaces, an open one that is given to it whole it drops. What is
/// shown is therefore in a row, no window twice; what comes after is seen as it comes.
#[derive(Clone, Copy, Debug)]
struct Cut {
    first_ns: i64,
}

impl Cut {
    /// The window of this interval that is cut.
    fn window(self, interval_ns: i64) -> Range<i64> {
        let start_ns = start_of(self.first_ns, interval_ns);
        start_ns..start_ns.saturating_add(interval_ns)
    }

    /// When all cut windows are over that will be: those that end later than now are not waited
    /// for.
    fn due_ns(self, wanted: &[(i64, u32)], now_ns: i64) -> i64 {
        let ends = wanted
            .iter()
            .map(|(interval_ns, _)| self.window(*interval_ns).end);
        let over = ends.filter(|end_ns| *end_ns <= now_ns);
        over.max().unwrap_or(self.first_ns)
    }

    /// The windows that may come from the store once trades have come to `over_ns`: as many
    /// intervals back as anybody is warmed by, and one, since the newest may be open. Empty where
    /// the raw trades reach back as far.
    fn windows(self, interval_ns: i64, count: u32, over_ns: i64) -> Range<i64> {
        let cut = self.window(interval_ns);
        let end_ns = if cut.end <= over_ns {
            cut.end
        } else {
            cut.start
        };
        let reach_ns = interval_ns.saturating_mul(i64::from(count) + 1);
        let start_ns = start_of(over_ns, interval_ns).saturating_sub(reach_ns);
        start_ns.max(0)..end_ns
    }

    /// Of the stored bars, those that say more than the raw trades, of which there are `made` in
    /// the cut window.
    fn beside(self, interval_ns: i64, made: u32, mut stored: Vec<Bar>) -> Vec<Bar> {
        let cut = self.window(interval_ns);
        stored.retain(|bar| bar.start_ns < cut.start || bar.trades > made);
        stored
    }
}

fn start_of(ns: i64, interval_ns: i64) -> i64 {
    ns.saturating_sub(ns.checked_rem_euclid(interval_ns).unwrap_or(0))
}

/// How many trades a market's own bar of a window has; none where nobody listens to such bars.
fn made(bars: &Bars, interval_ns: i64, start_ns: i64) -> Option<u32> {
    let kind = BarKind::Time(interval_ns);
    let index = bars.iter().position(|builder| builder.kind() == kind)?;
    let open = bars.get(index).and_then(BarBuilder::open_bar);
    let mut all = bars.past(index).iter().chain(open);
    let own = all.find(|bar| bar.start_ns == start_ns);
    Some(own.map_or(0, |bar| bar.trades))
}

/// A number's integer at a scale, which becomes finer where the number is. `None` where it does not
/// fit.
fn fit(value: Decimal, scale: &mut Scale) -> Option<i64> {
    let needed = (value.normalize().scale() as Scale).clamp(*scale, MAX_SCALE);
    let integer = decimal::from_decimal(value, needed)?;
    *scale = needed;
    Some(integer)
}

/// How far one of the reader's series has come.
#[derive(Clone, Copy, Debug)]
struct Series {
    /// Of prices, of amounts.
    scales: (Scale, Scale),
    /// From its first trade on.
    begun: Option<Begun>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    id: InstrumentId,
    cut: Cut,
    /// The bars of before were given.
    told: bool,
}

impl Default for Series {
    fn default() -> Series {
        Series {
            scales: (LEAST_SCALE, LEAST_SCALE),
            begun: None,
        }
    }
}

struct Feeder<'a> {
    reader: &'a Reader,
    warming: &'a mut Warming,
    /// Kinds of bars, by their intervals in ns, that the store may have, and how many of each.
    wanted: Vec<(i64, u32)>,
    now_ns: i64,
    /// In the reader's order.
    series: Vec<Series>,
    fed: Fed,
}

impl Feeder<'_> {
    async fn trade(&mut self, trade: &RawTrade) -> anyhow::Result<()> {
        let (reader, series) = (self.reader, &mut self.series[trade.of]);
        let (symbol, exchange) = &reader.names()[trade.of];
        let price = fit(trade.price, &mut series.scales.0);
        let amount = fit(trade.amount, &mut series.scales.1);
        let (Some(price), Some(amount)) = (price, amount) else {
            return Ok(());
        };
        let stored = Stored {
            exchange,
            symbol,
            exchange_ns: trade.time_ns,
            recv_ns: trade.time_ns,
            price,
            amount,
            taker: trade.taker,
            id: trade.id,
            price_scale: series.scales.0,
            amount_scale: series.scales.1,
            flags: 0,
        };
        let Some(id) = self.warming.instrument(&stored) else {
            return Ok(());
        };
        let first_ns = trade.time_ns;
        let begun = series.begun.get_or_insert(Begun {
            id,
            cut: Cut { first_ns },
            told: false,
        });
        let due_ns = begun.cut.due_ns(&self.wanted, self.now_ns);
        if !begun.told && trade.time_ns >= due_ns {
            self.tell(trade.of, trade.time_ns).await?;
        }
        self.warming.trade(&stored);
        self.fed.trades += 1;
        Ok(())
    }

    /// Gives the engine the stored bars of a series, whose trades have come to `over_ns`, unless it
    /// has them: its strategies go on.
    async fn tell(&mut self, of: usize, over_ns: i64) -> anyhow::Result<()> {
        let begun = self.series[of].begun.as_mut();
        let Some(Begun { id, cut, told }) = begun.filter(|begun| !begun.told) else {
            return Ok(());
        };
        *told = true;
        let (id, cut) = (*id, *cut);
        for &(interval_ns, count) in &self.wanted {
            let Some(market) = self.warming.engine.market(id) else {
                break;
            };
            let cut_ns = cut.window(interval_ns).start;
            let Some(made) = made(&market.bars, interval_ns, cut_ns) else {
                continue;
            };
            let windows = cut.windows(interval_ns, count, over_ns);
            let scales = (market.price_scale, market.amount_scale);
            let stored = self.reader.bars(of, interval_ns, &windows, scales).await;
            let stored = stored.map_err(Error::msg)?;
            let bars = cut.beside(interval_ns, made, stored);
            self.fed.bars += bars.len() as u64;
            self.warming.registry.leave_bars(id, interval_ns, bars);
        }
        self.warming.status(id, over_ns, Status::Past);
        Ok(())
    }

    /// No more trades come.
    async fn finish(mut self) -> anyhow::Result<Fed> {
        for of in 0..self.series.len() {
            let Some(begun) = self.series[of].begun else {
                continue;
            };
            let market = self.warming.engine.market(begun.id);
            let last_ns = market.map_or(begun.cut.first_ns, |market| market.now_ns);
            self.tell(of, last_ns).await?;
        }
        Ok(self.fed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const SECOND: i64 = 1_000 * MS;
    const MINUTE: i64 = 60 * SECOND;
    /// More bars than a test has.
    const ALL: usize = 10_000;

    /// The bars of one interval alone.
    fn builder(interval_ns: i64) -> Bars {
        let mut bars = Bars::new();
        let index = bars.add(BarKind::Time(interval_ns));
        bars.keep(index, ALL);
        bars
    }

    fn take(bars: &mut Bars, time_ns: i64) {
        while bars.close_due(time_ns).is_some() {}
        bars.trade(time_ns, 100, 1, true);
    }

    /// Whole bars of all trades, the last one among them: what a store has.
    fn whole(times: &[i64], interval_ns: i64) -> Vec<Bar> {
        let mut bars = builder(interval_ns);
        times.iter().for_each(|time_ns| take(&mut bars, *time_ns));
        while bars.close_due(i64::MAX).is_some() {}
        let all = bars.past(0).iter().copied();
        all.map(|bar| Bar {
            incomplete: false,
            ..bar
        })
        .collect()
    }

    /// Feeds trades from the one at `first` on, and what the store has besides, when trades have
    /// come to the time that is returned; with it the bars that are closed then.
    fn fed(
        times: &[i64],
        first: usize,
        (interval_ns, count): (i64, Option<u32>),
        due_ns: i64,
    ) -> (Bars, i64, Vec<Bar>) {
        let (mut bars, mut told) = (builder(interval_ns), None);
        let cut = Cut {
            first_ns: times[first],
        };
        let tell = |bars: &mut Bars, over_ns: i64| {
            let windows = cut.windows(interval_ns, count.unwrap_or(0), over_ns);
            let cut_ns = cut.window(interval_ns).start;
            let made = made(bars, interval_ns, cut_ns).expect("somebody listens");
            let mut stored = whole(times, interval_ns);
            stored.retain(|bar| count.is_some() && windows.contains(&bar.start_ns));
            bars.fill(0, &cut.beside(interval_ns, made, stored), false);
            (over_ns, bars.past(0).iter().copied().collect())
        };
        for &time_ns in &times[first..] {
            if told.is_none() && time_ns >= due_ns {
                told = Some(tell(&mut bars, time_ns));
            }
            take(&mut bars, time_ns);
        }
        let (told_ns, closed) = told.unwrap_or_else(|| {
            let last_ns = *times.last().expect("a trade");
            tell(&mut bars, last_ns)
        });
        (bars, told_ns, closed)
    }

    #[test]
    fn each_window_is_there_once_and_whole_or_says_that_it_is_not() {
        let times: Vec<i64> = (0..3_000).map(|n| MINUTE + n * 70 * MS).collect();
        let last_ns = times[times.len() - 1];
        let wanted = [(SECOND, 20), (7 * SECOND, 3), (MINUTE, 2)];
        let kinds = wanted.map(|(interval_ns, count)| (interval_ns, Some(count)));
        let begin = (0..3_000_usize).step_by(61);
        for (first, late_ns) in begin.zip([0, MINUTE].into_iter().cycle()) {
            let cut = Cut {
                first_ns: times[first],
            };
            let due_ns = cut.due_ns(&wanted, last_ns + late_ns);
            for (interval_ns, count) in kinds.into_iter().chain([(250 * MS, None)]) {
                let place = format!("{interval_ns} from {first}, {late_ns} late");
                let kind = (interval_ns, count);
                let (bars, told_ns, closed) = fed(&times, first, kind, due_ns);
                let open = *bars
                    .get(0)
                    .and_then(BarBuilder::open_bar)
                    .expect("it is open");
                assert_eq!(open.start_ns, start_of(last_ns, interval_ns), "{place}");
                let all = || bars.past(0).iter().copied().chain([open]);
                for (bar, next) in all().zip(all().skip(1)) {
                    assert_eq!(bar.end_ns, next.start_ns, "{place}");
                }
                let whole = whole(&times, interval_ns);
                let lacks = |bar: &Bar| {
                    let mut whole = whole.iter();
                    let truth = whole.find(|whole| whole.start_ns == bar.start_ns);
                    truth.expect("a window").trades != bar.trades
                };
                let cut_ns = cut.window(interval_ns).start;
                for bar in all().filter(|bar| lacks(bar)) {
                    assert!(bar.incomplete && bar.start_ns == cut_ns, "{place}: {bar:?}");
                }
                let Some(count) = count.filter(|_| first > 0) else {
                    continue;
                };
                // What strategies are shown is whole, and as much as they are warmed by.
                let newest_first = closed.iter().rev().take(count as usize);
                let shown: Vec<&Bar> = newest_first.collect();
                assert!(!shown.iter().copied().any(lacks), "{place}: {shown:?}");
                let oldest_ns = start_of(told_ns, interval_ns) - i64::from(count) * interval_ns;
                let oldest_ns = oldest_ns.max(start_of(MINUTE, interval_ns));
                let reaches = shown.last().is_some_and(|bar| bar.start_ns <= oldest_ns);
                let is_first = cut_ns <= oldest_ns && cut.window(interval_ns).end > told_ns;
                assert!(reaches || is_first, "{place}: {shown:?}");
            }
        }
    }

    #[test]
    fn the_store_is_asked_for_what_raw_trades_do_not_make() {
        let cut = Cut {
            first_ns: 100 * SECOND + 1,
        };
        let second = |over_ns| cut.windows(SECOND, 10, over_ns);
        assert_eq!(second(101 * SECOND), 90 * SECOND..101 * SECOND);
        let over_too_early = 101 * SECOND - 1;
        assert_eq!(second(over_too_early), 89 * SECOND..100 * SECOND);
        assert!(second(120 * SECOND).is_empty(), "there are enough of them");
        assert_eq!(cut.windows(MINUTE, 9, 119 * SECOND), 0..MINUTE);
        // The longest window that ends by now is waited for.
        let wanted = [(SECOND, 10), (MINUTE, 9), (60 * MINUTE, 9)];
        assert_eq!(cut.due_ns(&wanted, 50 * MINUTE), 2 * MINUTE);
        assert_eq!(cut.due_ns(&wanted, 110 * SECOND), 101 * SECOND);
        assert_eq!(cut.due_ns(&[], 50 * MINUTE), cut.first_ns);
    }

    #[test]
    fn a_stored_bar_that_says_no_more_does_not_pass_for_a_whole_one() {
        let cut = Cut { first_ns: SECOND };
        let bar = |start_ns, trades| Bar {
            start_ns,
            trades,
            ..Bar::default()
        };
        let stored = vec![bar(0, 1), bar(SECOND, 5)];
        assert_eq!(cut.beside(SECOND, 5, stored.clone()).len(), 1);
        assert_eq!(cut.beside(SECOND, 4, stored).len(), 2);
    }

    #[test]
    fn scales_become_finer_and_what_does_not_fit_is_left_out() {
        let number = |text: &str| text.parse::<Decimal>().expect(text);
        let mut scale = LEAST_SCALE;
        assert_eq!(fit(number("1.50"), &mut scale), Some(150_000_000));
        assert_eq!(fit(number("0.0000000012"), &mut scale), Some(12));
        assert_eq!(scale, 10);
        assert_eq!(fit(number("2"), &mut scale), Some(20_000_000_000));
        assert_eq!(fit(number("99999999999"), &mut scale), None);
        assert_eq!(scale, 10);
    }
}

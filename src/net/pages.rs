//! Answer by answer, from the last trade that an earlier run saw to the first one that came live:
//! what is to be asked for next, and is all there? No sockets, no clocks.

use crate::exchanges::output::Held;
use crate::exchanges::trades::{Hole, Pages, PastTrade};
use anyhow::bail;

/// No more answers for one instrument.
pub const MOST: u32 = 50;
/// Stamps of trades in a row may go back by less than this, ns.
const SLACK_NS: i64 = 60_000_000_000;

/// A trade's id and time, ns.
type Place = (u128, i64);

/// How far the answers have come.
pub struct Progress {
    pages: Pages,
    aggregates: bool,
    /// All up to this trade is there.
    after: Place,
    /// Where answers come from the end: what is there between the two.
    end: Option<(Place, Place)>,
    answers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All that was missed is there.
    Done,
    /// There is more: ask at once.
    Next,
    /// The exchange's answers are not as far as its stream: ask again, later.
    Later,
}

impl Progress {
    pub fn new(pages: Pages, aggregates: bool, after: Place) -> Progress {
        Progress {
            pages,
            aggregates,
            after,
            end: None,
            answers: 0,
        }
    }

    /// What is missing now.
    pub fn hole(&self, now_ns: i64) -> Hole {
        let begins = self.end.map(|((_, ns), _)| ns);
        Hole {
            after: self.after,
            until_ns: begins.unwrap_or(now_ns).max(self.after.1),
            aggregates: self.aggregates,
        }
    }

    /// Takes an answer, oldest trade first. An error: it cannot be completed.
    pub fn answer(&mut self, page: &[PastTrade], held: &Held) -> anyhow::Result<Step> {
        self.answers += 1;
        let last = self.after.0;
        if held.foreign {
            bail!("the ids of its trades do not go on from {last}");
        }
        let full = page.len() >= self.pages.most;
        let new = &page[page.partition_point(|trade| trade.id <= last)..];
        self.check(new)?;
        let more = if self.pages.from_the_end {
            self.backwards(new, full)?
        } else {
            self.onwards(new, full)?
        };
        let reached = held
            .oldest
            .map(|oldest| self.after.0.saturating_add(1) >= oldest);
        let step = match reached {
            Some(true) => Step::Done,
            _ if more => Step::Next,
            None => Step::Done,
            Some(false) => Step::Later,
        };
        if step != Step::Done && self.answers >= MOST {
            bail!("{MOST} answers do not hold all that was missed");
        }
        Ok(step)
    }

    /// New trades are newer ones, and none is missing between them.
    fn check(&self, new: &[PastTrade]) -> anyhow::Result<()> {
        let (last, last_ns) = self.after;
        if let Some(older) = new.iter().find(|t| t.exchange_ns < last_ns - SLACK_NS) {
            bail!(
                "trade {} is older than {last}, the last one known",
                older.id
            );
        }
        for pair in new.windows(2) {
            self.follows(pair[0].id, pair[1].id)?;
        }
        Ok(())
    }

    fn follows(&self, before: u128, id: u128) -> anyhow::Result<()> {
        if self.pages.gapless && id > before.saturating_add(1) {
            bail!("the exchange's answers have no trade between {before} and {id}");
        }
        Ok(())
    }

    /// True where there is more.
    fn onwards(&mut self, new: &[PastTrade], full: bool) -> anyhow::Result<bool> {
        let (Some(first), Some(newest)) = (new.first(), new.last()) else {
            if full {
                bail!("the same trades come again after {}", self.after.0);
            }
            return Ok(false);
        };
        self.follows(self.after.0, first.id)?;
        self.after = place(newest);
        Ok(full)
    }

    /// True where there is more: older ones.
    fn backwards(&mut self, new: &[PastTrade], full: bool) -> anyhow::Result<bool> {
        let begins = new.first().map(place);
        let (begins, newest) = match (begins, self.end) {
            (Some(begins), None) => (begins, new.last().map_or(begins, place)),
            (Some(begins), Some((known, newest))) => {
                let joins = new.last().map_or(begins, place);
                self.follows(joins.0, known.0)?;
                (begins.min(known), newest)
            }
            (None, Some(end)) => end,
            (None, None) if full => {
                bail!("only known trades come, and {} of them", self.pages.most)
            }
            (None, None) => return Ok(false),
        };
        if full && begins.0 > self.after.0.saturating_add(1) {
            if self.end.is_some_and(|(known, _)| begins >= known) {
                bail!("the same trades come again before {}", begins.0);
            }
            self.end = Some((begins, newest));
            return Ok(true);
        }
        self.follows(self.after.0, begins.0)?;
        (self.after, self.end) = (newest, None);
        Ok(false)
    }
}

fn place(trade: &PastTrade) -> Place {
    (trade.id, trade.exchange_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Number, Side};
    use std::ops::RangeInclusive;

    /// Ids count seconds here.
    const SECOND: i64 = 1_000_000_000;

    fn trades(ids: RangeInclusive<u128>) -> Vec<PastTrade> {
        let one = Number::parse(b"1").expect("a number");
        let trade = |id| PastTrade {
            exchange_ns: id as i64 * SECOND,
            id,
            price: one,
            amount: one,
            taker: Side::Buy,
            aggregate: false,
        };
        ids.map(trade).collect()
    }

    fn progress(from_the_end: bool) -> Progress {
        let pages = Pages {
            most: 5,
            from_the_end,
            gapless: true,
        };
        Progress::new(pages, false, (100, 100 * SECOND))
    }

    fn oldest(id: u128) -> Held {
        Held {
            oldest: Some(id),
            foreign: false,
        }
    }

    const NOTHING: Held = Held {
        oldest: None,
        foreign: false,
    };

    /// Why it cannot be completed.
    fn refused(progress: &mut Progress, page: &[PastTrade], held: &Held) -> String {
        let refused = progress.answer(page, held);
        refused.expect_err("cannot be completed").to_string()
    }

    #[test]
    fn from_the_beginning_until_it_meets_the_stream() {
        let mut p = progress(false);
        let step = p.answer(&trades(101..=105), &oldest(113)).expect("goes on");
        assert_eq!((step, p.hole(0).after.0), (Step::Next, 105));
        let step = p.answer(&trades(106..=110), &oldest(113)).expect("goes on");
        assert_eq!(step, Step::Next);
        // The answers are behind the stream.
        let step = p.answer(&trades(111..=111), &oldest(113)).expect("goes on");
        assert_eq!((step, p.hole(0).after.0), (Step::Later, 111));
        let step = p.answer(&[], &oldest(113)).expect("goes on");
        assert_eq!(step, Step::Later);
        let step = p.answer(&trades(112..=112), &oldest(113)).expect("goes on");
        assert_eq!(step, Step::Done);
    }

    #[test]
    fn without_a_live_trade_until_there_is_no_more() {
        let mut p = progress(false);
        let step = p.answer(&trades(101..=105), &NOTHING).expect("goes on");
        assert_eq!(step, Step::Next);
        assert_eq!(p.answer(&[], &NOTHING).expect("goes on"), Step::Done);
        let mut p = progress(false);
        let step = p.answer(&[], &oldest(101)).expect("goes on");
        assert_eq!(step, Step::Done, "nothing was missed");
    }

    #[test]
    fn from_the_end_until_it_meets_what_is_known() {
        let mut p = progress(true);
        let now_ns = 200 * SECOND;
        let step = p.answer(&trades(108..=112), &oldest(113)).expect("goes on");
        assert_eq!(step, Step::Next);
        let hole = p.hole(now_ns);
        assert_eq!((hole.after.0, hole.until_ns), (100, 108 * SECOND));
        // The second in which it begins is asked for again.
        let step = p.answer(&trades(104..=108), &oldest(113)).expect("goes on");
        assert_eq!(step, Step::Next);
        let step = p.answer(&trades(99..=104), &oldest(113)).expect("goes on");
        assert_eq!(step, Step::Done);
        assert_eq!(
            (p.hole(now_ns).after.0, p.hole(now_ns).until_ns),
            (112, now_ns)
        );

        let mut p = progress(true);
        let step = p.answer(&trades(98..=103), &oldest(105)).expect("goes on");
        assert_eq!(step, Step::Later);
        let step = p.answer(&trades(103..=106), &oldest(105)).expect("goes on");
        assert_eq!(step, Step::Done);
    }

    #[test]
    fn what_cannot_be_completed_says_why() {
        let mut holed = trades(101..=104);
        holed.remove(1);
        for (from_the_end, page, part) in [
            (false, holed.clone(), "no trade between 101 and 103"),
            (true, holed, "no trade between 101 and 103"),
            (false, trades(102..=103), "no trade between 100 and 102"),
            (true, trades(102..=103), "no trade between 100 and 102"),
            (false, trades(96..=100), "the same trades come again"),
            (true, trades(96..=100), "only known trades come"),
        ] {
            let why = refused(&mut progress(from_the_end), &page, &NOTHING);
            assert!(why.contains(part), "{why}");
        }
        let foreign = Held {
            oldest: None,
            foreign: true,
        };
        let why = refused(&mut progress(false), &[], &foreign);
        assert!(why.contains("do not go on from 100"), "{why}");
        let mut old = trades(101..=101);
        old[0].exchange_ns = 30 * SECOND;
        let why = refused(&mut progress(false), &old, &NOTHING);
        assert!(why.contains("101 is older than 100"), "{why}");
        let mut p = progress(true);
        p.answer(&trades(108..=112), &NOTHING).expect("goes on");
        let why = refused(&mut p, &trades(108..=112), &NOTHING);
        assert!(why.contains("come again before 108"), "{why}");
    }

    #[test]
    fn answers_are_bounded() {
        let mut p = progress(false);
        for i in 1..u128::from(MOST) {
            let first = 96 + 5 * i;
            let step = p.answer(&trades(first..=first + 4), &NOTHING);
            assert_eq!(step.expect("goes on"), Step::Next);
        }
        let first = 96 + 5 * u128::from(MOST);
        let why = refused(&mut p, &trades(first..=first + 4), &NOTHING);
        assert!(why.contains("50 answers"), "{why}");
    }

    #[test]
    fn ids_with_gaps_are_none_where_they_do_not_count() {
        let mut p = progress(false);
        p.pages.gapless = false;
        let mut page = trades(101..=104);
        page.remove(1);
        let step = p.answer(&page, &oldest(107)).expect("goes on");
        assert_eq!(step, Step::Later);
        let step = p.answer(&trades(104..=107), &oldest(107)).expect("goes on");
        assert_eq!(step, Step::Done);
    }
}

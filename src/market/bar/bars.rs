//! HOT PATH. All kinds of bars that anybody wants of one instrument, each made once.

use super::{Bar, BarBuilder, BarKind, Past};
use serde::{Deserialize, Serialize};

/// The builders of one instrument. Bars are handed out with the index of their kind; those that
/// close together, by index.
///
/// In this order for each event: [`Bars::close_due`] until `None` where time has come to it, and
/// for a trade [`Bars::trade`], then [`Bars::next_closed`] until `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bars {
    builders: Vec<BarBuilder>,
    /// By builder: those that closed last.
    past: Vec<Past>,
    /// No bar of time is over before this.
    due_ns: i64,
    /// No builder below this index has a bar that a trade closed.
    closed: usize,
}

impl Bars {
    pub fn new() -> Self {
        Bars::default()
    }

    /// The index of a kind, which is added where it is new. Allocates: before the first event.
    #[cold]
    pub fn add(&mut self, kind: BarKind) -> usize {
        self.add_builder(BarBuilder::new(kind))
    }

    /// As [`Bars::add`], for a builder that is not a new one. Where its kind is known already, the
    /// known one stays.
    #[cold]
    pub fn add_builder(&mut self, builder: BarBuilder) -> usize {
        let kind = builder.kind();
        let known = self.builders.iter().position(|b| b.kind() == kind);
        known.unwrap_or_else(|| {
            self.builders.push(builder);
            self.past.push(Past::default());
            // It may have an open bar already.
            (self.due_ns, self.closed) = (i64::MIN, 0);
            self.builders.len() - 1
        })
    }

    pub fn len(&self) -> usize {
        self.builders.len()
    }

    pub fn is_empty(&self) -> bool {
        self.builders.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&BarBuilder> {
        self.builders.get(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = &BarBuilder> {
        self.builders.iter()
    }

    /// The bars of a kind that closed last. Panics where no [`Bars::add`] gave this index.
    pub fn past(&self, index: usize) -> &Past {
        &self.past[index]
    }

    /// To keep at least so many closed bars of a kind. Allocates.
    #[cold]
    pub fn keep(&mut self, index: usize, count: usize) {
        self.past[index].keep(count);
    }

    /// Goes on where `saved` stood, with those of its kinds that are wanted here.
    #[cold]
    pub fn take_over(&mut self, saved: Bars) {
        for (builder, past) in saved.builders.into_iter().zip(saved.past) {
            let mut builders = self.builders.iter();
            let Some(index) = builders.position(|b| b.kind() == builder.kind()) else {
                continue;
            };
            self.builders[index] = builder;
            self.past[index].take_over(&past);
        }
        (self.due_ns, self.closed) = (i64::MIN, 0);
    }

    /// Puts bars of time from elsewhere among those of a kind that are kept, oldest first. One that
    /// is open here and closed there was interrupted, what is known elsewhere is whole; but not
    /// where somebody `awaits_open`, who has seen all before it and sees this one as it closes.
    #[cold]
    pub fn fill(&mut self, index: usize, bars: &[Bar], awaits_open: bool) {
        let builder = &mut self.builders[index];
        let open = builder.open_bar().map_or(i64::MAX, |open| open.start_ns);
        if !awaits_open && let Some(whole) = bars.iter().find(|bar| bar.start_ns == open) {
            builder.give_up(whole.end_ns);
        }
        let open = builder.open_bar().map_or(i64::MAX, |open| open.start_ns);
        let closed = bars.partition_point(|bar| bar.start_ns < open);
        self.past[index].fill(&bars[..closed]);
    }

    /// Time has come to `now_ns`: a bar of time that is over, if any. Call before [`Bars::trade`],
    /// until it says `None`.
    #[inline]
    pub fn close_due(&mut self, now_ns: i64) -> Option<(usize, Bar)> {
        if now_ns < self.due_ns {
            return None;
        }
        self.close_first_due(now_ns)
    }

    fn close_first_due(&mut self, now_ns: i64) -> Option<(usize, Bar)> {
        for (i, builder) in self.builders.iter_mut().enumerate() {
            if let Some(bar) = builder.close_due(now_ns) {
                self.past[i].push(&bar);
                return Some((i, bar));
            }
        }
        let due = self.builders.iter().map(BarBuilder::due_ns);
        self.due_ns = due.min().unwrap_or(i64::MAX);
        None
    }

    /// Takes a trade for all kinds.
    #[inline]
    pub fn trade(&mut self, time_ns: i64, price: i64, amount: i64, taker_bought: bool) {
        let mut closed = self.builders.len();
        for (i, builder) in self.builders.iter_mut().enumerate() {
            builder.trade(time_ns, price, amount, taker_bought);
            self.due_ns = self.due_ns.min(builder.due_ns());
            if builder.has_closed() {
                closed = closed.min(i);
            }
        }
        self.closed = closed;
    }

    /// A bar that the last trade closed. Call until it says `None`; a trade may close several bars
    /// of one kind.
    #[inline]
    pub fn next_closed(&mut self) -> Option<(usize, Bar)> {
        while let Some(builder) = self.builders.get_mut(self.closed) {
            if let Some(bar) = builder.next_closed() {
                self.past[self.closed].push(&bar);
                return Some((self.closed, bar));
            }
            self.closed += 1;
        }
        None
    }

    /// As [`BarBuilder::gap`], for all kinds.
    #[inline]
    pub fn gap(&mut self) {
        self.builders.iter_mut().for_each(BarBuilder::gap);
    }

    /// As [`BarBuilder::rescale`], for all kinds.
    #[cold]
    pub fn rescale(
        &mut self,
        price: impl Fn(i64) -> Option<i64>,
        amount: impl Fn(i64) -> Option<i64>,
    ) {
        for builder in &mut self.builders {
            builder.rescale(&price, &amount);
        }
        for past in &mut self.past {
            past.rescale(&price, &amount);
        }
    }
}

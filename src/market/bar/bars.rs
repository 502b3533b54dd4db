//! HOT PATH. All kinds of bars that anybody wants of one instrument, each made once.

use super::{Bar, BarBuilder, BarKind};
use serde::{Deserialize, Serialize};

/// The builders of one instrument. Bars are handed out with the index of their kind; those that
/// close together, by index.
///
/// In this order for each event: [`Bars::close_due`] until `None` where time has come to it, and
/// for a trade [`Bars::trade`], then [`Bars::next_closed`] until `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bars {
    builders: Vec<BarBuilder>,
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
    }
}

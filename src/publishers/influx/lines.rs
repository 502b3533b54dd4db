//! Encoded lines for one policy, and which instrument each is of, so that a lost one is counted
//! where it is missed. Knows no market and no network.

use super::policy::Policy;
use std::ops::Range;
use std::sync::Arc;

/// An instrument's ticks, by its name (`binance BTC/USDT`).
pub type Tally = Vec<(Arc<str>, u64)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Where they are to be written.
    pub policy: Policy,
    text: Vec<u8>,
    /// Where each line ends in `text`.
    ends: Vec<usize>,
    owners: Vec<Arc<str>>,
}

impl Lines {
    pub fn of(policy: Policy) -> Lines {
        Lines {
            policy,
            ..Lines::default()
        }
    }

    /// Appends a line of this instrument.
    pub fn push(&mut self, owner: &Arc<str>, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.ends.push(self.text.len());
        self.owners.push(Arc::clone(owner));
    }

    /// The same where `write` says that it made one; whether it did.
    pub fn push_if(&mut self, owner: &Arc<str>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let made = write(&mut self.text);
        if made {
            self.ends.push(self.text.len());
            self.owners.push(Arc::clone(owner));
        }
        made
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn text(&self, range: &Range<usize>) -> &[u8] {
        let start = range
            .start
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[range.end - 1]]
    }

    pub fn owner(&self, line: usize) -> &Arc<str> {
        &self.owners[line]
    }

    /// Lines with their instruments.
    pub fn each_of(&self, range: &Range<usize>) -> impl Iterator<Item = (&Arc<str>, &[u8])> {
        let line = |i: usize| (&self.owners[i], self.text(&(i..i + 1)));
        range.clone().map(line)
    }

    /// How many lines each instrument has, in order of first appearance.
    pub fn tally(&self) -> Tally {
        self.tally_of(&(0..self.len()))
    }

    /// The same of these lines alone.
    pub fn tally_of(&self, range: &Range<usize>) -> Tally {
        let mut places = std::collections::HashMap::new();
        let mut tally = Tally::new();
        for owner in &self.owners[range.clone()] {
            let place = *places.entry(owner).or_insert_with(|| {
                tally.push((Arc::clone(owner), 0));
                tally.len() - 1
            });
            tally[place].1 += 1;
        }
        tally
    }
}

//! What is written at once: encoded lines, which of them are still open, and halving them to find
//! one that is refused. Knows no market and no network.

use std::ops::Range;

/// Encoded lines, and which of them are not resolved yet.
#[derive(Debug, Default)]
pub struct Batch {
    text: Vec<u8>,
    /// Where each line ends in `text`.
    ends: Vec<usize>,
    /// Ranges of lines still to be written; the last one is next.
    todo: Vec<Range<usize>>,
}

impl Batch {
    /// Begins anew with what `encode` writes, a line for each call, until it answers false or
    /// `most` lines are in.
    pub fn fill(&mut self, most: usize, mut encode: impl FnMut(&mut Vec<u8>) -> bool) {
        self.text.clear();
        self.ends.clear();
        self.todo.clear();
        while self.ends.len() < most.max(1) && encode(&mut self.text) {
            self.ends.push(self.text.len());
        }
        if !self.ends.is_empty() {
            self.todo.push(0..self.ends.len());
        }
    }

    /// The lines to be written next; none where all are resolved.
    pub fn next(&self) -> Option<Range<usize>> {
        self.todo.last().cloned()
    }

    /// What is next came to an end, good or bad.
    pub fn resolved(&mut self) {
        self.todo.pop();
    }

    pub fn unresolved(&self) -> usize {
        self.todo.iter().map(Range::len).sum()
    }

    pub fn lines(&self, range: &Range<usize>) -> &[u8] {
        let start = range
            .start
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[range.end - 1]]
    }

    /// Halves the range that is next.
    pub fn split(&mut self) {
        if let Some(range) = self.todo.pop() {
            let middle = range.start + range.len() / 2;
            self.todo.push(middle..range.end);
            self.todo.push(range.start..middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_visits_every_line_once_and_in_order() {
        let mut batch = Batch::default();
        let mut n = 0;
        batch.fill(7, |out| {
            n += 1;
            out.extend_from_slice(format!("{n}\n").as_bytes());
            true
        });
        assert_eq!(batch.unresolved(), 7);
        let mut seen = Vec::new();
        while let Some(range) = batch.next() {
            if range.len() > 1 {
                batch.split();
                continue;
            }
            seen.extend_from_slice(batch.lines(&range));
            batch.resolved();
        }
        assert_eq!(seen, b"1\n2\n3\n4\n5\n6\n7\n");
        assert_eq!(batch.unresolved(), 0);
        batch.fill(7, |_| false);
        assert_eq!(batch.next(), None);
    }
}

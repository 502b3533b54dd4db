//! What is written at once: encoded lines, which of them are still open, and halving them to find
//! one that is refused. Knows no market and no network.

use super::lines::Lines;
use std::ops::Range;

/// Where lines come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    #[default]
    Memory,
    /// The disk; perhaps they are of an earlier run.
    Spool { backlog: bool },
}

/// Lines under way, and which of them are not resolved yet.
#[derive(Debug, Default)]
pub struct Batch {
    pub source: Source,
    pub lines: Lines,
    /// Ranges of lines still to be written; the last one is next.
    todo: Vec<Range<usize>>,
}

impl Batch {
    pub fn new(lines: Lines, source: Source) -> Batch {
        let all = Some(0..lines.len()).filter(|all| !all.is_empty());
        Batch {
            source,
            lines,
            todo: all.into_iter().collect(),
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

    /// Those that are not resolved yet, by themselves.
    pub fn rest(&self) -> Lines {
        let mut rest = Lines::of(self.lines.policy);
        for (owner, line) in self.todo.iter().flat_map(|r| self.lines.each_of(r)) {
            rest.push(owner, |out| out.extend_from_slice(line));
        }
        rest
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
        let mut lines = Lines::default();
        for n in 1..=7 {
            let text = format!("{n}\n");
            lines.push(&"x y".into(), |out| out.extend_from_slice(text.as_bytes()));
        }
        let mut batch = Batch::new(lines, Source::Memory);
        assert_eq!(batch.unresolved(), 7);
        let mut seen = Vec::new();
        while let Some(range) = batch.next() {
            if range.len() > 1 {
                batch.split();
                continue;
            }
            seen.extend_from_slice(batch.lines.text(&range));
            batch.resolved();
            let rest = batch.rest();
            assert_eq!(rest.len(), batch.unresolved());
            assert_eq!(rest.len() + seen.len() / 2, 7);
        }
        assert_eq!(seen, b"1\n2\n3\n4\n5\n6\n7\n");
        assert_eq!(batch.unresolved(), 0);
        assert_eq!(Batch::new(Lines::default(), Source::Memory).next(), None);
    }
}

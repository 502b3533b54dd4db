//! The live screen: takes the terminal, draws four times a second, hears keys, and gives the
//! terminal back on every way out.
//!
//! Ways out: the end of the run, an error, the task's being dropped ([`RestoreOnDrop`]), a panic of
//! any thread (a hook, which goes first, so that the panic's text is read on the normal screen),
//! and [`restore`] for whoever calls `process::exit`. Only one of them acts, the first.

use super::{BookLine, SignalLine, Snapshot, Stage, time, troubles};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{self, EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{Frame, Terminal};
use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(250);
/// How soon the end of the run or a taken-away terminal is noticed.
const GLANCE: Duration = Duration::from_millis(50);

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, if it was taken; harmless otherwise.
pub fn restore() {
    if TAKEN.swap(false, SeqCst) {
        // Nothing is left to do where the terminal is gone.
        let _ = terminal::disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
}

pub(super) struct RestoreOnDrop;

impl Drop for RestoreOnDrop {
    fn drop(&mut self) {
        restore();
    }
}

/// Draws until `over`, or until a panic somewhere took the terminal away.
pub(super) fn run(
    mut snapshot: impl FnMut() -> Snapshot,
    stop: impl Fn(),
    over: &impl Fn() -> bool,
) -> io::Result<()> {
    let _restore = RestoreOnDrop;
    restore_on_panic();
    TAKEN.store(true, SeqCst);
    terminal::enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let mut stopping = false;
    let mut due = Instant::now();
    while !over() && TAKEN.load(SeqCst) {
        let now = Instant::now();
        if now >= due {
            due = now + REDRAW;
            let seen = snapshot();
            terminal.draw(|frame| draw(frame, &seen, stopping))?;
        }
        if !event::poll(GLANCE.min(due.saturating_duration_since(now)))? {
            continue;
        }
        match event::read()? {
            event if asks_to_stop(&event) => {
                stopping = true;
                stop();
                due = now;
            }
            Event::Resize(..) => due = now,
            _ => {}
        }
    }
    Ok(())
}

/// Once in the process: panics give the terminal back before they speak.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// In raw mode Ctrl-C is a key and no signal.
fn asks_to_stop(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (ctrl_c || key.code == KeyCode::Char('q'))
}

const HEAD: Constraint = Constraint::Length(3);
/// Below this width latencies stand under the books, else beside them.
const WIDE: u16 = 110;

fn draw(frame: &mut Frame, s: &Snapshot, stopping: bool) {
    let stage_rows = s.stages.len() as u16 + 3;
    let book_rows = (s.books.len() as u16).clamp(1, 10) + 3;
    let (head, books, stages, signals);
    if frame.area().width >= WIDE {
        let middle = Constraint::Length(book_rows.max(stage_rows));
        let both;
        [head, both, signals] = areas(frame.area(), [HEAD, middle, Constraint::Min(0)]);
        let columns = [Constraint::Fill(1), Constraint::Length(51)];
        [books, stages] = Layout::horizontal(columns).areas(both);
    } else {
        let [books_fit, stages_fit] = [book_rows, stage_rows].map(Constraint::Length);
        let rows = [HEAD, books_fit, stages_fit, Constraint::Min(0)];
        [head, books, stages, signals] = areas(frame.area(), rows);
    }
    frame.render_widget(header(s, stopping), head);
    frame.render_widget(book_table(&s.books), books);
    frame.render_widget(stage_table(&s.stages), stages);
    frame.render_widget(signal_table(&s.signals, s.signals_total), signals);
}

fn areas<const N: usize>(area: Rect, rows: [Constraint; N]) -> [Rect; N] {
    Layout::vertical(rows).areas(area)
}

fn header(s: &Snapshot, stopping: bool) -> Paragraph<'_> {
    let clock = match s.left {
        _ if stopping => "stopping …".to_owned(),
        Some(left) => format!("{} s, {} s left", s.elapsed.as_secs(), left.as_secs()),
        None => format!("{} s", s.elapsed.as_secs()),
    };
    let mut rates = vec![
        Span::raw(format!("{:.0} msg/s  ", s.messages_per_second)),
        Span::raw(format!("{:.0} events/s  ", s.events_per_second)),
    ];
    for (what, n) in troubles(s) {
        let style = if n == 0 {
            Style::new().dim()
        } else {
            Style::new().fg(Color::Yellow)
        };
        rates.push(Span::styled(format!("{what} {n}  "), style));
    }
    Paragraph::new(vec![
        Line::from(vec![
            "tickforge ".bold(),
            Span::raw(clock),
            "   q to stop".dim(),
        ]),
        Line::from(rates),
        Line::from(vec!["data in ".dim(), Span::raw(s.data_dir.as_str())]),
    ])
}

fn book_table(books: &[BookLine]) -> Table<'_> {
    let row = |b: &BookLine| {
        let color = match b.state {
            "synced" => Color::Green,
            "stale" => Color::Red,
            _ => Color::Yellow,
        };
        Row::new([
            Cell::from(format!("{} {}", b.exchange, b.symbol)),
            Cell::from(b.bid.to_string()),
            Cell::from(b.ask.to_string()),
            Cell::from(format!("{:.2}", b.spread_bp)),
            Cell::from(format!("{}/{}", b.levels.0, b.levels.1)),
            Cell::from(b.state).fg(color),
        ])
    };
    let widths = [
        Constraint::Min(17),
        Constraint::Length(13),
        Constraint::Length(13),
        Constraint::Length(9),
        Constraint::Length(11),
        Constraint::Length(7),
    ];
    let header = Row::new(["book", "bid", "ask", "spread bp", "levels", "state"]).dim();
    Table::new(books.iter().map(row), widths)
        .header(header)
        .block(Block::bordered().title(" books "))
}

fn stage_table(stages: &[Stage]) -> Table<'_> {
    let row = |s: &Stage| match s.max {
        0 => Row::new([s.name, "-", "-", "-"]).dim(),
        _ => Row::new([s.name.to_owned(), time(s.p50), time(s.p99), time(s.max)]),
    };
    let widths = [
        Constraint::Min(17),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let header = Row::new(["stage", "p50", "p99", "max"]).dim();
    Table::new(stages.iter().map(row), widths)
        .header(header)
        .block(Block::bordered().title(" latency "))
}

fn signal_table(signals: &[SignalLine], total: u64) -> Table<'_> {
    let widths = [
        Constraint::Length(8),
        Constraint::Length(14),
        Constraint::Length(10),
        Constraint::Length(11),
        Constraint::Length(4),
        Constraint::Length(10),
        Constraint::Fill(1),
    ];
    let header = Row::new([
        "UTC", "strategy", "symbol", "signal", "str.", "price", "why",
    ])
    .dim();
    let title = format!(" {total} signals ");
    Table::new(signals.iter().map(signal_row), widths)
        .header(header)
        .block(Block::bordered().title(title))
}

fn signal_row(s: &SignalLine) -> Row<'_> {
    let color = match s.signal_type.as_str() {
        "buy" | "strong_buy" => Color::Green,
        "sell" | "strong_sell" => Color::Red,
        _ => Color::Reset,
    };
    Row::new([
        Cell::from(time_of_day(s.event_ns)),
        Cell::from(s.strategy.as_str()),
        Cell::from(s.symbol.as_str()),
        Cell::from(s.signal_type.as_str()).fg(color),
        Cell::from(s.strength.to_string()),
        Cell::from(s.price.to_string()),
        Cell::from(s.reasoning.as_str()),
    ])
}

/// `22:13:20`, UTC.
fn time_of_day(ns: i64) -> String {
    let s = ns.div_euclid(1_000_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::snapshot;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyEvent;

    fn drawn(width: u16, height: u16, stopping: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal");
        terminal
            .draw(|f| draw(f, &snapshot(), stopping))
            .expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn all_is_on_one_screen() {
        for (width, height) in [(80, 24), (140, 40)] {
            let text = drawn(width, height, false);
            for expected in [
                "2 s, 7 s left",
                "1500 msg/s",
                "rejected 3",
                "/tmp/demo",
                "binance BTC/USDT",
                "64123.40",
                "1000/998",
                "synced",
                "tick → signal",
                "12.3 µs",
                "60 signals",
                "22:14:19",
                "strong_buy",
                "0.87",
            ] {
                assert!(
                    text.contains(expected),
                    "{expected} at {width}x{height}:\n{text}"
                );
            }
        }
        assert!(drawn(80, 24, true).contains("stopping"));
    }

    #[test]
    fn no_size_breaks_it() {
        for (width, height) in [(1, 1), (5, 3), (20, 60), (300, 4), (109, 11), (110, 11)] {
            drawn(width, height, false);
        }
    }

    #[test]
    fn q_and_ctrl_c_ask_to_stop() {
        let key = |c, modifiers| Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers));
        assert!(asks_to_stop(&key('q', KeyModifiers::NONE)));
        assert!(asks_to_stop(&key('c', KeyModifiers::CONTROL)));
        assert!(!asks_to_stop(&key('c', KeyModifiers::NONE)));
        assert!(!asks_to_stop(&Event::FocusLost));
    }
}

//! What a recording says of itself and of the decisions of the run that made it.

/// The connection's name of lines that tell of the recording itself.
pub const RECORDER: &str = "tickforge";
/// The first line's mark: every decision of the ingest thread is in this recording, so a replay
/// takes none of its own.
pub const RECORDING: &str = "recording";
/// The mark of an instrument that was taken out of its exchange's list.
pub const LISTED: &str = "listed";
/// The mark of a book that was fetched again, because the engine found it wrong.
pub const RESYNC: &str = "resync";
/// The mark of an instrument whose bars from before the run are there, or will not come.
pub const PAST: &str = "past";
/// The mark of an instrument whose trades are held back, until those that were missed before them
/// have been fetched; why is the id of the last one that an earlier run saw.
pub const HELD: &str = "held";
/// The mark of an instrument whose trades go on: with those that were missed where why is
/// [`FETCHED`], else without them.
pub const MISSED: &str = "missed";
pub const FETCHED: &str = "fetched";
/// The mark of a signal of an earlier run that was still open when this one began; the line's text
/// is the signal as it stands in the journal.
pub const UNFINISHED: &str = "unfinished";
/// The mark of an instrument of which an earlier run remembered something: the line's bytes, which
/// code of the number in why can read.
pub const REMEMBERED: &str = "remembered";
/// The mark of a strategy that got other parameters; the line's text is its section of the
/// configuration as JSON.
pub const PARAMETERS: &str = "parameters";
/// The mark of a strategy or an instrument whose signals were switched on or off; why is one of
/// those two.
pub const SWITCHED: &str = "switched";
pub const ON: &str = "on";
pub const OFF: &str = "off";
/// What a switch was put to.
pub const fn on_or_off(on: bool) -> &'static str {
    if on { ON } else { OFF }
}
/// Why a connection ended that we closed ourselves: its books are not stale for it.
pub const STOPPED: &str = "stopped";

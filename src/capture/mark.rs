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
/// Why a connection ended that we closed ourselves: its books are not stale for it.
pub const STOPPED: &str = "stopped";

//! How an application reads and writes its own tables: typed rows and statements for users,
//! portfolios, orders, AI commands, Telegram, notifications and configuration, one file for each
//! family.
//!
//! Rows that belong to a user are behind row level security: a login of the role `trading_bot_app`
//! sees and changes them only within a transaction that says for whom it acts, [`begin_as`]. All
//! functions take the connection or transaction that they run in, commit nothing, and retry
//! nothing. A statement that is refused ([`is_refused`]) was meant for somebody else's row.
//!
//! Prices and amounts are exact to 28 significant digits, though columns hold more; times are
//! [`Time`], exact to the microsecond. Must not connect, migrate, or decide what an error means for
//! its caller.

pub mod ai;
pub mod api_keys;
pub mod config;
pub mod notifications;
pub mod orders;
pub mod portfolios;
pub mod telegram;
mod time;
pub mod users;

pub use time::Time;

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection, Transaction};
use uuid::Uuid;

/// For whom a transaction acts. Where nobody is logged in yet, what was shown opens the one row
/// that says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As<'a> {
    User(Uuid),
    /// Who shows the token of a session, or the one that refreshes it.
    Session(&'a str),
    /// Who writes in a Telegram chat, by Telegram's number.
    Chat(i64),
    /// A user who shows the code that a chat gave them.
    Code(Uuid, &'a str),
    /// Nobody: rows of no user.
    Nobody,
}

/// Begins a transaction that acts so until it ends; what an earlier one said is gone.
pub async fn begin_as<'c>(
    connection: &'c mut PgConnection,
    who: As<'_>,
) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
    let (mut user, mut token, mut chat, mut code) = Default::default();
    match who {
        As::User(id) => user = id.to_string(),
        As::Session(shown) => token = shown,
        As::Chat(number) => chat = number.to_string(),
        As::Code(id, shown) => (user, code) = (id.to_string(), shown),
        As::Nobody => {}
    }
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "SELECT set_config('app.current_user_id', $1, true), set_config('app.session_token', $2, true), \
             set_config('app.telegram_id', $3, true), set_config('app.registration_code', $4, true)",
    )
    .bind(user)
    .bind(token)
    .bind(chat)
    .bind(code)
    .execute(&mut *transaction)
    .await?;
    Ok(transaction)
}

/// Whether the server refused it because the one for whom it acts may not do this.
pub fn is_refused(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if e.code().as_deref() == Some("42501"))
}

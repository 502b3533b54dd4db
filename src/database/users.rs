//! Accounts and their sessions. `users` itself has no row level security: who logs in is not known
//! yet. It must see no password: what is stored is a hash that the application made.
//!
//! A session's token is stored as it is given. Give a digest of what the user's browser holds: the
//! parameters of a statement may come into the server's log.

use super::Time;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, Default)]
pub struct NewUser<'a> {
    pub email: &'a str,
    pub username: &'a str,
    pub password_hash: &'a str,
    pub first_name: Option<&'a str>,
    pub last_name: Option<&'a str>,
    /// Which signals the user wants to hear of, and where.
    pub notification_preferences: Option<&'a Value>,
}

/// A name or an address that is taken is an error of the database, unique violation.
pub async fn create(connection: &mut PgConnection, new: &NewUser<'_>) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO users (email, username, password_hash, first_name, last_name, \
             notification_preferences) \
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
    )
    .bind(new.email)
    .bind(new.username)
    .bind(new.password_hash)
    .bind(new.first_name)
    .bind(new.last_name)
    .bind(new.notification_preferences)
    .fetch_one(connection)
    .await
}

/// What decides whether a login is let in. Its `Debug` shows no secret.
#[derive(Clone, sqlx::FromRow)]
pub struct Login {
    pub id: Uuid,
    pub password_hash: String,
    pub is_active: bool,
    /// Where there is one, a second factor is asked for.
    pub two_factor_secret: Option<String>,
    /// Until then no password is right.
    pub locked_until: Option<Time>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

pub async fn login(
    connection: &mut PgConnection,
    email: &str,
) -> Result<Option<Login>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, password_hash, COALESCE(is_active, false) AS is_active, locked_until, \
             CASE WHEN two_factor_enabled THEN two_factor_secret END AS two_factor_secret \
         FROM users WHERE email = $1",
    )
    .bind(email)
    .fetch_optional(connection)
    .await
}

pub async fn login_succeeded(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE users SET failed_login_attempts = 0, locked_until = NULL, last_login_at = NOW(), \
             last_activity_at = NOW() \
         WHERE id = $1",
    )
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts, and at every `attempts` failures in a row locks the account for this long. Returns until
/// when it is locked.
pub async fn login_failed(
    connection: &mut PgConnection,
    id: Uuid,
    attempts: i32,
    lock: Duration,
) -> Result<Option<Time>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE users SET failed_login_attempts = COALESCE(failed_login_attempts, 0) + 1, \
             locked_until = CASE WHEN (COALESCE(failed_login_attempts, 0) + 1) % $2 = 0 \
                 THEN NOW() + $3 ELSE locked_until END \
         WHERE id = $1 RETURNING locked_until",
    )
    .bind(id)
    .bind(attempts.max(1))
    .bind(lock)
    .fetch_one(connection)
    .await
}

#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    pub user_id: Uuid,
    pub session_token: &'a str,
    pub refresh_token: Option<&'a str>,
    pub ip_address: Option<IpAddr>,
    pub user_agent: Option<&'a str>,
    pub device_info: Option<&'a Value>,
    /// From now.
    pub lasts: Duration,
}

/// As the user.
pub async fn open_session(
    connection: &mut PgConnection,
    new: &NewSession<'_>,
) -> Result<Session, sqlx::Error> {
    sqlx::query_as(
        "INSERT INTO user_sessions (user_id, session_token, refresh_token, ip_address, user_agent, \
             device_info, expires_at) \
         VALUES ($1, $2, $3, $4::inet, $5, $6, NOW() + $7) RETURNING id, user_id, expires_at",
    )
    .bind(new.user_id)
    .bind(new.session_token)
    .bind(new.refresh_token)
    .bind(new.ip_address.map(|ip| ip.to_string()))
    .bind(new.user_agent)
    .bind(new.device_info)
    .bind(new.lasts)
    .fetch_one(connection)
    .await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    pub id: Uuid,
    pub user_id: Uuid,
    pub expires_at: Time,
}

/// Whose session it is, unless it has expired: as [`super::As::Session`] with the same token, or as
/// its user.
pub async fn session(
    connection: &mut PgConnection,
    token: &str,
) -> Result<Option<Session>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, user_id, expires_at FROM user_sessions \
         WHERE session_token = $1 AND expires_at > NOW()",
    )
    .bind(token)
    .fetch_optional(connection)
    .await
}

/// As the user. `false`: there is no such session of theirs.
pub async fn close_session(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let closed = sqlx::query("DELETE FROM user_sessions WHERE id = $1");
    Ok(closed.bind(id).execute(connection).await?.rows_affected() > 0)
}

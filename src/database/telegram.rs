//! Who writes to the bot, and what. A chat begins as a stranger's, handled as [`super::As::Chat`];
//! its user takes it over by a code, as [`super::As::Code`]; from then on it is handled as its
//! user. It must not talk to Telegram.

use super::Time;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "telegram_user_status", rename_all = "snake_case")]
pub enum TelegramStatus {
    Active,
    Blocked,
    Banned,
    Pending,
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TelegramUser {
    pub id: Uuid,
    pub telegram_id: i64,
    /// `None`: nobody has taken the chat over yet.
    pub user_id: Option<Uuid>,
    pub status: TelegramStatus,
    pub is_bot_blocked: bool,
    pub notifications_enabled: bool,
}

/// As the chat.
pub async fn find(
    connection: &mut PgConnection,
    telegram_id: i64,
) -> Result<Option<TelegramUser>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, telegram_id, user_id, status, is_bot_blocked, notifications_enabled \
         FROM telegram_users WHERE telegram_id = $1",
    )
    .bind(telegram_id)
    .fetch_optional(connection)
    .await
}

/// What Telegram tells of somebody who writes.
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    pub telegram_id: i64,
    pub username: Option<&'a str>,
    pub first_name: Option<&'a str>,
    pub last_name: Option<&'a str>,
    pub language_code: Option<&'a str>,
}

/// As the chat: a stranger is noted, with the code by which their user takes the chat over. One who
/// was there keeps the id and gets the new code.
pub async fn register(
    connection: &mut PgConnection,
    profile: &Profile<'_>,
    registration_code: &str,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO telegram_users AS t (telegram_id, username, first_name, last_name, \
             language_code, registration_code, last_activity_at) \
         VALUES ($1, $2, $3, $4, COALESCE($5, 'en'), $6, NOW()) \
         ON CONFLICT (telegram_id) DO UPDATE SET username = EXCLUDED.username, \
             first_name = EXCLUDED.first_name, last_name = EXCLUDED.last_name, \
             language_code = EXCLUDED.language_code, last_activity_at = NOW(), \
             registration_code = EXCLUDED.registration_code \
         RETURNING id",
    )
    .bind(profile.telegram_id)
    .bind(profile.username)
    .bind(profile.first_name)
    .bind(profile.last_name)
    .bind(profile.language_code)
    .bind(registration_code)
    .fetch_one(connection)
    .await
}

/// As the user with the code: the chat is theirs, and the code is spent. `None`: no chat waits for
/// this code.
pub async fn take_over(
    connection: &mut PgConnection,
    user_id: Uuid,
    registration_code: &str,
) -> Result<Option<TelegramUser>, sqlx::Error> {
    sqlx::query_as(
        "UPDATE telegram_users SET user_id = $1, status = 'active', is_verified = true, \
             verified_at = NOW(), registration_code = NULL \
         WHERE registration_code = $2 AND user_id IS NULL \
         RETURNING id, telegram_id, user_id, status, is_bot_blocked, notifications_enabled",
    )
    .bind(user_id)
    .bind(registration_code)
    .fetch_optional(connection)
    .await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "message_direction", rename_all = "snake_case")]
pub enum Direction {
    Incoming,
    Outgoing,
}

#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    pub telegram_user_id: Uuid,
    pub direction: Direction,
    pub chat_id: i64,
    /// Telegram's number of it in the chat.
    pub message_id: i64,
    pub text: Option<&'a str>,
    /// `/signals`; `None` for plain text.
    pub command: Option<&'a str>,
    pub ai_command_id: Option<Uuid>,
}

/// As the chat or its user: stores a message, and counts it where it came in. `None`: it was stored
/// before, for Telegram delivers again until it was acknowledged; nothing changes.
pub async fn record(
    connection: &mut PgConnection,
    new: &NewMessage<'_>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "WITH message AS ( \
             INSERT INTO telegram_messages (telegram_user_id, user_id, direction, chat_id, \
                 message_id, text, command, ai_command_id) \
             SELECT id, user_id, $2, $3, $4, $5, $6, $7 FROM telegram_users WHERE id = $1 \
             ON CONFLICT ON CONSTRAINT uq_telegram_messages_chat_id_message_id DO NOTHING \
             RETURNING id), \
         counted AS ( \
             UPDATE telegram_users SET last_activity_at = NOW(), \
                 total_messages = total_messages + 1, \
                 total_commands = total_commands + ($6 IS NOT NULL)::int, \
                 daily_message_count = 1 + CASE WHEN rate_limit_reset_at > NOW() \
                     THEN daily_message_count ELSE 0 END, \
                 daily_command_count = ($6 IS NOT NULL)::int + CASE \
                     WHEN rate_limit_reset_at > NOW() THEN daily_command_count ELSE 0 END, \
                 rate_limit_reset_at = CASE WHEN rate_limit_reset_at > NOW() \
                     THEN rate_limit_reset_at ELSE DATE_TRUNC('day', NOW() + INTERVAL '1 day') END \
             WHERE id = $1 AND $2 = 'incoming'::message_direction \
                 AND EXISTS (SELECT FROM message)) \
         SELECT id FROM message",
    )
    .bind(new.telegram_user_id)
    .bind(new.direction)
    .bind(new.chat_id)
    .bind(new.message_id)
    .bind(new.text)
    .bind(new.command)
    .bind(new.ai_command_id)
    .fetch_optional(connection)
    .await
}

/// How much a chat was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Usage {
    pub total_messages: i32,
    pub total_commands: i32,
    /// Since the last reset; what is older counts as none.
    pub daily_message_count: i32,
    pub daily_command_count: i32,
    pub rate_limit_reset_at: Time,
}

/// As the chat or its user.
pub async fn usage(
    connection: &mut PgConnection,
    telegram_user_id: Uuid,
) -> Result<Option<Usage>, sqlx::Error> {
    sqlx::query_as(
        "SELECT total_messages, total_commands, rate_limit_reset_at, \
             CASE WHEN rate_limit_reset_at > NOW() THEN daily_message_count ELSE 0 END \
                 AS daily_message_count, \
             CASE WHEN rate_limit_reset_at > NOW() THEN daily_command_count ELSE 0 END \
                 AS daily_command_count \
         FROM telegram_users WHERE id = $1",
    )
    .bind(telegram_user_id)
    .fetch_optional(connection)
    .await
}

//! The queue of what users are to be told. Whoever sees the rows may deliver them: an application
//! as one user, the engine or an administrator for all. It must not deliver anything itself.

use super::Time;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use std::time::Duration;
use uuid::Uuid;

pub use crate::notify::Channel;

#[derive(Clone, Copy, Debug)]
pub struct NewNotification<'a> {
    pub user_id: Uuid,
    /// What it is about; the same one is queued once for each channel.
    pub signal_id: Option<Uuid>,
    pub channel: Channel,
    /// `signal`, `order_filled`, …
    pub notification_type: &'a str,
    pub payload: &'a Value,
    /// Not before; `None` is at once.
    pub scheduled_at: Option<Time>,
}

/// `None`: this signal was queued for this user and channel before.
pub async fn queue(
    connection: &mut PgConnection,
    new: &NewNotification<'_>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO notifications (user_id, signal_id, channel, type, payload, scheduled_at) \
         VALUES ($1, $2, $3, $4, $5, COALESCE($6, NOW())) \
         ON CONFLICT ON CONSTRAINT uq_notifications_user_id_signal_id_channel DO NOTHING \
         RETURNING id",
    )
    .bind(new.user_id)
    .bind(new.signal_id)
    .bind(new.channel)
    .bind(new.notification_type)
    .bind(new.payload)
    .bind(new.scheduled_at)
    .fetch_optional(connection)
    .await
}

/// Something to deliver now.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Due {
    pub id: Uuid,
    pub user_id: Uuid,
    pub signal_id: Option<Uuid>,
    #[sqlx(rename = "type")]
    pub notification_type: String,
    pub payload: Value,
    /// This one included: 1, 2, 3, …
    pub attempts: i32,
}

/// Takes at most `limit` that are due, the oldest first; no two workers the same. Whoever does not
/// say [`sent`] or [`failed`] within `patience`, as after a crash, leaves them to the next one.
pub async fn take(
    connection: &mut PgConnection,
    channel: Channel,
    limit: u32,
    patience: Duration,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as(
        "UPDATE notifications n SET attempts = n.attempts + 1, scheduled_at = NOW() + $3 \
         FROM (SELECT id FROM notifications \
             WHERE status = 'pending' AND scheduled_at <= NOW() AND channel = $1 \
             ORDER BY scheduled_at LIMIT $2 FOR UPDATE SKIP LOCKED) due \
         WHERE n.id = due.id \
         RETURNING n.id, n.user_id, n.signal_id, n.type, n.payload, n.attempts",
    )
    .bind(channel)
    .bind(i64::from(limit))
    .bind(patience)
    .fetch_all(connection)
    .await
}

/// `false`: it was not pending.
pub async fn sent(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let update = sqlx::query(
        "UPDATE notifications SET status = 'sent', sent_at = NOW(), error = NULL \
         WHERE id = $1 AND status = 'pending'",
    );
    Ok(update.bind(id).execute(connection).await?.rows_affected() > 0)
}

/// Tries again after `retry`; for good where there is none. `false`: it was not pending.
pub async fn failed(
    connection: &mut PgConnection,
    id: Uuid,
    error: &str,
    retry: Option<Duration>,
) -> Result<bool, sqlx::Error> {
    let update = sqlx::query(
        "UPDATE notifications SET error = $2, scheduled_at = COALESCE(NOW() + $3, scheduled_at), \
             status = CASE WHEN $3 IS NULL THEN 'failed'::notification_status ELSE status END \
         WHERE id = $1 AND status = 'pending'",
    );
    let update = update.bind(id).bind(error).bind(retry).execute(connection);
    Ok(update.await?.rows_affected() > 0)
}

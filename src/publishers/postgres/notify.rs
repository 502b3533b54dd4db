//! The statements of notifications: who wants to be told, and the rows that tell them.

use super::Session;
use super::server::within;
use crate::publishers::SinkError;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

const USERS: &str = "
SELECT id, (notification_preferences -> 'signals')::text FROM users
WHERE is_active AND notification_preferences ? 'signals'
ORDER BY id";

const QUEUE: &str = "
INSERT INTO notifications (user_id, signal_id, channel, type, payload)
SELECT u.user_id, u.signal_id, u.channel::notification_channel, $5, u.payload::jsonb
FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[])
    AS u(user_id, signal_id, channel, payload)
ORDER BY u.user_id, u.signal_id, u.channel
ON CONFLICT ON CONSTRAINT uq_notifications_user_id_signal_id_channel DO NOTHING
RETURNING user_id, signal_id";

/// User, signal, channel, payload as JSON.
type Row = (Uuid, Uuid, &'static str, String);

impl Session {
    /// Users who want to be told of signals, with the JSON text that says of which.
    pub(in crate::publishers) async fn notified_users(
        &mut self,
    ) -> Result<Vec<(Uuid, String)>, SinkError> {
        let rows = sqlx::query_as(USERS).fetch_all(&mut self.connection);
        within(self.limit, rows).await.map_err(|e| self.retry(&e))
    }

    /// Queues what is not queued yet; returns users and signals of the rows that are new.
    pub(in crate::publishers) async fn notify(
        &mut self,
        kind: &str,
        rows: &[Row],
    ) -> Result<Vec<(Uuid, Uuid)>, SinkError> {
        let work = queue(&mut self.connection, kind, rows);
        within(self.limit, work).await.map_err(|e| self.retry(&e))
    }
}

async fn queue(
    connection: &mut PgConnection,
    kind: &str,
    rows: &[Row],
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    sqlx::query_as(QUEUE)
        .bind(rows.iter().map(|r| r.0).collect::<Vec<Uuid>>())
        .bind(rows.iter().map(|r| r.1).collect::<Vec<Uuid>>())
        .bind(rows.iter().map(|r| r.2).collect::<Vec<&str>>())
        .bind(rows.iter().map(|r| r.3.as_str()).collect::<Vec<&str>>())
        .bind(kind)
        .fetch_all(connection)
        .await
}

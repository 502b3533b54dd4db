//! `system_config`: settings that change while daemons run. Who listens on [`CHANNEL`] is told the
//! key of each change when it is committed; an empty key means all of them. It holds no secret:
//! readonly roles and the audit log see it.

use super::Time;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// Of LISTEN and NOTIFY.
pub const CHANNEL: &str = "system_config";

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Setting {
    pub key: String,
    pub value: Value,
    pub description: Option<String>,
    pub updated_by: Option<Uuid>,
    pub updated_at: Time,
}

/// By key.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<Setting>, sqlx::Error> {
    sqlx::query_as(
        "SELECT key, value, description, updated_by, updated_at FROM system_config ORDER BY key",
    )
    .fetch_all(connection)
    .await
}

pub async fn get(connection: &mut PgConnection, key: &str) -> Result<Option<Value>, sqlx::Error> {
    sqlx::query_scalar("SELECT value FROM system_config WHERE key = $1")
        .bind(key)
        .fetch_optional(connection)
        .await
}

/// Without a description the one that is there stays.
pub async fn set(
    connection: &mut PgConnection,
    key: &str,
    value: &Value,
    description: Option<&str>,
    updated_by: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO system_config AS c (key, value, description, updated_by) \
         VALUES ($1, $2, $3, $4) \
         ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, \
             updated_by = EXCLUDED.updated_by, \
             description = COALESCE(EXCLUDED.description, c.description)",
    )
    .bind(key)
    .bind(value)
    .bind(description)
    .bind(updated_by)
    .execute(connection)
    .await?;
    Ok(())
}

/// `false`: there was none.
pub async fn remove(connection: &mut PgConnection, key: &str) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query("DELETE FROM system_config WHERE key = $1").bind(key);
    Ok(removed.execute(connection).await?.rows_affected() > 0)
}

//! What became of a task of the queue? `celery:task:{task_id}` is a hash with what is known of it,
//! `celery:result:{task_id}` its result as JSON text. Both are gone after [`TTL`], as Celery's own
//! results are (`result_expires`).

use super::{hash, ttl_ms, unreadable};
use jiff::Timestamp;
use redis::RedisResult;
use redis::aio::ConnectionLike;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long task and result are kept after their last change.
pub const TTL: Duration = Duration::from_secs(24 * 3600);

hash::hash! {
    /// A task as its producer and its worker see it.
    Task {
        name: String,
        /// As Celery has it: `PENDING`, `STARTED`, `RETRY`, `SUCCESS`, `FAILURE`, `REVOKED`.
        state: String,
        queue: String,
        /// Arguments as JSON text.
        args: String,
        retries: u32,
        created_at: Timestamp,
        updated_at: Timestamp,
    }
}

/// `celery:task:{task_id}`. Task ids are UUIDs unless the producer chose otherwise.
pub fn task_key(task_id: &str) -> String {
    format!("celery:task:{task_id}")
}

/// `celery:result:{task_id}`
pub fn result_key(task_id: &str) -> String {
    format!("celery:result:{task_id}")
}

pub async fn write_task<C: ConnectionLike>(
    connection: &mut C,
    task_id: &str,
    task: &Task,
) -> RedisResult<()> {
    hash::write(connection, &task_key(task_id), task, TTL).await
}

pub async fn read_task<C: ConnectionLike>(
    connection: &mut C,
    task_id: &str,
) -> RedisResult<Option<Task>> {
    hash::read(connection, &task_key(task_id)).await
}

pub async fn write_result<C: ConnectionLike>(
    connection: &mut C,
    task_id: &str,
    result: &impl Serialize,
) -> RedisResult<()> {
    let key = result_key(task_id);
    let text =
        serde_json::to_string(result).map_err(|e| unreadable(&key, &format!("no JSON: {e}")))?;
    let mut set = redis::cmd("SET");
    set.arg(key).arg(text).arg("PX").arg(ttl_ms(TTL));
    set.exec_async(connection).await
}

/// `None` where there is none yet, or it is forgotten.
pub async fn read_result<T: DeserializeOwned, C: ConnectionLike>(
    connection: &mut C,
    task_id: &str,
) -> RedisResult<Option<T>> {
    let key = result_key(task_id);
    let text: Option<String> = redis::cmd("GET").arg(&key).query_async(connection).await?;
    let read =
        |text: String| serde_json::from_str(&text).map_err(|e| unreadable(&key, &e.to_string()));
    text.map(read).transpose()
}

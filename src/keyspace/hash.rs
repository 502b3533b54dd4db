//! Hashes with a fixed set of fields: [`hash!`] declares one as a struct, whose field names are the
//! hash's. Values are text: UUIDs, decimals and RFC 3339 times as they print.

use super::{ttl_ms, unreadable};
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisResult};
use std::collections::HashMap;
use std::time::Duration;

/// A value that is stored as fields of a hash, or of a stream's entry.
pub trait Fields: Sized {
    /// Names and values, in the order in which they were declared.
    fn fields(&self) -> Vec<(&'static str, String)>;
    /// Reads it back; the error names the field that is missing or wrong.
    fn from_fields(found: &HashMap<String, String>) -> Result<Self, String>;
}

macro_rules! hash {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)* }

        impl $crate::keyspace::Fields for $name {
            fn fields(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), self.$field.to_string())),*]
            }

            fn from_fields(
                found: &std::collections::HashMap<String, String>,
            ) -> Result<Self, String> {
                Ok($name { $($field: $crate::keyspace::hash::field(found, stringify!($field))?,)* })
            }
        }
    };
}
pub(super) use hash;

pub(super) fn field<T: std::str::FromStr>(
    found: &HashMap<String, String>,
    name: &str,
) -> Result<T, String> {
    let text = found.get(name).ok_or_else(|| format!("no field {name}"))?;
    text.parse().map_err(|_| format!("{name} is {text:?}"))
}

/// Writes all fields and the time to live; in a transaction, no reader sees one without the other.
pub(super) fn put(pipeline: &mut Pipeline, key: &str, value: &impl Fields, ttl: Duration) {
    pipeline.cmd("HSET").arg(key).arg(value.fields());
    pipeline.cmd("PEXPIRE").arg(key).arg(ttl_ms(ttl));
}

pub(super) async fn write<C: ConnectionLike>(
    connection: &mut C,
    key: &str,
    value: &impl Fields,
    ttl: Duration,
) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    put(pipeline.atomic(), key, value, ttl);
    pipeline.exec_async(connection).await
}

/// `None` where there is no such key.
pub(super) async fn read<T: Fields, C: ConnectionLike>(
    connection: &mut C,
    key: &str,
) -> RedisResult<Option<T>> {
    let mut get = redis::cmd("HGETALL");
    let found: HashMap<String, String> = get.arg(key).query_async(connection).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let value = T::from_fields(&found).map_err(|what| unreadable(key, &what))?;
    Ok(Some(value))
}

/// Whether there was such a key.
pub(super) async fn delete<C: ConnectionLike>(connection: &mut C, key: &str) -> RedisResult<bool> {
    redis::cmd("DEL").arg(key).query_async(connection).await
}

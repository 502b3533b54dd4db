//! Hashes with a fixed set of fields: [`hash!`] declares one as a struct, whose field names are the
//! hash's. Values are text: UUIDs, decimals and RFC 3339 times as they print; an absent value is an
//! absent field.

use super::{ttl_ms, unreadable};
use jiff::Timestamp;
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisResult};
use rust_decimal::Decimal;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// A value that is stored as fields of a hash, or of a stream's entry.
pub trait Fields: Sized {
    /// Names and values, in the order in which they were declared; a value that is not there is
    /// `None`.
    fn all(&self) -> Vec<(&'static str, Option<String>)>;
    /// Reads it back; the error names the field that is missing or wrong.
    fn from_fields(found: &HashMap<String, String>) -> Result<Self, String>;

    /// Those that are there.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let all = self.all().into_iter();
        all.filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

macro_rules! hash {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)* }

        impl $crate::keyspace::Fields for $name {
            fn all(&self) -> Vec<(&'static str, Option<String>)> {
                use $crate::keyspace::hash::Text;
                vec![$((stringify!($field), self.$field.text())),*]
            }

            fn from_fields(
                found: &std::collections::HashMap<String, String>,
            ) -> Result<Self, String> {
                use $crate::keyspace::hash::Text;
                Ok($name { $($field: Text::read(stringify!($field), found)?,)* })
            }
        }
    };
}
pub(super) use hash;

/// A field's value.
pub(super) trait Text: Sized {
    fn text(&self) -> Option<String>;
    fn read(name: &str, found: &HashMap<String, String>) -> Result<Self, String>;
}

/// An absent field.
impl<T: Text> Text for Option<T> {
    fn text(&self) -> Option<String> {
        self.as_ref().and_then(T::text)
    }

    fn read(name: &str, found: &HashMap<String, String>) -> Result<Self, String> {
        let there = found.contains_key(name);
        there.then(|| T::read(name, found)).transpose()
    }
}

macro_rules! as_it_prints {
    ($($type:ty),*) => { $(
        impl Text for $type {
            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn read(name: &str, found: &HashMap<String, String>) -> Result<Self, String> {
                let text = found.get(name).ok_or_else(|| format!("no field {name}"))?;
                text.parse().map_err(|_| format!("{name} is {text:?}"))
            }
        }
    )* };
}
as_it_prints!(String, bool, u8, u32, u64, Uuid, Decimal, Timestamp);

/// Writes all fields and the time to live; in a transaction, no reader sees one without the other.
pub(super) fn put(pipeline: &mut Pipeline, key: &str, value: &impl Fields, ttl: Duration) {
    pipeline.cmd("HSET").arg(key).arg(value.fields());
    let absent = value.all().into_iter().filter(|(_, value)| value.is_none());
    let absent: Vec<&str> = absent.map(|(name, _)| name).collect();
    if !absent.is_empty() {
        pipeline.cmd("HDEL").arg(key).arg(absent);
    }
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

//! Commands on many keys in one round trip: on a server in one pipeline; on a cluster in one for
//! each hash tag, side by side, since a pipeline goes to one node.

use super::Connection;
use redis::{Pipeline, RedisResult, Value};
use rustc_hash::FxHashMap;

/// Commands that wait to be sent.
#[derive(Default)]
pub struct Batch {
    cluster: bool,
    atomic: bool,
    parts: Vec<Pipeline>,
    by_tag: FxHashMap<String, usize>,
}

/// Where the answers to some commands are.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    part: usize,
    from: usize,
    to: usize,
}

/// What the server said to each command.
pub struct Answers(Vec<Vec<RedisResult<Value>>>);

impl Batch {
    pub fn new(connection: &Connection) -> Batch {
        Batch {
            cluster: matches!(connection, Connection::Cluster(_)),
            ..Batch::default()
        }
    }

    /// The commands of one hash tag are done together: nobody sees some of them.
    pub fn transaction(connection: &Connection) -> Batch {
        Batch {
            atomic: true,
            ..Batch::new(connection)
        }
    }

    /// Adds commands whose keys all have the tag of `key`.
    pub fn add(&mut self, key: &str, commands: impl FnOnce(&mut Pipeline)) -> Place {
        let part = self.part(key);
        let pipeline = &mut self.parts[part];
        let from = pipeline.len();
        commands(pipeline);
        let to = pipeline.len();
        Place { part, from, to }
    }

    fn part(&mut self, key: &str) -> usize {
        // One server needs no tags.
        let tag = if self.cluster { tag(key) } else { "" };
        if let Some(part) = self.by_tag.get(tag) {
            return *part;
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        if self.atomic {
            pipeline.atomic();
        }
        self.parts.push(pipeline);
        self.by_tag.insert(tag.to_owned(), self.parts.len() - 1);
        self.parts.len() - 1
    }

    /// As it goes to a server.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let bytes = self.parts.iter().flat_map(Pipeline::get_packed_pipeline);
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }

    /// Sends everything, and waits for all answers. The error is one of the connection, or of a
    /// transaction: some commands may have been done. A command's own error is its answer.
    pub async fn send(&self, connection: &Connection) -> RedisResult<Answers> {
        let send = |pipeline| {
            let mut connection = connection.clone();
            async move { Pipeline::query_async(pipeline, &mut connection).await }
        };
        let all = futures_util::future::join_all(self.parts.iter().map(send)).await;
        Ok(Answers(all.into_iter().collect::<RedisResult<_>>()?))
    }
}

impl Answers {
    pub fn of(&self, place: Place) -> &[RedisResult<Value>] {
        let answers = self.0.get(place.part);
        answers
            .and_then(|a| a.get(place.from..place.to))
            .unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = &RedisResult<Value>> {
        self.0.iter().flatten()
    }
}

/// What decides where on a cluster a key is: what stands in its first braces, or all of it.
pub(super) fn tag(key: &str) -> &str {
    let inside = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    inside
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_the_server_takes_for_it() {
        for (key, expected) in [
            ("trading_signals", "trading_signals"),
            ("{trading_signals}:seq", "trading_signals"),
            ("trading_signals:{BTC/USDT}:seen:1", "BTC/USDT"),
            ("a{}b", "a{}b"),
            ("a{b", "a{b"),
            ("a{b}{c}", "b"),
        ] {
            assert_eq!(tag(key), expected, "{key}");
        }
    }
}

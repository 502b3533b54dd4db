//! Which keys are there, and which of them must expire? The list by which a test, or an operator,
//! judges what a scan of the store finds.

/// Redis's type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hash,
    List,
    Set,
    Stream,
    String,
}

impl Kind {
    /// As `TYPE` answers.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Stream => "stream",
            Kind::String => "string",
        }
    }
}

/// How long a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It must have a time to live.
    Expires,
    /// It has none, for this reason.
    Stays(&'static str),
}

/// A family of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// `*` stands for any text.
    pub glob: &'static str,
    pub kind: Kind,
    pub life: Life,
}

const fn expires(glob: &'static str, kind: Kind) -> Pattern {
    let life = Life::Expires;
    Pattern { glob, kind, life }
}

const fn stays(glob: &'static str, kind: Kind, why: &'static str) -> Pattern {
    let life = Life::Stays(why);
    Pattern { glob, kind, life }
}

const TRIMMED: &str = "a stream is trimmed by length";
const NUMBER: &str = "numbers of a stream go on for as long as the stream";
const NAME: &str = "tells whether the stream was emptied";
const POSITION: &str = "one field for each producer or symbol; tells whether a tail was lost";

/// All keys of the store. Of those that match a key, the first one counts.
pub const PATTERNS: &[Pattern] = &[
    expires("session:*", Kind::Hash),
    expires("user_sessions:*", Kind::Set),
    expires("rate_limit:api:*:*", Kind::String),
    expires("rate_limit:telegram:*", Kind::String),
    expires("cache:market_data:*", Kind::Hash),
    expires("cache:portfolio:*", Kind::Hash),
    expires("cache:user_profile:*", Kind::Hash),
    expires("websocket:connections", Kind::Set),
    stays("market_updates:*", Kind::Stream, TRIMMED),
    expires("notifications:*", Kind::List),
    expires("celery:task:*", Kind::Hash),
    expires("celery:result:*", Kind::String),
    expires("temp:ai_processing:*", Kind::Hash),
    expires("temp:order_validation:*", Kind::Hash),
    expires("tickforge:producer:*", Kind::Hash),
    stays("trading_signals", Kind::Stream, TRIMMED),
    stays("trading_signals:{*}", Kind::Stream, TRIMMED),
    expires("{trading_signals}:seen:*", Kind::String),
    stays("{trading_signals}:seq", Kind::String, NUMBER),
    stays("{trading_signals}:epoch", Kind::String, NAME),
    stays("{trading_signals}:delivered", Kind::Hash, POSITION),
    stays("{trading_signals}:delivered:*", Kind::Hash, POSITION),
    expires("trading_signals:{*}:seen:*", Kind::String),
    stays("trading_signals:{*}:seq", Kind::String, NUMBER),
    stays("trading_signals:{*}:epoch", Kind::String, NAME),
    stays("trading_signals:{*}:delivered", Kind::Hash, POSITION),
];

/// The family of a key; `None` where it is none of ours.
pub fn pattern_of(key: &str) -> Option<&'static Pattern> {
    PATTERNS.iter().find(|pattern| matches(pattern.glob, key))
}

fn matches(glob: &str, key: &str) -> bool {
    let Some((before, after)) = glob.split_once('*') else {
        return glob == key;
    };
    let Some(rest) = key.strip_prefix(before) else {
        return false;
    };
    // The text that `*` stands for is not empty.
    let ends = rest.char_indices().map(|(i, c)| i + c.len_utf8());
    ends.into_iter().any(|end| matches(after, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_family() {
        for (key, expected) in [
            ("session:abc123", Some("session:*")),
            ("session:", None),
            (
                "rate_limit:api:u:/api/v1/orders",
                Some("rate_limit:api:*:*"),
            ),
            ("trading_signals:{BTC/USDT}", Some("trading_signals:{*}")),
            (
                "trading_signals:{BTC/USDT}:seen:7",
                Some("trading_signals:{*}:seen:*"),
            ),
            (
                "{trading_signals}:delivered",
                Some("{trading_signals}:delivered"),
            ),
            (
                "{trading_signals}:delivered:host1",
                Some("{trading_signals}:delivered:*"),
            ),
            ("somebody:else", None),
        ] {
            assert_eq!(pattern_of(key).map(|p| p.glob), expected, "{key}");
        }
    }
}

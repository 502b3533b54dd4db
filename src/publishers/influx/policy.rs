//! What is kept how long? The four retention policies, what a server has in their place, and how
//! the two differ. Pure; the statements of each API are in `server`.

use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A retention policy of InfluxDB 1.x, or the bucket of its name of 2.x (`trading_bot/realtime`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Every trade and quote.
    #[default]
    Realtime,
    /// Bars of a second, and the daemon's own health.
    ShortTerm,
    /// Bars of a minute.
    MediumTerm,
    /// Bars of an hour, results of portfolios and of models.
    LongTerm,
}

impl Policy {
    pub const ALL: [Policy; 4] = [
        Policy::Realtime,
        Policy::ShortTerm,
        Policy::MediumTerm,
        Policy::LongTerm,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Policy::Realtime => "realtime",
            Policy::ShortTerm => "short_term",
            Policy::MediumTerm => "medium_term",
            Policy::LongTerm => "long_term",
        }
    }

    /// What the server should have.
    pub const fn wanted(self) -> Terms {
        let (keeps, shard) = match self {
            Policy::Realtime => (1, 1),
            Policy::ShortTerm => (7 * 24, 24),
            Policy::MediumTerm => (90 * 24, 24),
            Policy::LongTerm => (104 * 7 * 24, 7 * 24),
        };
        Terms {
            keeps: hours(keeps),
            shard: hours(shard),
            default: matches!(self, Policy::Realtime),
        }
    }

    /// How long it keeps a point, ns.
    pub const fn keeps_ns(self) -> i64 {
        self.wanted().keeps.as_nanos() as i64
    }
}

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// The terms of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Zero: for ever.
    pub keeps: Duration,
    /// The time that one shard holds.
    pub shard: Duration,
    /// Where a write goes that names no policy. 2.x has no such thing.
    pub default: bool,
}

impl Terms {
    /// What differs from the terms that are wanted. That a policy is the default one matters only
    /// where it should be: there is one of them.
    pub fn differences(&self, wanted: &Terms) -> Vec<Difference> {
        let mut all = Vec::new();
        let mut differ = |what, found: String, wanted: String| {
            if found != wanted {
                all.push(Difference {
                    what,
                    found,
                    wanted,
                });
            }
        };
        differ("duration", text(self.keeps), text(wanted.keeps));
        differ("shard_duration", text(self.shard), text(wanted.shard));
        if wanted.default {
            differ("default", self.default.to_string(), "true".to_owned());
        }
        all
    }
}

/// `1h`, `90m`, `INF`: as InfluxQL takes it.
pub fn text(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "INF".to_owned(),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// Reads `168h0m0s`; `None` where it is none.
pub fn parse(text: &str) -> Option<Duration> {
    let (mut seconds, mut number) = (0, 0u64);
    for c in text.chars() {
        let unit = match c {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => {
                let digit = u64::from(c.to_digit(10)?);
                number = number.checked_mul(10)?.checked_add(digit)?;
                continue;
            }
        };
        seconds += number * unit;
        number = 0;
    }
    Some(Duration::from_secs(seconds))
}

/// One term that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub what: &'static str,
    pub found: String,
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            what,
            found,
            wanted,
        } = self;
        write!(f, "{what} is {found}, not {wanted}")
    }
}

/// What became of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was there, as it should be.
    Ok,
    Created,
    /// It differed, and was changed.
    Mended,
    /// It differs, and was left as it is.
    Differs,
    /// It has to be made or changed, and the login may not.
    Forbidden,
}

/// A policy as `tickforge influx setup` tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub policy: &'static str,
    pub state: Outcome,
    /// What differed before.
    pub differences: Vec<Difference>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_the_server_writes_them() {
        for (text, seconds) in [
            ("1h0m0s", 3600),
            ("168h0m0s", 7 * 86_400),
            ("0s", 0),
            ("1h30m0s", 5400),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("7d"), None);
        assert_eq!(text(Duration::from_secs(5400)), "90m");
        assert_eq!(text(Duration::ZERO), "INF");
    }

    #[test]
    fn each_term_that_differs_is_told() {
        let wanted = Policy::Realtime.wanted();
        assert_eq!(wanted.differences(&wanted), []);
        let other = Terms {
            keeps: hours(2),
            default: false,
            ..wanted
        };
        let told: Vec<String> = other
            .differences(&wanted)
            .iter()
            .map(Difference::to_string)
            .collect();
        assert_eq!(
            told,
            ["duration is 2h, not 1h", "default is false, not true"]
        );
        let other = Terms {
            default: true,
            ..Policy::ShortTerm.wanted()
        };
        assert_eq!(other.differences(&Policy::ShortTerm.wanted()), []);
    }
}

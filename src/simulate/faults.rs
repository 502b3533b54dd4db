//! Faults that a simulation plays, by chance of its own: the market stays that of its seed.
//!
//! [`Faults`] is what was asked for, [`Chaos`] draws it. Called by the drivers on the simulator's
//! task.

use super::draw::Draw;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

/// What `--faults` asks for; probabilities between 0 and 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Chance per second and connection that it is cut without a word.
    pub disconnect: f64,
    /// Chance that a book change is not sent.
    pub drop_depth: f64,
    /// Chance that a trade is sent twice.
    pub duplicate_trade: f64,
    /// Chance that a torn copy of a message precedes it.
    pub malformed: f64,
    /// About every ten seconds nothing is sent for so long, then what was due.
    pub stall: Duration,
}

const KEYS: [&str; 5] = [
    "disconnect",
    "drop_depth",
    "duplicate_trade",
    "malformed",
    "stall_ms",
];

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Faults, String> {
        let mut faults = Faults::default();
        for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let (key, value) = item
                .split_once('=')
                .ok_or_else(|| format!("{item}: no `=value`"))?;
            let number: f64 = value
                .parse()
                .map_err(|_| format!("{key}: {value} is no number"))?;
            if key != "stall_ms" && !(0.0..=1.0).contains(&number) {
                return Err(format!("{key}: {value} is not between 0 and 1"));
            }
            match key {
                "disconnect" => faults.disconnect = number,
                "drop_depth" => faults.drop_depth = number,
                "duplicate_trade" => faults.duplicate_trade = number,
                "malformed" => faults.malformed = number,
                "stall_ms" if (0.0..=600_000.0).contains(&number) => {
                    faults.stall = Duration::from_secs_f64(number / 1e3);
                }
                "stall_ms" => return Err(format!("stall_ms: {value} is not in 0..600000")),
                _ => return Err(unknown(key)),
            }
        }
        Ok(faults)
    }
}

fn unknown(key: &str) -> String {
    let mut text = format!("unknown fault `{key}`");
    let near = KEYS
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
    if let Some(near) = near.filter(|n| strsim::jaro_winkler(n, key) > 0.7) {
        let _ = write!(text, "; did you mean `{near}`?");
    }
    let _ = write!(text, " (known: {})", KEYS.join(", "));
    text
}

/// How often each fault was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    pub disconnects: u64,
    pub dropped_depths: u64,
    pub duplicate_trades: u64,
    pub malformed: u64,
    pub stalls: u64,
}

pub struct Chaos {
    faults: Faults,
    draw: Draw,
    pub played: Played,
}

impl Chaos {
    pub fn new(faults: &Faults, seed: u64) -> Chaos {
        Chaos {
            faults: faults.clone(),
            draw: Draw::new(seed, u64::MAX),
            played: Played::default(),
        }
    }

    fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && self.draw.chance(p)
    }

    pub fn drop_depth(&mut self) -> bool {
        let happens = self.happens(self.faults.drop_depth);
        self.played.dropped_depths += u64::from(happens);
        happens
    }

    pub fn duplicate_trade(&mut self) -> bool {
        let happens = self.happens(self.faults.duplicate_trade);
        self.played.duplicate_trades += u64::from(happens);
        happens
    }

    pub fn malformed(&mut self) -> bool {
        let happens = self.happens(self.faults.malformed);
        self.played.malformed += u64::from(happens);
        happens
    }

    /// Asked once a second for each connection.
    pub fn disconnect(&mut self) -> bool {
        let happens = self.happens(self.faults.disconnect);
        self.played.disconnects += u64::from(happens);
        happens
    }

    /// Asked once a second: how long nothing is to be sent.
    pub fn stall(&mut self) -> Option<Duration> {
        let happens = !self.faults.stall.is_zero() && self.happens(0.1);
        self.played.stalls += u64::from(happens);
        happens.then_some(self.faults.stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_refused() {
        let all = "disconnect=0.01, drop_depth=0.5,duplicate_trade=1,malformed=0,stall_ms=250";
        let faults: Faults = all.parse().expect("valid");
        assert_eq!(
            (faults.disconnect, faults.stall),
            (0.01, Duration::from_millis(250))
        );
        assert_eq!("".parse(), Ok(Faults::default()));
        let refused = |text: &str, part: &str| {
            let error = text.parse::<Faults>().expect_err(text);
            assert!(error.contains(part), "{error}");
        };
        refused("disconect=0.1", "did you mean `disconnect`?");
        refused("xyz=1", "known: disconnect");
        refused("malformed=2", "between 0 and 1");
        refused("malformed=a", "no number");
        refused("malformed", "no `=value`");
        refused("stall_ms=-1", "stall_ms");
    }

    #[test]
    fn chances_are_kept_and_counted() {
        let faults = "drop_depth=0.25".parse().expect("valid");
        let mut chaos = Chaos::new(&faults, 3);
        let dropped = (0..10_000).filter(|_| chaos.drop_depth()).count();
        assert!((2_300..2_700).contains(&dropped), "{dropped}");
        assert_eq!(chaos.played.dropped_depths, dropped as u64);
        assert!((0..1_000).all(|_| !chaos.malformed() && chaos.stall().is_none()));
    }
}

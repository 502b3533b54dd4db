//! When is what due? Market time against wall time: one steady rate, or one with bursts.
//!
//! Pure arithmetic. A schedule waits for nobody: what is sent late is stamped with the time at
//! which it was due, so that delays show wherever they arise.

use std::str::FromStr;
use std::time::Duration;

/// At the end of each `every`, for `length`, everything comes `factor` times as fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    pub factor: f64,
    pub length: Duration,
    pub every: Duration,
}

impl FromStr for Burst {
    type Err = String;

    /// `10x1s/60s`
    fn from_str(text: &str) -> Result<Burst, String> {
        let parts = || {
            let (factor, rest) = text.split_once('x')?;
            let (length, every) = rest.split_once('/')?;
            Some(Burst {
                factor: factor.parse().ok()?,
                length: super::duration(length).ok()?,
                every: super::duration(every).ok()?,
            })
        };
        let burst: Burst =
            parts().ok_or_else(|| format!("`{text}`: write it as 10x1s/60s, say"))?;
        let sane = (1.0..=1000.0).contains(&burst.factor)
            && !burst.length.is_zero()
            && burst.length <= burst.every;
        sane.then_some(burst).ok_or_else(|| {
            format!("`{text}`: a factor from 1 to 1000, and bursts within their period")
        })
    }
}

/// Market time, ns, that should have passed by a wall time.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// ns of market time in 1 s of wall time.
    pub scale: f64,
    pub burst: Option<Burst>,
}

impl Schedule {
    /// Market time, ns, after this much wall time.
    pub fn market(&self, wall: Duration) -> u64 {
        let wall = wall.as_secs_f64();
        let extra = self.burst.map_or(0.0, |b| {
            let (length, every) = (b.length.as_secs_f64(), b.every.as_secs_f64());
            let periods = (wall / every).floor();
            let within = wall - periods * every - (every - length);
            (periods * length + within.max(0.0)) * (b.factor - 1.0)
        });
        ((wall + extra) * self.scale) as u64
    }

    /// Wall time at which this market time, ns, is due.
    pub fn wall(&self, market: u64) -> Duration {
        let steady = market as f64 / self.scale;
        let wall = self.burst.map_or(steady, |b| {
            let (length, every) = (b.length.as_secs_f64(), b.every.as_secs_f64());
            let calm = every - length;
            let period = calm + length * b.factor;
            let periods = (steady / period).floor();
            let within = steady - periods * period;
            let burst = (within - calm).max(0.0) / b.factor;
            periods * every + within.min(calm) + burst
        });
        Duration::from_secs_f64(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_read_and_refused() {
        let burst: Burst = "10x1s/60s".parse().expect("valid");
        assert_eq!(burst.factor, 10.0);
        assert_eq!((burst.length.as_secs(), burst.every.as_secs()), (1, 60));
        for wrong in [
            "",
            "10",
            "10x1s",
            "0.5x1s/60s",
            "10x2m/1m",
            "x1s/2s",
            "10x0s/2s",
        ] {
            assert!(wrong.parse::<Burst>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn wall_and_market_time_agree() {
        let burst = "10x1s/60s".parse().expect("valid");
        for burst in [None, Some(burst)] {
            let schedule = Schedule { scale: 3e9, burst };
            let mut last = 0;
            for ms in (0..200_000).step_by(37) {
                let wall = Duration::from_millis(ms);
                let market = schedule.market(wall);
                assert!(market >= last);
                last = market;
                let back = schedule.wall(market);
                let off = back.abs_diff(wall);
                assert!(off < Duration::from_micros(2), "{wall:?} {back:?}");
            }
            let minute = schedule.market(Duration::from_secs(60)) as f64 / 3e9;
            let expected = if burst.is_some() { 69.0 } else { 60.0 };
            assert!((minute - expected).abs() < 1e-6, "{minute}");
        }
    }
}

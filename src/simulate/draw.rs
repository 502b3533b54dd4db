//! The random draws of the simulated market: a stream that depends on its seed alone.
//!
//! ChaCha, because its output is fixed across versions and platforms. Called by `market` only.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Independent streams of one seed.
    pub fn new(seed: u64, stream: u64) -> Draw {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Draw(rng)
    }

    /// In [0, 1).
    #[inline]
    pub fn unit(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// In `0..n`.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.unit() * n as f64) as u64).min(n.saturating_sub(1))
    }

    /// Exponential with this mean.
    #[inline]
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }

    /// Standard normal (Box and Muller).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// At least 1, with a tail of this exponent.
    #[inline]
    pub fn pareto(&mut self, exponent: f64) -> f64 {
        (1.0 - self.unit()).powf(-1.0 / exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_fixed_and_apart() {
        let draw = |seed, stream| {
            let mut d = Draw::new(seed, stream);
            [d.below(1 << 40), d.below(1 << 40), d.below(1 << 40)]
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
    }

    #[test]
    fn means_are_what_they_say() {
        let mut d = Draw::new(7, 0);
        let mean = |f: &mut dyn FnMut() -> f64| (0..20_000).map(|_| f()).sum::<f64>() / 20_000.0;
        assert!((mean(&mut || d.unit()) - 0.5).abs() < 0.01);
        assert!((mean(&mut || d.exponential(3.0)) - 3.0).abs() < 0.1);
        assert!(mean(&mut || d.normal()).abs() < 0.03);
        assert!((mean(&mut || d.pareto(3.0)) - 1.5).abs() < 0.05);
    }
}

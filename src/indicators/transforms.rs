//! HOT PATH. Functions of one value, as TA-Lib's math transforms: `ACOS`, `ASIN`, `ATAN`, `CEIL`,
//! `COS`, `COSH`, `EXP`, `FLOOR`, `LN`, `LOG10`, `SIN`, `SINH`, `SQRT`, `TAN`, `TANH`. Budget:
//! 5 ns an update for rounding and roots, 30 ns for the rest.
//!
//! Source: TA-Lib, math transforms, 0.8.1. Angles are radians. Where TA-Lib answers NaN or an
//! infinity (the arc cosine of 2, the logarithm of 0, e to the 1000th), ours is `None`. The last
//! bit is that of the C library.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

macro_rules! transforms {
    ($($info:ident $name:ident $function:ident $summary:literal;)*) => {$(
        pub const $info: Info = Info {
            name: stringify!($info),
            summary: $summary,
            parameters: &[],
            inputs: &["value"],
            outputs: &["value"],
            warm_up: "1 value",
            source: "TA-Lib, math transforms, 0.8.1",
        };

        #[doc = concat!("The ", $summary, ".")]
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        pub struct $name;

        impl $name {
            pub fn new() -> $name {
                $name
            }
        }

        impl Next<f64> for $name {
            type Output = Option<f64>;

            #[inline]
            fn next(&mut self, value: f64) -> Option<f64> {
                Some(value.$function()).filter(|result| result.is_finite())
            }
        }
    )*};
}

transforms! {
    ACOS Acos acos "arc cosine";
    ASIN Asin asin "arc sine";
    ATAN Atan atan "arc tangent";
    CEIL Ceil ceil "least whole number that is not below";
    COS Cos cos "cosine";
    COSH Cosh cosh "hyperbolic cosine";
    EXP Exp exp "exponential function";
    FLOOR Floor floor "greatest whole number that is not above";
    LN Ln ln "natural logarithm";
    LOG10 Log10 log10 "logarithm to base 10";
    SIN Sin sin "sine";
    SINH Sinh sinh "hyperbolic sine";
    SQRT Sqrt sqrt "square root";
    TAN Tan tan "tangent";
    TANH Tanh tanh "hyperbolic tangent";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::{E, PI};

    fn near(value: Option<f64>, expected: f64) {
        let value = value.expect("it is in the domain");
        assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
    }

    #[test]
    fn known_values() {
        near(Acos::new().next(0.5), PI / 3.0);
        near(Asin::new().next(0.5), PI / 6.0);
        near(Atan::new().next(1.0), PI / 4.0);
        near(Ceil::new().next(-1.5), -1.0);
        near(Cos::new().next(PI / 3.0), 0.5);
        near(Cosh::new().next(1.0), (E + 1.0 / E) / 2.0);
        near(Exp::new().next(1.0), E);
        near(Floor::new().next(-1.5), -2.0);
        near(Ln::new().next(E), 1.0);
        near(Log10::new().next(1000.0), 3.0);
        near(Sin::new().next(PI / 6.0), 0.5);
        near(Sinh::new().next(1.0), (E - 1.0 / E) / 2.0);
        near(Sqrt::new().next(16.0), 4.0);
        near(Tan::new().next(PI / 4.0), 1.0);
        near(Tanh::new().next(0.5), (E - 1.0) / (E + 1.0));
    }

    #[test]
    fn outside_of_the_domain_is_none() {
        assert_eq!(Acos::new().next(1.5), None);
        assert_eq!(Asin::new().next(-1.5), None);
        assert_eq!(Sqrt::new().next(-1.0), None);
        assert_eq!(Ln::new().next(0.0), None);
        assert_eq!(Log10::new().next(-1.0), None);
        assert_eq!(Exp::new().next(1000.0), None);
        assert_eq!(Tan::new().next(f64::INFINITY), None);
    }
}

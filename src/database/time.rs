//! A moment as a column of TIMESTAMP WITH TIME ZONE holds it. It reads no clock.

use crate::clock;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};
use std::fmt;

/// Microseconds since the Unix epoch, which is what PostgreSQL keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// From the Unix epoch to PostgreSQL's, which is the beginning of 2000.
const EPOCH_US: i64 = 946_684_800_000_000;

impl Time {
    /// Of ns since the Unix epoch; what is less than a microsecond falls away.
    pub const fn from_ns(ns: i64) -> Time {
        Time(ns.div_euclid(1000))
    }

    /// Ns since the Unix epoch; of a time beyond the years 1677 to 2262 the nearest that an `i64`
    /// holds.
    pub const fn ns(self) -> i64 {
        self.0.saturating_mul(1000)
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clock::rfc3339(self.ns()))
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.0 - EPOCH_US, buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let since: i64 = Decode::<Postgres>::decode(value)?;
        // The extremes are PostgreSQL's 'infinity' and '-infinity'.
        Ok(Time(since.saturating_add(EPOCH_US)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_cut_to_the_microsecond_and_shown_in_utc() {
        let check = |ns: i64, us: i64, text: &str| {
            let time = Time::from_ns(ns);
            assert_eq!((time.ns(), time.to_string().as_str()), (us * 1000, text));
        };
        check(0, 0, "1970-01-01T00:00:00Z");
        check(
            1_795_000_000_123_456_789,
            1_795_000_000_123_456,
            "2026-11-18T11:06:40.123456Z",
        );
        check(-1, -1, "1969-12-31T23:59:59.999999Z");
    }
}

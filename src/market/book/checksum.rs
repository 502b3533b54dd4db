//! HOT PATH. Kraken's checksum of a book: CRC-32 over the text of the ten best asks, then the ten
//! best bids, each as its price and its amount with the point and the leading zeros taken out.
//!
//! The text is rebuilt from the integers and the digits that the exchange wrote after the point,
//! because its trailing zeros count. Knows nothing of where levels are kept. Allocates nothing.

use super::Levels;
use crate::market::decimal::{Scale, pow10};
use crc32fast::Hasher;

/// Levels of each side that count, whatever the depth of the book.
const LEVELS: usize = 10;

/// Digits of a `u64` at most.
const MAX_DIGITS: usize = 20;

pub(super) fn kraken(asks: Levels, bids: Levels, price: Scale, amount: Scale) -> u32 {
    let mut text = Text {
        bytes: [0; 512],
        len: 0,
        crc: Hasher::new(),
    };
    for mut side in [asks, bids] {
        for _ in 0..LEVELS {
            let Some((level, digits)) = side.next_with_text() else {
                break;
            };
            let [price_digits, amount_digits] = digits.to_le_bytes();
            text.number(level.price, price, price_digits);
            text.number(level.amount, amount, amount_digits);
        }
    }
    text.finish()
}

/// Text gathered in one piece, since the CRC is fast on long input only.
struct Text {
    bytes: [u8; 512],
    len: usize,
    crc: Hasher,
}

impl Text {
    /// Appends `value / 10^scale` as it is written with `digits` digits after the point, less the
    /// point and the leading zeros. (A sign has no place in it: Kraken has no negative prices.)
    fn number(&mut self, value: i64, scale: Scale, digits: u8) {
        let mut value = value.unsigned_abs();
        if digits < scale {
            value /= pow10((scale - digits).min(19));
        }
        if value == 0 {
            return;
        }
        if self.len > self.bytes.len() - MAX_DIGITS {
            self.flush();
        }
        let count = value.ilog10() as usize + 1;
        for byte in self.bytes[self.len..self.len + count].iter_mut().rev() {
            *byte = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.len += count;
        // Zeros written beyond what the scale holds.
        for _ in scale..digits {
            if self.len == self.bytes.len() {
                self.flush();
            }
            self.bytes[self.len] = b'0';
            self.len += 1;
        }
    }

    fn flush(&mut self) {
        self.crc.update(&self.bytes[..self.len]);
        self.len = 0;
    }

    fn finish(mut self) -> u32 {
        self.flush();
        self.crc.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::event::{BookDelta, Side};
    use crate::market::{Book, Fit, Number};

    fn set(book: &mut Book, side: Side, price: &str, amount: &str, scale: Scale) {
        let [(price, price_digits), (amount, amount_digits)] = [price, amount].map(|text| {
            let number = Number::parse(text.as_bytes()).expect("a number");
            match number.at(scale) {
                Fit::Exact(value) => (value, number.fraction),
                fit => panic!("{text} at scale {scale}: {fit:?}"),
            }
        });
        book.apply(&BookDelta {
            side,
            price,
            amount,
            price_digits,
            amount_digits,
            checksum: 0,
        });
    }

    /// Kraken's examples, at several scales and price steps: where the levels are kept must not
    /// matter.
    #[track_caller]
    fn check(asks: &[(&str, &str)], bids: &[(&str, &str)], crc: u32) {
        for scale in [8, 10, 12] {
            for step in [1, 10_i64.pow(u32::from(scale) - 1), 7] {
                let mut book = Book::new(step, 10, true);
                // A worst level more than counts, and a best one that comes and goes.
                set(&mut book, Side::Sell, "99999.9", "1", scale);
                for &(price, amount) in asks {
                    set(&mut book, Side::Sell, price, amount, scale);
                }
                for &(price, amount) in bids {
                    set(&mut book, Side::Buy, price, amount, scale);
                }
                set(&mut book, Side::Buy, "0.00000001", "1.000", scale);
                set(&mut book, Side::Buy, "88888.8", "3", scale);
                assert_ne!(book.kraken_checksum(scale, scale), crc);
                set(&mut book, Side::Buy, "88888.8", "0.00", scale);
                assert_eq!(
                    book.kraken_checksum(scale, scale),
                    crc,
                    "scale {scale}, step {step}"
                );
                book.truncate();
                assert_eq!(book.kraken_checksum(scale, scale), crc);
            }
        }
    }

    #[test]
    fn kraken_v2_example() {
        check(
            &[
                ("45285.2", "0.00100000"),
                ("45286.4", "1.54571953"),
                ("45286.6", "1.54571109"),
                ("45289.6", "1.54560911"),
                ("45290.2", "0.15890660"),
                ("45291.8", "1.54553491"),
                ("45294.7", "0.04454749"),
                ("45296.1", "0.35380000"),
                ("45297.5", "0.09945542"),
                ("45299.5", "0.18772827"),
            ],
            &[
                ("45283.5", "0.10000000"),
                ("45283.4", "1.54582015"),
                ("45282.1", "0.10000000"),
                ("45281.0", "0.10000000"),
                ("45280.3", "1.54592586"),
                ("45279.0", "0.07990000"),
                ("45277.6", "0.03310103"),
                ("45277.5", "0.30000000"),
                ("45277.3", "1.54602737"),
                ("45276.6", "0.15445238"),
            ],
            3_310_070_434,
        );
    }

    #[test]
    fn kraken_v1_example() {
        let size = "0.00000500";
        let asks = [
            "0.05005", "0.05010", "0.05015", "0.05020", "0.05025", "0.05030", "0.05035", "0.05040",
            "0.05045", "0.05050",
        ];
        let bids = [
            "0.05000", "0.04995", "0.04990", "0.04980", "0.04975", "0.04970", "0.04965", "0.04960",
            "0.04955", "0.04950",
        ];
        check(
            &asks.map(|price| (price, size)),
            &bids.map(|price| (price, size)),
            974_947_235,
        );
    }

    #[test]
    fn digits_beyond_the_scale_are_zeros_and_few_levels_are_enough() {
        for (price, amount, text) in [
            ("45285.20", "0.00100000", "4528520100000"),
            ("0.5", "12.000000000000", "512000000000000"),
            ("7", "0.10", "710"),
        ] {
            let mut book = Book::new(1, 0, true);
            set(&mut book, Side::Buy, price, amount, 8);
            assert_eq!(
                book.kraken_checksum(8, 8),
                crc32fast::hash(text.as_bytes()),
                "{text}"
            );
        }
        assert_eq!(Book::new(1, 0, true).kraken_checksum(8, 8), 0);
    }

    #[test]
    fn long_numbers_pass_through_in_pieces() {
        let mut text = Text {
            bytes: [0; 512],
            len: 0,
            crc: Hasher::new(),
        };
        let mut expected = String::new();
        for _ in 0..40 {
            text.number(i64::MAX, 0, 0);
            text.number(1, 0, 255);
            expected += &format!("{}1{}", i64::MAX, "0".repeat(255));
        }
        assert_eq!(text.finish(), crc32fast::hash(expected.as_bytes()));
    }
}

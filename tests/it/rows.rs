//! What the sink writes beside signals: pairs as they are listed, and what became of signals. On a
//! real server.

use crate::life::count;
use crate::postgres;
use sqlx::{Executor, PgConnection};
use std::sync::Arc;
use tickforge::market::ExchangeList;
use tickforge::outcome::record::OutcomeRecord;
use tickforge::outcome::{Ending, Open, Outcome};
use tickforge::publishers::{Concluded, SignalSink};

/// An exchange's whole list is written, also what nobody follows; what it no longer names is off
/// until it comes back; what an operator has put off stays off.
#[test]
fn pairs_are_as_listed_and_an_operator_is_not_fought() {
    postgres::on_fresh_database(async |url| {
        let (mut sink, registry, _) = postgres::sink(postgres::config(&url));
        let mut db = postgres::connect(&url).await;
        let list = |symbols: &[&str]| {
            let one = |s: &&str| Arc::new(postgres::instrument("binance", s));
            registry.add_list(ExchangeList {
                exchange: "binance",
                instruments: symbols.iter().map(one).collect(),
            });
        };
        let active = async |db: &mut PgConnection| -> String {
            let sql = "SELECT coalesce(string_agg(symbol, ' ' ORDER BY symbol), '') \
                       FROM trading_pairs WHERE is_active";
            sqlx::query_scalar(sql).fetch_one(db).await.expect("pairs")
        };
        let all = ["A/USD", "B/USD", "C/USD", "D/USD"];
        list(&all);
        sink.idle().await.expect("listed");
        assert_eq!(active(&mut db).await, all.join(" "));
        db.execute("UPDATE trading_pairs SET is_active = false WHERE symbol = 'B/USD'")
            .await
            .expect("an operator");
        list(&["A/USD", "B/USD", "C/USD"]);
        sink.idle().await.expect("D is gone");
        assert_eq!(active(&mut db).await, "A/USD C/USD");
        list(&all);
        sink.idle().await.expect("D is back");
        assert_eq!(
            active(&mut db).await,
            "A/USD C/USD D/USD",
            "B is the operator's"
        );
        list(&["X/USD"]);
        sink.idle().await.expect("another market");
        assert_eq!(
            active(&mut db).await,
            "A/USD C/USD D/USD X/USD",
            "not believed"
        );
        db.execute("UPDATE trading_pairs SET is_active = true WHERE symbol = 'B/USD'")
            .await
            .expect("an operator");
        list(&all);
        sink.idle().await.expect("the same");
        assert_eq!(active(&mut db).await, all.join(" "), "now X is gone");
    });
}

/// The same outcome again, and another one of the same signal, change nothing.
#[test]
fn an_outcome_is_written_once() {
    postgres::on_fresh_database(async |url| {
        let (mut sink, registry, _) = postgres::sink(postgres::config(&url));
        registry.add(postgres::instrument("binance", "BTC/USDT"));
        let entries: Vec<_> = (1..=3).map(|n| postgres::entry(n, "BTC/USDT")).collect();
        sink.deliver(&entries).await.expect("stored");
        let concluded = |n: u64, exit: &str| {
            let mut open = Open::resumed(&entries[n as usize - 1].record).expect("a signal");
            open.resumed = false;
            let outcome = Outcome {
                open,
                instrument: 0,
                ending: Ending::TakeProfit,
                exit_price: exit.parse().ok(),
                ended_ns: 1_795_000_001_000_000_000,
                gaps: 0,
            };
            let instrument = postgres::instrument("binance", "BTC/USDT");
            let record = OutcomeRecord::new(&outcome, &instrument, "host1");
            Concluded {
                seq: 10 + n,
                record,
            }
        };
        let mut other = concluded(1, "95000");
        other.record.signal_id = uuid::Uuid::from_u128(99);
        let batch = [
            concluded(1, "92000.5"),
            concluded(1, "1"),
            concluded(2, "91000"),
            other,
        ];
        sink.conclude(&batch).await.expect("written");
        let mut db = postgres::connect(&url).await;
        let sql = "SELECT string_agg(concat_ws(' ', is_active, trim_scale(actual_outcome), \
                   trim_scale(accuracy_score), expired_at, \
                   market_conditions->'outcome'->>'exit_price', \
                   market_conditions->>'strategy'), ', ' ORDER BY id) FROM trading_signals";
        let rows = async |db: &mut PgConnection| -> String {
            sqlx::query_scalar(sql).fetch_one(db).await.expect("rows")
        };
        // (92000.5 - 91234.560000000001) / 91234.560000000001 = 0.83953…%.
        let expected = "f 0.8395 0.5 92000.5 ema_cross, f -0.2571 0.5 91000 ema_cross, t ema_cross";
        assert_eq!(rows(&mut db).await, expected);
        let versions = "SELECT sum(xmin::text::bigint)::bigint FROM trading_signals";
        let before = count(&mut db, versions).await;
        sink.conclude(&[concluded(2, "5"), concluded(1, "7")])
            .await
            .expect("again");
        assert_eq!(rows(&mut db).await, expected);
        assert_eq!(
            count(&mut db, versions).await,
            before,
            "a row was written again"
        );
    });
}

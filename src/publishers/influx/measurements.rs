//! The measurements beside `market_data`: what each holds, in which unit, and where it is kept. For
//! whoever has results to store: make one, and [`Measurement::write`] it.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use tickforge::metrics::Metrics;
//! use tickforge::publishers::influx::Derived;
//! use tickforge::publishers::influx::measurements::{AiModelPerformance, Measurement};
//!
//! let store = Derived::new(Arc::new(Metrics::default())); // the daemon has one already
//! let result = AiModelPerformance {
//!     model: "price_predictor",
//!     symbol: "BTC/USDT",
//!     accuracy: Some(0.85),
//!     confidence: Some(0.92),
//!     prediction_error: Some(2.1),
//!     processing_time_ms: Some(150.0),
//! };
//! result.write(&store, 1_705_329_930_000_000_000);
//! ```

use super::derived::Derived;
use super::line::{self, Line};
use super::policy::Policy;
use rust_decimal::Decimal;

/// A point of one of the document's measurements.
pub trait Measurement {
    const NAME: &'static str;
    const POLICY: Policy;

    /// A tag without a value is left out.
    fn tags(&self) -> Vec<(&'static str, &str)>;

    fn fields(&self, line: &mut Fields<'_, '_>);

    /// Stores it with this time, ns since the epoch. An equal time in the same series replaces the
    /// point; one without any field is none. Waits for nothing.
    fn write(&self, store: &Derived, time_ns: i64) {
        let series = line::series(Self::NAME, &self.tags());
        store.push(Self::POLICY, &Self::NAME.into(), |out| {
            let mut line = Line::begin(out, &series);
            self.fields(&mut Fields(&mut line));
            line.end(time_ns)
        });
    }
}

/// Takes the fields of a point; what is not known is left out.
pub struct Fields<'a, 'b>(&'a mut Line<'b>);

impl Fields<'_, '_> {
    /// A measured number; NaN and infinities are left out.
    pub fn float(&mut self, key: &str, value: Option<f64>) -> &mut Self {
        if let Some(value) = value {
            self.0.float(key, value);
        }
        self
    }

    /// An exact number.
    pub fn exact(&mut self, key: &str, value: Option<Decimal>) -> &mut Self {
        if let Some(value) = value {
            self.0.exact(key, value);
        }
        self
    }
}

/// How a service is, over its last period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SystemMetrics<'a> {
    pub service: &'a str,
    pub instance: &'a str,
    /// Share of the host's processors that it used, percent.
    pub cpu_usage: Option<f64>,
    /// Share of the host's memory that it holds, percent.
    pub memory_usage: Option<f64>,
    /// The 99th percentile of its answers, ms.
    pub response_time: Option<f64>,
    /// Share of what it was asked that failed, 0 to 1.
    pub error_rate: Option<f64>,
}

impl Measurement for SystemMetrics<'_> {
    const NAME: &'static str = "system_metrics";
    const POLICY: Policy = Policy::ShortTerm;

    fn tags(&self) -> Vec<(&'static str, &str)> {
        vec![("service", self.service), ("instance", self.instance)]
    }

    fn fields(&self, line: &mut Fields<'_, '_>) {
        line.float("cpu_usage", self.cpu_usage)
            .float("memory_usage", self.memory_usage)
            .float("response_time", self.response_time)
            .float("error_rate", self.error_rate);
    }
}

/// How a portfolio does in one symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TradingPerformance<'a> {
    pub user_id: &'a str,
    pub portfolio_id: &'a str,
    pub symbol: &'a str,
    /// Realised and unrealised profit, in the quote currency.
    pub pnl: Option<Decimal>,
    /// The same as a share of what the positions cost, percent.
    pub pnl_percentage: Option<Decimal>,
    /// Fills.
    pub trade_count: Option<Decimal>,
    /// Closed positions with a profit, as a share of all closed ones, 0 to 1.
    pub win_rate: Option<Decimal>,
}

impl Measurement for TradingPerformance<'_> {
    const NAME: &'static str = "trading_performance";
    const POLICY: Policy = Policy::LongTerm;

    fn tags(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("user_id", self.user_id),
            ("portfolio_id", self.portfolio_id),
            ("symbol", self.symbol),
        ]
    }

    fn fields(&self, line: &mut Fields<'_, '_>) {
        line.exact("pnl", self.pnl)
            .exact("pnl_percentage", self.pnl_percentage)
            .exact("trade_count", self.trade_count)
            .exact("win_rate", self.win_rate);
    }
}

/// How a model did on one symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AiModelPerformance<'a> {
    pub model: &'a str,
    pub symbol: &'a str,
    /// Share of right answers, 0 to 1.
    pub accuracy: Option<f64>,
    /// Of its own, 0 to 1.
    pub confidence: Option<f64>,
    /// How far the prediction was off, percent of the price.
    pub prediction_error: Option<f64>,
    /// Field `processing_time`, ms.
    pub processing_time_ms: Option<f64>,
}

impl Measurement for AiModelPerformance<'_> {
    const NAME: &'static str = "ai_model_performance";
    const POLICY: Policy = Policy::LongTerm;

    fn tags(&self) -> Vec<(&'static str, &str)> {
        vec![("model", self.model), ("symbol", self.symbol)]
    }

    fn fields(&self, line: &mut Fields<'_, '_>) {
        line.float("accuracy", self.accuracy)
            .float("confidence", self.confidence)
            .float("prediction_error", self.prediction_error)
            .float("processing_time", self.processing_time_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::sync::Arc;

    fn check(point: &impl Measurement, policy: Policy, expected: &str) {
        let metrics = Arc::new(Metrics::default());
        let store = Derived::new(Arc::clone(&metrics));
        point.write(&store, 1_705_329_930_000_000_000);
        let lines = store.take_for_test();
        assert_eq!(metrics.influx_derived.offered.get(), lines.len() as u64);
        let text: Vec<String> = lines
            .iter()
            .map(|l| {
                assert_eq!(l.policy, policy);
                String::from_utf8_lossy(l.text(&(0..l.len()))).into_owned()
            })
            .collect();
        assert_eq!(text.concat(), expected);
    }

    #[test]
    fn each_measurement_has_the_documents_tags_and_fields() {
        let system = SystemMetrics {
            service: "trading_engine",
            instance: "server01",
            cpu_usage: Some(45.2),
            memory_usage: Some(67.8),
            response_time: Some(120.5),
            error_rate: Some(0.01),
        };
        let line = "system_metrics,service=trading_engine,instance=server01 cpu_usage=45.2,\
                    memory_usage=67.8,response_time=120.5,error_rate=0.01 1705329930000000000\n";
        check(&system, Policy::ShortTerm, line);
        let trading = TradingPerformance {
            user_id: "user123",
            portfolio_id: "portfolio456",
            symbol: "BTC/USDT",
            pnl: Some(Decimal::new(15_075, 2)),
            pnl_percentage: Some(Decimal::new(32, 1)),
            trade_count: Some(5.into()),
            win_rate: Some(Decimal::new(8, 1)),
        };
        let line = "trading_performance,user_id=user123,portfolio_id=portfolio456,symbol=BTC/USDT \
                    pnl=150.75,pnl_percentage=3.2,trade_count=5,win_rate=0.8 1705329930000000000\n";
        check(&trading, Policy::LongTerm, line);
        let model = AiModelPerformance {
            model: "price_predictor",
            symbol: "BTC/USDT",
            accuracy: Some(0.85),
            confidence: Some(0.92),
            prediction_error: Some(2.1),
            processing_time_ms: Some(150.0),
        };
        let line = "ai_model_performance,model=price_predictor,symbol=BTC/USDT accuracy=0.85,\
                    confidence=0.92,prediction_error=2.1,processing_time=150 1705329930000000000\n";
        check(&model, Policy::LongTerm, line);
    }

    #[test]
    fn what_is_no_number_is_left_out_and_nothing_is_no_point() {
        let model = AiModelPerformance {
            model: "m",
            accuracy: Some(f64::NAN),
            confidence: Some(0.5),
            ..AiModelPerformance::default()
        };
        let line = "ai_model_performance,model=m confidence=0.5 1705329930000000000\n";
        check(&model, Policy::LongTerm, line);
        check(&SystemMetrics::default(), Policy::ShortTerm, "");
    }
}

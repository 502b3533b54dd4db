//! HOT PATH. Buys when a bar of 100 trades closes above the mean of the last 20, sells below it.
use crate::strategy::prelude::*;

pub const SPEC: Spec = Spec {
    warm_up: |_| WarmUp::Bars(20),
    new: |_| Ok(Box::new(Smallest(Sma::new(20)))),
    ..Spec::on_bars("smallest", BarSpec::Trades(100))
};
#[derive(Serialize, Deserialize)]
struct Smallest(Sma);
impl Strategy for Smallest {
    fn on_bar(&mut self, ctx: &Context, bar: &Bar, out: &mut Drafts) {
        let close = ctx.price(bar.close);
        if let Some(mean) = self.0.next(close) {
            let draft = Draft::new(SignalType::of(close > mean, false), 0.5, 0.5);
            let draft = draft.because(format_args!("close {close:.2}, mean {mean:.2}"));
            out.push(draft.indicator("mean", mean));
        }
    }
}

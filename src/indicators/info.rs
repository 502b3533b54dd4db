//! What an indicator's file says about itself.

/// The data sheet of an indicator. `tickforge indicators` lists them.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// TA-Lib's name where it has one.
    pub name: &'static str,
    pub summary: &'static str,
    /// Name and default of each, in the order of the constructor; TA-Lib's where it has one.
    pub parameters: &'static [(&'static str, f64)],
    /// Of `open`, `high`, `low`, `close`, `volume`, or `value` where any will do.
    pub inputs: &'static [&'static str],
    pub outputs: &'static [&'static str],
    /// When its first value comes.
    pub warm_up: &'static str,
    /// Where its definition is published.
    pub source: &'static str,
}

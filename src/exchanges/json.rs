//! HOT PATH. The complete decoder: simd-json into a tape whose buffers are used again for each
//! frame.

use super::Reject;
use crate::market::Number;
use simd_json::prelude::*;
use simd_json::{Buffers, Tape, tape::Value};

/// Buffers of one feed; they grow to the largest frame seen and stay.
pub struct Json {
    bytes: Vec<u8>,
    buffers: Buffers,
    tape: Option<Tape<'static>>,
}

impl Default for Json {
    fn default() -> Self {
        Json {
            bytes: Vec::with_capacity(64 * 1024),
            buffers: Buffers::new(64 * 1024),
            tape: Some(Tape::null()),
        }
    }
}

impl Json {
    /// Parses `frame` and hands its root to `read`.
    pub fn parse<R>(
        &mut self,
        frame: &[u8],
        read: impl FnOnce(Value) -> Result<R, Reject>,
    ) -> Result<R, Reject> {
        self.bytes.clear();
        self.bytes.extend_from_slice(frame);
        let mut tape = self.tape.take().unwrap_or_else(Tape::null).reset();
        let result = match simd_json::fill_tape(&mut self.bytes, &mut self.buffers, &mut tape) {
            Ok(()) => read(tape.as_value()),
            Err(_) => Err(Reject::Json),
        };
        self.tape = Some(tape.reset());
        result
    }
}

/// The text of a string field.
pub fn text<'a>(object: &Value<'a, 'a>, field: &'static str) -> Result<&'a str, Reject> {
    object
        .get(field)
        .and_then(|v| v.into_string())
        .ok_or(Reject::Field(field))
}

/// An unsigned integer field.
pub fn integer(object: &Value, field: &'static str) -> Result<u64, Reject> {
    object
        .get(field)
        .and_then(|v| v.as_u64())
        .ok_or(Reject::Field(field))
}

/// A decimal in a string field.
pub fn decimal(object: &Value, field: &'static str) -> Result<Number, Reject> {
    let text = object
        .get(field)
        .and_then(|v| v.into_string())
        .ok_or(Reject::Field(field))?;
    Number::parse(text.as_bytes()).ok_or(Reject::Number(field))
}

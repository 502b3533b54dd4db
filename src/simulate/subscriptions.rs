//! What one connection has subscribed to, and the answers to its requests, as Binance spot gives
//! them.
//!
//! Called by `synthetic` for each text that a client sends.

use super::batch::{KINDS, Stream};
use super::symbols::Symbol;
use serde_json::{Value, json};

/// Streams on one connection.
const MAX_STREAMS: usize = 1024;

pub struct Subscriptions {
    /// Messages come in the wrapper that names their stream.
    pub combined: bool,
    /// Times are in µs, not in ms.
    pub micros: bool,
    names: Vec<String>,
    wants: Vec<bool>,
}

impl Subscriptions {
    /// From the path that the client connected to.
    pub fn new(path: &str, symbols: &[Symbol]) -> Subscriptions {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let wants = vec![false; symbols.len() * KINDS];
        let mut new = Subscriptions {
            combined: path == "/stream",
            micros: query
                .split('&')
                .any(|q| q.eq_ignore_ascii_case("timeUnit=MICROSECOND")),
            names: Vec::new(),
            wants,
        };
        let listed = match path.strip_prefix("/ws/") {
            Some(streams) => streams,
            None => query
                .split('&')
                .find_map(|q| q.strip_prefix("streams="))
                .unwrap_or(""),
        };
        let names = listed
            .replace("%40", "@")
            .replace("%2F", "/")
            .replace("%2f", "/");
        for name in names.split('/').filter(|n| !n.is_empty()).take(MAX_STREAMS) {
            new.subscribe(name, symbols);
        }
        new
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn wants(&self, stream: usize) -> bool {
        self.wants[stream]
    }

    /// Numbers of the streams subscribed to.
    pub fn streams(&self) -> impl Iterator<Item = usize> {
        self.wants
            .iter()
            .enumerate()
            .filter(|(_, w)| **w)
            .map(|(i, _)| i)
    }

    /// Streams that do not exist are taken, and yield nothing.
    fn subscribe(&mut self, name: &str, symbols: &[Symbol]) {
        if !self.names.iter().any(|n| n == name) {
            self.names.push(name.to_owned());
            self.refresh(symbols);
        }
    }

    fn refresh(&mut self, symbols: &[Symbol]) {
        self.wants.fill(false);
        for name in &self.names {
            let Some((symbol, suffix)) = name.split_once('@') else {
                continue;
            };
            let index = symbols
                .iter()
                .position(|s| s.name.eq_ignore_ascii_case(symbol));
            if let (Some(index), Some(stream)) = (index, Stream::parse(suffix)) {
                self.wants[stream.of(index)] = true;
            }
        }
    }

    /// Does what a text asks for and says what is answered.
    pub fn request(&mut self, text: &str, symbols: &[Symbol]) -> String {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return refuse(3, &format!("Invalid JSON: {error}"), None),
        };
        let id = value.get("id").cloned().unwrap_or(Value::Null);
        match self.execute(&value, symbols) {
            Ok(result) => json!({"result": result, "id": id}).to_string(),
            Err((code, message)) => refuse(code, &message, Some(id)),
        }
    }

    fn execute(&mut self, request: &Value, symbols: &[Symbol]) -> Result<Value, (u8, String)> {
        let invalid = |what: &str| (2, format!("Invalid request: {what}"));
        let method = request.get("method").and_then(Value::as_str);
        let params = request.get("params").and_then(Value::as_array);
        match method.ok_or_else(|| invalid("missing field `method`"))? {
            "LIST_SUBSCRIPTIONS" => Ok(json!(self.names)),
            method @ ("SUBSCRIBE" | "UNSUBSCRIBE") => {
                let params = params.ok_or_else(|| invalid("missing field `params`"))?;
                let names: Option<Vec<&str>> = params.iter().map(Value::as_str).collect();
                let names = names.ok_or_else(|| invalid("a stream's name is a string"))?;
                if method == "UNSUBSCRIBE" {
                    self.names.retain(|n| !names.contains(&n.as_str()));
                    self.refresh(symbols);
                } else if self.names.len() + names.len() > MAX_STREAMS {
                    return Err(invalid("more than 1024 streams on one connection"));
                } else {
                    names.iter().for_each(|n| self.subscribe(n, symbols));
                }
                Ok(Value::Null)
            }
            "SET_PROPERTY" => match params.map(Vec::as_slice) {
                Some([Value::String(name), Value::Bool(on)]) if name == "combined" => {
                    self.combined = *on;
                    Ok(Value::Null)
                }
                Some([Value::String(name), _]) if name == "combined" => {
                    Err((1, "Invalid value type: expected Boolean".to_owned()))
                }
                _ => Err((0, "Unknown property".to_owned())),
            },
            "GET_PROPERTY" => Ok(json!(self.combined)),
            other => Err(invalid(&format!("unknown variant `{other}`"))),
        }
    }
}

fn refuse(code: u8, message: &str, id: Option<Value>) -> String {
    match id {
        Some(id) => json!({"code": code, "msg": message, "id": id}),
        None => json!({"code": code, "msg": message}),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::symbols::symbols;
    use super::*;

    #[test]
    fn paths_subscribe() {
        let list = symbols(2);
        let check = |path: &str, combined: bool, wanted: &[usize]| {
            let s = Subscriptions::new(path, &list);
            assert_eq!(s.combined, combined, "{path}");
            assert_eq!(s.streams().collect::<Vec<_>>(), wanted, "{path}");
        };
        check("/ws", false, &[]);
        check("/stream", true, &[]);
        check("/ws/btcusdt@trade", false, &[0]);
        check(
            "/stream?streams=btcusdt@trade/ethusdt@depth@100ms",
            true,
            &[0, 8],
        );
        check(
            "/stream?timeUnit=x&streams=ethusdt%40bookTicker",
            true,
            &[7],
        );
        check("/stream?streams=nosuch@trade/btcusdt@depth", true, &[4]);
        let micros = |path: &str| Subscriptions::new(path, &list).micros;
        assert!(micros("/stream?timeUnit=MICROSECOND") && micros("/ws?x=1&timeunit=microsecond"));
        assert!(!micros("/stream") && !micros("/stream?timeUnit=MILLISECOND"));
    }

    #[test]
    fn requests_are_answered() {
        let list = symbols(2);
        let mut s = Subscriptions::new("/stream", &list);
        let mut check = |request: &str, answer: &str| {
            let expected: Value = serde_json::from_str(answer).expect("JSON");
            let got: Value = serde_json::from_str(&s.request(request, &list)).expect("JSON");
            assert_eq!(got, expected, "{request}");
        };
        let subscribe =
            r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@depth@100ms"],"id":7}"#;
        check(subscribe, r#"{"result":null,"id":7}"#);
        let unsubscribe = r#"{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":"a"}"#;
        check(unsubscribe, r#"{"result":null,"id":"a"}"#);
        let list_them = r#"{"method":"LIST_SUBSCRIPTIONS","id":9}"#;
        check(list_them, r#"{"result":["ethusdt@depth@100ms"],"id":9}"#);
        let property = r#"{"method":"SET_PROPERTY","params":["combined",false],"id":1}"#;
        check(property, r#"{"result":null,"id":1}"#);
        let unknown = r#"{"code":2,"msg":"Invalid request: unknown variant `X`","id":1}"#;
        check(r#"{"method":"X","id":1}"#, unknown);
        let missing = r#"{"code":2,"msg":"Invalid request: missing field `params`","id":1}"#;
        check(r#"{"method":"SUBSCRIBE","id":1}"#, missing);
        assert_eq!(s.streams().collect::<Vec<_>>(), [8]);
        assert!(!s.combined);
        assert!(s.request("{", &list).contains("\"code\":3"));
    }
}

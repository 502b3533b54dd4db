//! `tickforge check --config FILE`: is the configuration in order, can its folder be written,
//! and does each store answer? Changes nothing in any store.

use crate::config::{Config, StoresConfig};
use crate::publishers::{influx, postgres, redis};
use serde_json::{Map, Value, json};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// A part that was looked at, and what it said; an error says what to do.
type Answer = (&'static str, Result<String, String>);

/// Whether all is well. `config` is what reading the file gave.
pub async fn run(
    config: Result<Config, crate::config::ConfigError>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            if json {
                writeln!(
                    out,
                    "{}",
                    json!({ "config": error.to_string(), "stores": {} })
                )?;
            } else {
                writeln!(out, "{error}")?;
            }
            return Ok(false);
        }
    };
    let data_dir = writable(&config.data_dir);
    let paths = folders(&config);
    let stores = ask(&config.stores).await;
    if json {
        writeln!(out, "{}", as_json(&data_dir, &paths, &stores))?;
    } else {
        as_text(&data_dir, &paths, &stores, out)?;
    }
    let mut answers = paths.iter().chain(&stores);
    Ok(data_dir.is_ok() && answers.all(|(_, answer)| answer.is_ok()))
}

/// Those of `[paths]`.
fn folders(config: &Config) -> Vec<Answer> {
    let mut folders = vec![
        ("models", writable(&config.models())),
        ("backups", writable(&config.backups())),
    ];
    if let Some(logs) = config.logs() {
        folders.push(("logs", writable(&logs)));
    }
    folders
}

/// Asks all stores at once: the slowest one's timeout is the longest wait.
async fn ask(stores: &StoresConfig) -> Vec<Answer> {
    let postgres = async {
        let config = stores.postgres.as_ref()?;
        Some((
            "postgres",
            within(config.timeout, postgres::probe(config)).await,
        ))
    };
    let redis = async {
        let config = stores.redis.as_ref()?;
        Some((
            "redis",
            within(config.timeout, redis::probe(config.clone())).await,
        ))
    };
    let influx = async {
        let config = stores.influx.as_ref()?;
        Some((
            "influx",
            within(config.timeout, influx::probe(config.clone())).await,
        ))
    };
    let (postgres, redis, influx) = tokio::join!(postgres, redis, influx);
    [postgres, redis, influx].into_iter().flatten().collect()
}

/// A probe that takes longer than its store's timeout has failed.
async fn within(
    timeout: Duration,
    probe: impl Future<Output = Result<String, String>>,
) -> Result<String, String> {
    match tokio::time::timeout(timeout, probe).await {
        Ok(answer) => answer,
        Err(_) => {
            let remedy = "is it reachable, and is its timeout long enough?";
            Err(format!("no answer within {timeout:?}; {remedy}"))
        }
    }
}

/// Whether files can be made in `dir`, or `dir` can be made: by the nearest folder that is there.
fn writable(dir: &Path) -> Result<String, String> {
    let absolute = std::path::absolute(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let there = absolute
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let probe = there.join(format!(".tickforge-check-{}", std::process::id()));
    let made = std::fs::File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe));
    match made {
        Ok(()) => Ok(absolute.display().to_string()),
        Err(error) => {
            let remedy = "set data_dir or [paths] to folders that this user may write";
            Err(format!("{}: {error}; {remedy}", there.display()))
        }
    }
}

fn short(answer: &Result<String, String>) -> Value {
    answer
        .as_ref()
        .map_or_else(|reason| reason.as_str().into(), |_| "ok".into())
}

fn as_json(data_dir: &Result<String, String>, paths: &[Answer], stores: &[Answer]) -> Value {
    let short = |(name, answer): &Answer| ((*name).to_owned(), short(answer));
    let details = stores.iter().filter_map(|(name, answer)| {
        let text = answer.as_ref().ok()?;
        Some(((*name).to_owned(), Value::from(text.as_str())))
    });
    json!({
        "config": "ok",
        "data_dir": self::short(data_dir),
        "paths": paths.iter().map(short).collect::<Map<_, _>>(),
        "stores": stores.iter().map(short).collect::<Map<_, _>>(),
        "details": details.collect::<Map<_, _>>(),
    })
}

fn as_text(
    data_dir: &Result<String, String>,
    paths: &[Answer],
    stores: &[Answer],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(out, "config    ok")?;
    let others = paths.iter().chain(stores).map(|(n, a)| (*n, a));
    let lines = std::iter::once(("data_dir", data_dir)).chain(others);
    for (name, answer) in lines {
        match answer {
            Ok(text) => writeln!(out, "{name:<9} ok, {text}")?,
            Err(reason) => writeln!(out, "{name:<9} NOT OK: {reason}")?,
        }
    }
    if stores.is_empty() {
        writeln!(
            out,
            "stores    none configured; signals stay in the journal"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn output(config: &str, json: bool) -> (bool, String) {
        let mut out = Vec::new();
        let config = Config::parse(config, "config/x.toml");
        let ok = run(config, json, &mut out).await.expect("written");
        (ok, String::from_utf8(out).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_wrong_key_is_told_as_it_is() {
        let problem = "config/x.toml:1: unknown key \"nme\"; did you mean \"name\"?";
        assert_eq!(
            output("nme = 1", false).await,
            (false, format!("{problem}\n"))
        );
        let (ok, text) = output("nme = 1", true).await;
        let parsed: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((ok, &parsed["config"]), (false, &Value::from(problem)));
    }

    #[tokio::test]
    async fn a_configuration_without_stores_needs_only_its_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = format!("data_dir = \"{}/a/b\"", dir.path().display());
        let (ok, text) = output(&config, true).await;
        let expected = "{\"config\":\"ok\",\"data_dir\":\"ok\",\"details\":{},\
                        \"paths\":{\"backups\":\"ok\",\"models\":\"ok\"},\"stores\":{}}\n";
        assert_eq!((ok, text.as_str()), (true, expected));
        assert!(output(&config, false).await.1.contains("none configured"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
    }

    #[tokio::test]
    async fn a_file_in_place_of_the_folder_is_wrong() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let config = format!("data_dir = \"{}\"", file.path().display());
        let (ok, text) = output(&config, false).await;
        assert!(!ok && text.contains("data_dir  NOT OK: "), "{text}");
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_told() {
        // A port that nobody listens on: it was given back just now.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let config = format!("[stores.redis]\nurl = \"redis://127.0.0.1:{port}\"");
        let (ok, text) = output(&config, true).await;
        let parsed: Value = serde_json::from_str(&text).expect("JSON");
        assert!(!ok && parsed["stores"]["redis"] != "ok", "{text}");
    }

    #[tokio::test]
    async fn a_store_that_hangs_is_given_up() {
        let answer = within(Duration::from_millis(2), std::future::pending()).await;
        let error = answer.expect_err("no answer");
        assert!(error.starts_with("no answer within 2ms"), "{error}");
    }
}

//! The sections of the stores, and where their secrets come from. A secret is never shown.

use super::load::{DAY, HOUR, address, ms, secs};
use super::section::{Section, format_duration, parse_duration};
use super::*;
use crate::suggest;

pub(super) fn stores(
    mut s: Section<'_>,
    credentials: &Credentials,
    exchanges: &BTreeMap<String, ExchangeConfig>,
) -> StoresConfig {
    let influx_section = s.section("influx");
    let has_influx = influx_section.is_present();
    let config = StoresConfig {
        postgres: optional(s.section("postgres"), |s| postgres(s, credentials)),
        redis: optional(s.section("redis"), |s| redis(s, credentials, exchanges)),
        influx: optional(influx_section, |s| influx(s, credentials)),
        parquet: parquet(s.section("parquet"), has_influx),
    };
    s.finish();
    config
}

/// A store is on where its section is.
fn optional<'a, T>(section: Section<'a>, read: impl FnOnce(&mut Section<'a>) -> T) -> Option<T> {
    let mut section = section;
    let config = section.is_present().then(|| read(&mut section));
    section.finish();
    config
}

/// A section that may name another role's `url` of the PostgreSQL database; reads it to its end.
pub(super) fn login(mut s: Section<'_>, credentials: &Credentials) -> Option<Login> {
    let url = s.text("url").map(Secret);
    is_postgres(&s, &url);
    let file = s.text("url_file").map(|file| credentials.find(&file));
    if url.is_some() && file.is_some() {
        s.problem_of("url_file", "url and url_file are both set; keep one");
    }
    s.finish();
    url.map(Login::Url).or(file.map(Login::File))
}

fn is_postgres(s: &Section<'_>, url: &Option<Secret>) {
    let known = ["postgres://", "postgresql://"];
    if url.as_ref().is_some_and(|u| !begins(u, &known)) {
        s.problem_of(
            "url",
            "url must begin with postgres://, as postgres://user@127.0.0.1:5432/trading_bot",
        );
    }
}

fn postgres(s: &mut Section<'_>, credentials: &Credentials) -> PostgresConfig {
    let url = required(s, "url", credentials);
    is_postgres(s, &url);
    PostgresConfig {
        url: url.unwrap_or_else(|| Secret(String::new())),
        batch: s.number("batch", 1..=10_000).unwrap_or(500) as usize,
        timeout: s.duration("timeout", ms(10)..=HOUR).unwrap_or(secs(10)),
        migrate: s.flag("migrate", true),
        positions_every: pace(s, "positions_every").unwrap_or(secs(5)),
        analysis_every: pace(s, "analysis_every").unwrap_or(secs(60)),
        analysis_timeframes: timeframes(s),
        notify: s.flag("notify", true),
    }
}

/// 0 is never.
fn pace(s: &mut Section<'_>, key: &'static str) -> Option<Duration> {
    s.duration(key, Duration::ZERO..=DAY)
}

fn timeframes(s: &mut Section<'_>) -> Vec<Duration> {
    const KEY: &str = "analysis_timeframes";
    let Some(texts) = s.texts(KEY) else {
        return vec![HOUR / 12, HOUR];
    };
    let read = |text: &String| {
        s.measure(
            KEY,
            text,
            secs(1)..=30 * DAY,
            parse_duration,
            &format_duration,
        )
    };
    let all: Vec<Duration> = texts.iter().filter_map(read).collect();
    if all.iter().any(|d| d.subsec_nanos() != 0) {
        s.problem_of(KEY, "analysis_timeframes are whole seconds");
    }
    all
}

/// The fewest characters of a key that is not guessed.
const MIN_KEY: usize = 16;

/// `[api_keys]`: the one key under which all are encrypted.
pub(super) fn api_keys(mut s: Section<'_>, credentials: &Credentials) -> Option<Secret> {
    let key = credential(&mut s, "encryption_key", "encryption_key_file", credentials);
    if key
        .as_ref()
        .is_some_and(|key| key.0.chars().count() < MIN_KEY)
    {
        s.problem("the encryption key is too short; make one with: openssl rand -base64 32");
    } else if key.is_none() && s.is_present() && !s.has("encryption_key_file") {
        s.problem("the encryption key is missing; write encryption_key_file = \"FILE\"");
    }
    s.finish();
    key
}

fn redis(
    s: &mut Section<'_>,
    credentials: &Credentials,
    exchanges: &BTreeMap<String, ExchangeConfig>,
) -> RedisConfig {
    let primary = s.texts("primary").unwrap_or_default();
    for name in primary.iter().filter(|name| !exchanges.contains_key(*name)) {
        let hint = suggest::hint(name, exchanges.keys().map(String::as_str));
        s.problem_of(
            "primary",
            &format!("primary names no configured exchange: \"{name}\"{hint}"),
        );
    }
    let lengths = 1..=1_000_000_000;
    RedisConfig {
        servers: redis_servers(s, credentials),
        batch: s.number("batch", 1..=10_000).unwrap_or(128) as usize,
        timeout: s.duration("timeout", ms(10)..=HOUR).unwrap_or(secs(2)),
        signals_max_len: s
            .number("signals_max_len", lengths.clone())
            .unwrap_or(100_000),
        updates_max_len: s.number("updates_max_len", lengths).unwrap_or(10_000),
        seen_ttl: s.duration("seen_ttl", secs(1)..=30 * DAY).unwrap_or(DAY),
        cache_ttl: s.duration("cache_ttl", secs(1)..=DAY).unwrap_or(secs(60)),
        update_interval: s
            .duration("update_interval", ms(1)..=HOUR)
            .unwrap_or(ms(100)),
        primary,
    }
}

fn redis_servers(s: &mut Section<'_>, credentials: &Credentials) -> RedisServers {
    let urls = redis_urls(s, "url", "url_file", credentials);
    if !s.has("url") && !s.has("url_file") {
        s.problem("url is missing; write url = \"…\" or url_file = \"FILE\"");
    }
    let sentinels = redis_urls(s, "sentinels", "sentinels_file", credentials);
    let by_network = |urls: &[Secret]| urls.iter().all(|u| begins(u, &["redis://", "rediss://"]));
    if urls.len() > 1 && !by_network(&urls) {
        s.problem_of(
            "url",
            "url: the nodes of a cluster begin with redis:// or rediss://",
        );
    }
    if sentinels.is_empty() {
        return match <[Secret; 1]>::try_from(urls) {
            Ok([url]) => RedisServers::One(url),
            Err(urls) if urls.is_empty() => RedisServers::One(Secret(String::new())),
            Err(urls) => RedisServers::Cluster(urls),
        };
    }
    if !by_network(&sentinels) {
        s.problem_of("sentinels", "sentinels begin with redis:// or rediss://");
    }
    match <[Secret; 1]>::try_from(urls) {
        Ok([url]) if by_network(std::slice::from_ref(&url)) => {
            return RedisServers::Sentinel { sentinels, url };
        }
        _ => s.problem_of(
            "sentinels",
            "with sentinels, url is one address with the master's name for a host, as \
             redis://mymaster",
        ),
    }
    RedisServers::Cluster(sentinels)
}

/// One or several URLs in place, or in a file with one a line.
fn redis_urls(
    s: &mut Section<'_>,
    key: &'static str,
    file_key: &'static str,
    credentials: &Credentials,
) -> Vec<Secret> {
    let (urls, file) = (s.text_or_texts(key), s.text(file_key));
    let urls = match (urls, file) {
        (Some(_), Some(_)) => {
            s.problem_of(
                file_key,
                &format!("{key} and {file_key} are both set; keep one"),
            );
            None
        }
        (urls, None) => urls,
        (None, Some(file)) => credentials
            .read(s, file_key, &file)
            .map(|text| text.lines().map(|line| line.trim().to_owned()).collect()),
    };
    let schemes = ["redis://", "rediss://", "redis+unix://", "unix://"];
    let urls: Vec<Secret> = urls.into_iter().flatten().map(Secret).collect();
    if urls.iter().any(|url| !begins(url, &schemes)) {
        s.problem_of(
            key,
            &format!("{key} must begin with redis://, as redis://127.0.0.1:6379"),
        );
    }
    urls
}

fn influx(s: &mut Section<'_>, credentials: &Credentials) -> InfluxConfig {
    if !s.has("url") {
        s.problem("url is missing; write url = \"http://127.0.0.1:8086\"");
    }
    let url = address(s, "url", &["http://", "https://"]).unwrap_or_default();
    if url.contains('@') {
        s.problem_of(
            "url",
            "url must not hold a password; use username and password_file",
        );
    }
    let version = s.number("version", 1..=2).unwrap_or(1) as u8;
    let password = credential(s, "password", "password_file", credentials);
    let (org, token) = (
        s.text("org"),
        credential(s, "token", "token_file", credentials),
    );
    let config = InfluxConfig {
        url,
        version,
        database: s
            .text("database")
            .unwrap_or_else(|| "trading_bot".to_owned()),
        username: s.text("username"),
        password,
        org,
        token,
        batch: s.number("batch", 1..=100_000).unwrap_or(5_000) as usize,
        flush: s.duration("flush", ms(10)..=secs(60)).unwrap_or(secs(1)),
        timeout: s.duration("timeout", ms(10)..=HOUR).unwrap_or(secs(10)),
        max_waiting: s
            .number("max_waiting", 1_000..=100_000_000)
            .unwrap_or(100_000) as usize,
        spool_max_bytes: s.size("spool_max_bytes", 0..=16 << 40).unwrap_or(1 << 30),
        metrics_every: s
            .duration("metrics_every", secs(1)..=HOUR)
            .unwrap_or(secs(10)),
        performance_every: s
            .duration("performance_every", secs(1)..=DAY)
            .unwrap_or(secs(60)),
    };
    if config.database.is_empty() {
        s.problem_of("database", "database must be a name, found an empty text");
    }
    influx_login(s, &config);
    config
}

/// Each version has its own login; the other one's would be ignored silently.
fn influx_login(s: &mut Section<'_>, config: &InfluxConfig) {
    let token = s.has("token") || s.has("token_file");
    if config.version == 1 {
        if config.password.is_some() && config.username.is_none() {
            s.problem("a password needs a username");
        }
        if token || s.has("org") {
            s.problem("org and token are of version = 2; version 1 has username and password_file");
        }
        return;
    }
    if config.username.is_some() || config.password.is_some() {
        s.problem("username and password are of version = 1; version 2 has org and token_file");
    }
    if config.org.as_ref().is_none_or(String::is_empty) {
        s.problem("org is missing; version = 2 needs org = \"NAME\"");
    }
    if !token {
        s.problem("token is missing; version = 2 needs token_file = \"FILE\"");
    }
}

/// On where its section is, and where ticks would be stored nowhere else; `enabled` overrides.
fn parquet(mut s: Section<'_>, has_influx: bool) -> Option<ParquetConfig> {
    let default = s.is_present() || !has_influx;
    let enabled = s.flag("enabled", default);
    let config = ParquetConfig {
        segment: s
            .duration("segment", secs(1)..=secs(60))
            .unwrap_or(secs(60)),
        max_rows: s.number("max_rows", 1_000..=10_000_000).unwrap_or(500_000) as usize,
    };
    s.finish();
    enabled.then_some(config)
}

/// Where credential files are.
pub(super) struct Credentials {
    /// The folder of the configuration file.
    pub beside: PathBuf,
    /// What systemd's `LoadCredential=` made for this service.
    pub systemd: Option<PathBuf>,
}

impl Credentials {
    /// A bare name may be a systemd credential; other paths start at the configuration file.
    fn find(&self, file: &str) -> PathBuf {
        let bare = !file.contains('/');
        let systemd = self.systemd.as_ref().map(|dir| dir.join(file));
        let systemd = systemd.filter(|path| bare && path.exists());
        systemd.unwrap_or_else(|| self.beside.join(file))
    }

    /// What the file that `key` names holds.
    fn read(&self, s: &Section<'_>, key: &str, file: &str) -> Option<String> {
        let path = self.find(file);
        let problem = match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Some(text.trim().to_owned()),
            Ok(_) => "is empty".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        s.problem_of(key, &format!("{key}: {} {problem}", path.display()));
        None
    }
}

/// The credential `url` (or the like), which must be there in one of its two forms.
fn required(s: &mut Section<'_>, key: &'static str, credentials: &Credentials) -> Option<Secret> {
    if !s.has("url") && !s.has("url_file") {
        s.problem("url is missing; write url = \"…\" or url_file = \"FILE\"");
    }
    credential(s, key, "url_file", credentials)
}

/// A secret written in place, or in a file of its own.
fn credential(
    s: &mut Section<'_>,
    key: &'static str,
    file_key: &'static str,
    credentials: &Credentials,
) -> Option<Secret> {
    let (value, file) = (s.text(key), s.text(file_key));
    let Some(file) = file else {
        return value.map(Secret);
    };
    if value.is_some() {
        s.problem_of(
            file_key,
            &format!("{key} and {file_key} are both set; keep one"),
        );
        return None;
    }
    credentials.read(s, file_key, &file).map(Secret)
}

fn begins(url: &Secret, schemes: &[&str]) -> bool {
    schemes.iter().any(|scheme| url.0.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn error_of(text: &str) -> String {
        let error = Config::parse(text, "config/x.toml").expect_err(text);
        error.to_string()
    }

    #[test]
    fn a_store_is_on_where_its_section_is() {
        let on = |text: &str| {
            let stores = Config::parse(text, "x.toml").expect(text).stores;
            [stores.influx.is_some(), stores.parquet.is_some()]
        };
        let influx = "[stores.influx]\nurl = \"http://127.0.0.1:8086/\"\n";
        assert_eq!(on(""), [false, true]);
        assert_eq!(on(influx), [true, false]);
        assert_eq!(on(&format!("{influx}[stores.parquet]")), [true, true]);
        assert_eq!(on("[stores.parquet]\nenabled = false"), [false, false]);
    }

    #[test]
    fn secrets_are_read_from_files_and_never_shown() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("pg"), "postgres://bot:hunter2@db/x\n").expect("written");
        fs::write(dir.path().join("empty"), "\n").expect("written");
        let place = dir.path().join("x.toml").display().to_string();
        let read = |file: &str| {
            Config::parse(&format!("[stores.postgres]\nurl_file = \"{file}\""), &place)
        };
        let config = read("pg").expect("valid");
        let postgres = config.stores.postgres.as_ref().expect("on");
        assert_eq!(postgres.url.0, "postgres://bot:hunter2@db/x");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(
            read("empty")
                .expect_err("empty")
                .to_string()
                .ends_with("empty is empty")
        );
        let missing = read("none").expect_err("missing").to_string();
        assert!(
            missing.contains(":2: [stores.postgres] url_file: "),
            "{missing}"
        );
        assert!(
            missing.contains("none cannot be read: No such file"),
            "{missing}"
        );
    }

    #[test]
    fn redis_is_one_server_a_cluster_or_what_sentinels_name() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("nodes"), "redis://a\nrediss://b\n").expect("written");
        let place = dir.path().join("x.toml").display().to_string();
        let secrets = |urls: &[&str]| urls.iter().map(|u| Secret((*u).to_owned())).collect();
        let [url] = ["redis://:p@mymaster/0"].map(|u| Secret(u.to_owned()));
        for (keys, expected) in [
            (
                "url = \"redis://:p@mymaster/0\"",
                RedisServers::One(url.clone()),
            ),
            (
                "url = [\"redis://a\", \"redis://b:1\"]",
                RedisServers::Cluster(secrets(&["redis://a", "redis://b:1"])),
            ),
            (
                "url_file = \"nodes\"",
                RedisServers::Cluster(secrets(&["redis://a", "rediss://b"])),
            ),
            (
                "url = \"redis://:p@mymaster/0\"\nsentinels = [\"redis://c:26379\"]",
                RedisServers::Sentinel {
                    sentinels: secrets(&["redis://c:26379"]),
                    url,
                },
            ),
        ] {
            let config = Config::parse(&format!("[stores.redis]\n{keys}"), &place).expect(keys);
            let redis = config.stores.redis.as_ref().expect("on");
            assert_eq!(redis.servers, expected, "{keys}");
            assert!(!format!("{config:?}").contains(":p@"));
        }
    }

    #[test]
    fn a_bare_name_may_be_a_systemd_credential() {
        let (beside, systemd) = (
            tempfile::tempdir().expect("a"),
            tempfile::tempdir().expect("b"),
        );
        let both = Credentials {
            beside: beside.path().to_owned(),
            systemd: Some(systemd.path().to_owned()),
        };
        fs::write(systemd.path().join("pg"), "x").expect("written");
        assert_eq!(both.find("pg"), systemd.path().join("pg"));
        assert_eq!(both.find("redis"), beside.path().join("redis"));
        assert_eq!(both.find("./pg"), beside.path().join("./pg"));
        assert_eq!(both.find("/run/pg"), Path::new("/run/pg"));
    }

    #[test]
    fn wrong_stores_are_told_without_their_secrets() {
        let missing = "url is missing; write url = \"…\" or url_file = \"FILE\"";
        for (text, expected) in [
            (
                "[stores.postgres]",
                format!("1: [stores.postgres] {missing}"),
            ),
            ("[stores.redis]", format!("1: [stores.redis] {missing}")),
            (
                "[stores.postgres]\nurl = \"mysql://bot:hunter2@db\"",
                "2: [stores.postgres] url must begin with postgres://, as \
                 postgres://user@127.0.0.1:5432/trading_bot"
                    .to_owned(),
            ),
            (
                "[stores.postgres]\nurl = \"postgres://x\"\nurl_file = \"y\"",
                "3: [stores.postgres] url and url_file are both set; keep one".to_owned(),
            ),
            (
                "[stores.redis]\nurl = [\"redis://a\", \"unix://b\"]",
                "2: [stores.redis] url: the nodes of a cluster begin with redis:// or rediss://"
                    .to_owned(),
            ),
            (
                "[stores.redis]\nurl = [\"redis://a\", \"redis://b\"]\nsentinels = [\"redis://c\"]",
                "3: [stores.redis] with sentinels, url is one address with the master's name for \
                 a host, as redis://mymaster"
                    .to_owned(),
            ),
            (
                "[stores.redis]\nurl = \"127.0.0.1:6379\"",
                "2: [stores.redis] url must begin with redis://, as redis://127.0.0.1:6379"
                    .to_owned(),
            ),
            (
                "[stores.redis]\nurl = [\"redis://a\"]\nprimary = [\"binance\"]",
                "3: [stores.redis] primary names no configured exchange: \"binance\"".to_owned(),
            ),
            (
                "[stores.influx]\nurl = \"http://bot:hunter2@db\"",
                "2: [stores.influx] url must not hold a password; use username and password_file"
                    .to_owned(),
            ),
            (
                "[stores.influx]\nurl = \"http://db\"\nversion = 2\ntoken = \"x\"",
                "1: [stores.influx] org is missing; version = 2 needs org = \"NAME\"".to_owned(),
            ),
            (
                "[stores.influx]\nurl = \"http://db\"\nversion = 2\norg = \"x\"",
                "1: [stores.influx] token is missing; version = 2 needs token_file = \"FILE\""
                    .to_owned(),
            ),
            (
                "[stores.influx]\nurl = \"http://db\"\norg = \"x\"",
                "1: [stores.influx] org and token are of version = 2; version 1 has username and \
                 password_file"
                    .to_owned(),
            ),
            (
                "[stores.influx]\nurl = \"http://db\"\nversion = 2\norg = \"x\"\ntoken = \"y\"\nusername = \"z\"",
                "1: [stores.influx] username and password are of version = 1; version 2 has org \
                 and token_file"
                    .to_owned(),
            ),
            (
                "[api_keys]",
                "1: [api_keys] the encryption key is missing; write encryption_key_file = \"FILE\""
                    .to_owned(),
            ),
            (
                "[api_keys]\nencryption_key = \"hunter2\"",
                "1: [api_keys] the encryption key is too short; make one with: openssl rand -base64 32"
                    .to_owned(),
            ),
            (
                "[stores.mysql]",
                "1: [stores] unknown section \"mysql\"; known are influx, parquet, postgres, redis"
                    .to_owned(),
            ),
        ] {
            assert_eq!(
                error_of(text),
                format!("config/x.toml:{expected}"),
                "{text}"
            );
        }
    }
}

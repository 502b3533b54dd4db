//! How is Redis reached: one server, the master that Sentinel names, or a cluster? And what do its
//! errors ask of the operator?
//!
//! A connection to a master stays with it; when it breaks, or the master has become a replica, the
//! caller drops it and opens another one, which asks Sentinel again. A cluster's connection follows
//! slots and failovers by itself. Called on the publishers' runtime, and by commands.

use crate::config::{RedisConfig, RedisServers, Secret};
use futures_util::future::select_ok;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisError, RedisFuture, RedisResult, TlsMode, Value,
};

/// What a server's error code, or a phrase of an error's text, asks of the operator.
const REMEDIES: [(&str, &str); 19] = [
    ("OOM", "raise its maxmemory, or shorten the streams"),
    ("READONLY", MASTER),
    ("MASTERDOWN", MASTER),
    ("LOADING", "it is loading its data; this passes"),
    ("loading the dataset", "it is loading its data; this passes"),
    ("NOAUTH", PASSWORD),
    ("Authentication required", PASSWORD),
    ("WRONGPASS", PASSWORD),
    ("Password authentication failed", PASSWORD),
    (
        "NOPERM",
        "the user in [stores.redis] url lacks rights; see ACL LIST",
    ),
    ("WRONGTYPE", "rename or delete that key"),
    ("MISCONF", "it cannot save to disk; see its log"),
    (
        "BUSY",
        "a script of somebody else blocks it; SCRIPT KILL ends that",
    ),
    ("CLUSTERDOWN", "see CLUSTER INFO"),
    (
        "MOVED",
        "it is part of a cluster; name several of its nodes in [stores.redis] url",
    ),
    (
        "cluster support disabled",
        "it is no cluster; name one server in [stores.redis] url",
    ),
    (
        "Master with given name not found",
        "is that its name, and is it up? see SENTINEL MASTERS",
    ),
    ("syntax error", "Redis 7 or later is needed"),
    (
        "unknown command",
        "Redis 7 or later is needed, with all commands enabled",
    ),
];
pub(crate) const MASTER: &str =
    "it is a replica; point [stores.redis] url at the master, or name sentinels";
const PASSWORD: &str = "correct user and password in [stores.redis] url";

/// To a server or a cluster. Clones share what is beneath, and may be used side by side.
#[derive(Clone)]
pub enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Opens one; every later call on it ends within the configured timeout. The error names the
    /// place and the remedy.
    pub async fn open(config: &RedisConfig) -> Result<Connection, String> {
        let opened = async {
            match &config.servers {
                RedisServers::One(url) => server(config, url).await,
                RedisServers::Cluster(urls) => cluster(config, urls).await,
                RedisServers::Sentinel { sentinels, url } => master(config, sentinels, url).await,
            }
        };
        let explained = |error| explain(&place(config), &error);
        match tokio::time::timeout(config.timeout, opened).await {
            Ok(opened) => opened.map_err(explained),
            Err(_) => Err(format!(
                "{}: no connection within {:?}; is it stopped or overloaded?",
                place(config),
                config.timeout
            )),
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Connection::Server(server) => server.req_packed_command(cmd),
            Connection::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Connection::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Connection::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Connection::Server(server) => server.get_db(),
            Connection::Cluster(cluster) => cluster.get_db(),
        }
    }
}

fn limits(config: &RedisConfig) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.timeout))
        .set_response_timeout(Some(config.timeout))
}

async fn server(config: &RedisConfig, url: &Secret) -> RedisResult<Connection> {
    let client = Client::open(info(url)?)?;
    let limits = limits(config);
    let opened = client.get_multiplexed_async_connection_with_config(&limits);
    Ok(Connection::Server(opened.await?))
}

async fn cluster(config: &RedisConfig, urls: &[Secret]) -> RedisResult<Connection> {
    let nodes = urls.iter().map(info).collect::<RedisResult<Vec<_>>>()?;
    // What a node does not take within this is the caller's to try again.
    let client = ClusterClientBuilder::new(nodes)
        .connection_timeout(config.timeout)
        .response_timeout(config.timeout)
        .retries(4)
        .min_retry_wait(10)
        .max_retry_wait(200)
        .build()?;
    Ok(Connection::Cluster(client.get_async_connection().await?))
}

/// Asks all sentinels at once and takes the first master that is named and says that it is one.
async fn master(
    config: &RedisConfig,
    sentinels: &[Secret],
    url: &Secret,
) -> RedisResult<Connection> {
    let at = info(url)?;
    let (ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }) = at.addr()
    else {
        return Err(not_understood());
    };
    let tls = matches!(at.addr(), ConnectionAddr::TcpTls { .. }).then_some(TlsMode::Secure);
    let limits = limits(config);
    let ask = |sentinel: &Secret| {
        let mut node = SentinelNodeConnectionInfo::default();
        node = node.set_redis_connection_info(at.redis_settings().clone());
        if let Some(tls) = tls {
            node = node.set_tls_mode(tls);
        }
        let role = SentinelServerType::Master;
        let client = info(sentinel)
            .and_then(|sentinel| SentinelClient::build(vec![sentinel], name, Some(node), role));
        let limits = &limits;
        Box::pin(async move { client?.get_async_connection_with_config(limits).await })
    };
    let (opened, _) = select_ok(sentinels.iter().map(ask)).await?;
    Ok(Connection::Server(opened))
}

fn info(url: &Secret) -> RedisResult<ConnectionInfo> {
    // The crate's own error may quote the address, password and all.
    url.0
        .as_str()
        .into_connection_info()
        .map_err(|_| not_understood())
}

fn not_understood() -> RedisError {
    let text = "an address of [stores.redis] is not understood; it looks like \
                redis://user:password@host:6379/0";
    (redis::ErrorKind::InvalidClientConfig, text).into()
}

/// Where the server is, without user and password.
pub fn place(config: &RedisConfig) -> String {
    let address = |url: &Secret| info(url).map_or("?".to_owned(), |i| i.addr().to_string());
    let all = |urls: &[Secret]| urls.iter().map(address).collect::<Vec<_>>().join(", ");
    match &config.servers {
        RedisServers::One(url) => format!("redis at {}", address(url)),
        RedisServers::Cluster(urls) => format!("redis cluster at {}", all(urls)),
        RedisServers::Sentinel { sentinels, url } => {
            let name = address(url);
            let name = name.split(':').next().unwrap_or_default();
            format!("redis master {name} by sentinels at {}", all(sentinels))
        }
    }
}

/// Place, what happened, and what to do about it.
pub fn explain(place: &str, error: &RedisError) -> String {
    // Of a pipeline's errors the first says enough.
    let first = error.clone().into_server_errors();
    let text = match first.as_deref() {
        Some([(_, e), ..]) => format!("{} {}", e.code(), e.details().unwrap_or_default()),
        _ => error.to_string(),
    };
    let code = text.split(' ').next();
    let known = REMEDIES
        .iter()
        .find(|(sign, _)| code == Some(sign) || sign.contains(' ') && text.contains(sign));
    let remedy = if let Some((_, remedy)) = known {
        remedy
    } else if error.is_timeout() {
        "is it stopped or overloaded?"
    } else if error.is_io_error() {
        "is it running, and is [stores.redis] url right?"
    } else {
        "see its log"
    };
    format!("{place}: {}; {remedy}", text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publishers::redis::tests::config;

    fn secrets(urls: &[&str]) -> Vec<Secret> {
        urls.iter().map(|url| Secret((*url).to_owned())).collect()
    }

    #[test]
    fn a_place_never_shows_the_password() {
        let url = "redis://bob:hunter2@localhost:1234/0";
        let mut config = config(url);
        let sentinels = secrets(&["redis://:hunter2@a", "redis://b:5"]);
        let url = Secret(url.to_owned());
        for (servers, expected) in [
            (RedisServers::One(url.clone()), "redis at localhost:1234"),
            (
                RedisServers::One(Secret("redis//bob:hunter2@localhost".to_owned())),
                "redis at ?",
            ),
            (
                RedisServers::Cluster(sentinels.clone()),
                "redis cluster at a:6379, b:5",
            ),
            (
                RedisServers::Sentinel { sentinels, url },
                "redis master localhost by sentinels at a:6379, b:5",
            ),
        ] {
            config.servers = servers;
            assert_eq!(place(&config), expected);
        }
        let error = info(&Secret("redis//bob:hunter2@x".to_owned())).expect_err("no URL");
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn errors_carry_their_remedy() {
        for (code, detail, remedy) in [
            ("OOM", "not allowed", "maxmemory"),
            ("WRONGPASS", "invalid", PASSWORD),
            ("READONLY", "a replica", MASTER),
            ("WRONGTYPE", "{BOOM/USDT} is a string", "delete that key"),
            ("ERR", "Authentication required.", PASSWORD),
            (
                "ERR",
                "This instance has cluster support disabled",
                "no cluster",
            ),
            ("NEWCODE", "because", "see its log"),
        ] {
            let error = redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
            let text = explain("redis at x:1", &error);
            assert!(
                text.starts_with("redis at x:1: ") && text.contains(remedy),
                "{text}"
            );
        }
    }
}

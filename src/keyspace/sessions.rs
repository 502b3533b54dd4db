//! Who is signed in? `session:{token}` is a hash with one session, `user_sessions:{user_id}` the
//! set of a user's tokens. A session ends at its `expires_at`, and the set with the last of its
//! sessions.
//!
//! The two keys are on different nodes of a cluster, so no transaction holds them together. The
//! order does: the set is written first and again last, and the session is deleted before its token
//! leaves the set. What a crash leaves between is a token without a session, which readers pass
//! over and forget. No session is ever missing from its user's set, so [`end_all`] ends all.

use super::hash;
use jiff::Timestamp;
use redis::RedisResult;
use redis::aio::ConnectionLike;
use std::sync::LazyLock;
use uuid::Uuid;

hash::hash! {
    /// A signed-in user.
    Session {
        user_id: Uuid,
        username: String,
        email: String,
        is_premium: bool,
        created_at: Timestamp,
        /// The key is gone from this time on.
        expires_at: Timestamp,
    }
}

/// Prolongs a session that is still there; it must not come back to life. KEYS 1 the session;
/// ARGV 1 `expires_at`, 2 the same in ms since the epoch.
static EXTEND: LazyLock<redis::Script> = LazyLock::new(|| {
    redis::Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
         redis.call('HSET', KEYS[1], 'expires_at', ARGV[1])
         return redis.call('PEXPIREAT', KEYS[1], ARGV[2])",
    )
});

/// `session:{token}`
pub fn key(token: &str) -> String {
    format!("session:{token}")
}

/// `user_sessions:{user_id}`
pub fn user_key(user_id: Uuid) -> String {
    format!("user_sessions:{user_id}")
}

/// Begins a session, or replaces the one of this token.
pub async fn start<C: ConnectionLike>(
    connection: &mut C,
    token: &str,
    session: &Session,
) -> RedisResult<()> {
    remember(connection, token, session.user_id, session.expires_at).await?;
    let key = key(token);
    let mut pipeline = redis::pipe();
    pipeline
        .atomic()
        .cmd("HSET")
        .arg(&key)
        .arg(hash::Fields::fields(session));
    pipeline
        .cmd("PEXPIREAT")
        .arg(&key)
        .arg(session.expires_at.as_millisecond());
    pipeline.exec_async(connection).await?;
    // A reader of the set may have forgotten the token while its session was not there yet.
    remember(connection, token, session.user_id, session.expires_at).await
}

/// Puts the token into its user's set, which lives at least until `expires_at`.
async fn remember<C: ConnectionLike>(
    connection: &mut C,
    token: &str,
    user_id: Uuid,
    expires_at: Timestamp,
) -> RedisResult<()> {
    let key = user_key(user_id);
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("SADD").arg(&key).arg(token);
    // GT alone takes a key without a time to live for one that lives for ever.
    for condition in ["NX", "GT"] {
        let ms = expires_at.as_millisecond();
        pipeline.cmd("PEXPIREAT").arg(&key).arg(ms).arg(condition);
    }
    pipeline.exec_async(connection).await
}

/// The session of a token; `None` where there is none, or it has expired.
pub async fn find<C: ConnectionLike>(
    connection: &mut C,
    token: &str,
) -> RedisResult<Option<Session>> {
    hash::read(connection, &key(token)).await
}

/// Lets a session last until `expires_at`; `false` where it is over already.
pub async fn extend<C: ConnectionLike>(
    connection: &mut C,
    token: &str,
    expires_at: Timestamp,
) -> RedisResult<bool> {
    let Some(session) = find(connection, token).await? else {
        return Ok(false);
    };
    remember(connection, token, session.user_id, expires_at).await?;
    let mut script = EXTEND.key(key(token));
    script
        .arg(expires_at.to_string())
        .arg(expires_at.as_millisecond());
    script.invoke_async(connection).await
}

/// Ends one session; `false` where it is over already.
pub async fn end<C: ConnectionLike>(connection: &mut C, token: &str) -> RedisResult<bool> {
    let Some(session) = find(connection, token).await? else {
        return Ok(false);
    };
    let ended = hash::delete(connection, &key(token)).await?;
    forget(connection, session.user_id, &[token.to_owned()]).await?;
    Ok(ended)
}

/// Tokens of a user's sessions. Those that have expired are forgotten.
pub async fn of_user<C: ConnectionLike>(
    connection: &mut C,
    user_id: Uuid,
) -> RedisResult<Vec<String>> {
    let (mut live, mut over) = (Vec::new(), Vec::new());
    for token in tokens(connection, user_id).await? {
        let mut exists = redis::cmd("EXISTS");
        let there: bool = exists.arg(key(&token)).query_async(connection).await?;
        if there { &mut live } else { &mut over }.push(token);
    }
    forget(connection, user_id, &over).await?;
    Ok(live)
}

/// Ends all sessions of a user that have begun; how many there were.
pub async fn end_all<C: ConnectionLike>(connection: &mut C, user_id: Uuid) -> RedisResult<usize> {
    let tokens = tokens(connection, user_id).await?;
    let mut ended = 0;
    for token in &tokens {
        ended += usize::from(hash::delete(connection, &key(token)).await?);
    }
    forget(connection, user_id, &tokens).await?;
    Ok(ended)
}

async fn tokens<C: ConnectionLike>(connection: &mut C, user_id: Uuid) -> RedisResult<Vec<String>> {
    let mut members = redis::cmd("SMEMBERS");
    members.arg(user_key(user_id)).query_async(connection).await
}

async fn forget<C: ConnectionLike>(
    connection: &mut C,
    user_id: Uuid,
    tokens: &[String],
) -> RedisResult<()> {
    if tokens.is_empty() {
        return Ok(());
    }
    let mut remove = redis::cmd("SREM");
    remove
        .arg(user_key(user_id))
        .arg(tokens)
        .exec_async(connection)
        .await
}

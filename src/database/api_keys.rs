//! Users' keys for exchanges, encrypted by pgcrypto under one key of the installation's. As the
//! user.
//!
//! Neither may come into a log. The text of a statement is seen in pg_stat_activity, and its
//! parameters come into the server's log wherever log_statement, log_min_duration_statement or an
//! error asks for them, which an ordinary role cannot turn off. So secrets travel as data of COPY,
//! which nothing records, in its binary form, of which even an error shows nothing: into a
//! temporary table that ends with the transaction and is in no write-ahead log. The statement that
//! encrypts names its columns only. The connection itself must be TLS or local.

use super::Time;
use crate::config::Secret;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

/// What OpenPGP is asked for, in each message: no compression, whose length would tell of the
/// content.
const OPTIONS: &str = "cipher-algo=aes256, compress-algo=0";

#[derive(Clone, Copy)]
pub struct NewApiKey<'a> {
    pub user_id: Uuid,
    pub exchange: &'a str,
    /// The user's own name for it.
    pub label: &'a str,
    pub key: &'a Secret,
    pub secret: Option<&'a Secret>,
    pub passphrase: Option<&'a Secret>,
    pub expires_at: Option<Time>,
}

/// A second one of the same label for this exchange is an error of the database, unique violation.
pub async fn store(
    connection: &mut PgConnection,
    encryption_key: &Secret,
    new: &NewApiKey<'_>,
) -> Result<Uuid, sqlx::Error> {
    let fields = [
        Some(encryption_key),
        Some(new.key),
        new.secret,
        new.passphrase,
    ];
    hand_over(connection, &fields).await?;
    let id = sqlx::query_scalar(
        "INSERT INTO user_api_keys (user_id, exchange, label, expires_at, encrypted_key, \
             encrypted_secret, encrypted_passphrase) \
         SELECT $1, $2, $3, $4, pgp_sym_encrypt(h.b, h.a, $5), pgp_sym_encrypt(h.c, h.a, $5), \
             pgp_sym_encrypt(h.d, h.a, $5) FROM pg_temp.handed_over h \
         RETURNING id",
    )
    .bind(new.user_id)
    .bind(new.exchange)
    .bind(new.label)
    .bind(new.expires_at)
    .bind(OPTIONS)
    .fetch_one(&mut *connection)
    .await?;
    take_back(connection).await?;
    Ok(id)
}

/// All but the secrets.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Listed {
    pub id: Uuid,
    pub exchange: String,
    pub label: String,
    pub is_active: bool,
    pub expires_at: Option<Time>,
    pub last_used_at: Option<Time>,
}

/// Of a user, by exchange and label.
pub async fn of_user(
    connection: &mut PgConnection,
    user_id: Uuid,
) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, exchange, label, COALESCE(is_active, false) AS is_active, expires_at, \
             last_used_at \
         FROM user_api_keys WHERE user_id = $1 ORDER BY exchange, label",
    )
    .bind(user_id)
    .fetch_all(connection)
    .await
}

/// A key in the clear; its `Debug` shows nothing of it.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub exchange: String,
    pub key: Secret,
    pub secret: Option<Secret>,
    pub passphrase: Option<Secret>,
}

/// Decrypts an active key that has not expired, and notes that it was used. `None`: there is no
/// such one of theirs. A wrong `encryption_key` is an error of the database.
pub async fn reveal(
    connection: &mut PgConnection,
    encryption_key: &Secret,
    id: Uuid,
) -> Result<Option<ApiKey>, sqlx::Error> {
    hand_over(connection, &[Some(encryption_key), None, None, None]).await?;
    let row = sqlx::query(
        "UPDATE user_api_keys SET last_used_at = NOW() FROM pg_temp.handed_over h \
         WHERE id = $1 AND is_active AND (expires_at IS NULL OR expires_at > NOW()) \
         RETURNING exchange, pgp_sym_decrypt(encrypted_key, h.a), \
             pgp_sym_decrypt(encrypted_secret, h.a), pgp_sym_decrypt(encrypted_passphrase, h.a)",
    );
    let row = row.bind(id).fetch_optional(&mut *connection).await?;
    take_back(connection).await?;
    row.map(|row| api_key(&row)).transpose()
}

fn api_key(row: &PgRow) -> Result<ApiKey, sqlx::Error> {
    Ok(ApiKey {
        exchange: row.try_get(0)?,
        key: Secret(row.try_get(1)?),
        secret: row.try_get::<Option<String>, _>(2)?.map(Secret),
        passphrase: row.try_get::<Option<String>, _>(3)?.map(Secret),
    })
}

/// Encrypts all keys that this role sees anew, as an administrator for a new key of the
/// installation. Returns how many; where one of them is not of the `old` key, nothing changes.
pub async fn rotate(
    connection: &mut PgConnection,
    old: &Secret,
    new: &Secret,
) -> Result<u64, sqlx::Error> {
    hand_over(connection, &[Some(old), Some(new), None, None]).await?;
    let update = sqlx::query(
        "UPDATE user_api_keys SET \
             encrypted_key = pgp_sym_encrypt(pgp_sym_decrypt(encrypted_key, h.a), h.b, $1), \
             encrypted_secret = pgp_sym_encrypt(pgp_sym_decrypt(encrypted_secret, h.a), h.b, $1), \
             encrypted_passphrase = \
                 pgp_sym_encrypt(pgp_sym_decrypt(encrypted_passphrase, h.a), h.b, $1) \
         FROM pg_temp.handed_over h",
    );
    let rotated = update
        .bind(OPTIONS)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    take_back(connection).await?;
    Ok(rotated)
}

/// Columns a to d of the one row of a temporary table that no other session sees.
async fn hand_over(
    connection: &mut PgConnection,
    fields: &[Option<&Secret>; 4],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "CREATE TEMPORARY TABLE handed_over (a TEXT, b TEXT, c TEXT, d TEXT) ON COMMIT DROP",
    )
    .execute(&mut *connection)
    .await?;
    let statement = "COPY pg_temp.handed_over FROM STDIN (FORMAT binary)";
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(binary_row(fields)).await?;
    copy.finish().await?;
    Ok(())
}

/// So that a transaction may handle several keys.
async fn take_back(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("DROP TABLE pg_temp.handed_over")
        .execute(connection)
        .await?;
    Ok(())
}

/// PostgreSQL's binary COPY: signature, flags, no extension; a row of fields with their lengths, -1
/// for NULL; the end.
fn binary_row(fields: &[Option<&Secret>]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend((fields.len() as i16).to_be_bytes());
    for field in fields {
        match field {
            Some(Secret(text)) => {
                out.extend((text.len() as i32).to_be_bytes());
                out.extend(text.as_bytes());
            }
            None => out.extend((-1_i32).to_be_bytes()),
        }
    }
    out.extend((-1_i16).to_be_bytes());
    out
}

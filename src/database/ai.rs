//! What a user asked of the AI, and what it answered: as the user. It must not run a model.

use super::Time;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "command_type", rename_all = "snake_case")]
pub enum CommandType {
    TradeAnalysis,
    MarketAnalysis,
    PortfolioAnalysis,
    RiskAssessment,
    TradeExecution,
    StrategyRecommendation,
    NewsAnalysis,
    TechnicalAnalysis,
    SentimentAnalysis,
    GeneralQuery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "command_status", rename_all = "snake_case")]
pub enum CommandStatus {
    Pending,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
pub struct NewCommand<'a> {
    pub user_id: Uuid,
    pub command_type: CommandType,
    pub input_text: &'a str,
    pub context_data: Option<&'a Value>,
    pub parameters: Option<&'a Value>,
}

/// As `pending`.
pub async fn submit(
    connection: &mut PgConnection,
    new: &NewCommand<'_>,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO ai_commands (user_id, command_type, input_text, context_data, parameters) \
         VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(new.user_id)
    .bind(new.command_type)
    .bind(new.input_text)
    .bind(new.context_data)
    .bind(new.parameters)
    .fetch_one(connection)
    .await
}

/// A worker takes it. `false`: another one has, or it was cancelled.
pub async fn start(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let update = sqlx::query(
        "UPDATE ai_commands SET status = 'processing', started_at = NOW() \
         WHERE id = $1 AND status = 'pending'",
    );
    Ok(update.bind(id).execute(connection).await?.rows_affected() > 0)
}

/// What was understood, and what is answered.
#[derive(Clone, Copy, Debug)]
pub struct NewResponse<'a> {
    pub text: &'a str,
    pub data: Option<&'a Value>,
    /// 0 to 1.
    pub confidence: Option<Decimal>,
    pub model_version: Option<&'a str>,
    pub detected_intent: Option<&'a str>,
    pub extracted_entities: Option<&'a Value>,
}

/// Stores an answer and completes the command, whose processing time is what has passed since its
/// start. `None`: no command of theirs that is processing.
pub async fn respond(
    connection: &mut PgConnection,
    command_id: Uuid,
    new: &NewResponse<'_>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "WITH done AS ( \
             UPDATE ai_commands SET status = 'completed', completed_at = NOW(), \
                 confidence_score = $4, model_version = $5, detected_intent = $6, \
                 extracted_entities = $7, \
                 processing_time_ms = extract(epoch FROM NOW() - started_at) * 1000 \
             WHERE id = $1 AND status = 'processing' \
             RETURNING id, user_id, processing_time_ms) \
         INSERT INTO ai_responses (command_id, user_id, response_text, response_data, \
             confidence_score, model_version, processing_time_ms) \
         SELECT id, user_id, $2, $3, $4, $5, processing_time_ms FROM done RETURNING id",
    )
    .bind(command_id)
    .bind(new.text)
    .bind(new.data)
    .bind(new.confidence)
    .bind(new.model_version)
    .bind(new.detected_intent)
    .bind(new.extracted_entities)
    .fetch_optional(connection)
    .await
}

/// `false`: no command of theirs that has not ended.
pub async fn fail(
    connection: &mut PgConnection,
    id: Uuid,
    code: &str,
    message: &str,
) -> Result<bool, sqlx::Error> {
    let update = sqlx::query(
        "UPDATE ai_commands SET status = 'failed', completed_at = NOW(), error_code = $2, \
             error_message = $3 \
         WHERE id = $1 AND status IN ('pending', 'processing')",
    );
    let update = update.bind(id).bind(code).bind(message).execute(connection);
    Ok(update.await?.rows_affected() > 0)
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Command {
    pub id: Uuid,
    pub command_type: CommandType,
    pub status: CommandStatus,
    pub input_text: String,
    pub confidence_score: Option<Decimal>,
    /// Ms.
    pub processing_time_ms: Option<i32>,
    pub error_message: Option<String>,
    pub created_at: Time,
    pub completed_at: Option<Time>,
}

pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<Command>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM ai_commands WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await
}

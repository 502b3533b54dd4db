//! `tickforge ai commands USER`: what has a user asked in the last seven days, and what came of it?
//! The document's query, in its order.

use super::Common;
use super::db::{Report, Target, print, rfc3339};
use super::portfolio::{User, as_user};
use super::table;
use serde::Serialize;
use std::io::{self, Write};

#[derive(clap::Subcommand, Clone, Debug)]
pub enum Ai {
    /// A user's commands of the last seven days, the newest first
    Commands(Args),
}

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Id, e-mail address or user name
    user: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct Commands {
    user: User,
    commands: Vec<Command>,
}

/// A row of `ai_commands`, and how many answers it got.
#[derive(Debug, Serialize, sqlx::FromRow)]
struct Command {
    id: String,
    user_id: String,
    command_type: String,
    status: Option<String>,
    input_text: String,
    processed_input: table::Json,
    detected_intent: Option<String>,
    extracted_entities: table::Json,
    confidence_score: Option<String>,
    processing_time_ms: Option<i32>,
    model_version: Option<String>,
    context_data: table::Json,
    parameters: table::Json,
    error_message: Option<String>,
    error_code: Option<String>,
    created_at: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
    response_count: i64,
}

const COMMANDS: &str = concat!(
    "SELECT q.id::text, q.user_id::text, q.command_type::text, q.status::text, q.input_text,
    q.processed_input::text, q.detected_intent, q.extracted_entities::text,
    q.confidence_score::text, q.processing_time_ms, q.model_version, q.context_data::text,
    q.parameters::text, q.error_message, q.error_code, ",
    rfc3339!("q.created_at"),
    " AS created_at, ",
    rfc3339!("q.started_at"),
    " AS started_at, ",
    rfc3339!("q.completed_at"),
    " AS completed_at, q.response_count FROM (
SELECT
    ac.*,
    COUNT(ar.id) as response_count
FROM ai_commands ac
LEFT JOIN ai_responses ar ON ac.id = ar.command_id
WHERE ac.user_id = $1
  AND ac.created_at >= NOW() - INTERVAL '7 days'
GROUP BY ac.id
ORDER BY ac.created_at DESC) q"
);

pub fn run(Ai::Commands(args): &Ai, common: &Common) -> anyhow::Result<bool> {
    let (user, commands) = as_user(common, &args.target, &args.user, COMMANDS)?;
    print(&Commands { user, commands }, common.json)?;
    Ok(true)
}

impl Report for Commands {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let row = |c: &Command| {
            let (kind, answers) = (c.command_type.clone(), c.response_count.to_string());
            vec![
                text(&c.created_at),
                kind,
                text(&c.status),
                answers,
                c.input_text.clone(),
            ]
        };
        let rows: Vec<_> = self.commands.iter().map(row).collect();
        table::print(
            out,
            &["created at", "type", "status", "answers>", "input"],
            &rows,
        )?;
        writeln!(
            out,
            "{} of {} in the last seven days",
            rows.len(),
            self.user.username
        )
    }
}

//! Arguments, configuration, exit code. Everything else is in the library.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tickforge::commands::{self, Common};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Market-data ingest and signal engine.
#[derive(Parser)]
#[command(name = "tickforge", version, about)]
struct Cli {
    /// The configuration; all defaults where left out
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where journal, ticks and captures are kept; overrides the configuration
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// JSON on standard output; logs go to standard error
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything at once, with a simulated exchange and no server
    Demo(commands::demo::Args),
    /// The daemon
    Run(commands::run::Args),
    /// An exchange's frames into a capture
    Record(commands::record::Args),
    /// Captures through the engine again, with the same decisions
    Replay(commands::replay::Args),
    /// Warm the next run up by stored trades
    Warm(commands::warm::Args),
    /// Serve a synthetic market, or a capture, as an exchange would
    Simulate(tickforge::simulate::Args),
    /// A capture's events, one a line
    Export(commands::export::Args),
    /// What is in a capture, and whether its books came out right
    Inspect(commands::inspect::Args),
    /// The strategies that were built in
    Strategies(commands::strategies::Args),
    /// The indicators that strategies can use
    Indicators(commands::indicators::Args),
    /// Begin a new strategy
    #[command(subcommand)]
    New(commands::new::New),
    /// The journalled signals, one a line
    Signals(commands::signals::Args),
    /// Bring the PostgreSQL schema up to date
    Migrate(commands::migrate::Args),
    /// Look after the PostgreSQL database
    #[command(subcommand)]
    Db(commands::db::Db),
    /// What a user asked the AI
    #[command(subcommand)]
    Ai(commands::ai::Ai),
    /// How a user's portfolios do
    #[command(subcommand)]
    Portfolio(commands::portfolio::Portfolio),
    /// Look after the streams in Redis
    #[command(subcommand)]
    Redis(commands::redis::Redis),
    /// The retention policies or buckets of InfluxDB
    Influx(commands::influx::Args),
    /// Is the configuration in order, and does each store answer?
    Check,
}

fn main() -> ExitCode {
    let cli = Cli::parse(); // wrong usage ends here, with exit code 2
    let common = Common {
        config: cli.config,
        data_dir: cli.data_dir,
        json: cli.json,
    };
    let done = match cli.command {
        Command::Demo(args) => commands::demo::run(&args, &common),
        Command::Run(args) => commands::run::run(&args, &common),
        Command::Record(args) => commands::record::run(&args, &common),
        Command::Replay(args) => commands::replay::run(&args, &common),
        Command::Warm(args) => commands::warm::run(&args, &common, &mut std::io::stdout()),
        Command::Simulate(args) => commands::simulate(args, &common),
        Command::Export(args) => common
            .logged()
            .and_then(|()| commands::export::run(&args))
            .map(|()| true),
        Command::Inspect(args) => common
            .logged()
            .and_then(|()| commands::inspect::run(&args, common.json))
            .map(|()| true),
        Command::Strategies(args) => {
            commands::strategies::run(&args, &common, &mut std::io::stdout())
        }
        Command::Indicators(args) => {
            commands::indicators::run(&args, common.json, &mut std::io::stdout())
        }
        Command::New(what) => commands::new::run(&what, common.json, &mut std::io::stdout()),
        Command::Signals(args) => commands::signals(args, &common),
        Command::Migrate(args) => commands::migrate(args, &common),
        Command::Db(command) => commands::db::run(command, &common),
        Command::Ai(command) => commands::ai::run(&command, &common),
        Command::Portfolio(command) => commands::portfolio::run(&command, &common),
        Command::Redis(command) => commands::redis::run(&command, &common),
        Command::Influx(args) => commands::influx(&args, &common),
        Command::Check => commands::check(&common),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => commands::fail(&error),
    }
}

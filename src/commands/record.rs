//! `tickforge record`: an exchange's frames into a capture, with books kept meanwhile so that what
//! breaks is fetched again; no strategies, no stores.

use super::Common;
use crate::app;
use crate::capture::Recorder;
use crate::config::Config;
use anyhow::Context;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The exchange: binance, coinbase, kraken
    #[arg(long)]
    exchange: String,
    /// Unified symbols, `*` for any run of characters: BTC/USDT,*/EUR
    #[arg(long, required = true, value_delimiter = ',', value_name = "SYMBOL,…")]
    symbols: Vec<String>,
    /// Stop after this time, as `30s` or `10m`; until Ctrl-C where left out
    #[arg(long = "for", value_name = "TIME", value_parser = super::duration)]
    run_for: Option<Duration>,
    /// The capture; compressed where its name ends in .zst
    #[arg(short, long = "output", value_name = "FILE")]
    output: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> anyhow::Result<bool> {
    let mut config = common.load()?;
    crate::logging::init(&config.log);
    super::install_crypto();
    super::without_huge_pages();
    // Addresses and limits of the exchange come from the configuration where it has them.
    let text = format!(
        "[exchanges.{}]\nsymbols = {:?}",
        args.exchange, args.symbols
    );
    let named = Config::parse(&text, "the command line")?;
    let (name, wanted) = named
        .exchanges
        .into_iter()
        .next()
        .context("the command line names no exchange")?;
    let mut exchange = config.exchanges.remove(&name).unwrap_or(wanted.clone());
    exchange.symbols = wanted.symbols;
    config.exchanges.clear();
    config.exchanges.insert(name, exchange);
    let recorder = Recorder::start(&args.output)?;
    let deadline = args.run_for.map(|d| Instant::now() + d);
    let recording = app::Recording::start(config, recorder)?;
    super::block_on(super::run::wait(|| recording.crippled(), deadline))??;
    let summary = recording.stop()?;
    super::run::print(&summary, common.json)?;
    Ok(true)
}

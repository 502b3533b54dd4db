//! `tickforge influx setup`: database and retention policies of InfluxDB 1.x, or the buckets of
//! 2.x, as they should be. What differs is told, and mended unless only looked at. `main` calls it.

use crate::config::InfluxConfig;
use crate::publishers::influx::{self, Outcome, Report};
use anyhow::anyhow;
use serde_json::json;
use std::io::{self, Write};

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(clap::Subcommand, Clone, Copy, Debug)]
pub enum Command {
    /// Create what is missing and mend what differs; again and again changes nothing
    Setup {
        /// Create what is missing, and only tell what differs
        #[arg(long)]
        keep: bool,
    },
}

/// Whether all is as it should be.
pub async fn run(
    args: &Args,
    config: &InfluxConfig,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let Command::Setup { keep } = args.command;
    let reports = influx::set_up_now(config, !keep).await;
    let reports = reports.map_err(|reason| anyhow!(reason))?;
    print(out, config, &reports, json)?;
    let well = |r: &Report| !matches!(r.state, Outcome::Differs | Outcome::Forbidden);
    Ok(reports.iter().all(well))
}

fn print(
    out: &mut impl Write,
    config: &InfluxConfig,
    reports: &[Report],
    json: bool,
) -> io::Result<()> {
    if json {
        let (url, database) = (&config.url, &config.database);
        return writeln!(
            out,
            "{}",
            json!({ "url": url, "database": database, "policies": reports })
        );
    }
    for report in reports {
        let differences: Vec<String> = report.differences.iter().map(ToString::to_string).collect();
        let told = match report.state {
            Outcome::Ok => "as it should be".to_owned(),
            Outcome::Created => "created".to_owned(),
            Outcome::Mended => format!("mended: {}", differences.join(", ")),
            Outcome::Differs => format!("DIFFERS: {}", differences.join(", ")),
            Outcome::Forbidden => "NOT ALLOWED: an administrator has to".to_owned(),
        };
        writeln!(out, "{:<12} {told}", report.policy)?;
    }
    Ok(())
}

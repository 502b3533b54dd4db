//! All integration tests in one binary, a module for each subject. `tests/run` gives them servers;
//! a test without its server says `skipped: …` and passes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what is unexpected in a test ends it, and helpers say what is skipped"
)]

mod alloc;
mod api_keys;
mod applications;
mod archive;
mod bar_kinds;
mod bars;
mod capture;
mod config;
mod daemon;
mod db;
mod deploy;
mod disk;
mod emptied;
mod engine;
mod faults;
mod frames;
mod full_disk;
mod fuzz;
mod groups;
mod influx;
#[cfg(feature = "influxdb2")]
mod influx2;
mod influx_rate;
mod influx_setup;
mod ingest;
mod keyspace;
mod kill;
mod kit;
mod life;
mod load;
#[cfg(feature = "influxdb2")]
mod lost;
mod mutation;
mod outcomes;
mod own_postgres;
mod pipeline;
mod postgres;
mod power;
mod power_stores;
mod proxy;
mod rebuild;
mod redis;
mod redis_failover;
mod redis_servers;
mod redis_speed;
mod replay;
mod restart;
mod rights;
mod rows;
mod schema;
mod servers;
#[cfg(feature = "influxdb2")]
mod spool;
mod supervised;
mod talib;
mod throughput;
mod tidy;
mod trial;
mod watch;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

//! All integration tests in one binary, a module for each subject. `tests/run` gives them servers;
//! a test without its server says `skipped: …` and passes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what is unexpected in a test ends it, and helpers say what is skipped"
)]

mod alloc;
mod capture;
mod config;
mod daemon;
mod engine;
mod frames;
mod fuzz;
mod influx;
mod mutation;
mod pipeline;
mod postgres;
mod redis;
mod servers;
mod tidy;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

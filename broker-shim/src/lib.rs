//! klamm: a thin Kafka broker in front of `log-engine`.
//!
//! [`Broker::start`](start) opens the data directories, leads what lies there and serves clients; what is stored, and how,
//! is the engine's affair. The whole surface is [`config::Config`], [`start`], [`start_on`] and [`Running`].

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod api;
mod authorizer;
mod broker;
pub mod config;
mod connection;
mod coordinator;
mod effective;
mod error_map;
mod failed_directories;
mod group;
pub mod metadata;
mod partition;
mod producer_ids;
mod quota;
mod replicas;
mod request_context;
mod server;
mod settings;
mod side_by_side;
mod start;
mod transaction;
mod wait;
mod workers;

pub use server::BindError;
pub use start::{Running, StartError, start, start_on, start_with_threads};

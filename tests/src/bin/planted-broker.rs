//! `planted-broker PLANT SERVER_PROPERTIES`: the broker on a disk with a bug, for harnesses to find.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use broker_shim::config::{Config, Sources};
use klamm_tests::planted::Plant;

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    let mut arguments = std::env::args().skip(1);
    let (Some(plant), Some(properties)) = (arguments.next(), arguments.next()) else {
        return Err("usage: planted-broker PLANT SERVER_PROPERTIES".into());
    };
    let disk = Arc::new(plant.parse::<Plant>()?.disk());
    let sources = Sources { file: Some(PathBuf::from(properties)), ..Sources::default() };
    let config = Config::load(&sources)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let running = broker_shim::start_on(config, disk).await?;
        // Nobody stops it cleanly: it is here to be killed.
        std::future::pending::<()>().await;
        Ok(running.shutdown().await?)
    })
}

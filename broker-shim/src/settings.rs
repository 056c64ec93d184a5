//! What follows the broker's configuration while it runs, the logs of topics excepted, which are `replicas`' affair.

use std::{io, sync::Arc};

use log_engine::Engine;

use crate::{
    config::Config, effective::Layers, metadata::Image, quota::Admission, transaction::VERIFICATION_KEY,
};

/// See the module.
pub(crate) struct Settings {
    engine: Arc<Engine>,
    admission: Arc<Admission>,
}

impl Settings {
    /// As the broker was started; what was configured later comes with the metadata.
    pub(crate) fn new(config: &Config, engine: &Arc<Engine>) -> Self {
        let quota = Layers::of(config, &Image::empty("")).connection_quota();
        Self { engine: Arc::clone(engine), admission: Arc::new(Admission::new(quota)) }
    }

    /// Who may connect.
    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// From now on it is as `layers` say. An error is that of threads that cannot be started.
    pub(crate) fn apply(&self, layers: &Layers<'_>) -> io::Result<()> {
        self.admission.change(layers.connection_quota());
        self.engine.set_producer_expiration_ms(layers.broker_number("producer.id.expiration.ms"));
        self.engine.set_move_rate(move_rate(layers));
        self.engine.set_transaction_verification(layers.broker_flag(VERIFICATION_KEY));
        self.engine.set_cleaner_config(layers.cleaner())
    }
}

/// What logs that are moved between data directories may be copied at, in bytes per second.
fn move_rate(layers: &Layers<'_>) -> u64 {
    match layers.broker_number("replica.alter.log.dirs.io.max.bytes.per.second") {
        i64::MAX => u64::MAX,
        rate => rate.max(1).unsigned_abs(),
    }
}

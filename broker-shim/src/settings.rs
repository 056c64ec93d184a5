//! What follows the broker's configuration while it runs, the logs of topics excepted, which are `replicas`' affair.

use std::{io, sync::Arc};

use log_engine::Engine;

use crate::{
    config::Config,
    effective::Layers,
    metadata::Image,
    quota::{Admission, ClientQuotas, ConnectionRates, Windows},
    transaction::VERIFICATION_KEY,
};

/// See the module.
pub(crate) struct Settings {
    engine: Arc<Engine>,
    admission: Arc<Admission>,
    client_quotas: Arc<ClientQuotas>,
}

impl Settings {
    /// As the broker was started; what was configured later comes with the metadata.
    pub(crate) fn new(config: &Config, engine: &Arc<Engine>) -> Self {
        let quota = Layers::of(config, &Image::empty("")).connection_quota();
        let windows = windows_of(config, "quota.window.num", "quota.window.size.seconds");
        let of_controller =
            windows_of(config, "controller.quota.window.num", "controller.quota.window.size.seconds");
        Self {
            engine: Arc::clone(engine),
            admission: Arc::new(Admission::new(quota, windows)),
            client_quotas: Arc::new(ClientQuotas::new(windows, of_controller)),
        }
    }

    /// What clients may use.
    pub(crate) fn client_quotas(&self) -> &Arc<ClientQuotas> {
        &self.client_quotas
    }

    /// From now on quotas are as the metadata say. May ask the resolver for addresses.
    pub(crate) fn apply_client_quotas(&self, image: &Image) {
        self.client_quotas.apply(image);
        self.admission.change_rates(ConnectionRates::of(image));
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

fn windows_of(config: &Config, number: &str, size_seconds: &str) -> Windows {
    Windows::new(config.number(number), config.number(size_seconds))
}

/// What logs that are moved between data directories may be copied at, in bytes per second.
fn move_rate(layers: &Layers<'_>) -> u64 {
    match layers.broker_number("replica.alter.log.dirs.io.max.bytes.per.second") {
        i64::MAX => u64::MAX,
        rate => rate.max(1).unsigned_abs(),
    }
}

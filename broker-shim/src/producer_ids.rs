//! Producer ids that nobody has had, out of the block that the controller part gave this broker last.

use log_engine::types::ProducerId;
use tokio::sync::Mutex;
use wire::ErrorCode;

use crate::{
    error_map,
    metadata::{MetadataHandle, ops::ProducerIdBlock},
};

/// See the module.
pub(crate) struct ProducerIds {
    metadata: MetadataHandle,
    block: Mutex<ProducerIdBlock>,
}

impl ProducerIds {
    pub(crate) fn new(metadata: MetadataHandle) -> Self {
        Self { metadata, block: Mutex::new(ProducerIdBlock { first: 0, len: 0 }) }
    }

    /// One that nobody has had.
    ///
    /// # Errors
    /// Where there is none, or it cannot be recorded that this one is taken.
    pub(crate) async fn next(&self) -> Result<ProducerId, ErrorCode> {
        let mut block = self.block.lock().await;
        if block.len == 0 {
            let allocated = self.metadata.allocate_producer_ids().await;
            match allocated.map_err(|error| error_map::change(&error))? {
                Ok(next) => *block = next,
                Err(refusal) => {
                    tracing::error!(%refusal, "no producer id can be given");
                    return Err(ErrorCode::UnknownServerError);
                }
            }
        }
        let id = block.first;
        block.first += 1;
        block.len -= 1;
        Ok(ProducerId::new(id))
    }
}

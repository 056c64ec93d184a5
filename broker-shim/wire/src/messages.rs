//! Requests and responses, expanded from `schemas/api/`.

use std::borrow::Cow;

use crate::ApiKey;
use crate::message::*;
use crate::primitives::{Reader, RecordsRef, ResponseRecords, UnknownTaggedFields, Uuid, Writer};

include!(concat!(env!("OUT_DIR"), "/messages.rs"));

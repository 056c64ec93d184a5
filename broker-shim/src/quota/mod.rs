//! What clients may use up: connections, bytes, time of threads, changes of the metadata.
//!
//! `limits` says which quota is whose, `rate` and `bucket` reckon as Kafka's `Rate` and `TokenBucket` do, `clients` keeps
//! one of these for whom it is due, and `admission` lets connections in. What follows from an answer, that the connection
//! is not heard for a while, is `connection`'s affair.

mod admission;
mod bucket;
mod clients;
mod limits;
mod rate;
mod thread_time;

pub(crate) use admission::{Admission, Admitted, Quota, Slot};
pub(crate) use clients::{ClientQuotas, Strictness};
pub(crate) use limits::{ConnectionRates, Payer};
pub(crate) use rate::Windows;
pub(crate) use thread_time::ThreadTime;

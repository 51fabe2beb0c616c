//! Faults on loopback: small servers that misbehave the way real ones do.
// Helpers of tests may panic as tests do; clippy's own exception covers only the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "faults/connecting.rs"]
mod connecting;
#[path = "faults/credentials.rs"]
mod credentials;
#[path = "faults/flags.rs"]
mod flags;
#[path = "faults/gate.rs"]
mod gate;
#[path = "faults/lists.rs"]
mod lists;
#[path = "faults/logs.rs"]
mod logs;
#[path = "faults/notify.rs"]
mod notify;
#[path = "faults/prometheus.rs"]
mod prometheus;
#[path = "faults/rights.rs"]
mod rights;
#[path = "faults/server.rs"]
mod server;
#[path = "faults/watches.rs"]
mod watches;

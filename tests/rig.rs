//! The suite against real components: etcd, kube-apiserver, Argo Rollouts, Prometheus.
//!
//! Here, too, what only makes sense beside the real thing: the embedded API server and the embedded Prometheus compared with
//! theirs, and the real Rollouts controller at work on the embedded API server.
//!
//! Build them once with `tests/cluster/build`. One rig serves the whole run, a namespace each test; a test that
//! breaks a component starts its own.

// A test that cannot go on should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cluster/rig.rs"]
mod cluster;
mod suite;

#[path = "rig/api_write.rs"]
mod api_write;
#[path = "rig/health.rs"]
mod health;
#[path = "rig/kruise.rs"]
mod kruise;
#[path = "rig/mixed.rs"]
mod mixed;
#[path = "rig/promql.rs"]
mod promql;
#[path = "rig/real_controller.rs"]
mod real_controller;
#[path = "rig/split.rs"]
mod split;

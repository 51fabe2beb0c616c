//! The embedded cluster: a small Kubernetes API server and a small Prometheus on loopback, controllers that behave as
//! the real ones do, and traffic. rolltop is an ordinary client of it, as kubectl can be.

pub mod api;
pub mod controllers;
pub mod drill;
pub mod exposition;
pub mod flags;
pub mod kinds;
pub mod kubeconfig;
pub mod ledger;
pub mod loadtester;
pub mod prometheus;
pub mod refusal;
pub mod registry;
pub mod routes;
pub mod scenario;
pub mod scrape;
pub mod serve;
pub mod sim;
pub mod store;
pub mod traffic;
pub mod workloads;
pub mod world;

//! Pure tests: fixtures, tables, properties, snapshots. They need nothing but this crate.

// A test that cannot go on should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "pure/argo.rs"]
mod argo;
#[path = "pure/bluegreen.rs"]
mod bluegreen;
#[path = "pure/config.rs"]
mod config;
#[path = "pure/counting.rs"]
mod counting;
#[path = "pure/daemonset.rs"]
mod daemonset;
#[path = "pure/deployment.rs"]
mod deployment;
#[path = "pure/flagger.rs"]
mod flagger;
#[path = "pure/flags.rs"]
mod flags;
#[path = "pure/notify.rs"]
mod notify;
#[path = "pure/ratio.rs"]
mod ratio;
#[path = "pure/readme.rs"]
mod readme;
#[path = "pure/scenarios.rs"]
mod scenarios;
// What tests of several engines share.
#[path = "pure/kit.rs"]
mod kit;
#[path = "pure/knative.rs"]
mod knative;
#[path = "pure/kruise.rs"]
mod kruise;
#[path = "pure/kserve.rs"]
mod kserve;
#[path = "pure/managers.rs"]
mod managers;
#[path = "pure/sample.rs"]
mod sample;
#[path = "pure/split.rs"]
mod split;
#[path = "pure/statefulset.rs"]
mod statefulset;
#[path = "pure/ui.rs"]
mod ui;
#[path = "pure/verdict.rs"]
mod verdict;
#[path = "pure/watchman.rs"]
mod watchman;

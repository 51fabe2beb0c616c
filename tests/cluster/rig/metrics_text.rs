//! Empty: what the exporter shows is `rolltop::demo::exposition`. This file and its line in `rig.rs` can go.

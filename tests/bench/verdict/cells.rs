//! The releases: what is true of them, and how their requests come.

/// What both sides do at a tick.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Share of failed requests, new and old side.
    pub fails: [f64; 2],
    /// Share of requests over the limit, new and old side.
    pub slow: [f64; 2],
    /// Part of the requests that counters still show; a pod that restarts takes its own along.
    pub counted: [f64; 2],
    /// Nobody scraped.
    pub gap: bool,
}

/// One kind of release.
pub struct Cell {
    pub name: &'static str,
    /// The label: whether the new version really is worse.
    pub worse: bool,
    /// Requests a second of both sides; a tenth are the new side's.
    pub rate: f64,
    /// How many failures come at once.
    pub clump: f64,
    /// How many times as slow the new side is.
    pub latency: f64,
    pub moment: fn(usize, &mut fastrand::Rng) -> Moment,
}

/// A twentieth of the requests take longer than the old side's p95.
pub const SLOW: f64 = 0.05;

const fn steady(new: f64, old: f64) -> Moment {
    Moment { fails: [new, old], slow: [SLOW, SLOW], counted: [1.0, 1.0], gap: false }
}

const SAME: Cell = Cell { name: "", worse: false, rate: 100.0, clump: 1.0, latency: 1.0, moment: |_, _| steady(0.01, 0.01) };
const WORSE: Cell = Cell { worse: true, ..SAME };

fn tide(i: usize) -> f64 {
    1.0 + 0.8 * (i as f64 / 60.0).sin()
}

/// A burst of twenty seconds every two minutes.
fn burst(i: usize) -> bool {
    i % 24 < 4
}

pub const CELLS: &[Cell] = &[
    Cell { name: "same, 0.2 %", moment: |_, _| steady(0.002, 0.002), ..SAME },
    Cell { name: "same, 1 %", ..SAME },
    Cell { name: "same, 0.2 %, 1 request/s on the new side", rate: 10.0, moment: |_, _| steady(0.002, 0.002), ..SAME },
    Cell { name: "same, day curve ±80 %", moment: |i, _| steady(0.01 * tide(i), 0.01 * tide(i)), ..SAME },
    Cell { name: "same, old side sick (12 %)", moment: |_, _| steady(0.12, 0.12), ..SAME },
    Cell { name: "same, shared 8× bursts", moment: |i, _| if burst(i) { steady(0.08, 0.08) } else { steady(0.01, 0.01) }, ..SAME },
    Cell { name: "same, every failure retried twice", clump: 3.0, ..SAME },
    Cell {
        name: "same, 2× bursts of one side or the other",
        moment: |i, _| match (burst(i), i / 24 % 2) {
            (true, 0) => steady(0.02, 0.01),
            (true, _) => steady(0.01, 0.02),
            _ => steady(0.01, 0.01),
        },
        ..SAME
    },
    Cell {
        name: "same, pods restart on both sides",
        moment: |_, rng| Moment {
            counted: [if rng.f64() < 0.05 { 0.5 } else { 1.0 }, if rng.f64() < 0.05 { 0.9 } else { 1.0 }],
            ..steady(0.01, 0.01)
        },
        ..SAME
    },
    Cell { name: "same, a third of the scrapes missing", moment: |_, rng| Moment { gap: rng.f64() < 0.33, ..steady(0.01, 0.01) }, ..SAME },
    Cell { name: "cold start: 3× for 30 s, then the same", moment: |i, _| steady(if i < 6 { 0.03 } else { 0.01 }, 0.01), ..SAME },
    Cell {
        name: "cold start: half as slow again for 30 s, then the same",
        moment: |i, _| Moment { slow: [if i < 6 { 0.128 } else { SLOW }, SLOW], ..steady(0.01, 0.01) },
        ..SAME
    },
    Cell { name: "better: half the failures", moment: |_, _| steady(0.005, 0.01), ..SAME },
    Cell { name: "1.5× of 1 %", moment: |_, _| steady(0.015, 0.01), ..WORSE },
    Cell { name: "2× of 0.2 %", moment: |_, _| steady(0.004, 0.002), ..WORSE },
    Cell { name: "2× of 1 %", moment: |_, _| steady(0.02, 0.01), ..WORSE },
    Cell { name: "5× of 0.2 %", moment: |_, _| steady(0.01, 0.002), ..WORSE },
    Cell { name: "5× of 1 %", moment: |_, _| steady(0.05, 0.01), ..WORSE },
    Cell { name: "20× of 0.2 %", moment: |_, _| steady(0.041, 0.002), ..WORSE },
    Cell { name: "5× of 0.2 %, 1 request/s on the new side", rate: 10.0, moment: |_, _| steady(0.01, 0.002), ..WORSE },
    Cell { name: "one bad pod in five (10 %)", moment: |_, _| steady(0.028, 0.01), ..WORSE },
    Cell { name: "2× of 1 %, day curve ±80 %", moment: |i, _| steady(0.02 * tide(i), 0.01 * tide(i)), ..WORSE },
    Cell {
        name: "2× of 1 %, a third of the scrapes missing",
        moment: |_, rng| Moment { gap: rng.f64() < 0.33, ..steady(0.02, 0.01) },
        ..WORSE
    },
    Cell { name: "5× of 1 % from the tenth minute on", moment: |i, _| steady(if i < 120 { 0.01 } else { 0.05 }, 0.01), ..WORSE },
    // Of log-normal latencies so many lie over the old side's p95.
    Cell { name: "1.5× the latency", latency: 1.5, moment: |_, _| Moment { slow: [0.128, SLOW], ..steady(0.01, 0.01) }, ..WORSE },
    Cell { name: "2× the latency", latency: 2.0, moment: |_, _| Moment { slow: [0.218, SLOW], ..steady(0.01, 0.01) }, ..WORSE },
];

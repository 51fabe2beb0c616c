//! Random queries, the same for the same seed.

use fastrand::Rng;

const SELECTORS: [&str; 18] = [
    "odd_total",
    "odd_total{case!=\"huge\"}",
    "odd_total{zone=~\"[abe]\"}",
    "odd_value{case=~\"wave|negative|time\"}",
    "odd_value",
    "left",
    "left{a!=\"3\"}",
    "right",
    "twin",
    "build_info",
    "irregular_total",
    "llm_quality_score",
    "up",
    "http_requests_total",
    "istio_requests_total{reporter=\"source\"}",
    "nginx_ingress_controller_requests{status!=\"404\"}",
    "{a=\"1\", __name__=~\"left|right\"}",
    "nothing",
];

const LABELS: [&str; 12] = ["a", "b", "l", "r", "case", "zone", "version", "code", "response_code", "status", "canary", "__name__"];

const OVER_TIME: [&str; 18] = [
    "rate",
    "increase",
    "irate",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "first_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "present_over_time",
];

/// Not those whose last digits differ between libraries: a remainder or a slope would bring these to the front.
const EACH: [&str; 8] = ["abs", "ceil", "floor", "sqrt", "sgn", "round", "timestamp", "sort"];

const AGGREGATES: [&str; 8] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];

const NUMBERS: [&str; 10] = ["0", "1", "2.5", "-3", "100", "1e3", "0.1", "Inf", "NaN", "scalar(right{a=\"4\"})"];

const DURATIONS: [&str; 8] = ["15s", "30s", "47s", "1m", "2m", "5m", "11m", "30m"];

pub fn query(rng: &mut Rng) -> String {
    let depth = rng.usize(1..4);
    let vector = vector(rng, depth);
    // Where values are equal, any of them may be the top one: only outermost can that be allowed for.
    match rng.u8(0..20) {
        0 => format!("topk({}, {vector})", rng.u8(1..5)),
        1 => format!("bottomk by ({}) ({}, {vector})", labels(rng), rng.u8(1..3)),
        _ => vector,
    }
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(0..from.len())]
}

fn labels(rng: &mut Rng) -> String {
    let count = rng.usize(0..3);
    (0..count).map(|_| pick(rng, &LABELS)).collect::<Vec<_>>().join(", ")
}

fn when(rng: &mut Rng) -> &'static str {
    match rng.u8(0..24) {
        0 => " offset 1m",
        1 => " offset -90s",
        2 => " @ start()",
        3 => " @ end() offset 30s",
        4 => " offset 20m",
        _ => "",
    }
}

fn vector(rng: &mut Rng, depth: usize) -> String {
    if depth == 0 {
        return format!("{}{}", pick(rng, &SELECTORS), when(rng));
    }
    match rng.u8(0..13) {
        0 | 1 => format!("{}({})", pick(rng, &OVER_TIME), range(rng, depth)),
        2 => format!("quantile_over_time({}, {})", pick(rng, &["0.5", "0.9", "0", "1", "-1"]), range(rng, depth)),
        3 => format!("{}({})", pick(rng, &EACH), vector(rng, depth - 1)),
        4 => format!("{} by ({}) ({})", pick(rng, &AGGREGATES), labels(rng), vector(rng, depth - 1)),
        5 => format!("{} without ({}) ({})", pick(rng, &AGGREGATES), labels(rng), vector(rng, depth - 1)),
        6 => format!("({} {} {})", vector(rng, depth - 1), operator(rng), pick(rng, &NUMBERS)),
        7 => format!("({} {} {})", pick(rng, &NUMBERS), operator(rng), vector(rng, depth - 1)),
        8 => format!("({} {} {})", vector(rng, depth - 1), matching(rng), vector(rng, depth - 1)),
        9 => format!("({} {} {})", vector(rng, depth - 1), set(rng), vector(rng, depth - 1)),
        10 => match rng.u8(0..5) {
            0 => format!("label_replace({}, \"{}\", \"n$1\", \"{}\", \"(.).*\")", vector(rng, depth - 1), label(rng), label(rng)),
            1 => format!("label_join({}, \"{}\", \"-\", \"{}\", \"{}\")", vector(rng, depth - 1), label(rng), label(rng), label(rng)),
            2 => format!("clamp({}, -5, 50)", vector(rng, depth - 1)),
            3 => format!("absent({})", vector(rng, depth - 1)),
            _ => format!("-{}", vector(rng, depth - 1)),
        },
        11 => format!("vector(scalar({}))", vector(rng, depth - 1)),
        _ => format!("quantile by ({}) (0.7, {})", labels(rng), vector(rng, depth - 1)),
    }
}

fn label(rng: &mut Rng) -> &'static str {
    pick(rng, &LABELS[..LABELS.len() - 1])
}

fn range(rng: &mut Rng, depth: usize) -> String {
    if rng.u8(0..3) == 0 {
        let step = pick(rng, &["10s", "15s", "1m", ""]);
        return format!("({})[{}:{step}]{}", vector(rng, depth - 1), pick(rng, &DURATIONS), when(rng));
    }
    format!("{}[{}]{}", pick(rng, &SELECTORS), pick(rng, &DURATIONS), when(rng))
}

fn operator(rng: &mut Rng) -> &'static str {
    pick(rng, &["+", "-", "*", "/", "%", ">", "<", ">=", "<=", "==", "!=", "> bool", "!= bool"])
}

fn matching(rng: &mut Rng) -> String {
    let on = pick(rng, &["on", "ignoring"]);
    let group = match rng.u8(0..5) {
        0 => format!(" group_left ({})", pick(rng, &["", "r", "version", "l"])),
        1 => format!(" group_right ({})", pick(rng, &["", "r", "version", "l"])),
        _ => String::new(),
    };
    match rng.u8(0..3) {
        0 => operator(rng).to_owned(),
        _ => format!("{} {on} ({}){group}", operator(rng), labels(rng)),
    }
}

fn set(rng: &mut Rng) -> String {
    let on = pick(rng, &["on", "ignoring"]);
    match rng.u8(0..3) {
        0 => pick(rng, &["and", "or", "unless"]).to_owned(),
        _ => format!("{} {on} ({})", pick(rng, &["and", "or", "unless"]), labels(rng)),
    }
}

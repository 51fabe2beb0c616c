//! The functions of PromQL, by name.

use chrono::{DateTime, Datelike, Timelike, Utc};
use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{token::T_EQL_REGEX, value::ValueType},
};

use super::{
    super::{
        error::Error,
        format,
        labels::{Labels, NAME},
        parse::{Expr, When},
    },
    ABSENT, Eval, Line, Out, Result, histogram, is_stale, math, merged, over_time as over,
    over_time::Window,
};

/// A function and how it is applied.
pub struct Function {
    pub name: &'static str,
    pub call: Call,
    /// Whether the result is another metric than the argument.
    pub drops_name: bool,
    /// Whether the result may differ between steps although the arguments do not.
    pub reads_clock: bool,
}

#[derive(Clone, Copy)]
pub enum Call {
    /// Of a range of each series.
    Over(fn(&Window<'_>) -> Option<f64>),
    /// Of each value.
    Each(fn(f64) -> f64),
    Special(fn(Eval<'_>, &[Expr]) -> Result<Out>),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn over(name: &'static str, call: fn(&Window<'_>) -> Option<f64>) -> Function {
    Function { name, call: Call::Over(call), drops_name: true, reads_clock: false }
}

const fn each(name: &'static str, call: fn(f64) -> f64) -> Function {
    Function { name, call: Call::Each(call), drops_name: true, reads_clock: false }
}

const fn special(name: &'static str, call: fn(Eval<'_>, &[Expr]) -> Result<Out>) -> Function {
    Function { name, call: Call::Special(call), drops_name: true, reads_clock: false }
}

impl Function {
    const fn keeping_name(self) -> Self {
        Self { drops_name: false, ..self }
    }

    const fn reading_clock(self) -> Self {
        Self { reads_clock: true, ..self }
    }

    pub fn kind(&self) -> ValueType {
        if ["time", "pi", "scalar"].contains(&self.name) { ValueType::Scalar } else { ValueType::Vector }
    }

    /// What Prometheus notes about such a call on such a series.
    pub(super) fn remark(&self, eval: Eval<'_>, labels: &Labels, params: impl Iterator<Item = f64>) {
        match self.name {
            "rate" | "increase" => {
                let name = labels.get(NAME);
                if !name.is_empty() && !["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end)) {
                    eval.inform(format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"));
                }
            }
            "quantile_over_time" => params.for_each(|q| check_quantile(eval, q)),
            _ => (),
        }
    }
}

/// All functions that need no feature flag.
static FUNCTIONS: &[Function] = &[
    over("rate", over::rate),
    over("increase", over::increase),
    over("delta", over::delta),
    over("irate", over::irate),
    over("idelta", over::idelta),
    over("deriv", over::deriv),
    over("predict_linear", over::predict_linear).reading_clock(),
    over("changes", over::changes),
    over("resets", over::resets),
    over("avg_over_time", over::avg),
    over("sum_over_time", over::sum),
    over("min_over_time", over::min),
    over("max_over_time", over::max),
    over("count_over_time", over::count),
    over("first_over_time", over::first).keeping_name(),
    over("last_over_time", over::last).keeping_name(),
    over("stddev_over_time", over::stddev),
    over("stdvar_over_time", over::stdvar),
    over("quantile_over_time", over::quantile),
    over("present_over_time", over::present),
    special("absent_over_time", absent_over_time),
    each("abs", f64::abs),
    each("ceil", f64::ceil),
    each("floor", f64::floor),
    each("exp", f64::exp),
    each("sqrt", f64::sqrt),
    each("ln", f64::ln),
    each("log2", f64::log2),
    each("log10", f64::log10),
    each("sgn", |value| if value == 0.0 || value.is_nan() { value } else { value.signum() }),
    each("sin", f64::sin),
    each("cos", f64::cos),
    each("tan", f64::tan),
    each("asin", f64::asin),
    each("acos", f64::acos),
    each("atan", f64::atan),
    each("sinh", f64::sinh),
    each("cosh", f64::cosh),
    each("tanh", f64::tanh),
    each("asinh", f64::asinh),
    each("acosh", f64::acosh),
    each("atanh", f64::atanh),
    each("deg", |value| value * 180.0 / std::f64::consts::PI),
    each("rad", |value| value * std::f64::consts::PI / 180.0),
    special("round", round),
    special("clamp", |eval, a| clamp(eval, a, 1, 2)),
    special("clamp_min", |eval, a| clamp(eval, a, 1, usize::MAX)),
    special("clamp_max", |eval, a| clamp(eval, a, usize::MAX, 1)),
    special("absent", absent),
    special("scalar", scalar),
    special("vector", vector),
    special("time", |eval, _| Ok(Out::Scalar(eval.grid.times().map(|at| at as f64 / 1_000.0).collect()))).reading_clock(),
    special("pi", |eval, _| Ok(Out::Scalar(vec![std::f64::consts::PI; eval.grid.steps]))),
    special("timestamp", timestamp).reading_clock(),
    special("sort", |eval, a| sort(eval, a, false)).keeping_name(),
    special("sort_desc", |eval, a| sort(eval, a, true)).keeping_name(),
    special("label_replace", label_replace),
    special("label_join", label_join),
    special("histogram_quantile", histogram::quantile),
    special("histogram_fraction", histogram::fraction),
    // Of native histograms, which nothing here has.
    special("histogram_avg", nothing),
    special("histogram_count", nothing),
    special("histogram_sum", nothing),
    special("histogram_stddev", nothing),
    special("histogram_stdvar", nothing),
    date("year", |eval, a| dates(eval, a, |t| f64::from(t.year()))),
    date("month", |eval, a| dates(eval, a, |t| f64::from(t.month()))),
    date("day_of_month", |eval, a| dates(eval, a, |t| f64::from(t.day()))),
    date("day_of_week", |eval, a| dates(eval, a, |t| f64::from(t.weekday().num_days_from_sunday()))),
    date("day_of_year", |eval, a| dates(eval, a, |t| f64::from(t.ordinal()))),
    date("days_in_month", |eval, a| dates(eval, a, |t| f64::from(t.num_days_in_month()))),
    date("hour", |eval, a| dates(eval, a, |t| f64::from(t.hour()))),
    date("minute", |eval, a| dates(eval, a, |t| f64::from(t.minute()))),
];

const fn date(name: &'static str, call: fn(Eval<'_>, &[Expr]) -> Result<Out>) -> Function {
    special(name, call).reading_clock()
}

pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

fn vector_of(eval: Eval<'_>, arguments: &[Expr], index: usize) -> Result<Vec<Line>> {
    arguments.get(index).map_or(Ok(Vec::new()), |argument| eval.vector(argument))
}

/// The number at every step; `default` if it was left out.
pub(super) fn number_of(eval: Eval<'_>, arguments: &[Expr], index: usize, default: f64) -> Result<Vec<f64>> {
    arguments.get(index).map_or_else(|| Ok(vec![default; eval.grid.steps]), |argument| eval.scalar(argument))
}

fn text_of(arguments: &[Expr], index: usize) -> &str {
    match arguments.get(index) {
        Some(Expr::Text(text)) => text,
        _ => "",
    }
}

/// Applies a function of step and value to all values of the first argument.
fn change(eval: Eval<'_>, arguments: &[Expr], function: impl Fn(usize, f64) -> f64) -> Result<Out> {
    let mut lines = vector_of(eval, arguments, 0)?;
    for line in &mut lines {
        line.labels = line.labels.without_name();
        let present = line.values.iter_mut().enumerate().filter(|(_, value)| !is_stale(**value));
        present.for_each(|(step, value)| *value = function(step, *value));
    }
    merged(lines).map(Out::Vector)
}

fn round(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let nearest = number_of(eval, arguments, 1, 1.0)?;
    change(eval, arguments, |step, value| {
        let inverse = 1.0 / nearest[step];
        (value * inverse + 0.5).floor() / inverse
    })
}

fn clamp(eval: Eval<'_>, arguments: &[Expr], least: usize, most: usize) -> Result<Out> {
    let least = number_of(eval, arguments, least, f64::NEG_INFINITY)?;
    let most = number_of(eval, arguments, most, f64::INFINITY)?;
    // Where the least is more than the most nothing is left.
    change(
        eval,
        arguments,
        |step, value| {
            if most[step] < least[step] { ABSENT } else { math::max(least[step], math::min(most[step], value)) }
        },
    )
}

fn absent(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let labels = match arguments.first() {
        Some(Expr::Select(selector)) => selector.certain(),
        _ => Labels::empty(),
    };
    Ok(missing(eval, labels, &vector_of(eval, arguments, 0)?))
}

fn absent_over_time(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let labels = match arguments.first() {
        Some(Expr::Range(selector, _)) => selector.certain(),
        _ => Labels::empty(),
    };
    static PRESENT: Function = over("present_over_time", over::present).keeping_name();
    let lines = eval.collect(|line| eval.windows(&PRESENT, over::present, arguments, line))?;
    Ok(missing(eval, labels, &lines))
}

/// One at the steps where no line has a value.
fn missing(eval: Eval<'_>, labels: Labels, lines: &[Line]) -> Out {
    let empty = |step: usize| lines.iter().all(|line| is_stale(line.values[step]));
    let values = (0..eval.grid.steps).map(|step| if empty(step) { 1.0 } else { ABSENT }).collect();
    Out::Vector(vec![Line { labels, values }])
}

fn scalar(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let lines = vector_of(eval, arguments, 0)?;
    let only = |step: usize| {
        let mut values = lines.iter().map(|line| line.values[step]).filter(|value| !is_stale(*value));
        match (values.next(), values.next()) {
            (Some(value), None) => value,
            _ => f64::NAN,
        }
    };
    Ok(Out::Scalar((0..eval.grid.steps).map(only).collect()))
}

fn vector(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    Ok(Out::Vector(vec![Line { labels: Labels::empty(), values: number_of(eval, arguments, 0, f64::NAN)? }]))
}

fn timestamp(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    if let Some(Expr::Select(selector)) = arguments.first() {
        // The sample's own time, which is known only here. With `@`, Prometheus forgets the offset when it judges the age.
        let fixed = selector.when.at.is_some();
        let when = When { offset: if fixed { selector.when.offset.max(0) } else { selector.when.offset }, ..selector.when };
        let oldest = eval.resolve(When { offset: 0, ..when }, eval.grid.start) - eval.query.span.lookback;
        let own = |time: i64, _| if fixed && time <= oldest { ABSENT } else { time as f64 / 1_000.0 };
        let mut lines = eval.collect(|line| eval.select(&selector.matchers, when, own, line))?;
        lines.iter_mut().for_each(|line| line.labels = line.labels.without_name());
        return merged(lines).map(Out::Vector);
    }
    change(eval, arguments, |step, _| eval.grid.at(step) as f64 / 1_000.0)
}

fn sort(eval: Eval<'_>, arguments: &[Expr], descending: bool) -> Result<Out> {
    let mut lines = vector_of(eval, arguments, 0)?;
    if !eval.grid.is_one_moment() {
        eval.warn("sort is ineffective for range queries since results are always ordered by labels");
        return Ok(Out::Vector(lines));
    }
    let value = |line: &Line| line.values.first().copied().unwrap_or(f64::NAN);
    lines.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        let order = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
        // NaN comes last in either direction.
        order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    });
    Ok(Out::Vector(lines))
}

fn label_replace(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let [target, replacement, source, pattern] = [1, 2, 3, 4].map(|index| text_of(arguments, index));
    // The matcher's expression is anchored at both ends, as this one must be.
    let matcher = Matcher::new_matcher(T_EQL_REGEX, String::new(), format!("(?s:{pattern})"));
    let Ok(Matcher { op: MatchOp::Re(expression), .. }) = matcher else {
        return Err(Error::execution(format!("invalid regular expression in label_replace(): {pattern}")));
    };
    check_label(target, "destination label name in label_replace()")?;
    let mut lines = vector_of(eval, arguments, 0)?;
    for line in &mut lines {
        if let Some(captures) = expression.captures(line.labels.get(source)) {
            let mut value = String::new();
            captures.expand(replacement, &mut value);
            line.labels = line.labels.with(target, &value);
        }
    }
    merged(lines).map(Out::Vector)
}

fn label_join(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let (target, separator) = (text_of(arguments, 1), text_of(arguments, 2));
    let sources: Vec<&str> = (3..arguments.len()).map(|index| text_of(arguments, index)).collect();
    sources.iter().try_for_each(|source| check_label(source, "source label name in label_join()"))?;
    check_label(target, "destination label name in label_join()")?;
    let mut lines = vector_of(eval, arguments, 0)?;
    for line in &mut lines {
        let values: Vec<&str> = sources.iter().map(|source| line.labels.get(source)).collect();
        line.labels = line.labels.with(target, &values.join(separator));
    }
    merged(lines).map(Out::Vector)
}

/// Any text may be a label's name since Prometheus 3, but for none.
fn check_label(name: &str, what: &str) -> Result<()> {
    if name.is_empty() { Err(Error::execution(format!("invalid {what}: {name}"))) } else { Ok(()) }
}

/// Of the values as seconds since 1970, or of each step's own time.
fn dates(eval: Eval<'_>, arguments: &[Expr], part: fn(&DateTime<Utc>) -> f64) -> Result<Out> {
    let of = |seconds: i64| DateTime::from_timestamp(seconds, 0).map_or(f64::NAN, |time| part(&time));
    if arguments.is_empty() {
        let values = eval.grid.times().map(|at| of(at.div_euclid(1_000))).collect();
        return Ok(Out::Vector(vec![Line { labels: Labels::empty(), values }]));
    }
    change(eval, arguments, |_, value| of(value as i64))
}

fn nothing(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    vector_of(eval, arguments, 0)?;
    Ok(Out::Vector(Vec::new()))
}

pub(super) fn check_quantile(eval: Eval<'_>, q: f64) {
    if !(0.0..=1.0).contains(&q) {
        eval.warn(format!("quantile value should be between 0 and 1, got {}", format::general(q)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_there_once_and_known_to_the_grammar() {
        let mut names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FUNCTIONS.len());
        for name in names {
            let error = promql_parser::parser::parse(&format!("{name}(1, 2, 3, 4, 5, 6, 7)")).err();
            assert!(error.as_ref().is_none_or(|e| !e.contains("unknown")), "{name}: {error:?}");
        }
    }
}

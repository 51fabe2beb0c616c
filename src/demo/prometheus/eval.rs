//! Evaluates a query over all its steps at once, node by node, as Prometheus' own engine does.
//!
//! An instant vector over several steps is a list of [`Line`]s: labels and a value, or none, for every step. Selectors and
//! functions over ranges can hand their lines on one by one ([`Eval::each`]), so that a sum over twenty thousand series
//! does not hold them all.

mod aggregate;
mod binary;
pub mod functions;
mod histogram;
mod math;
mod over_time;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use promql_parser::parser::value::ValueType;

use super::{
    Answer, Notes, Point, Sample, Series, Span, Value,
    chunk::{STALE, is_stale},
    error::Error,
    labels::{BUCKET, LabelSet, Labels, NAME},
    parse::{At, Expr, Matcher, Subquery, When},
    storage::Storage,
};
use functions::Call;
use over_time::Window;

/// In place of a value at a step that has none. Never the result of a calculation.
const ABSENT: f64 = STALE;

/// Values one node of a query may have, all steps of all series.
const MOST_VALUES: usize = 3_000_000;

/// Points an answer may have: as text they are larger still.
const MOST_POINTS: usize = 1_000_000;

/// Samples and values one query may touch: some seconds of work.
const MOST_WORK: u64 = 200_000_000;

/// Steps of a subquery that names none, in milliseconds: Prometheus' default evaluation interval.
const SUBQUERY_STEP: i64 = 60_000;

type Result<T> = std::result::Result<T, Error>;

/// Takes the lines of a vector one by one.
type EachLine<'a> = dyn FnMut(&Labels, &[f64]) -> Result<()> + 'a;

/// Takes the points of a range series by series.
type EachRange<'a> = dyn FnMut(&Labels, &[Point], Ranged) -> Result<()> + 'a;

/// Labels and a value for every step.
#[derive(Debug, Clone)]
pub(super) struct Line {
    labels: Labels,
    values: Vec<f64>,
}

impl Line {
    fn has_values(&self) -> bool {
        self.values.iter().any(|value| !is_stale(*value))
    }
}

/// The value of a node that is no range.
#[derive(Debug)]
pub(super) enum Out {
    Scalar(Vec<f64>),
    Vector(Vec<Line>),
    Text(String),
}

/// The steps at which a node is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    start: i64,
    /// Not before the last step, and not always at it.
    end: i64,
    step: i64,
    steps: usize,
}

impl Grid {
    fn new(start: i64, end: i64, step: i64) -> Self {
        let steps = if end < start { 0 } else { (end - start) / step + 1 };
        Self { start, end, step, steps: steps as usize }
    }

    /// As for an instant query; a range may have but one step and still be a range.
    fn is_one_moment(self) -> bool {
        self.start == self.end
    }

    fn at(self, step: usize) -> i64 {
        self.start + self.step * step as i64
    }

    fn times(self) -> impl Iterator<Item = i64> {
        (0..self.steps).map(move |step| self.at(step))
    }

    fn last(self) -> i64 {
        self.at(self.steps.saturating_sub(1))
    }
}

/// What all nodes of one query share.
struct Query<'a> {
    storage: &'a Storage,
    span: Span,
    work: Cell<u64>,
    notes: RefCell<Notes>,
}

/// One node's view of the query: the same for its children, but for subqueries.
#[derive(Clone, Copy)]
pub(super) struct Eval<'a> {
    query: &'a Query<'a>,
    grid: Grid,
}

/// How far a range reaches, in milliseconds, and from when.
#[derive(Clone, Copy)]
struct Ranged {
    range: i64,
    when: When,
}

/// Evaluates a query.
///
/// # Errors
/// Those of Prometheus in its words.
pub fn evaluate(storage: &Storage, expr: &Expr, span: Span) -> Result<Answer> {
    let query = Query { storage, span, work: Cell::new(0), notes: RefCell::default() };
    let eval = Eval { query: &query, grid: Grid::new(span.start, span.end, span.step.unwrap_or(1)) };
    let value = match (expr.kind(), span.step) {
        (ValueType::Matrix, _) => Value::Matrix(eval.matrix(expr)?),
        (_, Some(_)) => Value::Matrix(eval.steps(expr)?),
        (_, None) => eval.once(expr)?,
    };
    Ok(Answer { value, notes: query.notes.into_inner() })
}

impl<'a> Eval<'a> {
    /// The answer to a range query.
    fn steps(self, expr: &Expr) -> Result<Vec<Series>> {
        let lines = match self.eval(expr)? {
            Out::Scalar(values) => vec![Line { labels: Labels::empty(), values }],
            Out::Vector(lines) => lines,
            Out::Text(_) => Vec::new(),
        };
        answered(lines.into_iter().filter_map(|line| self.series(line)))
    }

    fn series(self, line: Line) -> Option<Series> {
        let points: Vec<Point> = self.grid.times().zip(line.values).filter(|(_, value)| !is_stale(*value)).collect();
        (!points.is_empty()).then_some(Series { labels: line.labels, points })
    }

    /// The answer to an instant query.
    fn once(self, expr: &Expr) -> Result<Value> {
        Ok(match self.eval(expr)? {
            Out::Scalar(values) => Value::Scalar(values.first().copied().unwrap_or(f64::NAN)),
            Out::Text(text) => Value::String(text),
            Out::Vector(lines) => {
                let sample = |line: Line| Some(Sample { value: line.values.first().copied()?, labels: line.labels });
                Value::Vector(lines.into_iter().filter_map(sample).filter(|sample| !is_stale(sample.value)).collect())
            }
        })
    }

    /// The answer to an instant query for a range.
    fn matrix(self, expr: &Expr) -> Result<Vec<Series>> {
        if let Expr::Subquery(subquery) = expr {
            let inner = self.within(subquery);
            return answered(inner.vector(&subquery.expr)?.into_iter().filter_map(|line| inner.series(line)));
        }
        let (mut matrix, mut held) = (Vec::new(), 0);
        self.ranges(expr, &mut |labels, points, _| {
            held += points.len();
            matrix.extend((!points.is_empty()).then(|| Series { labels: labels.clone(), points: points.to_vec() }));
            if held > MOST_POINTS { Err(too_many()) } else { Ok(()) }
        })?;
        answered(matrix.into_iter())
    }

    fn eval(self, expr: &Expr) -> Result<Out> {
        if self.grid.steps == 0 {
            return Ok(if expr.kind() == ValueType::Scalar { Out::Scalar(Vec::new()) } else { Out::Vector(Vec::new()) });
        }
        self.charge(1)?;
        if !self.grid.is_one_moment() && !matches!(expr, Expr::Number(_) | Expr::Text(_)) && invariant(expr) {
            return self.eval_once(expr);
        }
        match expr {
            Expr::Number(number) => Ok(Out::Scalar(vec![*number; self.grid.steps])),
            Expr::Text(text) => Ok(Out::Text(text.clone())),
            Expr::Select(selector) => self.collect(|line| self.select(&selector.matchers, selector.when, |_, v| v, line)).map(Out::Vector),
            Expr::Negate(expr) => self.negate(expr),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate).map(Out::Vector),
            Expr::Call(function, arguments) => match function.call {
                Call::Over(over) => self.over(function, over, arguments).map(Out::Vector),
                Call::Each(each) => self.map(arguments, each).map(Out::Vector),
                Call::Special(special) => special(self, arguments),
            },
            // Ranges are only read by functions that take them.
            Expr::Range(..) | Expr::Subquery(_) => Ok(Out::Vector(Vec::new())),
        }
    }

    /// What is the same at every step is evaluated at the first. That is more than a shortcut: `topk(scalar(x), y @ 0)`
    /// takes its number from the first step alone.
    fn eval_once(self, expr: &Expr) -> Result<Out> {
        let steps = self.grid.steps;
        let spread = |values: Vec<f64>| vec![values.first().copied().unwrap_or(ABSENT); steps];
        Ok(match (Self { grid: Grid::new(self.grid.start, self.grid.start, self.grid.step), ..self }).eval(expr)? {
            Out::Scalar(values) => Out::Scalar(spread(values)),
            Out::Vector(lines) => {
                self.charge(lines.len())?;
                Out::Vector(lines.into_iter().map(|line| Line { values: spread(line.values), labels: line.labels }).collect())
            }
            text @ Out::Text(_) => text,
        })
    }

    fn vector(self, expr: &Expr) -> Result<Vec<Line>> {
        match self.eval(expr)? {
            Out::Vector(lines) => Ok(lines),
            Out::Scalar(_) | Out::Text(_) => Ok(Vec::new()),
        }
    }

    fn scalar(self, expr: &Expr) -> Result<Vec<f64>> {
        match self.eval(expr)? {
            Out::Scalar(values) => Ok(values),
            Out::Vector(_) | Out::Text(_) => Ok(vec![f64::NAN; self.grid.steps]),
        }
    }

    /// The lines of a vector one by one, where that is possible without holding them all.
    fn each(self, expr: &Expr, line: &mut EachLine<'_>) -> Result<()> {
        if self.grid.is_one_moment() || !invariant(expr) {
            match expr {
                Expr::Select(selector) => return self.select(&selector.matchers, selector.when, |_, value| value, line),
                Expr::Call(function, arguments) => {
                    if let Call::Over(over) = function.call
                        && function.drops_name
                        && arguments.iter().any(names_one_metric)
                    {
                        return self.windows(function, over, arguments, line);
                    }
                }
                _ => (),
            }
        }
        self.vector(expr)?.iter().try_for_each(|each| line(&each.labels, &each.values))
    }

    /// Lines that come one by one, all of them.
    fn collect(self, lines: impl FnOnce(&mut EachLine<'_>) -> Result<()>) -> Result<Vec<Line>> {
        let mut all = Vec::new();
        lines(&mut |labels, values| {
            all.push(Line { labels: labels.clone(), values: values.to_vec() });
            self.charge(all.len())
        })?;
        Ok(all)
    }

    fn negate(self, expr: &Expr) -> Result<Out> {
        let minus = |values: &mut [f64]| values.iter_mut().filter(|value| !is_stale(**value)).for_each(|value| *value = -*value);
        Ok(match self.eval(expr)? {
            Out::Scalar(mut values) => {
                minus(&mut values);
                Out::Scalar(values)
            }
            Out::Vector(mut lines) => {
                for line in &mut lines {
                    line.labels = line.labels.without_name();
                    minus(&mut line.values);
                }
                Out::Vector(merged(lines)?)
            }
            text @ Out::Text(_) => text,
        })
    }

    /// A function of each value.
    fn map(self, arguments: &[Expr], function: fn(f64) -> f64) -> Result<Vec<Line>> {
        let mut lines = arguments.first().map_or(Ok(Vec::new()), |argument| self.vector(argument))?;
        for line in &mut lines {
            line.labels = line.labels.without_name();
            line.values.iter_mut().filter(|value| !is_stale(**value)).for_each(|value| *value = function(*value));
        }
        merged(lines)
    }

    /// Series by their matchers.
    fn matching(self, matchers: &[Matcher]) -> Vec<u32> {
        let mut selection = Selection::new(matchers);
        let ids = self.query.storage.ids(selection.name);
        ids.into_iter().filter(|id| self.query.storage.labels(*id).is_some_and(|labels| selection.has(labels))).collect()
    }

    /// The last sample of each series at every step, unless it is too old or the series has ended; `value` makes of its
    /// time and value what is wanted.
    fn select(self, matchers: &[Matcher], when: When, value: impl Fn(i64, f64) -> f64, line: &mut EachLine<'_>) -> Result<()> {
        let lookback = self.query.span.lookback;
        let (first, last) = (self.resolve(when, self.grid.start), self.resolve(when, self.grid.last()));
        let (mut points, mut values) = (Vec::new(), Vec::new());
        for id in self.matching(matchers) {
            self.read(id, first - lookback, last, &mut points)?;
            let mut next = 0;
            values.clear();
            values.extend(self.grid.times().map(|time| {
                let at = self.resolve(when, time);
                next += points[next..].iter().take_while(|(time, _)| *time <= at).count();
                let fresh = next.checked_sub(1).map(|last| points[last]).filter(|(time, _)| *time > at - lookback);
                fresh.filter(|(_, value)| !is_stale(*value)).map_or(ABSENT, |(time, found)| value(time, found))
            }));
            if let Some(labels) = self.query.storage.labels(id)
                && values.iter().any(|value| !is_stale(*value))
            {
                line(labels, &values)?;
            }
        }
        Ok(())
    }

    /// A function over a range of each series.
    fn over(self, function: &functions::Function, over: fn(&Window<'_>) -> Option<f64>, arguments: &[Expr]) -> Result<Vec<Line>> {
        let lines = self.collect(|line| self.windows(function, over, arguments, line))?;
        // Here even series that never meet at one step are too many.
        distinct(&lines)?;
        Ok(lines)
    }

    fn windows(
        self,
        function: &functions::Function,
        over: fn(&Window<'_>) -> Option<f64>,
        arguments: &[Expr],
        line: &mut EachLine<'_>,
    ) -> Result<()> {
        let Some(range) = arguments.iter().find(|argument| argument.kind() == ValueType::Matrix) else { return Ok(()) };
        let others = arguments.iter().filter(|argument| argument.kind() == ValueType::Scalar);
        let params = others.map(|argument| self.scalar(argument)).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::new();
        self.ranges(range, &mut |labels, points, ranged| {
            let (mut begin, mut end) = (0, 0);
            values.clear();
            for (step, at) in self.grid.times().enumerate() {
                let (from, to) = self.window(ranged, at);
                begin += points[begin..].iter().take_while(|(time, _)| *time <= from).count();
                end = begin.max(end);
                end += points[end..].iter().take_while(|(time, _)| *time <= to).count();
                self.work(end - begin)?;
                let param = params.first().map_or(f64::NAN, |values| values[step]);
                let window = Window { points: &points[begin..end], from, to, at, param };
                values.push(if window.points.is_empty() { ABSENT } else { over(&window).unwrap_or(ABSENT) });
            }
            if values.iter().all(|value| is_stale(*value)) {
                return Ok(());
            }
            let params = params.first().into_iter().flatten().zip(&values).filter(|(_, value)| !is_stale(**value));
            function.remark(self, labels, params.map(|(param, _)| *param));
            let labels = if function.drops_name { labels.without_name() } else { labels.clone() };
            line(&labels, &values)
        })
    }

    /// The points of each series of a range, over all windows of all steps; no stale markers among them.
    fn ranges(self, expr: &Expr, series: &mut EachRange<'_>) -> Result<()> {
        match expr {
            Expr::Range(selector, range) => {
                let ranged = Ranged { range: *range, when: selector.when };
                let (from, _) = self.window(ranged, self.grid.start);
                let (_, to) = self.window(ranged, self.grid.last());
                let mut points = Vec::new();
                for id in self.matching(&selector.matchers) {
                    self.read(id, from, to, &mut points)?;
                    points.retain(|(_, value)| !is_stale(*value));
                    if let Some(labels) = self.query.storage.labels(id) {
                        series(labels, &points, ranged)?;
                    }
                }
                Ok(())
            }
            Expr::Subquery(subquery) => {
                let ranged = Ranged { range: subquery.range, when: subquery.when };
                let inner = self.within(subquery);
                for line in inner.vector(&subquery.expr)? {
                    if let Some(Series { labels, points }) = inner.series(line) {
                        series(&labels, &points, ranged)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read(self, id: u32, from: i64, to: i64, points: &mut Vec<Point>) -> Result<()> {
        points.clear();
        self.query.storage.read(id, from, to, points);
        self.work(points.len() + self.grid.steps)
    }

    /// The view of a subquery's inside: steps of its own, aligned to whole multiples.
    fn within(self, subquery: &Subquery) -> Self {
        let step = subquery.step.unwrap_or(SUBQUERY_STEP);
        let before = self.resolve(subquery.when, self.grid.start) - subquery.range;
        let start = step * (before.div_euclid(step) + 1);
        Self { grid: Grid::new(start, self.resolve(subquery.when, self.grid.last()), step), ..self }
    }

    /// The moment a selector means at this step.
    fn resolve(self, when: When, at: i64) -> i64 {
        let at = match when.at {
            Some(At::Start) => self.query.span.start,
            Some(At::End) => self.query.span.end,
            Some(At::Time(time)) => time,
            None => at,
        };
        at - when.offset
    }

    /// After when and up to when a range reaches.
    fn window(self, ranged: Ranged, at: i64) -> (i64, i64) {
        let to = self.resolve(ranged.when, at);
        (to - ranged.range, to)
    }

    /// Fails where a node has become larger than this process can afford.
    fn charge(self, lines: usize) -> Result<()> {
        self.work(self.grid.steps)?;
        if lines.saturating_mul(self.grid.steps) > MOST_VALUES {
            return Err(too_many());
        }
        Ok(())
    }

    fn work(self, units: usize) -> Result<()> {
        let work = self.query.work.get() + units as u64;
        self.query.work.set(work);
        if work > MOST_WORK { Err(Error::Timeout) } else { Ok(()) }
    }

    fn warn(self, text: impl Into<String>) {
        self.query.notes.borrow_mut().warnings.insert(format!("PromQL warning: {}", text.into()));
    }

    fn inform(self, text: impl Into<String>) {
        self.query.notes.borrow_mut().infos.insert(format!("PromQL info: {}", text.into()));
    }
}

fn too_many() -> Error {
    Error::execution("query processing would load too many samples into memory in query execution")
}

/// Sorted by labels, unless it is too much.
fn answered(series: impl Iterator<Item = Series>) -> Result<Vec<Series>> {
    let mut held = 0;
    let mut matrix = Vec::new();
    for series in series {
        held += series.points.len();
        if held > MOST_POINTS {
            return Err(too_many());
        }
        matrix.push(series);
    }
    matrix.sort_by(|a: &Series, b| a.labels.cmp(&b.labels));
    Ok(matrix)
}

/// Labels of all series that match, and only those with samples in the window if one is given.
pub fn series(storage: &Storage, matchers: &[Matcher], window: Option<(i64, i64)>) -> Vec<Labels> {
    let mut selection = Selection::new(matchers);
    let mut points = Vec::new();
    let mut found = Vec::new();
    for id in storage.ids(selection.name) {
        let Some(labels) = storage.labels(id).filter(|labels| selection.has(labels)) else { continue };
        if let Some((start, end)) = window {
            points.clear();
            storage.read(id, start.saturating_sub(1), end, &mut points);
        }
        if window.is_none() || !points.is_empty() {
            found.push(labels.clone());
        }
    }
    found
}

/// Matchers, sorted by what they look at: what many series share is matched once for all of them.
struct Selection<'a> {
    name: Option<&'a str>,
    own: Vec<&'a Matcher>,
    shared: Vec<&'a Matcher>,
    last: Option<(Arc<LabelSet>, bool)>,
}

impl<'a> Selection<'a> {
    fn new(matchers: &'a [Matcher]) -> Self {
        let (own, shared): (Vec<&Matcher>, _) = matchers.iter().partition(|matcher| [NAME, BUCKET].contains(&matcher.name.as_str()));
        let named = |matcher: &&&Matcher| matcher.name == NAME && matcher.op == promql_parser::label::MatchOp::Equal;
        let name = own.iter().find(named).map(|matcher| matcher.value.as_str()).filter(|name| !name.is_empty());
        Self { name, own, shared, last: None }
    }

    fn has(&mut self, labels: &Labels) -> bool {
        self.own.iter().all(|matcher| matcher.is_match(labels.get(&matcher.name))) && self.shares(labels)
    }

    fn shares(&mut self, labels: &Labels) -> bool {
        match &self.last {
            Some((set, has)) if Arc::ptr_eq(set, labels.rest()) => *has,
            _ => {
                let has = self.shared.iter().all(|matcher| matcher.is_match(labels.get(&matcher.name)));
                self.last = Some((labels.rest().clone(), has));
                has
            }
        }
    }
}

/// Whether a node has the same value at every step, so that Prometheus evaluates it at the first only.
fn invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::Text(_) => true,
        Expr::Select(selector) | Expr::Range(selector, _) => selector.when.at.is_some(),
        Expr::Subquery(subquery) => subquery.when.at.is_some(),
        Expr::Negate(expr) => invariant(expr),
        Expr::Binary(binary) => invariant(&binary.left) && invariant(&binary.right),
        Expr::Aggregate(aggregate) => invariant(&aggregate.expr),
        Expr::Call(function, arguments) if function.name == "timestamp" => {
            arguments.iter().all(|argument| matches!(argument, Expr::Select(_)) && invariant(argument))
        }
        Expr::Call(function, arguments) => !function.reads_clock && arguments.iter().all(invariant),
    }
}

fn names_one_metric(expr: &Expr) -> bool {
    matches!(expr, Expr::Range(selector, _) if selector.name().is_some())
}

/// Fails if two lines have the same labels.
fn distinct(lines: &[Line]) -> Result<()> {
    let mut seen = std::collections::HashSet::with_capacity(lines.len());
    if lines.iter().all(|line| seen.insert(&line.labels)) { Ok(()) } else { Err(Error::same_labels()) }
}

/// Makes one line of those with the same labels; fails if two have a value at the same step.
fn merged(lines: Vec<Line>) -> Result<Vec<Line>> {
    if distinct(&lines).is_ok() {
        return Ok(lines);
    }
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut all: Vec<Line> = Vec::new();
    for line in lines {
        match places.get(&line.labels) {
            Some(place) => unite(&mut all[*place].values, &line.values)?,
            None => {
                places.insert(line.labels.clone(), all.len());
                all.push(line);
            }
        }
    }
    Ok(all)
}

fn unite(values: &mut [f64], more: &[f64]) -> Result<()> {
    for (value, other) in values.iter_mut().zip(more).filter(|(_, other)| !is_stale(**other)) {
        if !is_stale(*value) {
            return Err(Error::same_labels());
        }
        *value = *other;
    }
    Ok(())
}

//! `sum`, `topk` and the others that make one value, or a few, of many series.

use std::collections::HashMap;

use super::{
    super::{
        error::Error,
        format,
        labels::{Labels, Names, Projection},
        parse::{Aggregate, Aggregator, Expr},
    },
    ABSENT, Eval, Line, Result, functions, is_stale,
    math::{self, Mean, Sum},
};

/// What becomes of the values of a group at one step.
trait Fold: Clone {
    fn first(value: f64) -> Self;
    fn add(&mut self, value: f64);
    fn result(self, param: f64) -> f64;
}

impl Fold for Sum {
    fn first(value: f64) -> Self {
        Self::new(value)
    }

    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }

    fn result(self, _: f64) -> f64 {
        self.exact()
    }
}

impl Fold for Mean {
    fn first(value: f64) -> Self {
        Self::new(value)
    }

    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }

    fn result(self, _: f64) -> f64 {
        self.mean()
    }
}

macro_rules! simple_fold {
    ($name:ident, $first:pat => $start:expr, ($state:ident, $value:pat) => $next:expr) => {
        #[derive(Clone, Copy)]
        struct $name(f64);

        impl Fold for $name {
            fn first($first: f64) -> Self {
                Self($start)
            }

            fn add(&mut self, $value: f64) {
                let $state = self.0;
                self.0 = $next;
            }

            fn result(self, _: f64) -> f64 {
                self.0
            }
        }
    };
}

simple_fold!(Min, value => value, (least, value) => if least > value || least.is_nan() { value } else { least });
simple_fold!(Max, value => value, (most, value) => if most < value || most.is_nan() { value } else { most });
simple_fold!(Count, _ => 1.0, (count, _) => count + 1.0);

/// Only that there was something.
#[derive(Clone, Copy)]
struct Group;

impl Fold for Group {
    fn first(_: f64) -> Self {
        Self
    }

    fn add(&mut self, _: f64) {}

    fn result(self, _: f64) -> f64 {
        1.0
    }
}

#[derive(Clone, Copy)]
struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Fold for Variance {
    fn first(value: f64) -> Self {
        Self { count: 1.0, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let off = value - self.mean;
        self.mean += off / self.count;
        self.squares += off * (value - self.mean);
    }

    fn result(self, _: f64) -> f64 {
        self.squares / self.count
    }
}

#[derive(Clone, Copy)]
struct Deviation(Variance);

impl Fold for Deviation {
    fn first(value: f64) -> Self {
        Self(Variance::first(value))
    }

    fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    fn result(self, param: f64) -> f64 {
        self.0.result(param).sqrt()
    }
}

impl Fold for Vec<f64> {
    fn first(value: f64) -> Self {
        vec![value]
    }

    fn add(&mut self, value: f64) {
        self.push(value);
    }

    fn result(mut self, param: f64) -> f64 {
        math::quantile(param, &mut self)
    }
}

impl Eval<'_> {
    pub(super) fn aggregate(self, aggregate: &Aggregate) -> Result<Vec<Line>> {
        match aggregate.op {
            Aggregator::Sum => self.fold::<Sum>(aggregate),
            Aggregator::Avg => self.fold::<Mean>(aggregate),
            Aggregator::Min => self.fold::<Min>(aggregate),
            Aggregator::Max => self.fold::<Max>(aggregate),
            Aggregator::Count => self.fold::<Count>(aggregate),
            Aggregator::Group => self.fold::<Group>(aggregate),
            Aggregator::Stdvar => self.fold::<Variance>(aggregate),
            Aggregator::Stddev => self.fold::<Deviation>(aggregate),
            Aggregator::Quantile => self.fold::<Vec<f64>>(aggregate),
            Aggregator::TopK => self.best(aggregate, true),
            Aggregator::BottomK => self.best(aggregate, false),
            Aggregator::CountValues => self.count_values(aggregate),
        }
    }

    fn fold<F: Fold>(self, aggregate: &Aggregate) -> Result<Vec<Line>> {
        let params = match &aggregate.param {
            Some(param) => self.scalar(param)?,
            None => vec![f64::NAN; self.grid.steps],
        };
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut groups: Vec<(Labels, Vec<Option<F>>)> = Vec::new();
        let mut projection = Projection::new(&aggregate.by);
        self.each(&aggregate.expr, &mut |labels, values| {
            let labels = projection.of(labels);
            let place = match places.get(&labels) {
                Some(place) => *place,
                None => {
                    places.insert(labels.clone(), groups.len());
                    groups.push((labels, vec![None; self.grid.steps]));
                    self.charge(groups.len())?;
                    groups.len() - 1
                }
            };
            for (state, value) in groups[place].1.iter_mut().zip(values).filter(|(_, value)| !is_stale(**value)) {
                match state {
                    Some(state) => state.add(*value),
                    None => *state = Some(F::first(*value)),
                }
            }
            Ok(())
        })?;
        if aggregate.op == Aggregator::Quantile {
            params.iter().for_each(|q| functions::check_quantile(self, *q));
        }
        let line = |(labels, states): (Labels, Vec<Option<F>>)| {
            let values = states.into_iter().zip(&params).map(|(state, param)| state.map_or(ABSENT, |state| state.result(*param)));
            Line { labels, values: values.collect() }
        };
        Ok(groups.into_iter().map(line).filter(Line::has_values).collect())
    }

    /// `topk` and `bottomk`: at one step in the order of their values, group by group.
    fn best(self, aggregate: &Aggregate, top: bool) -> Result<Vec<Line>> {
        let counts = aggregate.param.as_ref().map_or(Ok(Vec::new()), |param| self.scalar(param))?;
        let lines = self.vector(&aggregate.expr)?;
        if !counts.is_empty() && counts.iter().all(|count| *count < 1.0) {
            return Ok(Vec::new());
        }
        counts.iter().try_for_each(|count| check_count(*count))?;
        let groups = grouped(&aggregate.by, &lines);
        if let ([count], true) = (counts.as_slice(), self.grid.is_one_moment()) {
            let chosen = groups.iter().flat_map(|group| best_of(&lines, group, 0, *count, top));
            return Ok(chosen.map(|index| lines[index].clone()).collect());
        }
        let mut kept: Vec<Line> =
            lines.iter().map(|line| Line { labels: line.labels.clone(), values: vec![ABSENT; self.grid.steps] }).collect();
        for (step, count) in counts.iter().enumerate() {
            let chosen = groups.iter().flat_map(|group| best_of(&lines, group, step, *count, top));
            chosen.for_each(|index| kept[index].values[step] = lines[index].values[step]);
        }
        kept.retain(Line::has_values);
        Ok(kept)
    }

    fn count_values(self, aggregate: &Aggregate) -> Result<Vec<Line>> {
        let Some(Expr::Text(label)) = &aggregate.param else { return Ok(Vec::new()) };
        if label.is_empty() {
            return Err(Error::execution(format!("invalid label name {label:?}")));
        }
        let names = match &aggregate.by {
            Names::Only(names) => Names::Only(names.iter().chain([label]).cloned().collect()),
            without => without.clone(),
        };
        let mut projection = Projection::new(&names);
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut all: Vec<Line> = Vec::new();
        for line in self.vector(&aggregate.expr)? {
            for (step, value) in line.values.iter().enumerate().filter(|(_, value)| !is_stale(**value)) {
                let labels = projection.of(&line.labels.with(label, &format::decimal(*value)));
                let place = *places.entry(labels.clone()).or_insert_with(|| {
                    all.push(Line { labels, values: vec![ABSENT; self.grid.steps] });
                    all.len() - 1
                });
                self.charge(all.len())?;
                let count = &mut all[place].values[step];
                *count = if is_stale(*count) { 1.0 } else { *count + 1.0 };
            }
        }
        Ok(all)
    }
}

/// Indexes of the lines of each group, in the order in which groups first appear.
fn grouped(by: &Names, lines: &[Line]) -> Vec<Vec<usize>> {
    let mut projection = Projection::new(by);
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let place = *places.entry(projection.of(&line.labels)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(index);
    }
    groups
}

fn best_of(lines: &[Line], group: &[usize], step: usize, count: f64, top: bool) -> Vec<usize> {
    let value = |index: &usize| lines[*index].values[step];
    let mut present: Vec<usize> = group.iter().copied().filter(|index| !is_stale(value(index))).collect();
    present.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        let order = if top { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
        // NaN is the worst in either direction.
        order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    });
    present.truncate(count.max(0.0) as usize);
    present
}

fn check_count(count: f64) -> Result<()> {
    let out = |what: &str| Err(Error::execution(format!("Scalar value {} {what} int64", format::general(count))));
    if count.is_nan() {
        Err(Error::execution("Parameter value is NaN"))
    } else if count <= i64::MIN as f64 {
        out("underflows")
    } else if count >= i64::MAX as f64 {
        out("overflows")
    } else {
        Ok(())
    }
}

//! Operators between two values, and how the series of two vectors find each other.

use std::collections::{HashMap, HashSet};

use promql_parser::parser::value::ValueType;

use super::{
    super::{
        error::Error,
        labels::{Labels, Names, Projection},
        parse::{Binary, Group, Op},
    },
    ABSENT, Eval, Line, Out, Result, is_stale, merged,
};

/// The result, or nothing where a comparison fails.
fn apply(op: Op, left: f64, right: f64) -> Option<f64> {
    let kept = |keep: bool| keep.then_some(left);
    match op {
        Op::Add => Some(left + right),
        Op::Sub => Some(left - right),
        Op::Mul => Some(left * right),
        Op::Div => Some(left / right),
        Op::Mod => Some(left % right),
        Op::Pow => Some(left.powf(right)),
        Op::Atan2 => Some(left.atan2(right)),
        Op::Equal => kept(left == right),
        Op::NotEqual => kept(left != right),
        Op::Greater => kept(left > right),
        Op::Less => kept(left < right),
        Op::GreaterEqual => kept(left >= right),
        Op::LessEqual => kept(left <= right),
        // Never asked: sets look at labels alone.
        Op::And | Op::Or | Op::Unless => None,
    }
}

fn said(kept: Option<f64>) -> f64 {
    f64::from(u8::from(kept.is_some()))
}

impl Eval<'_> {
    pub(super) fn binary(self, binary: &Binary) -> Result<Out> {
        let scalar = |kind| kind == ValueType::Scalar;
        match (scalar(binary.left.kind()), scalar(binary.right.kind())) {
            (true, true) => self.numbers(binary),
            (false, true) => {
                let lines = self.vector(&binary.left)?;
                let numbers = self.scalar(&binary.right)?;
                with_numbers(binary, lines, |step, value| (value, numbers[step]))
            }
            (true, false) => {
                let numbers = self.scalar(&binary.left)?;
                with_numbers(binary, self.vector(&binary.right)?, |step, value| (numbers[step], value))
            }
            (false, false) => {
                let (left, right) = (self.vector(&binary.left)?, self.vector(&binary.right)?);
                let join = Join::new(self, binary, left, right);
                if binary.op.is_set() { join.sets() } else { join.values() }.map(Out::Vector)
            }
        }
    }

    fn numbers(self, binary: &Binary) -> Result<Out> {
        let (left, right) = (self.scalar(&binary.left)?, self.scalar(&binary.right)?);
        let value = |(left, right): (&f64, &f64)| {
            let value = apply(binary.op, *left, *right);
            if binary.op.compares() { said(value) } else { value.unwrap_or(f64::NAN) }
        };
        Ok(Out::Scalar(left.iter().zip(&right).map(value).collect()))
    }
}

/// Between a vector and a number. What a comparison keeps is the vector's value, on whichever side it is.
fn with_numbers(binary: &Binary, mut lines: Vec<Line>, sides: impl Fn(usize, f64) -> (f64, f64)) -> Result<Out> {
    let drops_name = !binary.op.compares() || binary.say;
    for line in &mut lines {
        if drops_name {
            line.labels = line.labels.without_name();
        }
        for (step, value) in line.values.iter_mut().enumerate().filter(|(_, value)| !is_stale(**value)) {
            let (left, right) = sides(step, *value);
            *value = match apply(binary.op, left, right) {
                kept if binary.say => said(kept),
                Some(_) if binary.op.compares() => *value,
                Some(result) => result,
                None => ABSENT,
            };
        }
    }
    merged(lines).map(Out::Vector)
}

/// Two vectors whose series are matched by the labels they share.
struct Join<'a> {
    eval: Eval<'a>,
    binary: &'a Binary,
    left: Side,
    right: Side,
    /// How many different signatures there are.
    signatures: usize,
}

struct Side {
    lines: Vec<Line>,
    /// Number of each line's signature.
    signatures: Vec<usize>,
}

impl Side {
    fn present(&self, step: usize) -> impl Iterator<Item = (usize, usize)> {
        let present = self.lines.iter().zip(&self.signatures).enumerate();
        present.filter(move |(_, (line, _))| !is_stale(line.values[step])).map(|(index, (_, signature))| (index, *signature))
    }
}

impl<'a> Join<'a> {
    fn new(eval: Eval<'a>, binary: &'a Binary, left: Vec<Line>, right: Vec<Line>) -> Self {
        let mut projection = Projection::new(&binary.matching);
        let mut numbers: HashMap<Labels, usize> = HashMap::new();
        let mut side = |lines: Vec<Line>| {
            let number = |line: &Line| {
                let next = numbers.len();
                *numbers.entry(projection.of(&line.labels)).or_insert(next)
            };
            let signatures = lines.iter().map(number).collect();
            Side { lines, signatures }
        };
        let (left, right) = (side(left), side(right));
        Self { eval, binary, left, right, signatures: numbers.len() }
    }

    /// `and`, `or`, `unless`.
    fn sets(self) -> Result<Vec<Line>> {
        let steps = self.eval.grid.steps;
        let keep = |side: &Side, step: usize, other: &Side, wanted: Option<bool>| -> Vec<usize> {
            let mut there = vec![false; self.signatures];
            other.present(step).for_each(|(_, signature)| there[signature] = true);
            side.present(step).filter(|(_, signature)| wanted.is_none_or(|wanted| there[*signature] == wanted)).map(|(i, _)| i).collect()
        };
        let (wanted, adds) = match self.binary.op {
            Op::And => (Some(true), false),
            Op::Unless => (Some(false), false),
            _ => (None, true),
        };
        let kept = |side: &Side, other: &Side, wanted| {
            let empty = |line: &Line| Line { labels: line.labels.clone(), values: vec![ABSENT; steps] };
            let mut lines: Vec<Line> = side.lines.iter().map(empty).collect();
            for step in 0..steps {
                keep(side, step, other, wanted).into_iter().for_each(|index| lines[index].values[step] = side.lines[index].values[step]);
            }
            lines.retain(Line::has_values);
            lines
        };
        let mut lines = kept(&self.left, &self.right, wanted);
        if adds {
            lines.extend(kept(&self.right, &self.left, Some(false)));
        }
        self.eval.charge(lines.len())?;
        merged(lines)
    }

    /// Arithmetic and comparisons, with one series on the one side for each signature.
    fn values(self) -> Result<Vec<Line>> {
        let swapped = matches!(self.binary.group, Group::Right(_));
        let (many, one) = if swapped { (&self.right, &self.left) } else { (&self.left, &self.right) };
        let mut results = Results::new(self.binary, self.eval);
        for step in 0..self.eval.grid.steps {
            let partners = self.partners(one, step)?;
            let mut matched: HashSet<(usize, usize)> = HashSet::new();
            for (index, signature) in many.present(step) {
                let Some(partner) = partners[signature] else { continue };
                let (a, b) = (many.lines[index].values[step], one.lines[partner].values[step]);
                let value = if swapped { apply(self.binary.op, b, a) } else { apply(self.binary.op, a, b) };
                let place = results.place(index, &many.lines[index].labels, partner, &one.lines[partner].labels)?;
                self.check(matched.insert((signature, if self.binary.group == Group::None { 0 } else { place })))?;
                let value = if self.binary.say { Some(said(value)) } else { value };
                value.map_or(Ok(()), |value| results.set(place, step, value))?;
            }
        }
        Ok(results.lines)
    }

    fn check(&self, unique: bool) -> Result<()> {
        if unique {
            return Ok(());
        }
        Err(Error::execution(match self.binary.group {
            Group::None => "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            _ => "multiple matches for labels: grouping labels must ensure unique matches",
        }))
    }

    /// The one side's line of each signature at this step.
    fn partners(&self, one: &Side, step: usize) -> Result<Vec<Option<usize>>> {
        let other = if std::ptr::eq(one, &self.left) { &self.right } else { &self.left };
        let mut partners = vec![None; self.signatures];
        // Nothing matches nothing, however many there are of the same.
        if other.present(step).next().is_none() {
            return Ok(partners);
        }
        for (index, signature) in one.present(step) {
            if let Some(before) = partners[signature].replace(index) {
                return Err(self.double(one, before, index));
            }
        }
        Ok(partners)
    }

    fn double(&self, one: &Side, before: usize, after: usize) -> Error {
        let labels = &one.lines[after].labels;
        // Where labels are ignored, the name always is.
        let group = Projection::new(&self.binary.matching).of(labels);
        let mut both = [labels.to_string(), one.lines[before].labels.to_string()];
        both.sort();
        let [a, b] = both;
        let side = if std::ptr::eq(one, &self.left) { "left" } else { "right" };
        Error::execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{a}, {b}]\
             ;many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }
}

/// The series of the result, each pair's labels made once.
struct Results<'a> {
    binary: &'a Binary,
    eval: Eval<'a>,
    lines: Vec<Line>,
    by_pair: HashMap<(usize, usize), usize>,
    by_labels: HashMap<Labels, usize>,
    drops_name: bool,
}

impl<'a> Results<'a> {
    fn new(binary: &'a Binary, eval: Eval<'a>) -> Self {
        let drops_name = !binary.op.compares() || binary.say;
        Self { binary, eval, lines: Vec::new(), by_pair: HashMap::new(), by_labels: HashMap::new(), drops_name }
    }

    fn place(&mut self, many: usize, many_labels: &Labels, one: usize, one_labels: &Labels) -> Result<usize> {
        if let Some(place) = self.by_pair.get(&(many, one)) {
            return Ok(*place);
        }
        let labels = self.labels(many_labels, one_labels);
        let place = *self.by_labels.entry(labels.clone()).or_insert_with(|| {
            self.lines.push(Line { labels, values: vec![ABSENT; self.eval.grid.steps] });
            self.lines.len() - 1
        });
        self.eval.charge(self.lines.len())?;
        self.by_pair.insert((many, one), place);
        Ok(place)
    }

    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let mut labels = if self.drops_name { many.without_name() } else { many.clone() };
        let include = match &self.binary.group {
            Group::None => {
                return match &self.binary.matching {
                    Names::AllBut(ignored) => ignored.iter().fold(labels, |labels, name| labels.with(name, "")),
                    only => Projection::new(only).of(&labels),
                };
            }
            Group::Left(include) | Group::Right(include) => include,
        };
        for name in include {
            labels = labels.with(name, one.get(name));
        }
        labels
    }

    fn set(&mut self, place: usize, step: usize, value: f64) -> Result<()> {
        let at = &mut self.lines[place].values[step];
        if !is_stale(*at) {
            return Err(Error::same_labels());
        }
        *at = value;
        Ok(())
    }
}

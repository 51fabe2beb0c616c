//! Figures beside their goals.

use std::fmt;

pub enum Goal {
    AtMost(f64),
    None,
}

pub struct Row {
    what: String,
    unit: &'static str,
    figure: f64,
    goal: Goal,
    peer: Option<f64>,
}

impl Row {
    pub fn new(what: &str, unit: &'static str, figure: f64, goal: Goal) -> Self {
        Self { what: what.into(), unit, figure, goal, peer: None }
    }

    /// What the best comparable program measured here takes.
    pub fn peer(self, figure: f64) -> Self {
        Self { peer: Some(figure), ..self }
    }
}

/// As Markdown, for the README.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn add(&mut self, row: Row) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | measured | goal | peer | measured / peer | goal met |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---|")?;
        for row in &self.0 {
            let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
            let (goal, met) = match row.goal {
                Goal::AtMost(most) => (format!("≤ {}", number(most)), if row.figure <= most { "yes" } else { "no" }),
                Goal::None => (String::new(), ""),
            };
            let peer = row.peer.map(number).unwrap_or_default();
            let ratio = row.peer.map(|peer| number(row.figure / peer)).unwrap_or_default();
            writeln!(f, "| {} | {}{unit} | {goal} | {peer} | {ratio} | {met} |", row.what, number(row.figure))?;
        }
        Ok(())
    }
}

/// Two decimals below ten, one below a hundred, none of a whole number.
fn number(n: f64) -> String {
    match n.abs() {
        _ if n.fract() == 0.0 => format!("{n:.0}"),
        0.0..1.0 => format!("{n:.3}"),
        1.0..10.0 => format!("{n:.2}"),
        10.0..100.0 => format!("{n:.1}"),
        _ => format!("{n:.0}"),
    }
}

/// The value below which this part of all lies.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * q).round() as usize).copied().unwrap_or(f64::NAN)
}

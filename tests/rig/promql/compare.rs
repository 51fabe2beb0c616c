//! Asks two servers the same and tells where they differ.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::real::{Real, client};

/// Relative difference of values that are the same but for rounding.
const CLOSE: f64 = 1e-9;

/// How many differences are shown.
const SHOWN: usize = 12;

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    path: String,
    params: Vec<(String, String)>,
}

impl Ask {
    pub fn instant(query: &str, at: i64) -> Self {
        Self::path("/api/v1/query", &[("query", query), ("time", &seconds(at))])
    }

    pub fn range(query: &str, start: i64, end: i64, step: i64) -> Self {
        let times = [seconds(start), seconds(end), seconds(step)];
        Self::path("/api/v1/query_range", &[("query", query), ("start", &times[0]), ("end", &times[1]), ("step", &times[2])])
    }

    pub fn path(path: &str, params: &[(&str, &str)]) -> Self {
        Self { path: path.into(), params: params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect() }
    }

    fn shown(&self) -> String {
        let params: Vec<String> = self.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}", self.path, params.join("  "))
    }

    fn text(&self) -> &str {
        self.params.iter().find(|(name, _)| name == "query").map_or("", |(_, query)| query)
    }
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

pub struct Both {
    real: Real,
    embedded: String,
    http: Client,
    notes: Vec<String>,
    differences: Vec<String>,
    agreed: usize,
    rows: usize,
    /// Answers of the real one that were neither empty nor errors.
    filled: usize,
}

impl Both {
    pub fn new(real: Real, embedded: String) -> Self {
        Self { real, embedded, http: client(), notes: Vec::new(), differences: Vec::new(), agreed: 0, rows: 0, filled: 0 }
    }

    /// Something to be shown with differences.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// By GET and by POST in turn.
    pub async fn ask(&mut self, ask: &Ask) {
        let post = self.agreed % 2 == 1;
        let real = answer(&self.http, &self.real.url, ask, post).await;
        let embedded = answer(&self.http, &self.embedded, ask, post).await;
        let rows = real.1["data"]["result"].as_array().map_or(0, Vec::len);
        self.rows += rows;
        self.filled += usize::from(rows > 0);
        let difference = compare(ask.text(), &real, &embedded);
        self.count(ask, difference);
    }

    /// Both must refuse it; why is said in words of their own.
    pub async fn ask_refused(&mut self, ask: &Ask) {
        let (status, real) = answer(&self.http, &self.real.url, ask, false).await;
        let (other, embedded) = answer(&self.http, &self.embedded, ask, false).await;
        let refused = |status: StatusCode, body: &Value| (status == 400 && body["errorType"] == "bad_data").then_some(());
        let difference = match (refused(status, &real), refused(other, &embedded)) {
            (Some(()), Some(())) => None,
            _ => Some(format!("not refused by both:\n  real     {status} {real}\n  embedded {other} {embedded}")),
        };
        self.count(ask, difference);
    }

    /// An answer that is no JSON.
    pub async fn plain(&mut self, path: &str) {
        let mut answers = Vec::new();
        for url in [&self.real.url, &self.embedded] {
            let answer = self.http.get(format!("{url}{path}")).send().await.unwrap();
            answers.push((answer.status(), answer.text().await.unwrap()));
        }
        let difference = (answers[0] != answers[1]).then(|| format!("{answers:?}"));
        self.count(&Ask::path(path, &[]), difference);
    }

    fn count(&mut self, ask: &Ask, difference: Option<String>) {
        match difference {
            None => self.agreed += 1,
            Some(difference) => self.differences.push(format!("{}\n{difference}", ask.shown())),
        }
    }

    /// Questions without answers prove little.
    pub fn have_answers(&self, least: usize) {
        assert!(self.filled >= least, "only {} answers with {} rows", self.filled, self.rows);
    }

    /// Fails if there was any difference, or if too little was compared.
    pub fn finish(self, least: usize) {
        let shown: Vec<&str> = self.differences.iter().take(SHOWN).map(String::as_str).collect();
        let (agreed, differ, notes) = (self.agreed, self.differences.len(), self.notes.join("\n"));
        assert!(differ == 0, "{notes}\n{agreed} agree, {differ} differ:\n{}", shown.join("\n\n"));
        assert!(agreed >= least, "only {agreed} compared");
    }
}

async fn answer(http: &Client, url: &str, ask: &Ask, post: bool) -> (StatusCode, Value) {
    let Ask { path, params } = ask;
    let mut address = reqwest::Url::parse(&format!("{url}{path}")).unwrap();
    let queries = ["query", "query_range", "series", "labels"].iter().any(|end| path.ends_with(end));
    let encoded = reqwest::Url::parse_with_params("http://x", params).unwrap().query().unwrap_or_default().to_owned();
    let request = if post && queries {
        http.post(address).header("Content-Type", "application/x-www-form-urlencoded").body(encoded)
    } else {
        address.set_query(Some(&encoded));
        http.get(address)
    };
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url} {ask:?}: {status} {error}: {body}")))
}

fn compare(query: &str, real: &(StatusCode, Value), embedded: &(StatusCode, Value)) -> Option<String> {
    let ((status, real), (other, embedded)) = (real, embedded);
    let head = |body: &Value| (body["status"].clone(), body["errorType"].clone(), body["data"]["resultType"].clone(), said(body));
    if status != other || head(real) != head(embedded) {
        return Some(format!("  real     {status} {}\n  embedded {other} {}", cut(real), cut(embedded)));
    }
    if remarks(real) != remarks(embedded) {
        return Some(format!("  real     remarks {:?}\n  embedded remarks {:?}", remarks(real), remarks(embedded)));
    }
    let data = (&real["data"], &embedded["data"]);
    match real["data"]["resultType"].as_str() {
        Some("vector" | "matrix") => rows(query, &data.0["result"], &data.1["result"]),
        Some("scalar") => (!same_point(&data.0["result"], &data.1["result"])).then(|| format!("  {} {}", data.0, data.1)),
        _ => (sorted(data.0) != sorted(data.1)).then(|| format!("  real     {}\n  embedded {}", cut(data.0), cut(data.1))),
    }
}

/// The words of an error, where they are the evaluation's. Which of several offending series are named is up to chance.
fn said(body: &Value) -> String {
    let text = body["error"].as_str().unwrap_or_default();
    let parsing = text.contains("parse error") || text.contains("strconv");
    if parsing { String::new() } else { without_braces(text) }
}

fn without_braces(text: &str) -> String {
    let mut depth = 0;
    let keep = |c: &char| {
        depth += i32::from(*c == '{');
        let keep = depth == 0;
        depth -= i32::from(*c == '}');
        keep
    };
    text.chars().filter(keep).collect()
}

/// Warnings and infos without the places in the query, and without the details of one of them.
fn remarks(body: &Value) -> BTreeSet<String> {
    let texts = ["warnings", "infos"].into_iter().filter_map(|name| body[name].as_array()).flatten().filter_map(Value::as_str);
    let bare = |text: &str| {
        let place = text
            .rsplit_once(" (")
            .filter(|(_, place)| place.ends_with(')') && place[..place.len() - 1].chars().all(|c| c.is_ascii_digit() || c == ':'));
        let text = place.map_or(text, |(text, _)| text);
        text.split(", from buckets").next().unwrap_or_default().to_owned()
    };
    texts.map(bare).collect()
}

fn cut(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 600 { format!("{}…", text.chars().take(600).collect::<String>()) } else { text }
}

/// Series in any order.
fn sorted(data: &Value) -> Value {
    match data {
        Value::Array(items) if items.iter().all(Value::is_object) => {
            let mut texts: Vec<String> = items.iter().map(Value::to_string).collect();
            texts.sort();
            texts.into()
        }
        other => other.clone(),
    }
}

fn rows(query: &str, real: &Value, embedded: &Value) -> Option<String> {
    let index = |result: &'_ Value| -> Vec<(String, Value)> {
        result.as_array().into_iter().flatten().map(|row| (row["metric"].to_string(), row.clone())).collect()
    };
    let (one, two) = (index(real), index(embedded));
    let by_labels = |rows: &'_ [(String, Value)]| -> BTreeMap<String, Value> { rows.iter().cloned().collect() };
    let (a, b) = (by_labels(&one), by_labels(&two));
    if query.starts_with("sort") && !same_order(&one, &two) {
        return Some(format!("  in another order:\n  real     {}\n  embedded {}", cut(real), cut(embedded)));
    }
    let mut differences = Vec::new();
    for labels in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
        match (a.get(labels), b.get(labels)) {
            (Some(row), Some(other)) if same_row(row, other) => (),
            (Some(row), Some(other)) => differences.push(format!("  {labels}\n    {}", first_difference(row, other))),
            (row, other) => differences.push(format!(
                "  {labels}\n    real     {}\n    embedded {}",
                row.map_or("none".into(), cut),
                other.map_or("none".into(), cut)
            )),
        }
    }
    let tied = query.starts_with("topk") || query.starts_with("bottomk");
    if differences.is_empty() && one.len() == two.len() || tied && same_values(&one, &two) {
        return None;
    }
    Some(format!("  {} and {} rows\n{}", one.len(), two.len(), differences.into_iter().take(4).collect::<Vec<_>>().join("\n")))
}

fn first_difference(a: &Value, b: &Value) -> String {
    let points = |row: &Value| row["values"].as_array().cloned().unwrap_or_else(|| vec![row["value"].clone()]);
    let (a, b) = (points(a), points(b));
    match a.iter().zip(&b).find(|(a, b)| !same_point(a, b)) {
        Some((a, b)) => format!("real {a} embedded {b}"),
        None => format!("{} and {} points", a.len(), b.len()),
    }
}

fn value_of(row: &Value) -> f64 {
    row["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

fn same_order(one: &[(String, Value)], two: &[(String, Value)]) -> bool {
    one.len() == two.len() && one.iter().zip(two).all(|((_, a), (_, b))| same(value_of(a), value_of(b)) || a["values"] != Value::Null)
}

/// Whether only equal values were chosen differently.
fn same_values(one: &[(String, Value)], two: &[(String, Value)]) -> bool {
    let points = |rows: &[(String, Value)]| -> Vec<(String, String)> {
        let of = |row: &Value| -> Vec<Value> { row["values"].as_array().cloned().unwrap_or_else(|| vec![row["value"].clone()]) };
        let mut all: Vec<(String, String)> =
            rows.iter().flat_map(|(_, row)| of(row)).map(|p| (p[0].to_string(), p[1].to_string())).collect();
        all.sort();
        all
    };
    let (one, two) = (points(one), points(two));
    let number = |text: &str| text.trim_matches('"').parse().unwrap_or(f64::NAN);
    one.len() == two.len() && one.iter().zip(&two).all(|(a, b)| a.0 == b.0 && same(number(&a.1), number(&b.1)))
}

fn same_row(a: &Value, b: &Value) -> bool {
    match (a["values"].as_array(), b["values"].as_array()) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_point(a, b)),
        (None, None) => same_point(&a["value"], &b["value"]),
        _ => false,
    }
}

/// Equal times; equal or nearly equal values; equal values written alike.
fn same_point(a: &Value, b: &Value) -> bool {
    let text = |point: &Value| point[1].as_str().unwrap_or_default().to_owned();
    let number = |point: &Value| text(point).parse().unwrap_or(f64::NAN);
    let (one, two): (f64, f64) = (number(a), number(b));
    a[0] == b[0] && same(one, two) && (one.to_bits() != two.to_bits() || text(a) == text(b))
}

fn same(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= CLOSE * a.abs().max(b.abs())
}

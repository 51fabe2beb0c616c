//! The HTTP API of Prometheus, as far as clients of a cluster use it: the same parameters, answers and errors.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    extract::{Form, Path, Query, State, rejection::FormRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::DateTime;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::{Answer, Error, Kind, LOOKBACK, Matrix, Notes, Point, Span, Tsdb, Value, eval, format, labels::Labels, parse};
use crate::model::Time;

/// Whose answers these are.
const VERSION: &str = "3.15.0";

/// Points for each series of a range query, at most.
const MOST_POINTS: i64 = 11_000;

/// Queries evaluated at the same time; others wait.
const AT_ONCE: usize = 2;

struct Api {
    tsdb: Arc<Tsdb>,
    clock: Arc<dyn Fn() -> Time + Send + Sync>,
    turn: Semaphore,
}

type Shared = State<Arc<Api>>;
type Pairs = Vec<(String, String)>;

/// The API under its usual paths. `clock` says what time it is when a query names none.
pub fn router(tsdb: Arc<Tsdb>, clock: Arc<dyn Fn() -> Time + Send + Sync>) -> Router {
    let api = Api { tsdb, clock, turn: Semaphore::new(AT_ONCE) };
    Router::new()
        .route("/api/v1/query", get(instant).post(instant))
        .route("/api/v1/query_range", get(range).post(range))
        .route("/api/v1/series", get(series).post(series))
        .route("/api/v1/labels", get(labels).post(labels))
        .route("/api/v1/label/{name}/values", get(values))
        .route("/api/v1/metadata", get(metadata))
        .route("/api/v1/status/buildinfo", get(async || success(&build())))
        .route("/api/v1/rules", get(async || success(&json!({"groups": []}))))
        .route("/api/v1/alerts", get(async || success(&json!({"alerts": []}))))
        .route("/-/healthy", get(async || "Prometheus Server is Healthy.\n"))
        .route("/-/ready", get(async || "Prometheus Server is Ready.\n"))
        .fallback(async || (StatusCode::NOT_FOUND, "404 page not found\n"))
        .with_state(Arc::new(api))
}

/// What a request asks, from its address and its body; the body comes first, as in Go.
struct Params(Pairs);

impl Params {
    fn new(query: Pairs, body: Result<Form<Pairs>, FormRejection>) -> Self {
        let mut pairs = body.map(|Form(pairs)| pairs).unwrap_or_default();
        pairs.extend(query);
        Self(pairs)
    }

    fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn time(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.get(name) {
            "" => Ok(None),
            text => match time(text) {
                Some(time) => Ok(Some(time)),
                None => invalid(name, format!("invalid time value for '{name}': cannot parse {text:?} to a valid timestamp")),
            },
        }
    }

    /// A time that must be there.
    fn needed(&self, name: &str) -> Result<i64, Refusal> {
        let text = self.get(name);
        time(text).map_or_else(|| invalid(name, format!("cannot parse {text:?} to a valid timestamp")), Ok)
    }

    fn duration(&self, name: &str) -> Result<i64, Refusal> {
        let text = self.get(name);
        duration(text).map_or_else(|| invalid(name, format!("cannot parse {text:?} to a valid duration")), Ok)
    }

    /// Zero: no limit.
    fn limit(&self) -> Result<usize, Refusal> {
        match self.get("limit") {
            "" => Ok(0),
            text => match text.parse::<i64>() {
                Ok(limit) if limit >= 0 => Ok(limit as usize),
                Ok(_) => invalid("limit", "limit must be non-negative".into()),
                Err(_) => invalid("limit", format!("strconv.Atoi: parsing {text:?}: invalid syntax")),
            },
        }
    }

    /// What both kinds of query take besides their times.
    fn lookback(&self) -> Result<i64, Refusal> {
        if !self.get("timeout").is_empty() {
            self.duration("timeout")?;
        }
        match self.get("lookback_delta") {
            "" => Ok(LOOKBACK),
            text => match duration(text) {
                Some(lookback) if lookback > 0 => Ok(lookback),
                Some(_) => Ok(LOOKBACK),
                None => {
                    let why = format!("error parsing lookback delta duration: cannot parse {text:?} to a valid duration");
                    Err(Refusal::bad(why))
                }
            },
        }
    }

    fn selectors(&self, prefix: &str) -> Result<Vec<Vec<parse::Matcher>>, Refusal> {
        self.all("match[]").map(|text| parse::selector(text).map_err(|error| Refusal::bad(format!("{prefix}{error}")))).collect()
    }

    /// Samples must lie between these, if the request says so.
    fn window(&self) -> Result<Option<(i64, i64)>, Refusal> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        Ok((start.is_some() || end.is_some()).then(|| (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX))))
    }
}

/// An error answer.
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Refusal {
    fn bad(text: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "bad_data", text }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::BadData(_) => Self::bad(format!("invalid parameter \"query\": {text}")),
            Error::Execution(_) => Self { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "execution", text },
            Error::Timeout => Self { status: StatusCode::SERVICE_UNAVAILABLE, kind: "timeout", text },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.text});
        answered(self.status, body.to_string())
    }
}

fn invalid<T>(parameter: &str, why: String) -> Result<T, Refusal> {
    Err(Refusal::bad(format!("invalid parameter {parameter:?}: {why}")))
}

fn answered(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn success(data: &Json) -> Response {
    answered(StatusCode::OK, json!({"status": "success", "data": data}).to_string())
}

/// A list, cut to the limit if there is one.
fn limited(mut list: Vec<Json>, limit: usize) -> Response {
    let mut body = json!({"status": "success"});
    if limit > 0 && list.len() > limit {
        list.truncate(limit);
        body["warnings"] = json!(["results truncated due to limit"]);
    }
    body["data"] = list.into();
    answered(StatusCode::OK, body.to_string())
}

async fn instant(State(api): Shared, Query(query): Query<Pairs>, body: Result<Form<Pairs>, FormRejection>) -> Result<Response, Refusal> {
    let params = Params::new(query, body);
    let limit = params.limit()?;
    let at = params.time("time")?.unwrap_or_else(|| (api.clock)().timestamp_millis());
    let span = Span { start: at, end: at, step: None, lookback: params.lookback()? };
    api.answer(params, span, limit).await
}

async fn range(State(api): Shared, Query(query): Query<Pairs>, body: Result<Form<Pairs>, FormRejection>) -> Result<Response, Refusal> {
    let params = Params::new(query, body);
    let limit = params.limit()?;
    let (start, end) = (params.needed("start")?, params.needed("end")?);
    if end < start {
        return invalid("end", "end timestamp must not be before start time".into());
    }
    let step = params.duration("step")?;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return invalid("step", why.into());
    }
    if (end - start) / step > MOST_POINTS {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(Refusal::bad(why.into()));
    }
    let span = Span { start, end, step: Some(step), lookback: params.lookback()? };
    api.answer(params, span, limit).await
}

impl Api {
    /// Evaluates where it does not keep other requests waiting.
    async fn answer(self: Arc<Self>, params: Params, span: Span, limit: usize) -> Result<Response, Refusal> {
        let _turn = self.turn.acquire().await;
        let api = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut answer = api.tsdb.answer(params.get("query"), span)?;
            truncate(&mut answer, limit);
            Ok::<_, Error>(written(&answer, span.start))
        });
        match work.await {
            Ok(Ok(body)) => Ok(answered(StatusCode::OK, body)),
            Ok(Err(error)) => Err(Refusal::from(error)),
            Err(error) => Err(Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "internal", text: error.to_string() }),
        }
    }
}

fn truncate(answer: &mut Answer, limit: usize) {
    let cut = match &mut answer.value {
        Value::Vector(vector) if limit > 0 && vector.len() > limit => {
            vector.truncate(limit);
            true
        }
        Value::Matrix(matrix) if limit > 0 && matrix.len() > limit => {
            matrix.truncate(limit);
            true
        }
        _ => false,
    };
    if cut {
        answer.notes.warnings.insert("results truncated due to limit".into());
    }
}

/// The whole body; large answers are written without a tree of JSON values in between.
fn written(answer: &Answer, at: i64) -> String {
    let mut out = String::from("{\"status\":\"success\",\"data\":{\"resultType\":\"");
    let point = |out: &mut String, (at, value): Point| {
        out.extend(["[", &format::timestamp(at), ",\"", &format::sample(value), "\"]"]);
    };
    match &answer.value {
        Value::Scalar(value) => {
            out.push_str("scalar\",\"result\":");
            point(&mut out, (at, *value));
        }
        Value::String(text) => {
            out.push_str("string\",\"result\":");
            out.extend(["[", &format::timestamp(at), ",", &quoted(text), "]"]);
        }
        Value::Vector(vector) => {
            out.push_str("vector\",\"result\":[");
            join(&mut out, vector, |out, sample| {
                metric(out, &sample.labels);
                out.push_str(",\"value\":");
                point(out, (at, sample.value));
                out.push('}');
            });
            out.push(']');
        }
        Value::Matrix(matrix) => {
            out.push_str("matrix\",\"result\":[");
            write_matrix(&mut out, matrix, point);
            out.push(']');
        }
    }
    out.push('}');
    write_notes(&mut out, &answer.notes);
    out.push('}');
    out
}

fn write_matrix(out: &mut String, matrix: &Matrix, point: impl Fn(&mut String, Point)) {
    join(out, matrix, |out, series| {
        metric(out, &series.labels);
        out.push_str(",\"values\":[");
        join(out, &series.points, |out, at| point(out, *at));
        out.push_str("]}");
    });
}

fn write_notes(out: &mut String, notes: &Notes) {
    for (name, texts) in [("warnings", &notes.warnings), ("infos", &notes.infos)] {
        if !texts.is_empty() {
            out.extend([",\"", name, "\":["]);
            join(out, texts, |out, text| out.push_str(&quoted(text)));
            out.push(']');
        }
    }
}

fn metric(out: &mut String, labels: &Labels) {
    out.push_str("{\"metric\":{");
    join(out, labels.pairs(), |out, (name, value)| out.extend([&quoted(name), ":", &quoted(value)]));
    out.push('}');
}

fn join<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

async fn series(State(api): Shared, Query(query): Query<Pairs>, body: Result<Form<Pairs>, FormRejection>) -> Result<Response, Refusal> {
    let params = Params::new(query, body);
    if params.all("match[]").next().is_none() {
        return Err(Refusal::bad("no match[] parameter provided".into()));
    }
    let limit = params.limit()?;
    let found = api.selected(&params, "invalid parameter \"match[]\": ")?;
    let metric = |labels: Labels| labels.pairs().map(|(name, value)| (name.to_owned(), Json::from(value))).collect();
    Ok(limited(found.into_iter().map(metric).map(Json::Object).collect(), limit))
}

async fn labels(State(api): Shared, Query(query): Query<Pairs>, body: Result<Form<Pairs>, FormRejection>) -> Result<Response, Refusal> {
    let params = Params::new(query, body);
    let limit = params.limit()?;
    let found = api.selected(&params, "")?;
    let names: BTreeSet<&str> = found.iter().flat_map(|labels| labels.pairs().map(|(name, _)| name)).collect();
    Ok(limited(names.into_iter().map(Json::from).collect(), limit))
}

async fn values(State(api): Shared, Path(name): Path<String>, Query(query): Query<Pairs>) -> Result<Response, Refusal> {
    let params = Params(query);
    let limit = params.limit()?;
    let found = api.selected(&params, "")?;
    let values: BTreeSet<&str> = found.iter().map(|labels| labels.get(&name)).filter(|value| !value.is_empty()).collect();
    Ok(limited(values.into_iter().map(Json::from).collect(), limit))
}

impl Api {
    /// Labels of the series that one of the request's selectors matches, or of all if it has none. `prefix` is what
    /// complaints about the selectors begin with.
    fn selected(&self, params: &Params, prefix: &str) -> Result<BTreeSet<Labels>, Refusal> {
        let window = params.window()?;
        let selectors = params.selectors(prefix)?;
        let storage = self.tsdb.read();
        if selectors.is_empty() {
            return Ok(eval::series(&storage, &[], window).into_iter().collect());
        }
        Ok(selectors.iter().flat_map(|matchers| eval::series(&storage, matchers, window)).collect())
    }
}

async fn metadata(State(api): Shared, Query(query): Query<Pairs>) -> Result<Response, Refusal> {
    let params = Params(query);
    let metric = params.get("metric");
    let limit = match params.get("limit") {
        "" => usize::MAX,
        text => text.parse::<i64>().map_err(|_| Refusal::bad("limit must be a number".into()))?.try_into().unwrap_or(usize::MAX),
    };
    let kinds = api.tsdb.kinds();
    let wanted = kinds.iter().filter(|(name, _)| metric.is_empty() || *name == metric);
    let entry = |(name, kind): (&String, &Kind)| (name.clone(), json!([{"type": kind.name(), "unit": "", "help": ""}]));
    Ok(success(&Json::Object(wanted.take(limit).map(entry).collect())))
}

fn build() -> Json {
    json!({"version": VERSION, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""})
}

/// Seconds since 1970, or a time as RFC 3339 has it; milliseconds.
fn time(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.abs() < 9.2e15 => Some((seconds.trunc() as i64) * 1_000 + (seconds.fract() * 1_000.0).round() as i64),
        Ok(_) => None,
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis()),
    }
}

/// Units with their milliseconds, the longest first.
const UNITS: [(&str, i64); 7] =
    [("y", 31_536_000_000), ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Seconds, or a length of time such as `1h30m`; milliseconds.
fn duration(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.abs() < 9.2e9).then_some((seconds * 1_000.0) as i64);
    }
    let (mut rest, mut units, mut total) = (text, UNITS.as_slice(), 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        // Each unit once, in this order.
        let index = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(units[index].1)?)?;
        (rest, units) = (after, &units[index + 1..]);
    }
    (!text.is_empty() && total < i64::MAX / 1_000_000).then_some(total)
}

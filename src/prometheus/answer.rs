//! The JSON that Prometheus, Thanos and Mimir answer with.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::Fault;
use crate::model::{Text, Time};

/// Labels of one series, as sent. They are compared, never shown; whoever shows one cleans it.
pub type Labels = BTreeMap<String, String>;

/// A query's result with what the server had to remark on it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    pub rows: Vec<Row>,
    /// Such as a store of Thanos that did not answer: the result may be partial.
    pub warnings: Vec<Text>,
}

impl Answer {
    /// The first value of the first series, as `result[0]` means it in an analysis.
    pub fn first(&self) -> Option<f64> {
        self.rows.first().and_then(|row| row.points.first()).map(|(_, value)| *value)
    }
}

/// One series: a single point for an instant query, several for a range.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    pub labels: Labels,
    /// A native histogram as a result is no number: NaN.
    pub points: Vec<(Time, f64)>,
    /// Bounds of its buckets, where the result of an instant query is such a histogram.
    pub bounds: Vec<f64>,
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Instant>),
    Matrix(Vec<Line>),
    Scalar(Point),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Instant {
    #[serde(default)]
    metric: Labels,
    value: Option<Point>,
    histogram: Option<(f64, Native)>,
}

/// A native histogram: of its buckets, those that hold something.
#[derive(Deserialize)]
struct Native {
    #[serde(default)]
    buckets: Vec<Bucket>,
}

/// Which of its bounds belong to it, its bounds, and its count.
#[derive(Deserialize)]
struct Bucket(serde::de::IgnoredAny, String, String, serde::de::IgnoredAny);

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    metric: Labels,
    #[serde(default)]
    values: Vec<Point>,
}

#[derive(Deserialize)]
struct Point(f64, String);

/// Reads the body of a 2xx answer to a query.
///
/// # Errors
/// [`Fault::Garbage`] if it is not such an answer; the error it reports, if it reports one.
pub fn read(body: &[u8]) -> Result<Answer, Fault> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|e| garbage(body, &e))?;
    if envelope.status != "success" {
        return Err(reported(200, &envelope.error_type, &envelope.error));
    }
    let rows = match envelope.data {
        Some(Data::Vector(list)) => list.into_iter().map(Instant::row).collect::<Result<_, _>>()?,
        Some(Data::Matrix(list)) => list.into_iter().map(Line::row).collect::<Result<_, _>>()?,
        Some(Data::Scalar(point)) => vec![Row { points: vec![point.read()?], ..Row::default() }],
        Some(Data::String(_)) | None => Vec::new(),
    };
    Ok(Answer { rows, warnings: envelope.warnings.iter().take(8).map(Text::from).collect() })
}

impl Instant {
    fn row(self) -> Result<Row, Fault> {
        let (point, bounds) = match (self.value, self.histogram) {
            (Some(point), _) => (point.read()?, Vec::new()),
            (None, Some((at, native))) => ((moment(at)?, f64::NAN), native.bounds()),
            (None, None) => return Err(Fault::Garbage("a series without a value".into())),
        };
        Ok(Row { labels: self.metric, points: vec![point], bounds })
    }
}

impl Native {
    fn bounds(&self) -> Vec<f64> {
        let texts = self.buckets.iter().flat_map(|Bucket(_, lower, upper, _)| [lower, upper]);
        texts.filter_map(|text| text.parse().ok()).filter(|bound: &f64| bound.is_finite()).collect()
    }
}

impl Line {
    fn row(self) -> Result<Row, Fault> {
        let points = self.values.into_iter().map(Point::read).collect::<Result<_, _>>()?;
        Ok(Row { labels: self.metric, points, bounds: Vec::new() })
    }
}

impl Point {
    fn read(self) -> Result<(Time, f64), Fault> {
        // Rust reads `NaN`, `+Inf` and `-Inf` as Prometheus writes them.
        let value = self.1.parse().map_err(|_| Fault::Garbage(Text::clean(&format!("`{}` is no number", self.1))))?;
        Ok((moment(self.0)?, value))
    }
}

fn moment(seconds: f64) -> Result<Time, Fault> {
    DateTime::<Utc>::from_timestamp_millis((seconds * 1e3).round() as i64).ok_or_else(|| Fault::Garbage("a time outside of history".into()))
}

/// What an HTTP status other than 2xx means, with the body that came along.
///
/// `login` says what to renew when the login is refused.
pub fn refused(code: u16, body: &[u8], after: Option<Duration>, login: &str) -> Fault {
    let said = serde_json::from_slice::<Envelope>(body).ok();
    let text = said.as_ref().map_or_else(|| excerpt(body), |e| Text::clean(&e.error));
    match (code, said) {
        (401, _) => Fault::Unauthorized { hint: login.into() },
        (403, _) => Fault::Forbidden {
            verb: "query".into(),
            resource: "prometheus".into(),
            namespace: None,
            role: "read access to this Prometheus (tenant header, token or gateway rule)".into(),
            detail: text,
        },
        (429, _) => Fault::Throttled { after },
        (408 | 504, _) => Fault::TooHeavy(text),
        (_, Some(e)) if !e.error_type.is_empty() => reported(code, &e.error_type, &e.error),
        (500..=599, _) => Fault::Server { code, text },
        (404, _) => Fault::Garbage("404: no Prometheus API at this address; is its path prefix missing?".into()),
        _ => Fault::Garbage(Text::clean(&format!("HTTP {code}: {text}"))),
    }
}

/// The service proxy's own refusals are Kubernetes `Status` objects, not answers of Prometheus.
pub fn refused_by_api(code: u16, body: &[u8], namespace: &str, after: Option<Duration>) -> Option<Fault> {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        #[serde(default)]
        message: String,
    }
    let status: Status = serde_json::from_slice(body).ok()?;
    if status.kind != "Status" {
        return None;
    }
    let text = Text::clean(&status.message);
    Some(match code {
        401 => Fault::Unauthorized { hint: "the login to the cluster".into() },
        403 => Fault::Forbidden {
            verb: "get".into(),
            resource: "services/proxy".into(),
            namespace: Some(namespace.into()),
            role: "get on services/proxy".into(),
            detail: text,
        },
        404 => Fault::NoRoute(text),
        429 => Fault::Throttled { after },
        408 | 504 => Fault::TooHeavy(text),
        // "no endpoints available", "error trying to reach service": the Service has nobody behind it.
        502 | 503 => Fault::NoRoute(text),
        _ => Fault::Server { code, text },
    })
}

/// An error in the words of the Prometheus API.
fn reported(code: u16, kind: &str, error: &str) -> Fault {
    let text = Text::clean(error);
    match kind {
        "timeout" => Fault::TooHeavy(text),
        "bad_data" | "execution" => Fault::Query { kind: kind.into(), text },
        "canceled" | "unavailable" => Fault::Server { code: 503, text },
        _ => Fault::Server { code: if code >= 400 { code } else { 500 }, text },
    }
}

fn garbage(body: &[u8], error: &serde_json::Error) -> Fault {
    // JSON that stops in the middle is a broken connection, not another language.
    if error.is_eof() && body.first() == Some(&b'{') {
        return Fault::Cut("the answer stops in the middle".into());
    }
    if body.trim_ascii_start().first() == Some(&b'<') {
        return Fault::Garbage(Text::clean(&format!("a web page (a login page?): {}", excerpt(body))));
    }
    let shown = if body.is_empty() { "empty".into() } else { excerpt(body) };
    Fault::Garbage(Text::clean(&format!("{shown} ({error})")))
}

fn excerpt(body: &[u8]) -> Text {
    let text = String::from_utf8_lossy(body.get(..400).unwrap_or(body));
    let words: Vec<&str> = text.split_whitespace().collect();
    Text::clean(&words.join(" ").chars().take(120).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LinkState;

    #[test]
    fn vectors_with_all_kinds_of_numbers() {
        let body = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"a":"1"},"value":[1700000000.781,"0.25"]},{"metric":{},"value":[1700000000,"NaN"]},
            {"metric":{},"value":[1700000000,"+Inf"]},{"metric":{},"value":[1700000000,"-Inf"]},
            {"metric":{},"histogram":[1700000000,{"count":"1","sum":"2","buckets":[[0,"0.25","0.5","1"],[3,"-Inf","+Inf","1"]]}]}]},
            "warnings":["store\u001b[2J gone"],"infos":["x"]}"#;
        let answer = read(body).unwrap();
        let values: Vec<f64> = answer.rows.iter().map(|r| r.points[0].1).collect();
        assert_eq!(values[0], 0.25);
        assert_eq!(answer.rows[0].points[0].0.timestamp_millis(), 1_700_000_000_781);
        assert_eq!(answer.rows[0].labels["a"], "1");
        assert!(values[1].is_nan() && values[4].is_nan());
        assert_eq!(values[2..4], [f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!(answer.rows.iter().map(|r| r.bounds.clone()).collect::<Vec<_>>()[3..], [vec![], vec![0.25, 0.5]]);
        assert!(!answer.warnings[0].contains('\x1b'));
    }

    #[test]
    fn matrix_scalar_and_emptiness() {
        let matrix = br#"{"status":"success","data":{"resultType":"matrix",
            "result":[{"metric":{"x":"y"},"values":[[1,"2"],[2,"3"]]}]}}"#;
        assert_eq!(read(matrix).unwrap().rows[0].points.len(), 2);
        let scalar = br#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#;
        assert_eq!(read(scalar).unwrap().first(), Some(2.0));
        let empty = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(read(empty).unwrap(), Answer::default());
    }

    #[test]
    fn what_is_not_an_answer() {
        for (body, state) in [
            (&b"<!doctype html><title>Sign in</title>"[..], LinkState::Garbage),
            (b"", LinkState::Garbage),
            (b"[]", LinkState::Garbage),
            (br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}"#, LinkState::Garbage),
            (br#"{"status":"success","data":{"resultType":"scalar","result":[1,"much"]}}"#, LinkState::Garbage),
            (br#"{"status":"success","data":{"resul"#, LinkState::Cut),
            (br#"{"status":"error","errorType":"bad_data","error":"x"}"#, LinkState::ServerError { code: 400 }),
        ] {
            assert_eq!(read(body).unwrap_err().state(), state, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn refusals_become_states() {
        let json = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"why"}}"#).into_bytes();
        let hint = LinkState::Expired { hint: "renew".into() };
        for (code, body, state) in [
            (400, json("bad_data"), LinkState::ServerError { code: 400 }),
            (422, json("execution"), LinkState::ServerError { code: 400 }),
            (503, json("timeout"), LinkState::TimedOut),
            (503, json("unavailable"), LinkState::ServerError { code: 503 }),
            (500, json("internal"), LinkState::ServerError { code: 500 }),
            (502, b"<html>bad gateway".to_vec(), LinkState::ServerError { code: 502 }),
            (504, b"".to_vec(), LinkState::TimedOut),
            (401, b"".to_vec(), hint.clone()),
            (401, json("x"), hint),
            (404, b"nope".to_vec(), LinkState::Garbage),
            (418, b"tea".to_vec(), LinkState::Garbage),
            (429, b"".to_vec(), LinkState::Throttled),
        ] {
            assert_eq!(refused(code, &body, None, "renew").state(), state, "{code}");
        }
        assert!(matches!(refused(403, b"", None, "").state(), LinkState::Forbidden { .. }));
    }

    #[test]
    fn the_api_server_refuses_in_its_own_words() {
        let status = br#"{"kind":"Status","message":"services \"p\" is forbidden"}"#;
        let refused = refused_by_api(403, status, "mon", None);
        let Some(Fault::Forbidden { resource, namespace, .. }) = refused else { panic!() };
        assert_eq!((&*resource, namespace.as_deref()), ("services/proxy", Some("mon")));
        assert!(matches!(refused_by_api(503, status, "mon", None), Some(Fault::NoRoute(_))));
        assert!(refused_by_api(400, br#"{"status":"error"}"#, "mon", None).is_none());
    }
}

//! A real Prometheus of the test's own: only that one program of the rig is needed.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use rolltop::demo::prometheus::{Sample, labels::Labels};
use serde_json::Value;

/// Runs the program until its input ends, which it does however this process ends.
const KEEPER: &str = r#"cd "$1" && shift && ("$@" >log 2>&1 & program=$!; cat >/dev/null; kill -KILL $program; wait) ; rm -rf "$PWD""#;

pub struct Real {
    pub url: String,
    pub http: reqwest::Client,
    keeper: Child,
    input: Option<ChildStdin>,
    folder: PathBuf,
}

/// A native histogram of one moment: counts by bucket, none of them around zero.
pub struct Native {
    pub labels: Labels,
    pub schema: i32,
    pub counts: BTreeMap<i32, i64>,
    pub sum: f64,
}

/// The program, or `None` after saying loudly that a test is skipped. Under `CI=true` it must be there.
pub fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/rig/bin/prometheus");
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "target/rig has no prometheus; run tests/cluster/build");
    let _ = writeln!(
        std::io::stderr(),
        "\n########## PROMQL TESTS SKIPPED: target/rig has no prometheus; run tests/cluster/build ##########\n"
    );
    None
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Real {
    /// Starts with this configuration and waits until it answers.
    pub async fn start(program: &Path, config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("rolltop-promql-").tempdir().unwrap().keep();
        fs::write(folder.join("config.yaml"), config).unwrap();
        let port = free_port();
        let mut keeper = Command::new("bash")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(program)
            .args(["--config.file=config.yaml", "--storage.tsdb.path=data", "--web.enable-remote-write-receiver", "--log.level=warn"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            // The shell remarks on what it kills.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = keeper.stdin.take();
        let real = Self { url: format!("http://127.0.0.1:{port}"), http: client(), keeper, input, folder };
        let begin = Instant::now();
        while !real.ready().await {
            let log = fs::read_to_string(real.folder.join("log")).unwrap_or_default();
            assert!(begin.elapsed() < Duration::from_secs(30), "Prometheus does not start:\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        real
    }

    async fn ready(&self) -> bool {
        self.http.get(format!("{}/-/ready", self.url)).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Writes samples of one moment, by remote write.
    pub async fn write(&self, at: i64, samples: &[Sample]) {
        self.write_all(at, samples, &[]).await;
    }

    /// Writes samples and native histograms of one moment.
    pub async fn write_all(&self, at: i64, samples: &[Sample], natives: &[Native]) {
        let mut body = Vec::new();
        for native in natives {
            let mut series = series_of(&native.labels);
            field(&mut series, 4, &native.encoded(at));
            field(&mut body, 1, &series);
        }
        for sample in samples {
            let mut series = series_of(&sample.labels);
            let mut point = vec![0x09];
            point.extend(sample.value.to_bits().to_le_bytes());
            point.push(0x10);
            varint(&mut point, at as u64);
            field(&mut series, 2, &point);
            field(&mut body, 1, &series);
        }
        let request = self.http.post(format!("{}/api/v1/write", self.url)).body(snappy(&body));
        let request = request
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0");
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap());
    }

    /// The data of an instant query that must work.
    pub async fn query(&self, query: &str, at: i64) -> Value {
        let time = format!("{}", at as f64 / 1_000.0);
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", query), ("time", &time)]).unwrap();
        let answer = self.http.get(url).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"].take()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.keeper.wait();
    }
}

impl Native {
    fn encoded(&self, at: i64) -> Vec<u8> {
        let zigzag = |n: i64| ((n << 1) ^ (n >> 63)) as u64;
        let mut out = Vec::new();
        number(&mut out, 1, self.counts.values().sum::<i64>() as u64);
        out.push(3 << 3 | 1);
        out.extend(self.sum.to_bits().to_le_bytes());
        number(&mut out, 4, zigzag(self.schema.into()));
        out.push(5 << 3 | 1);
        out.extend(2_f64.powi(-128).to_bits().to_le_bytes());
        number(&mut out, 6, 0);
        if let (Some((first, _)), Some((last, _))) = (self.counts.first_key_value(), self.counts.last_key_value()) {
            let mut span = Vec::new();
            number(&mut span, 1, zigzag((*first).into()));
            number(&mut span, 2, (last - first + 1) as u64);
            field(&mut out, 11, &span);
            let (mut deltas, mut before) = (Vec::new(), 0);
            for index in *first..=*last {
                let count = self.counts.get(&index).copied().unwrap_or_default();
                varint(&mut deltas, zigzag(count - before));
                before = count;
            }
            field(&mut out, 12, &deltas);
        }
        number(&mut out, 15, at as u64);
        out
    }
}

/// The labels of a series.
fn series_of(labels: &Labels) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in labels.pairs() {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut series, 1, &label);
    }
    series
}

/// Below the range the system hands out by itself.
pub fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(20_000..32_000)).find(free).unwrap()
}

/// A field of bytes, in the encoding of Protocol Buffers.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Snappy's block format without compressing anything.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, bytes.len() as u64);
    if !bytes.is_empty() {
        out.push(63 << 2);
        out.extend((bytes.len() as u32 - 1).to_le_bytes());
        out.extend(bytes);
    }
    out
}

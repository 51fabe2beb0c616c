//! Logs that break off, are withheld, repeat themselves or come too fast.

use std::time::Duration;

use axum::{body::Body, http::Response};
use rolltop::{
    cluster::{WantedLog, follow_logs},
    model::{
        LinkState,
        log::{Container, Following, News},
    },
    msg::Body as Message,
};
use tokio::sync::{mpsc, watch};

use crate::server::*;

fn container(pod: &str) -> Container {
    Container { namespace: "shop".into(), pod: pod.into(), name: "app".into() }
}

fn wanted(pod: &str, restarted: bool) -> WantedLog {
    WantedLog { container: container(pod), restarted }
}

/// Somebody who looks at logs.
struct Desk {
    wanted: watch::Sender<(u64, Vec<WantedLog>)>,
    messages: mpsc::Receiver<rolltop::msg::Msg>,
    news: Vec<News>,
    _task: tokio::task::JoinHandle<()>,
}

impl Desk {
    async fn at(server: &Server, first: Vec<WantedLog>) -> Self {
        let (tx, messages) = mpsc::channel(64);
        let (wanted, rx) = watch::channel((1, first));
        let task = tokio::spawn(follow_logs(reader(&server.url(), brisk()).await, rx, tx));
        Self { wanted, messages, news: Vec::new(), _task: task }
    }

    /// Reads on until the news so far are as wished.
    async fn until(&mut self, wish: impl Fn(&[News]) -> bool) -> &[News] {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !wish(&self.news) {
            let next = tokio::time::timeout_at(deadline, self.messages.recv()).await;
            let msg = next.unwrap_or_else(|_| panic!("it does not come: {:#?}", self.news)).unwrap();
            if let Message::Log(news) = msg.body {
                self.news.push(*news);
            }
        }
        &self.news
    }
}

fn texts(news: &[News]) -> Vec<&str> {
    news.iter().flat_map(|n| &n.lines).map(|line| &*line.text).collect()
}

fn text(body: impl Into<Body>) -> Response<Body> {
    Response::new(body.into())
}

#[tokio::test]
async fn a_log_that_breaks_off_goes_on_at_its_last_line() {
    let server = Server::start(|a, n| match (a.query.contains_key("follow"), n) {
        (true, 0) => text("2026-11-22T03:00:01.5Z one\n2026-11-22T03:00:02.25Z two\nhalf a li"),
        (true, 1) => text("2026-11-22T03:00:02.25Z two\n2026-11-22T03:00:02.75Z \u{1b}[31mthree\u{1b}[0m \u{1b}]0;owned\u{7}!\n"),
        (true, _) => never(),
        _ => healthy(a),
    })
    .await;
    let mut desk = Desk::at(&server, vec![wanted("web-1", false)]).await;
    let news = desk.until(|news| texts(news).len() >= 3).await;
    assert_eq!(texts(news), ["one", "two", "three !"], "each once, no half a line, and nothing that steers a terminal");
    assert_eq!(news[0].following, Some(Following::Live));
    let asked = server.asked();
    let logs: Vec<_> = asked.iter().filter(|a| a.path.ends_with("/log")).collect();
    assert_eq!(logs[0].path, "/api/v1/namespaces/shop/pods/web-1/log");
    assert_eq!((&*logs[0].query["container"], &*logs[0].query["tailLines"]), ("app", "100"));
    assert_eq!(logs[1].query["sinceTime"], "2026-11-22T03%3A00%3A02Z");
    assert!(logs.iter().all(|a| a.headers["accept-encoding"] == "identity"), "a stream that is compressed comes late");
}

#[tokio::test]
async fn what_the_run_before_wrote_comes_first_and_is_marked() {
    let server = Server::start(|a, n| match (a.query.contains_key("previous"), n) {
        (true, _) => text("2026-11-22T03:00:01Z panic: out of luck\n"),
        (false, n) if a.path.ends_with("/log") && n < 2 => text("2026-11-22T03:00:09Z started\n"),
        _ => never(),
    })
    .await;
    let mut desk = Desk::at(&server, vec![wanted("web-1", true)]).await;
    let news = desk.until(|news| texts(news).len() >= 2).await;
    let lines: Vec<_> = news.iter().flat_map(|n| &n.lines).map(|line| (&*line.text, line.before)).collect();
    assert_eq!(lines, [("panic: out of luck", true), ("started", false)]);
}

#[tokio::test]
async fn withheld_missing_and_not_yet_are_told_apart() {
    let server = Server::start(|a, _| match () {
        () if a.path.contains("/secret/") => status(403, "pods \"secret\" is forbidden: User \"ann\" cannot get resource \"pods/log\""),
        () if a.path.contains("/gone/") => status(404, "pods \"gone\" not found"),
        () if a.path.contains("/new/") => status(400, "container \"app\" in pod \"new\" is waiting to start: ImagePullBackOff"),
        () => healthy(a),
    })
    .await;
    let pods = ["secret", "gone", "new"].map(|pod| wanted(pod, false));
    let mut desk = Desk::at(&server, pods.to_vec()).await;
    let of = |news: &[News], pod: &str| news.iter().find(|n| &*n.pod == pod).and_then(|n| n.following.clone());
    let news = desk.until(|news| ["secret", "gone", "new"].iter().all(|pod| of(news, pod).is_some())).await;
    let Some(Following::Not { state: LinkState::Forbidden { resource, role, .. }, .. }) = of(news, "secret") else { panic!("{news:#?}") };
    assert!(&*resource == "pods/log" && role.contains("--user=ann"), "{resource} {role}");
    assert_eq!(of(news, "gone"), Some(Following::Over));
    let Some(Following::Not { detail, .. }) = of(news, "new") else { panic!("{news:#?}") };
    assert!(detail.ends_with("is waiting to start: ImagePullBackOff"), "{detail}");
    // Asked again in time, but not in a loop; a pod that is gone never.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = |pod: &str| server.count(|a| a.path.contains(&format!("/{pod}/")));
    assert!(asked("gone") == 1 && (2..40).contains(&asked("new")), "{} {}", asked("gone"), asked("new"));
}

#[tokio::test]
async fn a_flood_is_cut_and_counted_and_a_line_without_end_is_no_memory_leak() {
    let server = Server::start(|a, n| match a.path.ends_with("/log") && n == 0 {
        true => {
            let lines: String = (0..5_000).map(|i| format!("2026-11-22T03:00:01.{i:06}Z line {i}\n")).collect();
            text(format!("{lines}2026-11-22T03:00:02Z {}\n2026-11-22T03:00:03Z last\n", "x".repeat(3_000_000)))
        }
        false => never(),
    })
    .await;
    let mut desk = Desk::at(&server, vec![wanted("web-1", false)]).await;
    let news = desk.until(|news| texts(news).contains(&"last")).await;
    let (shown, skipped) = (texts(news).len() as u64, news.iter().map(|n| n.skipped).sum::<u64>());
    assert_eq!(shown + skipped, 5_002);
    assert!(news.iter().all(|n| n.lines.len() <= 200) && skipped > 1_000, "{shown} {skipped}");
    assert!(texts(news).iter().all(|text| text.len() < 20_000));
}

#[tokio::test]
async fn nothing_is_asked_once_nobody_looks() {
    let server = Server::start(|a, _| if a.path.ends_with("/log") { text("2026-11-22T03:00:01Z one\n") } else { healthy(a) }).await;
    let mut desk = Desk::at(&server, vec![wanted("web-1", false)]).await;
    desk.until(|news| !texts(news).is_empty()).await;
    desk.wanted.send((1, Vec::new())).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = server.asked().len();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(server.asked().len(), before);
}

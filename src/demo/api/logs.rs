//! `pods/log`: what the containers of a pod have written, as far as that follows from the pod and its version.
//!
//! Nothing is recorded. A container's lines are a pure function of who it is, of the second and of how its version
//! answers ([`lines`]), so they can be made for any stretch of its life whenever somebody asks.

mod lines;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use chrono::{SecondsFormat, TimeDelta};
use futures::stream;
use serde_json::Value;

use self::lines::{End, Line, Manners, Run};
use super::{Answer, Call, table::text};
use crate::{
    demo::{
        refusal::{Problem, Refusal},
        sim::Sim,
        store::{Key, Store},
        traffic,
        world::World,
    },
    model::Time,
};

/// Older lines are gone, as after rotation.
const KEPT: TimeDelta = TimeDelta::minutes(15);

/// A follower looks at the pod this often at least, whatever the speed of the cluster's clock.
const LOOK: Duration = Duration::from_millis(200);

pub fn read(world: &Arc<World>, call: &Call) -> Answer {
    start(world, call).unwrap_or_else(Answer::from)
}

fn start(world: &Arc<World>, call: &Call) -> Result<Answer, Refusal> {
    let wish = Wish::of(call)?;
    let now = world.clock.now();
    let Some(found) = world.with(|sim| wish.find(sim))? else {
        // Nobody runs it yet, so nobody has anything to say.
        return Ok(Answer::Text(204, String::new()));
    };
    let written = wish.print(&wish.window(&found, now));
    if !wish.follow || found.end.is_some() {
        return Ok(Answer::Text(200, wish.cut(written)));
    }
    let follower = Follower { world: world.clone(), wish, run: found, told: now, first: Some(written), over: false };
    let pieces = stream::unfold(follower, |mut follower| async {
        let piece = follower.next().await?;
        Some((Ok::<_, Infallible>(piece), follower))
    });
    Ok(Answer::Stream(Body::from_stream(pieces)))
}

/// `PodLogOptions`, and of which pod.
struct Wish {
    key: Key,
    container: Option<String>,
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail: Option<usize>,
    /// Lines from before are not wanted.
    after: Option<Time>,
    since: Option<TimeDelta>,
    bytes: Option<usize>,
}

impl Wish {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let name = call.target.name.clone().unwrap_or_default();
        let truth = |option: &str| call.asks(option).is_some_and(|value| !["false", "0"].contains(&value));
        let number = |option: &str, least: i64, why: &str| match call.asks(option) {
            None | Some("") => Ok(None),
            Some(text) => match text.parse::<i64>() {
                Err(_) => Err(Refusal::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
                Ok(value) if value < least => Err(senseless(&name, Problem::invalid(option, &value.into(), why))),
                Ok(value) => Ok(Some(value)),
            },
        };
        let tail = number("tailLines", 0, "must be greater than or equal to 0")?;
        let since = number("sinceSeconds", 1, "must be greater than 0")?;
        let bytes = number("limitBytes", 1, "must be greater than 0")?;
        let after = match call.asks("sinceTime") {
            None | Some("") => None,
            Some(_) if since.is_some() => {
                let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
                return Err(senseless(&name, Problem::forbidden("[]", why)));
            }
            Some(time) => Some(text::parse_time(time).ok_or_else(|| {
                let layout = "2006-01-02T15:04:05Z07:00";
                Refusal::bad_request(format!("parsing time \"{time}\" as \"{layout}\": cannot parse \"{time}\" as \"2006\""))
            })?),
        };
        let size = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
        Ok(Self {
            key: Key::new("pods", call.target.namespace.as_deref().unwrap_or_default(), &name),
            container: call.asks("container").filter(|name| !name.is_empty()).map(str::to_owned),
            follow: truth("follow"),
            previous: truth("previous"),
            timestamps: truth("timestamps"),
            tail: size(tail),
            after,
            since: since.and_then(TimeDelta::try_seconds),
            bytes: size(bytes),
        })
    }

    /// The run of the container that is asked for; `None` while the pod has no node.
    fn find(&self, sim: &Sim) -> Result<Option<Run>, Refusal> {
        let name = &self.key.name;
        let pod = sim.store.get(&self.key).ok_or_else(|| Refusal::not_found("pods", name))?.value();
        let container = self.container(&pod).map_err(Refusal::bad_request)?;
        if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
            return Ok(None);
        }
        let (begun, end) = self.life(&pod, &container["name"]).map_err(Refusal::bad_request)?;
        let tag = tag(container["image"].as_str().unwrap_or_default());
        let workload = format!("{}/{}", self.key.namespace, top(&sim.store, &self.key.namespace, &pod));
        Ok(Some(Run {
            identity: format!("{}/{}/{}", pod["metadata"]["uid"], container["name"], begun.timestamp()),
            begun,
            // One that crashed never got so far as to answer anybody.
            ready: ready_since(&pod).or(end.as_ref().is_some_and(|end| end.out_of_memory || end.code == 0).then_some(begun)),
            manners: manners(sim, &workload, tag),
            tag: tag.to_owned(),
            end,
        }))
    }

    fn container<'a>(&self, pod: &'a Value) -> Result<&'a Value, String> {
        let list = |field: &str| pod["spec"][field].as_array().map_or(&[][..], Vec::as_slice);
        let pod_name = &self.key.name;
        match (&self.container, list("containers")) {
            (None, [only]) => Ok(only),
            (None, many) => {
                // Those who start it may have said which one matters.
                let chosen = &pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"];
                let names: Vec<&str> = many.iter().filter_map(|container| container["name"].as_str()).collect();
                let why = || format!("a container name must be specified for pod {pod_name}, choose one of: [{}]", names.join(" "));
                many.iter().find(|container| chosen.is_string() && container["name"] == *chosen).ok_or_else(why)
            }
            (Some(name), containers) => {
                let mut all = containers.iter().chain(list("initContainers"));
                all.find(|container| container["name"] == name.as_str())
                    .ok_or_else(|| format!("container {name} is not valid for pod {pod_name}"))
            }
        }
    }

    /// When the run began, and how it ended if it has. The words are the kubelet's.
    fn life(&self, pod: &Value, container: &Value) -> Result<(Time, Option<End>), String> {
        let statuses = ["containerStatuses", "initContainerStatuses"].into_iter().filter_map(|field| pod["status"][field].as_array());
        let status = statuses.flatten().find(|status| status["name"] == *container);
        let pod_name = &*self.key.name;
        let container = container.as_str().unwrap_or_default();
        let this = format!("container \"{container}\" in pod \"{pod_name}\"");
        let status = status.ok_or_else(|| format!("{this} is not available"))?;
        let last = ended(&status["lastState"]["terminated"]);
        if self.previous {
            return last.ok_or_else(|| format!("previous terminated {this} not found"));
        }
        if let Some(begun) = text::time(&status["state"]["running"]["startedAt"]) {
            return Ok((begun, None));
        }
        if let Some(run) = ended(&status["state"]["terminated"]).or(last) {
            return Ok(run);
        }
        Err(match status["state"]["waiting"]["reason"].as_str() {
            Some("ErrImagePull") => format!("{this} is waiting to start: image can't be pulled"),
            Some("ImagePullBackOff") => format!("{this} is waiting to start: trying and failing to pull image"),
            Some(reason) => format!("{this} is waiting to start: {reason}"),
            None => format!("{this} is waiting to start - no logs yet"),
        })
    }

    /// The lines that are wanted of those there are.
    fn window(&self, run: &Run, now: Time) -> Vec<Line> {
        let until = run.end.as_ref().map_or(now, |end| end.at);
        let wanted = [self.after, self.since.map(|since| now - since), Some(until - KEPT)];
        let from = wanted.into_iter().flatten().max().unwrap_or(until);
        match self.tail {
            Some(tail) => run.last(tail, from, until),
            None => run.lines(from, until),
        }
    }

    fn print(&self, lines: &[Line]) -> String {
        lines.iter().fold(String::new(), |mut printed, line| {
            if self.timestamps {
                printed += &line.at.to_rfc3339_opts(SecondsFormat::Nanos, true);
                printed.push(' ');
            }
            printed += &line.text;
            printed.push('\n');
            printed
        })
    }

    fn cut(&self, mut text: String) -> String {
        // What is written here is ASCII but for names, and half a character is none.
        let mut end = self.bytes.unwrap_or(text.len()).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }
}

fn senseless(name: &str, problem: Problem) -> Refusal {
    Refusal::invalid_options("PodLogOptions", "", name, &[problem])
}

/// A run that is over.
fn ended(terminated: &Value) -> Option<(Time, Option<End>)> {
    let at = text::time(&terminated["finishedAt"])?;
    let begun = text::time(&terminated["startedAt"]).unwrap_or(at - TimeDelta::seconds(10));
    let code = terminated["exitCode"].as_i64().unwrap_or_default();
    let out_of_memory = terminated["reason"] == "OOMKilled";
    Some((begun, Some(End { at, code, out_of_memory })))
}

fn ready_since(pod: &Value) -> Option<Time> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready" && condition["status"] == "True")?;
    text::time(&ready["lastTransitionTime"])
}

fn tag(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    name.split_once(':').map_or("latest", |(_, tag)| tag)
}

/// The name of what a pod belongs to in the end.
fn top(store: &Store, namespace: &str, pod: &Value) -> String {
    let mut object = pod.clone();
    loop {
        let owners = object["metadata"]["ownerReferences"].as_array();
        let Some(owner) = owners.into_iter().flatten().find(|owner| owner["controller"] == true) else { break };
        let field = |name: &str| owner[name].as_str().unwrap_or_default();
        let group = field("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let kind = store.kinds().find(|kind| kind.group == group && kind.kind == field("kind"));
        let above = kind.and_then(|kind| store.get(&Key::new(&kind.id(), namespace, field("name"))));
        let Some(above) = above else { return field("name").to_owned() };
        object = above.value();
    }
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// How a version answers, by what has been counted of it.
fn manners(sim: &Sim, workload: &str, tag: &str) -> Manners {
    let (mut all, mut errors, mut missing, mut total_ms) = (0_u64, 0_u64, 0_u64, 0.0);
    for (_, counters) in sim.workloads.traffic.counters(workload).filter(|(id, _)| id.tag == tag) {
        errors += traffic::of_class(counters, 5);
        missing += traffic::of_class(counters, 4);
        all += counters.values().map(traffic::Histogram::count).sum::<u64>();
        total_ms += counters.values().map(traffic::Histogram::sum_ms).sum::<f64>();
    }
    if all == 0 {
        return Manners::default();
    }
    #[expect(clippy::cast_precision_loss, reason = "shares need no more")]
    let share = |part: u64| part as f64 / all as f64;
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more")]
    let mean_ms = total_ms / all as f64;
    Manners {
        errors: share(errors),
        missing: share(missing),
        mean_ms,
        per_second: (sim.workloads.traffic.load(workload).rps / 20.0).clamp(0.3, 3.0),
    }
}

/// A log that is read while it is written.
struct Follower {
    world: Arc<World>,
    wish: Wish,
    run: Run,
    /// All lines up to this moment have been sent.
    told: Time,
    first: Option<String>,
    over: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        while !self.over {
            let next_second = self.world.until(self.told + TimeDelta::seconds(1));
            tokio::time::sleep(next_second.max(LOOK)).await;
            let lines = self.look();
            if !lines.is_empty() {
                return Some(self.wish.print(&lines));
            }
        }
        None
    }

    fn look(&mut self) -> Vec<Line> {
        let now = self.world.clock.now();
        match self.world.with(|sim| self.wish.find(sim)) {
            Ok(Some(run)) if run.identity == self.run.identity => self.run = run,
            // The pod is gone, or its container begins anew: this run is over.
            _ => self.over = true,
        }
        self.over |= self.run.end.is_some();
        let until = self.run.end.as_ref().map_or(now, |end| end.at.min(now));
        let from = std::mem::replace(&mut self.told, until);
        if until > from { self.run.lines(from, until) } else { Vec::new() }
    }
}

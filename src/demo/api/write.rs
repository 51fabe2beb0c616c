//! Requests that change something.
//!
//! Each goes the way of the real server: read into its types (what they do not have is dropped, named, or refused),
//! patched, filled with defaults, validated, and handed to the [`registry`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Call, apply, crd, patch, select::Selector};
use crate::{
    demo::{
        kinds::{self, Kind},
        refusal::{Problem, Refusal},
        registry::{
            self, Deletion, Part, Propagation, Write, custom, defaults,
            deletion::{self, Outcome},
            normal, protobuf,
            schema::Schema,
            types, valid,
        },
        sim::Sim,
        store::{Key, Store},
        world::World,
    },
    model::Time,
};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// What to do about fields nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validation {
    Ignore,
    Warn,
    Strict,
}

/// A write, and how it is meant.
struct Request<'c> {
    call: &'c Call,
    kind: Arc<Kind>,
    id: String,
    namespace: String,
    /// From the path; empty for collections.
    name: String,
    /// `apps/v1`, as asked for.
    api_version: String,
    manager: String,
    validation: Validation,
    part: Part,
    now: Time,
}

/// What was written, and what the client should hear about it.
struct Written {
    code: u16,
    object: Value,
    /// Fields that were dropped.
    warnings: Vec<String>,
}

pub fn create(world: &World, call: &Call) -> Answer {
    respond(world, call, |store, request| {
        request.check_options("CreateOptions")?;
        request.check_media_type()?;
        let (object, warnings) = request.decode()?;
        let object = create_object(store, request, object)?;
        Ok(Written { code: 201, object, warnings })
    })
}

pub fn update(world: &World, call: &Call) -> Answer {
    respond(world, call, |store, request| {
        request.check_options("UpdateOptions")?;
        request.check_media_type()?;
        let (mut object, warnings) = request.decode()?;
        request.check_name(&object)?;
        let before = request.find(store)?;
        if text(&object["metadata"]["resourceVersion"]).is_empty() {
            request.may_be_unconditional()?;
        }
        registry::still_the_same(&request.kind, &request.key(), &before, &object)?;
        keep_identity(&before, &mut object);
        request.check_replacement(&before, &mut object)?;
        let object = registry::update(store, &request.id, request.stored(object), request.write())?;
        Ok(Written { code: 200, object, warnings })
    })
}

pub fn patch(world: &World, call: &Call) -> Answer {
    respond(world, call, |store, request| {
        request.check_options("PatchOptions")?;
        let kind = media_type(call);
        match kind {
            JSON_PATCH | MERGE_PATCH => change(store, request, kind),
            STRATEGIC_PATCH if request.kind.custom.is_none() => change(store, request, kind),
            APPLY_PATCH | "application/apply-patch+json" => apply_patch(store, request),
            _ => Err(Refusal::unsupported_media_type(accepted_patches(&request.kind))),
        }
    })
}

pub fn delete(world: &World, call: &Call) -> Answer {
    let name = call.target.name.clone().unwrap_or_default();
    respond(world, call, |store, request| {
        let options = DeleteOptions::read(call)?;
        let key = Key::new(&request.id, &request.namespace, &name);
        let outcome = deletion::delete_with(store, &key, options.deletion(), request.write_dry(options.dry_run))?;
        Ok(Written { code: 200, object: request.deleted(outcome), warnings: Vec::new() })
    })
}

/// Deletes what the selectors pick, and answers with it.
pub fn delete_collection(world: &World, call: &Call) -> Answer {
    respond(world, call, |store, request| {
        let options = DeleteOptions::read(call)?;
        let selector = Selector::of(call)?;
        let picked = store.list(&request.id, selector.namespace()).filter(|object| selector.matches(object));
        let picked: Vec<Key> = picked.map(|object| object.key.clone()).collect();
        let mut items = Vec::new();
        for key in picked {
            items.push(deletion::delete_with(store, &key, options.deletion(), request.write_dry(options.dry_run))?.object());
        }
        let version = store.revision().to_string();
        let list = json!({
            "kind": format!("{}List", request.kind.kind), "apiVersion": request.api_version,
            "metadata": {"resourceVersion": version}, "items": items,
        });
        Ok(Written { code: 200, object: list, warnings: Vec::new() })
    })
}

fn respond(world: &World, call: &Call, act: impl FnOnce(&mut Store, &Request<'_>) -> Result<Written, Refusal>) -> Answer {
    let written = world.with(|sim: &mut Sim| {
        let request = Request::new(call, sim.now())?;
        act(&mut sim.store, &request).map(|written| Written { object: request.shown(written.object), ..written })
    });
    match written {
        Ok(Written { code, object, warnings }) if warnings.is_empty() => Answer::Json(code, object),
        Ok(Written { code, object, warnings }) => Answer::Warned(code, object, warnings),
        Err(refusal) => refusal.into(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a body is, without parameters.
fn media_type(call: &Call) -> &str {
    call.content_type.split(';').next().unwrap_or_default().trim()
}

/// The object in the body of a call that does without the niceties of [`Request`]; null for none.
pub fn body(call: &Call) -> Value {
    match media_type(call) {
        protobuf::MEDIA_TYPE => protobuf::decode(&call.body),
        _ => serde_json::from_slice(&call.body).ok(),
    }
    .unwrap_or_default()
}

fn accepted_patches(kind: &Kind) -> &'static [&'static str] {
    if kind.custom.is_some() { &[JSON_PATCH, MERGE_PATCH, APPLY_PATCH] } else { &[JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH] }
}

impl<'c> Request<'c> {
    fn new(call: &'c Call, now: Time) -> Result<Self, Refusal> {
        let kind = call.target.kind.clone();
        let agent = call.user_agent.split('/').next().unwrap_or_default();
        let manager = call.asks("fieldManager").filter(|manager| !manager.is_empty()).unwrap_or(agent);
        let validation = match call.asks("fieldValidation") {
            Some("Ignore") => Validation::Ignore,
            Some("Strict") => Validation::Strict,
            _ => Validation::Warn,
        };
        Ok(Self {
            call,
            id: if is_new_event(&kind) { "events".into() } else { kind.id() },
            namespace: call.target.namespace.clone().unwrap_or_default(),
            name: call.target.name.clone().unwrap_or_default(),
            api_version: kinds::api_version(&kind.group, &call.target.version),
            manager: manager.chars().take(128).collect(),
            validation,
            part: if call.target.subresource == "status" { Part::Status } else { Part::Main },
            now,
            kind,
        })
    }

    fn write(&self) -> Write<'_> {
        self.write_dry(self.call.is_dry_run())
    }

    fn write_dry(&self, dry_run: bool) -> Write<'_> {
        Write { dry_run, part: self.part, client: true, api_version: &self.api_version, ..Write::new(self.now, &self.manager) }
    }

    /// As it is kept: events of both groups are one kind.
    fn stored(&self, object: Value) -> Value {
        if is_new_event(&self.kind) { renamed(object, |(old, new)| (new, old)) } else { object }
    }

    /// As the client knows it: objects are kept in one version and asked for in others.
    fn shown(&self, object: Value) -> Value {
        let mut object = if is_new_event(&self.kind) && object["kind"] == "Event" { renamed(object, |pair| pair) } else { object };
        if object["kind"] == self.kind.kind.as_str() {
            object["apiVersion"] = self.api_version.clone().into();
        }
        object
    }

    fn check_options(&self, options: &str) -> Result<(), Refusal> {
        let mut problems = Vec::new();
        if let Some(dry_run) = self.call.asks("dryRun").filter(|value| !["", "All"].contains(value)) {
            problems.push(Problem::unsupported("dryRun", &json!([dry_run]), ["All"]));
        }
        let choices = ["", "Ignore", "Strict", "Warn"];
        if let Some(validation) = self.call.asks("fieldValidation").filter(|value| !choices.contains(value)) {
            problems.push(Problem::unsupported("fieldValidation", &json!(validation), choices));
        }
        if problems.is_empty() { Ok(()) } else { Err(Refusal::invalid_options(options, "meta.k8s.io", "", &problems)) }
    }

    fn check_media_type(&self) -> Result<(), Refusal> {
        match media_type(self.call) {
            "" | "application/json" => Ok(()),
            protobuf::MEDIA_TYPE if self.kind.custom.is_none() => Ok(()),
            _ => Err(Refusal::unsupported_media_type(&["application/json", protobuf::MEDIA_TYPE])),
        }
    }

    /// The object in a request's body, read into its types, with the names of fields they do not have.
    fn decode(&self) -> Result<(Value, Vec<String>), Refusal> {
        let mut object = self.parse()?;
        self.check_type(&object)?;
        object["apiVersion"] = self.api_version.clone().into();
        if self.kind.custom.is_none() || text(&object["kind"]).is_empty() {
            object["kind"] = self.kind.kind.clone().into();
        }
        let unknown = self.read(&mut object).map_err(|normal::Mismatch(why)| self.unreadable(&self.kind.kind, &why))?;
        if self.validation == Validation::Strict && !unknown.is_empty() {
            let list: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
            return Err(self.unreadable(&self.kind.kind, &format!("strict decoding error: {}", list.join(", "))));
        }
        self.check_namespace(&mut object)?;
        Ok((object, self.warnings(unknown)))
    }

    fn parse(&self) -> Result<Value, Refusal> {
        let body = &self.call.body;
        let wanted = &self.kind.kind;
        let unrecognized = |why: &str| {
            Refusal::bad_request(format!("the object provided is unrecognized (must be of type {wanted}): {why} ({})", summary(body)))
        };
        if media_type(self.call) == protobuf::MEDIA_TYPE {
            return protobuf::decode(body).ok_or_else(|| unrecognized("couldn't get version/kind"));
        }
        let parsed: Result<Value, _> = serde_json::from_slice(body);
        let object = parsed
            .map_err(|error| unrecognized(&format!("couldn't get version/kind; json parse error: {}", patch::json_error(body, &error))))?;
        if !object.is_object() {
            let shape = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
            let found = if object.is_array() { "array" } else { "value" };
            let why = format!("couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {shape}");
            return Err(unrecognized(&why));
        }
        if self.kind.custom.is_some() && text(&object["kind"]).is_empty() {
            return Err(unrecognized(&format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(body))));
        }
        Ok(object)
    }

    /// The body must be of the kind and version that the path says. Built-in kinds may leave it to the path.
    fn check_type(&self, object: &Value) -> Result<(), Refusal> {
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        if self.kind.custom.is_some() {
            if !version.is_empty() && version != self.api_version {
                let why = format!("the API version in the data ({version}) does not match the expected API version ({})", self.api_version);
                return Err(Refusal::bad_request(why));
            }
            if kind != self.kind.kind {
                return Err(self.wrong_kind(kind, text(&object["metadata"]["name"])));
            }
            return Ok(());
        }
        let kind = if kind.is_empty() { self.kind.kind.as_str() } else { kind };
        let version = if version.is_empty() { self.api_version.as_str() } else { version };
        if (kind, version) == (self.kind.kind.as_str(), self.api_version.as_str()) {
            return Ok(());
        }
        let short = version.rsplit('/').next().unwrap_or_default();
        let known = kinds::built_in().iter().any(|known| known.kind == kind && known.api_version() == version);
        let why = if known {
            let group = if self.kind.group.is_empty() { "core" } else { self.kind.group.as_str() };
            format!("converting ({short}.{kind}) to ({group}.{}): unknown conversion", self.kind.kind)
        } else {
            format!("no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\"")
        };
        Err(Refusal::bad_request(format!("{kind} in version {short:?} cannot be handled as a {}: {why}", self.kind.kind)))
    }

    fn wrong_kind(&self, kind: &str, name: &str) -> Refusal {
        let problem = Problem::invalid("kind", &json!(kind), format!("must be {}", self.kind.kind));
        Refusal::invalid_options(kind, &self.kind.group, name, &[problem])
    }

    fn unreadable(&self, kind: &str, why: &str) -> Refusal {
        let version = &self.call.target.version;
        Refusal::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    }

    /// Reads an object into its types; returns the fields they do not have.
    fn read(&self, object: &mut Value) -> Result<Vec<String>, normal::Mismatch> {
        match (&self.kind.custom, types::of(&self.kind)) {
            (Some(custom), _) => custom::read(&custom.schema, object),
            (None, Some(known)) => normal::read(known, object),
            (None, None) => Ok(Vec::new()),
        }
    }

    fn warnings(&self, unknown: Vec<String>) -> Vec<String> {
        if self.validation == Validation::Ignore {
            return Vec::new();
        }
        unknown.into_iter().map(|field| format!("unknown field {field:?}")).collect()
    }

    fn check_namespace(&self, object: &mut Value) -> Result<(), Refusal> {
        let namespace = text(&object["metadata"]["namespace"]);
        if self.kind.namespaced && !namespace.is_empty() && namespace != self.namespace {
            return Err(Refusal::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
        }
        object["metadata"]["namespace"] = if self.kind.namespaced { self.namespace.clone().into() } else { Value::Null };
        Ok(())
    }

    fn check_name(&self, object: &Value) -> Result<(), Refusal> {
        match text(&object["metadata"]["name"]) {
            "" => Err(Refusal::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                self.name
            ))),
            name if name != self.name => {
                Err(Refusal::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", self.name)))
            }
            _ => Ok(()),
        }
    }

    fn key(&self) -> Key {
        Key::new(&self.id, &self.namespace, &self.name)
    }

    fn find(&self, store: &Store) -> Result<Value, Refusal> {
        let found = store.get(&self.key()).map(|found| self.shown(found.value()));
        found.ok_or_else(|| Refusal::not_found(&self.kind.id(), &self.name))
    }

    /// Some kinds are only replaced by who says what they replace.
    fn may_be_unconditional(&self) -> Result<(), Refusal> {
        let careful = ["leases.coordination.k8s.io", "poddisruptionbudgets.policy", crd::KIND];
        if self.kind.custom.is_none() && !careful.contains(&self.id.as_str()) {
            return Ok(());
        }
        let problem = Problem::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        Err(Refusal::invalid_options(&self.kind.plural, &self.kind.group, &self.name, &[problem]))
    }

    fn check_new(&self, object: &Value) -> Result<(), Refusal> {
        let problems = valid::new_object(&self.kind, object);
        self.refuse(object, &self.with_schema_problems(object, None, problems))
    }

    /// Fills in an object that is to replace another, and checks it.
    fn check_replacement(&self, before: &Value, object: &mut Value) -> Result<(), Refusal> {
        defaults::fill(&self.kind, object);
        registry::keep_address(&self.kind, before, object);
        if self.id == crd::KIND {
            crd::defaults(object);
        }
        let problems = match self.part {
            Part::Status => Vec::new(),
            Part::Main => valid::replacement(&self.kind, before, object),
        };
        self.refuse(object, &self.with_schema_problems(object, Some(before), problems))
    }

    fn with_schema_problems(&self, object: &Value, before: Option<&Value>, mut problems: Vec<Problem>) -> Vec<Problem> {
        match &self.kind.custom {
            Some(known) => custom::validate(&self.kind, &known.schema, object, before, self.part == Part::Status, problems),
            None if self.id == crd::KIND => {
                problems.extend(crd::problems(object));
                problems
            }
            None => problems,
        }
    }

    fn refuse(&self, object: &Value, problems: &[Problem]) -> Result<(), Refusal> {
        if problems.is_empty() {
            return Ok(());
        }
        // Events are checked as one kind, whatever group they come by.
        let group = if is_new_event(&self.kind) { "" } else { self.kind.group.as_str() };
        Err(Refusal::invalid_options(&self.kind.kind, group, text(&object["metadata"]["name"]), problems))
    }

    /// The answer to a deletion: most kinds are content to say that it happened.
    fn deleted(&self, outcome: Outcome) -> Value {
        let shown = ["pods", "services", "serviceaccounts", "podtemplates"];
        match outcome {
            Outcome::Gone(object) if !shown.contains(&self.id.as_str()) => {
                let mut details = json!({"name": self.name, "kind": self.kind.plural, "uid": object["metadata"]["uid"]});
                if !self.kind.group.is_empty() {
                    details["group"] = self.kind.group.clone().into();
                }
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
            }
            outcome => outcome.object(),
        }
    }
}

fn is_new_event(kind: &Kind) -> bool {
    kind.group == "events.k8s.io" && kind.plural == "events"
}

type Names = (&'static str, &'static str);

/// An event with the field names of its other group; `way` turns a pair of old and new names into from and to.
fn renamed(mut event: Value, way: fn(Names) -> Names) -> Value {
    let names = [
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("count", "deprecatedCount"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("reportingComponent", "reportingController"),
    ];
    if let Some(fields) = event.as_object_mut() {
        for (from, to) in names.map(way) {
            if let Some(value) = fields.remove(from) {
                fields.insert(to.into(), value);
            }
        }
    }
    event
}

/// The beginning of a body, for messages.
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    match body.first() {
        None => "<empty>".into(),
        Some(b'{') => {
            let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
            if body.len() > SHOWN { format!("{text} ...") } else { text }
        }
        Some(_) => body.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Who replaces an object need not repeat what the server gave it.
fn keep_identity(before: &Value, object: &mut Value) {
    for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if object["metadata"][field].is_null() && !before["metadata"][field].is_null() {
            object["metadata"][field] = before["metadata"][field].clone();
        }
    }
}

fn create_object(store: &mut Store, request: &Request<'_>, mut object: Value) -> Result<Value, Refusal> {
    let object = prepare_new(store, request, &mut object)?;
    registry::create(store, &request.id, &request.namespace, request.stored(object), request.write())
}

/// Checks that there is room for a new object, fills it in and validates it.
fn prepare_new(store: &Store, request: &Request<'_>, object: &mut Value) -> Result<Value, Refusal> {
    room_for_new(store, request, text(&object["metadata"]["name"]))?;
    // Only nodes are born with a status.
    if request.kind.status && request.id != "nodes" {
        object["status"] = types::of(&request.kind).map_or(Value::Null, |known| normal::zero(known)["status"].clone());
    }
    if let Some(data) = object["stringData"].as_object().cloned() {
        data.iter().for_each(|(key, value)| object["data"][key] = protobuf::base64(text(value).as_bytes()).into());
        object["stringData"] = Value::Null;
    }
    defaults::fill(&request.kind, object);
    if request.id == crd::KIND {
        crd::defaults(object);
    }
    let mut named = object.clone();
    if text(&named["metadata"]["name"]).is_empty() && !text(&named["metadata"]["generateName"]).is_empty() {
        named["metadata"]["name"] = format!("{}{}", text(&named["metadata"]["generateName"]), registry::suffix("")).into();
    }
    if let Some(fields) = named.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    request.check_new(&named)?;
    Ok(object.take())
}

/// Namespaced objects need a namespace that is there to stay.
fn room_for_new(store: &Store, request: &Request<'_>, name: &str) -> Result<(), Refusal> {
    if !request.kind.namespaced {
        return Ok(());
    }
    let namespace = &request.namespace;
    let Some(found) = store.get(&Key::new("namespaces", "", namespace)) else {
        return Err(Refusal::not_found("namespaces", namespace));
    };
    if found.value()["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut refusal = Refusal::forbidden(&request.id, name, &why);
    let message = format!("namespace {namespace} is being terminated");
    refusal.details["causes"] = json!([{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]);
    Err(refusal)
}

/// JSON, merge and strategic merge patches.
fn change(store: &mut Store, request: &Request<'_>, content_type: &str) -> Result<Written, Refusal> {
    let before = request.find(store)?;
    let body = &request.call.body;
    let mut shown = before.clone();
    shown["apiVersion"] = request.api_version.clone().into();
    let mut object = match content_type {
        JSON_PATCH => patch::json(&shown, body)?,
        MERGE_PATCH => patch::merge(&shown, body)?,
        _ => patch::strategic(types::of(&request.kind), &shown, body)?,
    };
    if !object.is_object() {
        return Err(Refusal::unprocessable());
    }
    check_patched_type(request, &object)?;
    let as_sent = || match content_type {
        STRATEGIC_PATCH => patch::go_text(&serde_json::from_slice(body).unwrap_or_default()),
        _ => object.to_string(),
    };
    let refused = |as_sent: String, why: &str| Refusal::invalid_options("", "", "", &[Problem::invalid("patch", &json!(as_sent), why)]);
    let mut read = object.clone();
    let unknown = request.read(&mut read).map_err(|normal::Mismatch(why)| refused(as_sent(), &why))?;
    if request.validation == Validation::Strict && !unknown.is_empty() {
        let list: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
        return Err(refused(as_sent(), &format!("strict decoding error: {}", list.join(", "))));
    }
    object = read;
    request.check_name(&object)?;
    request.check_namespace(&mut object)?;
    let (sent, is) = (text(&object["metadata"]["resourceVersion"]), text(&before["metadata"]["resourceVersion"]));
    if !sent.is_empty() && sent != is {
        return Err(registry::stale(&request.kind, &request.name));
    }
    // A status does not care for the identity of what it came with.
    if request.part == Part::Status && request.kind.custom.is_some() {
        object["metadata"] = before["metadata"].clone();
    }
    if request.part == Part::Status {
        request.refuse_other_identity(&before, &object)?;
    }
    keep_identity(&before, &mut object);
    request.check_replacement(&before, &mut object)?;
    let object = registry::update(store, &request.id, request.stored(object), request.write())?;
    Ok(Written { code: 200, object, warnings: request.warnings(unknown) })
}

impl Request<'_> {
    fn refuse_other_identity(&self, before: &Value, object: &Value) -> Result<(), Refusal> {
        if before["metadata"]["uid"] == object["metadata"]["uid"] {
            return Ok(());
        }
        let problem = Problem::invalid("metadata.uid", &object["metadata"]["uid"], "field is immutable");
        self.refuse(object, &[problem.clone(), problem])
    }
}

/// A patch cannot make something else of an object.
fn check_patched_type(request: &Request<'_>, object: &Value) -> Result<(), Refusal> {
    if request.kind.custom.is_none() {
        return request.check_type(object);
    }
    let (kind, version) = (text(&object["kind"]), text(&object["apiVersion"]));
    if kind != request.kind.kind {
        return Err(request.wrong_kind(kind, &request.name));
    }
    if version != request.api_version {
        let problem = Problem::invalid("apiVersion", &json!(version), format!("must be {}", request.api_version));
        return Err(Refusal::invalid(&request.kind, &request.name, &[problem]));
    }
    Ok(())
}

/// Server-side apply.
fn apply_patch(store: &mut Store, request: &Request<'_>) -> Result<Written, Refusal> {
    if request.call.asks("fieldManager").is_none_or(str::is_empty) {
        let problem = Problem::required("fieldManager", "is required for apply patch");
        return Err(Refusal::invalid_options("PatchOptions", "meta.k8s.io", "", &[problem]));
    }
    let config = applied_config(request)?;
    let force = request.call.asks("force").is_some_and(|force| force == "true");
    match store.get(&request.key()).map(|found| found.value()) {
        Some(live) => apply_to(store, request, live, &config, force),
        None if request.part == Part::Status => Err(Refusal::not_found(&request.id, &request.name)),
        None => apply_new(store, request, &config),
    }
}

fn applied_config(request: &Request<'_>) -> Result<Value, Refusal> {
    let parsed: Result<Value, _> = serde_json::from_slice(&request.call.body);
    let mut config =
        parsed.map_err(|error| Refusal::bad_request(format!("error decoding YAML: {}", patch::json_error(&request.call.body, &error))))?;
    let (version, kind) = (text(&config["apiVersion"]).to_owned(), text(&config["kind"]).to_owned());
    if (version.as_str(), kind.as_str()) != (request.api_version.as_str(), request.kind.kind.as_str()) {
        let version = if version.is_empty() { "/" } else { version.as_str() };
        return Err(Refusal::bad_request(format!("invalid object type: {version}, Kind={kind}")));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    if !text(&config["metadata"]["name"]).is_empty() {
        request.check_name(&config)?;
    }
    let subject = format!("({}/{}; {version}, Kind={kind})", text(&config["metadata"]["namespace"]), text(&config["metadata"]["name"]));
    config["metadata"]["name"] = request.name.clone().into();
    request.check_namespace(&mut config)?;
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    if let Some(why) = apply::misfits(Schema::of(&request.kind), &config) {
        return Err(Refusal::new(500, "", format!("failed to create typed patch object {subject}: {why}")));
    }
    Ok(config)
}

fn apply_to(store: &mut Store, request: &Request<'_>, mut live: Value, config: &Value, force: bool) -> Result<Written, Refusal> {
    let before = live.clone();
    let sent = text(&config["metadata"]["resourceVersion"]);
    if !sent.is_empty() && live["metadata"]["resourceVersion"] != sent {
        return Err(registry::stale(&request.kind, &request.name));
    }
    live["apiVersion"] = request.api_version.clone().into();
    let schema = Schema::of(&request.kind);
    let write = request.write();
    let who = write.who(&request.api_version);
    let doors = (request.part == Part::Status, request.kind.status);
    let applied = apply::apply(schema, &registry::zero(&request.kind), &live, config, &who, doors, force)?;
    let mut object = applied.object;
    request.read(&mut object).map_err(|normal::Mismatch(why)| request.unreadable(&request.kind.kind, &why))?;
    request.check_replacement(&before, &mut object)?;
    let object = registry::update_applied(store, &request.kind, &before, object, applied.managed, write)?;
    Ok(Written { code: 200, object, warnings: Vec::new() })
}

fn apply_new(store: &mut Store, request: &Request<'_>, config: &Value) -> Result<Written, Refusal> {
    let uid = &config["metadata"]["uid"];
    if !uid.is_null() {
        let problem = Problem::invalid("metadata.uid", uid, "field is immutable");
        return Err(Refusal::invalid(&request.kind, &request.name, &[problem.clone(), problem]));
    }
    let write = request.write();
    let who = write.who(&request.api_version);
    let zero = registry::zero(&request.kind);
    let applied = apply::apply(Schema::of(&request.kind), &zero, &json!({}), config, &who, (false, request.kind.status), true)?;
    let mut object = applied.object;
    request.read(&mut object).map_err(|normal::Mismatch(why)| request.unreadable(&request.kind.kind, &why))?;
    let object = prepare_new(store, request, &mut object)?;
    let object = registry::create_applied(store, &request.kind, &request.namespace, object, applied.managed, write)?;
    Ok(Written { code: 201, object, warnings: Vec::new() })
}

/// How a client wants something deleted, from the query and the body.
struct DeleteOptions {
    body: Value,
    propagation: Propagation,
    grace: Option<u64>,
    dry_run: bool,
}

impl DeleteOptions {
    fn read(call: &Call) -> Result<Self, Refusal> {
        let body = body(call);
        let propagation = body["propagationPolicy"].as_str().or_else(|| call.asks("propagationPolicy")).map(str::to_owned);
        let orphan = body["orphanDependents"].as_bool().or_else(|| call.asks("orphanDependents").map(|orphan| orphan == "true"));
        let invalid = |problem: Problem| Refusal::invalid_options("DeleteOptions", "meta.k8s.io", "", &[problem]);
        if let (Some(propagation), Some(_)) = (&propagation, orphan) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            return Err(invalid(Problem::invalid("propagationPolicy", &json!(propagation), detail)));
        }
        let propagation = match propagation.as_deref() {
            None if orphan == Some(true) => Propagation::Orphan,
            None | Some("" | "Background") => Propagation::Background,
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            Some(other) => {
                let choices = ["Foreground", "Background", "Orphan", "nil"];
                return Err(invalid(Problem::unsupported("propagationPolicy", &json!(other), choices)));
            }
        };
        let grace = body["gracePeriodSeconds"].as_u64().or_else(|| call.asks("gracePeriodSeconds").and_then(|text| text.parse().ok()));
        let dry_run = call.is_dry_run() || body["dryRun"].as_array().is_some_and(|values| values.iter().any(|value| value == "All"));
        Ok(Self { body, propagation, grace, dry_run })
    }

    fn deletion(&self) -> Deletion<'_> {
        let conditions = &self.body["preconditions"];
        Deletion {
            propagation: self.propagation,
            uid: conditions["uid"].as_str(),
            resource_version: conditions["resourceVersion"].as_str(),
            grace: self.grace,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::Method;

    use super::*;
    use crate::demo::{
        api::{Target, User},
        registry::fixtures::{self, now},
    };

    const ROLLOUTS: &str = "rollouts.argoproj.io";
    const DEPLOYMENTS: &str = "deployments.apps";

    /// A world with a namespace `shop`.
    fn world() -> Arc<World> {
        let mut sim = fixtures::sim();
        crd::install(&mut sim, now());
        registry::create(&mut sim.store, "namespaces", "", json!({"metadata": {"name": "shop"}}), Write::new(now(), "")).unwrap();
        fixtures::world(sim)
    }

    /// `/NAME/SUBRESOURCE?QUERY` behind a kind's id, both parts optional.
    fn call(world: &World, method: Method, path: &str, content_type: &str, body: &Value) -> Call {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut parts = path.split('/');
        let kind = world.look(|sim| sim.store.kind(parts.next().unwrap()).unwrap().clone());
        let name = parts.next().map(str::to_owned);
        let target = Target {
            version: kind.versions[0].clone(),
            namespace: kind.namespaced.then(|| "shop".into()),
            name,
            subresource: parts.next().unwrap_or_default().into(),
            kind,
        };
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Call {
            method,
            verb: "",
            uri: path.into(),
            user: User::default(),
            target,
            query: pairs.map(|(key, value)| (key.into(), value.into())).collect(),
            accept: String::new(),
            content_type: content_type.into(),
            user_agent: "tester/1.0".into(),
            body: if body.is_null() { String::new() } else { body.to_string() }.into(),
        }
    }

    fn heard(answer: Answer) -> (u16, Value) {
        match answer {
            Answer::Json(code, value) | Answer::Warned(code, value, _) => (code, value),
            _ => (0, Value::Null),
        }
    }

    fn post(world: &World, path: &str, body: &Value) -> (u16, Value) {
        heard(create(world, &call(world, Method::POST, path, "application/json", body)))
    }

    fn send(world: &World, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
        heard(patch(world, &call(world, Method::PATCH, path, content_type, body)))
    }

    fn rollout() -> Value {
        let container = json!({"name": "a", "image": "a:1"});
        let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}});
        let spec =
            json!({"selector": {"matchLabels": {"app": "x"}}, "template": template, "strategy": {"canary": {"steps": [{"pause": {}}]}}});
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "x"}, "spec": spec})
    }

    fn deployment() -> Value {
        let template = json!({"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}});
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template}})
    }

    #[test]
    fn only_what_still_holds_is_written_to_a_status() {
        let world = world();
        assert_eq!(post(&world, ROLLOUTS, &rollout()).0, 201);
        let status = "rollouts.argoproj.io/x/status";
        assert_eq!(send(&world, status, MERGE_PATCH, &json!({"status": {"abort": true}})).1["status"], json!({"abort": true}));
        let guarded = json!([{"op": "test", "path": "/status/abort", "value": true}, {"op": "remove", "path": "/status/abort"}]);
        assert_eq!(send(&world, status, JSON_PATCH, &guarded).0, 200);
        let (code, refusal) = send(&world, status, JSON_PATCH, &guarded);
        assert_eq!((code, &refusal["reason"], &refusal["details"]), (422, &json!("Invalid"), &json!({})));
        let (code, refusal) = send(&world, status, MERGE_PATCH, &json!({"metadata": {"resourceVersion": "1"}, "status": {"abort": true}}));
        assert_eq!((code, &refusal["reason"]), (409, &json!("Conflict")));
    }

    #[test]
    fn a_uid_is_ignored_on_a_custom_status_and_refused_elsewhere() {
        let world = world();
        post(&world, ROLLOUTS, &rollout());
        let other = json!({"metadata": {"uid": "aaaa"}, "status": {"abort": true}, "spec": {"paused": true}});
        let (code, object) = send(&world, "rollouts.argoproj.io/x/status", MERGE_PATCH, &other);
        assert_eq!((code, &object["status"]["abort"], &object["spec"]["paused"]), (200, &json!(true), &Value::Null));
        let (code, refusal) = send(&world, "rollouts.argoproj.io/x", MERGE_PATCH, &other);
        let message = "Rollout.argoproj.io \"x\" is invalid: metadata.uid: Invalid value: \"aaaa\": field is immutable";
        assert_eq!((code, refusal["message"].as_str().unwrap()), (422, message));
    }

    #[test]
    fn custom_kinds_know_no_strategic_patch() {
        let world = world();
        post(&world, ROLLOUTS, &rollout());
        let (code, refusal) = send(&world, "rollouts.argoproj.io/x", STRATEGIC_PATCH, &json!({}));
        assert_eq!((code, &refusal["reason"]), (415, &json!("UnsupportedMediaType")));
        post(&world, DEPLOYMENTS, &deployment());
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": "1"}]}]}}}});
        let (code, object) = send(&world, "deployments.apps/d", STRATEGIC_PATCH, &patch);
        assert_eq!((code, &object["metadata"]["generation"]), (200, &json!(2)));
        assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["image"], "a:1");
    }

    #[test]
    fn bodies_that_do_not_fit_their_place_are_refused() {
        let world = world();
        let said = |path: &str, body: Value| {
            let (code, refusal) = post(&world, path, &body);
            (code, refusal["message"].as_str().unwrap_or_default().to_owned())
        };
        let with = |pointer: &str, value: Value| {
            let mut body = rollout();
            body["metadata"][pointer] = value;
            body
        };
        let elsewhere = "the namespace of the provided object does not match the namespace sent on the request";
        assert_eq!(said(ROLLOUTS, with("namespace", json!("other"))), (400, elsewhere.into()));
        assert_eq!(said(ROLLOUTS, with("name", json!("X_y"))).0, 422);
        let mut wrong = deployment();
        wrong["kind"] = "ReplicaSet".into();
        let mixed = "ReplicaSet in version \"v1\" cannot be handled as a Deployment: converting (v1.ReplicaSet) to (apps.Deployment): unknown conversion";
        wrong["apiVersion"] = "apps/v1".into();
        assert_eq!(said(DEPLOYMENTS, wrong), (400, mixed.into()));
        let mut typed = deployment();
        typed["spec"]["replicas"] = "x".into();
        let mismatch = "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field \
                        DeploymentSpec.spec.replicas of type int32";
        assert_eq!(said(DEPLOYMENTS, typed), (400, mismatch.into()));
        let mut unknown = deployment();
        unknown["spec"]["foo"] = 1.into();
        let strict = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.foo\"";
        assert_eq!(said("deployments.apps?fieldValidation=Strict", unknown.clone()), (400, strict.into()));
        let warned = create(&world, &call(&world, Method::POST, "deployments.apps?dryRun=All", "", &unknown));
        assert!(matches!(warned, Answer::Warned(201, _, warnings) if warnings == ["unknown field \"spec.foo\""]));
    }

    #[test]
    fn applying_creates_changes_and_takes_back() {
        let world = world();
        let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data});
        let apply = |manager: &str, data: Value| send(&world, &format!("configmaps/c?fieldManager={manager}"), APPLY_PATCH, &config(data));
        assert_eq!(apply("one", json!({"a": "b", "c": "d"})).0, 201);
        assert_eq!(apply("two", json!({"c": "d", "e": "f"})).0, 200);
        assert_eq!(apply("one", json!({"a": "b"})).1["data"], json!({"a": "b", "c": "d", "e": "f"}));
        assert_eq!(apply("two", json!({"c": "d"})).1["data"], json!({"a": "b", "c": "d"}));
        let (code, refusal) = apply("three", json!({"a": "x"}));
        assert_eq!((code, &refusal["message"]), (409, &json!("Apply failed with 1 conflict: conflict with \"one\": .data.a")));
        assert_eq!(send(&world, "configmaps/c", APPLY_PATCH, &config(json!({}))).0, 422, "a manager must be named");
    }

    #[test]
    fn deletion_says_what_happened() {
        let world = world();
        let remove = |path: &str, body: Value| heard(delete(&world, &call(&world, Method::DELETE, path, "", &body)));
        post(&world, DEPLOYMENTS, &deployment());
        assert_eq!(remove("deployments.apps/d", json!({"preconditions": {"uid": "aaa"}})).0, 409);
        assert_eq!(remove("deployments.apps/d", json!({"propagationPolicy": "Foo"})).0, 422);
        let (code, gone) = remove("deployments.apps/d", Value::Null);
        assert_eq!((code, &gone["status"], &gone["details"]["name"]), (200, &json!("Success"), &json!("d")));
        let missing = remove("deployments.apps/d", Value::Null).1;
        assert_eq!(missing["message"], "deployments.apps \"d\" not found");
    }

    #[test]
    fn new_objects_need_a_namespace_that_stays() {
        let world = world();
        let config = json!({"metadata": {"name": "c"}});
        let mut other = call(&world, Method::POST, "configmaps", "", &config);
        other.target.namespace = Some("nowhere".into());
        assert_eq!(heard(create(&world, &other)).1["message"], "namespaces \"nowhere\" not found");
        heard(delete(&world, &call(&world, Method::DELETE, "namespaces/shop", "", &Value::Null)));
        let (code, refusal) = post(&world, "configmaps", &config);
        let message = "configmaps \"c\" is forbidden: unable to create new content in namespace shop because it is being terminated";
        assert_eq!((code, refusal["message"].as_str().unwrap()), (403, message));
    }

    #[test]
    fn events_of_both_groups_are_the_same_objects() {
        let world = world();
        let event = json!({
            "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "namespace": "shop", "name": "p"}, "reason": "r", "note": "n",
            "eventTime": "2026-01-01T00:00:00.000000Z",
        });
        let (code, made) = post(&world, "events.events.k8s.io", &event);
        assert_eq!((code, &made["note"], &made["apiVersion"]), (201, &json!("n"), &json!("events.k8s.io/v1")));
        let kept = world.look(|sim| sim.store.get(&Key::new("events", "shop", "e")).unwrap().value());
        assert_eq!((&kept["message"], &kept["involvedObject"]["name"], &kept["apiVersion"]), (&json!("n"), &json!("p"), &json!("v1")));
    }
}

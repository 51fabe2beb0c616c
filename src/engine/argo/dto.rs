//! The fields of Argo Rollouts' objects that this engine reads; Kubernetes' own come with them.

use std::collections::BTreeMap;

use serde_json::Value;

pub use crate::engine::workload::dto::*;

dto! {
    Rollout { metadata: Metadata, spec: Spec, status: Status, }
    Spec {
        replicas: Option<Int>,
        selector: Selector,
        template: Template,
        workload_ref: Option<WorkloadRef>,
        strategy: Strategy,
        paused: bool,
        restart_at: Stamp,
        min_ready_seconds: Option<Int>,
        progress_deadline_seconds: Option<Int>,
    }
    WorkloadRef { api_version: String, kind: String, name: String, }
    Strategy { canary: Option<Canary>, blue_green: Option<BlueGreen>, }
    Canary {
        canary_service: String,
        stable_service: String,
        ping_pong: Option<PingPong>,
        steps: Vec<Step>,
        /// Kept whole: each router reads its own part, and an unknown one still has a name.
        traffic_routing: Option<BTreeMap<String, Value>>,
        analysis: Option<AnalysisRef>,
        dynamic_stable_scale: bool,
        anti_affinity: Option<Value>,
    }
    PingPong { ping_service: String, pong_service: String, }
    BlueGreen {
        active_service: String,
        preview_service: String,
        preview_replica_count: Option<Int>,
        auto_promotion_enabled: Option<bool>,
        auto_promotion_seconds: Int,
        scale_down_delay_seconds: Option<Int>,
        pre_promotion_analysis: Option<AnalysisRef>,
        post_promotion_analysis: Option<AnalysisRef>,
        anti_affinity: Option<Value>,
    }
    AnalysisRef { templates: Vec<TemplateRef>, }
    TemplateRef { template_name: String, name: String, }
    Step {
        set_weight: Option<Int>,
        pause: Option<Pause>,
        set_canary_scale: Option<CanaryScale>,
        analysis: Option<AnalysisRef>,
        experiment: Option<ExperimentStep>,
        set_header_route: Option<Named>,
        set_mirror_route: Option<Named>,
        plugin: Option<Named>,
    }
    Pause { duration: Option<IntOrText>, }
    CanaryScale { weight: Option<Int>, replicas: Option<Int>, match_traffic_weight: bool, }
    ExperimentStep { templates: Vec<Named>, analyses: Vec<TemplateRef>, }
    Named { name: String, }

    Status {
        phase: String,
        message: String,
        observed_generation: IntOrText,
        workload_observed_generation: IntOrText,
        current_pod_hash: String,
        #[serde(rename = "stableRS")]
        stable_rs: String,
        current_step_index: Option<Int>,
        abort: bool,
        aborted_at: Stamp,
        pause_conditions: Vec<PauseCondition>,
        controller_pause: bool,
        promote_full: bool,
        replicas: Int,
        updated_replicas: Int,
        ready_replicas: Int,
        available_replicas: Int,
        #[serde(rename = "HPAReplicas")]
        hpa_replicas: Int,
        selector: String,
        restarted_at: Stamp,
        conditions: Vec<Condition>,
        canary: CanaryStatus,
        blue_green: BlueGreenStatus,
    }
    PauseCondition { reason: String, start_time: Stamp, }
    CanaryStatus {
        weights: Option<Weights>,
        current_step_analysis_run_status: Option<RunStatus>,
        current_background_analysis_run_status: Option<RunStatus>,
        current_experiment: String,
        stable_ping_pong: String,
    }
    Weights { canary: Weight, stable: Weight, additional: Vec<Weight>, verified: Option<bool>, }
    Weight { weight: Int, service_name: String, pod_template_hash: String, }
    RunStatus { name: String, status: String, message: String, }
    BlueGreenStatus {
        active_selector: String,
        preview_selector: String,
        pre_promotion_analysis_run_status: Option<RunStatus>,
        post_promotion_analysis_run_status: Option<RunStatus>,
    }

    AnalysisRun { metadata: Metadata, spec: RunSpec, status: AnalysisRunStatus, }
    RunSpec { metrics: Vec<Metric>, args: Vec<Arg>, }
    Arg { name: String, value: Option<IntOrText>, value_from: Option<ValueFrom>, }
    ValueFrom { secret_key_ref: Option<Value>, }
    Metric {
        name: String,
        interval: String,
        count: Option<IntOrText>,
        success_condition: String,
        failure_condition: String,
        failure_limit: Option<IntOrText>,
        provider: BTreeMap<String, Value>,
    }
    AnalysisRunStatus { phase: String, message: String, started_at: Stamp, completed_at: Stamp, metric_results: Vec<MetricResult>, }
    MetricResult {
        name: String,
        phase: String,
        message: String,
        successful: Int,
        failed: Int,
        inconclusive: Int,
        error: Int,
        dry_run: bool,
        metadata: Words,
        measurements: Vec<Measurement>,
    }
    Measurement { phase: String, message: String, started_at: Stamp, finished_at: Stamp, value: IntOrText, }

    Experiment { metadata: Metadata, spec: ExperimentSpec, status: ExperimentStatus, }
    ExperimentSpec { templates: Vec<ExperimentTemplate>, }
    ExperimentTemplate { name: String, replicas: Option<Int>, }
    ExperimentStatus { phase: String, message: String, template_statuses: Vec<TemplateStatus>, }
    TemplateStatus { name: String, ready_replicas: Int, }
}

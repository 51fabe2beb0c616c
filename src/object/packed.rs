//! Text that is rarely read, kept small.
//!
//! Two thirds of a workload are what its containers are told: environment, probes, volumes. Engines need it when
//! they compare or write templates, a screen of thousands of workloads never.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

/// What workloads have in common, as servers write them: a small text has too little of its own to repeat.
const USUAL: &[u8] = br#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{"deployment.kubernetes.io/revision":"1","meta.helm.sh/release-name":"","meta.helm.sh/release-namespace":"","argocd.argoproj.io/tracking-id":":apps/Deployment:/"},"creationTimestamp":"2026-01-01T00:00:00Z","generation":1,"labels":{"app.kubernetes.io/name":""},"name":"","namespace":"default","resourceVersion":"1000000","uid":""},"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"selector":{"matchLabels":{"app":""}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"updateStrategy":{"rollingUpdate":{"partition":0},"type":"RollingUpdate"},"podManagementPolicy":"OrderedReady","serviceName":"","template":{"status":{"availableReplicas":1,"collisionCount":0,"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","lastUpdateTime":"2026-01-01T00:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"message":"ReplicaSet \"\" has successfully progressed.","reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"}],"currentReplicas":1,"currentRevision":"","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"","updatedReplicas":1}}"tolerations":[{"key":"","operator":"Exists","effect":"NoSchedule"}],"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"podAffinityTerm":{"labelSelector":{"matchLabels":{"app.kubernetes.io/name":"app.kubernetes.io/instance":"}},"topologyKey":"kubernetes.io/hostname"}}]}},"nodeSelector":{"kubernetes.io/os":"linux"},"topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":"ScheduleAnyway"}],"imagePullSecrets":[{"name":""}],"volumes":[{"name":"config","configMap":{"name":"","defaultMode":420}},{"name":"tmp","emptyDir":{}},{"name":"","secret":{"secretName":"","defaultMode":420}},{"name":"data","persistentVolumeClaim":{"claimName":""}}],"initContainers":[{"name":"","lifecycle":{"preStop":{"exec":{"command":["/bin/sh","-c","sleep 10"]}}},"startupProbe":{"tcpSocket":{"port":"http"},"envFrom":[{"configMapRef":{"name":""}},{"secretRef":{"name":""}}],"env":[{"name":"POD_NAME","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.name"}}},{"name":"POD_NAMESPACE","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}},{"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"","key":"password"}}},{"name":"LOG_LEVEL","value":"info"},{"name":"URL","value":"http://.svc.cluster.local:8080"},{"name":"","valueFrom":{"configMapKeyRef":{"name":"","key":""}}}],"metadata":{"creationTimestamp":null,"labels":{"app":"","version":"","helm.sh/chart":"","app.kubernetes.io/component":"","app.kubernetes.io/part-of":"","app.kubernetes.io/managed-by":"Helm"},"annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"8080","prometheus.io/path":"/metrics","kubectl.kubernetes.io/restartedAt":"checksum/config":"sidecar.istio.io/inject":"true"}},"spec":{"containers":[{"name":"app","image":"registry.example.com/","command":[""],"args":["--"],"ports":[{"name":"http","containerPort":8080,"protocol":"TCP"},{"name":"metrics","containerPort":9090,"protocol":"TCP"}],"resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"100m","memory":"256Mi"}},"volumeMounts":[{"name":"config","readOnly":true,"mountPath":"/etc/"}],"livenessProbe":{"httpGet":{"path":"/healthz","port":"http","scheme":"HTTP"},"initialDelaySeconds":10,"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"readinessProbe":{"httpGet":{"path":"/ready","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent","securityContext":{"capabilities":{"drop":["ALL"]},"runAsUser":1000,"runAsNonRoot":true,"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false,"seccompProfile":{"type":"RuntimeDefault"}}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"","serviceAccount":"","securityContext":{},"schedulerName":"default-scheduler"}}"#;

/// JSON text, compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Box<[u8]>);

impl Packed {
    pub fn of(text: &str) -> Self {
        Self(compress_prepend_size_with_dict(text.as_bytes(), USUAL).into())
    }

    pub fn text(&self) -> String {
        decompress_size_prepended_with_dict(&self.0, USUAL).ok().and_then(|text| String::from_utf8(text).ok()).unwrap_or_default()
    }

    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_and_is_smaller() {
        let env: Vec<_> = (0..16).map(|n| serde_json::json!({"name": format!("SETTING_{n}"), "value": format!("value {n}")})).collect();
        let text = serde_json::json!({"env": env, "number": 1.10}).to_string();
        let packed = Packed::of(&text);
        assert_eq!(packed.value().to_string(), text);
        assert!(packed.0.len() * 2 < text.len(), "{} of {}", packed.0.len(), text.len());
    }
}

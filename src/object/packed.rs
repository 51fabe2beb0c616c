//! Text that is rarely read, kept small.
//!
//! Two thirds of a workload are what its containers are told: environment, probes, volumes. Engines need it when
//! they compare or write templates, a screen of thousands of workloads never.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

/// What templates have in common, as servers write them: a small text has too little of its own to repeat.
const USUAL: &[u8] = br#""tolerations":[{"key":"","operator":"Exists","effect":"NoSchedule"}],"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"podAffinityTerm":{"labelSelector":{"matchLabels":{"app.kubernetes.io/name":"app.kubernetes.io/instance":"}},"topologyKey":"kubernetes.io/hostname"}}]}},"nodeSelector":{"kubernetes.io/os":"linux"},"topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":"ScheduleAnyway"}],"imagePullSecrets":[{"name":""}],"volumes":[{"name":"config","configMap":{"name":"","defaultMode":420}},{"name":"tmp","emptyDir":{}},{"name":"","secret":{"secretName":"","defaultMode":420}},{"name":"data","persistentVolumeClaim":{"claimName":""}}],"initContainers":[{"name":"","lifecycle":{"preStop":{"exec":{"command":["/bin/sh","-c","sleep 10"]}}},"startupProbe":{"tcpSocket":{"port":"http"},"envFrom":[{"configMapRef":{"name":""}},{"secretRef":{"name":""}}],"env":[{"name":"POD_NAME","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.name"}}},{"name":"POD_NAMESPACE","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}},{"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"","key":"password"}}},{"name":"LOG_LEVEL","value":"info"},{"name":"URL","value":"http://.svc.cluster.local:8080"},{"name":"","valueFrom":{"configMapKeyRef":{"name":"","key":""}}}],"metadata":{"creationTimestamp":null,"labels":{"app":"","version":"","helm.sh/chart":"","app.kubernetes.io/component":"","app.kubernetes.io/part-of":"","app.kubernetes.io/managed-by":"Helm"},"annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"8080","prometheus.io/path":"/metrics","kubectl.kubernetes.io/restartedAt":"checksum/config":"sidecar.istio.io/inject":"true"}},"spec":{"containers":[{"name":"app","image":"registry.example.com/","command":[""],"args":["--"],"ports":[{"name":"http","containerPort":8080,"protocol":"TCP"},{"name":"metrics","containerPort":9090,"protocol":"TCP"}],"resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"100m","memory":"256Mi"}},"volumeMounts":[{"name":"config","readOnly":true,"mountPath":"/etc/"}],"livenessProbe":{"httpGet":{"path":"/healthz","port":"http","scheme":"HTTP"},"initialDelaySeconds":10,"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"readinessProbe":{"httpGet":{"path":"/ready","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent","securityContext":{"capabilities":{"drop":["ALL"]},"runAsUser":1000,"runAsNonRoot":true,"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false,"seccompProfile":{"type":"RuntimeDefault"}}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"","serviceAccount":"","securityContext":{},"schedulerName":"default-scheduler"}}"#;

/// JSON text, compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Box<[u8]>);

impl Packed {
    pub fn of(text: &str) -> Self {
        Self(compress_prepend_size_with_dict(text.as_bytes(), USUAL).into())
    }

    pub fn value(&self) -> serde_json::Value {
        let text = decompress_size_prepended_with_dict(&self.0, USUAL).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
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

//go:build ignore

// Makes types.txt from the Go types and the OpenAPI document of Kubernetes:
//
//	cd tests/cluster/modules/kube
//	go run ../../../../assets/demo/types.go "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/api/openapi-spec/swagger.json"
//
// The meaning of its lines is told in src/demo/registry/types.rs.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authnv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	asv1 "k8s.io/api/autoscaling/v1"
	asv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type def struct {
	Properties map[string]map[string]any `json:"properties"`
	MapType    string                    `json:"x-kubernetes-map-type"`
}

var defs map[string]def
var names = map[reflect.Type]string{}
var taken = map[string]reflect.Type{}
var out = map[string]string{}

func swaggerName(t reflect.Type) string {
	p := t.PkgPath()
	p = strings.TrimPrefix(p, "k8s.io/")
	// k8s.io/api/core/v1 -> io.k8s.api.core.v1
	return "io.k8s." + strings.ReplaceAll(p, "/", ".") + "." + t.Name()
}

func short(t reflect.Type) string {
	if n, ok := names[t]; ok {
		return n
	}
	n := t.Name()
	if _, dup := taken[n]; dup {
		parts := strings.Split(t.PkgPath(), "/")
		n = n + "." + parts[len(parts)-2] + "." + parts[len(parts)-1]
	}
	taken[n] = t
	names[t] = n
	emit(t)
	return n
}

func typ(t reflect.Type, prop map[string]any) string {
	switch t {
	case reflect.TypeOf(metav1.Time{}):
		return "t"
	case reflect.TypeOf(metav1.MicroTime{}):
		return "u"
	case reflect.TypeOf(metav1.Duration{}):
		return "s"
	case reflect.TypeOf(resource.Quantity{}):
		return "q"
	case reflect.TypeOf(intstr.IntOrString{}):
		return "x"
	case reflect.TypeOf(runtime.RawExtension{}), reflect.TypeOf(metav1.FieldsV1{}):
		return "*"
	}
	switch t.Kind() {
	case reflect.Ptr:
		return typ(t.Elem(), prop)
	case reflect.String:
		return "s"
	case reflect.Bool:
		return "b"
	case reflect.Int32, reflect.Int16, reflect.Uint16, reflect.Int:
		return "i"
	case reflect.Int64:
		return "l"
	case reflect.Float64:
		return "f"
	case reflect.Struct:
		return short(t)
	case reflect.Map:
		s := "<" + typ(t.Elem(), nil) + ">"
		if prop != nil && prop["x-kubernetes-map-type"] == "atomic" {
			s += "="
		}
		return s
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "y"
		}
		s := "[" + typ(t.Elem(), nil) + "]"
		switch prop["x-kubernetes-list-type"] {
		case "set":
			s += "="
		case "map":
			var ks []string
			for _, k := range prop["x-kubernetes-list-map-keys"].([]any) {
				ks = append(ks, k.(string))
			}
			s += "{" + strings.Join(ks, ",") + "}"
		}
		return s
	}
	panic(t.String())
}

func number(f reflect.StructField) string {
	p := strings.Split(f.Tag.Get("protobuf"), ",")
	if len(p) < 2 {
		return ""
	}
	return p[1]
}

func fields(t reflect.Type, d def, lines *[]string, prefix string) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("json"), ",")
		opts := strings.Join(tag[1:], ",")
		if f.Anonymous && (tag[0] == "" || strings.Contains(opts, "inline")) {
			inner := "-"
			if n := number(f); n != "" {
				inner = prefix + n + "."
			}
			fields(f.Type, d, lines, inner)
			continue
		}
		if tag[0] == "-" || tag[0] == "" {
			continue
		}
		prop := d.Properties[tag[0]]
		num := ""
		if n := number(f); n != "" && prefix != "-" {
			num = "#" + prefix + n
		}
		head := tag[0] + num + ":"
		s := head + typ(f.Type, prop)
		if strings.HasPrefix(s[len(head):], "<") == false && prop != nil && prop["x-kubernetes-map-type"] == "atomic" {
			s += "="
		}
		ps := f.Tag.Get("patchStrategy")
		if strings.Contains(ps, "merge") {
			s += "~" + f.Tag.Get("patchMergeKey")
		}
		if strings.Contains(ps, "retainKeys") {
			s += "^"
		}
		isPtr := f.Type.Kind() == reflect.Ptr
		omit := strings.Contains(opts, "omitempty")
		omitzero := strings.Contains(opts, "omitzero")
		switch {
		case omitzero:
		case isPtr && omit:
			s += "?"
		case isPtr:
			s += "?"
		case !omit:
			s += "!"
		case f.Type.Kind() == reflect.Struct:
			s += "!"
		}
		if f.Type.Kind() == reflect.Map || f.Type.Kind() == reflect.Slice {
			s = strings.TrimSuffix(s, "!")
			if !omit {
				s += "!"
			}
		}
		*lines = append(*lines, s)
	}
}

func emit(t reflect.Type) {
	d, ok := defs[swaggerName(t)]
	if !ok {
		fmt.Fprintln(os.Stderr, "no swagger", swaggerName(t))
	}
	var l []string
	fields(t, d, &l, "")
	n := names[t]
	if d.MapType == "atomic" {
		n += "="
	}
	out[n] = strings.Join(l, " ")
}

func main() {
	b, _ := os.ReadFile(os.Args[1])
	var s struct {
		Definitions map[string]def `json:"definitions"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		panic(err)
	}
	defs = s.Definitions
	for _, v := range []any{corev1.Pod{}, corev1.Namespace{}, corev1.Node{}, corev1.Service{}, corev1.Endpoints{}, corev1.Event{}, corev1.ConfigMap{}, corev1.Secret{}, corev1.ServiceAccount{}, corev1.PodTemplate{}, corev1.ReplicationController{},
		appsv1.Deployment{}, appsv1.ReplicaSet{}, appsv1.StatefulSet{}, appsv1.DaemonSet{}, appsv1.ControllerRevision{}, batchv1.Job{}, batchv1.CronJob{}, asv2.HorizontalPodAutoscaler{}, policyv1.PodDisruptionBudget{}, netv1.Ingress{}, discv1.EndpointSlice{}, eventsv1.Event{}, coordv1.Lease{}, rbacv1.Role{}, rbacv1.RoleBinding{}, rbacv1.ClusterRole{}, rbacv1.ClusterRoleBinding{}, asv1.Scale{}, asv1.HorizontalPodAutoscaler{},
		authzv1.SelfSubjectAccessReview{}, authzv1.SubjectAccessReview{}, authzv1.LocalSubjectAccessReview{}, authzv1.SelfSubjectRulesReview{}, authnv1.SelfSubjectReview{}, metav1.DeleteOptions{}, policyv1.Eviction{}, corev1.Binding{}} {
		short(reflect.TypeOf(v))
	}
	var ks []string
	for k := range out {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	fmt.Println("# The types of the built-in kinds, as k8s.io/api 0.35 has them; made by types.go, read by src/demo/registry/types.rs.")
	for _, k := range ks {
		fmt.Println(k, out[k])
	}
}

// The OpenKruise Rollouts controller as its own main.go starts it, but for one line: its webhooks listen on loopback.
package main

import (
	"flag"
	"os"

	kruisev1alpha1 "github.com/openkruise/kruise-api/apps/v1alpha1"
	kruisev1beta1 "github.com/openkruise/kruise-api/apps/v1beta1"
	rolloutapi "github.com/openkruise/rollouts/api"
	"github.com/openkruise/rollouts/pkg/controller/batchrelease"
	"github.com/openkruise/rollouts/pkg/controller/deployment"
	"github.com/openkruise/rollouts/pkg/controller/rollout"
	"github.com/openkruise/rollouts/pkg/controller/rollouthistory"
	"github.com/openkruise/rollouts/pkg/controller/trafficrouting"
	utilclient "github.com/openkruise/rollouts/pkg/util/client"
	utilfeature "github.com/openkruise/rollouts/pkg/util/feature"
	"github.com/openkruise/rollouts/pkg/webhook"
	"github.com/spf13/pflag"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/klogr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
)

func must(err error) {
	if err != nil {
		klog.ErrorS(err, "cannot start")
		os.Exit(1)
	}
}

func main() {
	probes := flag.String("health-probe-bind-address", ":8081", "The address the probe endpoint binds to.")
	utilfeature.DefaultMutableFeatureGate.AddFlag(pflag.CommandLine)
	klog.InitFlags(nil)
	pflag.CommandLine.AddGoFlagSet(flag.CommandLine)
	pflag.Parse()
	ctrl.SetLogger(klogr.New())

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, kruisev1alpha1.AddToScheme, kruisev1beta1.AddToScheme, rolloutapi.AddToScheme,
		gatewayv1beta1.AddToScheme, admissionregistrationv1.AddToScheme,
	} {
		must(add(scheme))
	}
	cfg := ctrl.GetConfigOrDie()
	cfg.UserAgent = "kruise-rollout"
	must(utilclient.NewRegistry(cfg))
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme, MetricsBindAddress: "0", HealthProbeBindAddress: *probes, NewClient: utilclient.NewClient,
	})
	must(err)

	must((&rollout.RolloutReconciler{
		Client: mgr.GetClient(), Scheme: mgr.GetScheme(), Recorder: mgr.GetEventRecorderFor("rollout-controller"),
	}).SetupWithManager(mgr))
	must((&trafficrouting.TrafficRoutingReconciler{
		Client: mgr.GetClient(), Scheme: mgr.GetScheme(), Recorder: mgr.GetEventRecorderFor("trafficrouting-controller"),
	}).SetupWithManager(mgr))
	must(batchrelease.Add(mgr))
	must(rollouthistory.Add(mgr))
	must(deployment.Add(mgr))
	must(webhook.SetupWithManager(mgr))
	// It has just been told to listen on all addresses; it starts with the manager.
	mgr.GetWebhookServer().Host = "127.0.0.1"

	must(mgr.AddHealthzCheck("healthz", healthz.Ping))
	must(mgr.AddReadyzCheck("readyz", mgr.GetWebhookServer().StartedChecker()))
	must(mgr.Start(ctrl.SetupSignalHandler()))
}

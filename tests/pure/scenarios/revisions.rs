//! The scenarios of Knative and KServe: whom users meet while their revisions come and go.

use super::{
    plain::{hand, share},
    *,
};

#[test]
fn knative_users_go_where_the_route_says() {
    let mut stage = stage("knative");
    stage.must("pay/payments", Is::Waits).must("shop/checkout", Is::Steady).must("web/search", Is::Steady);
    let near = |measured: f64, wanted: f64| assert!((measured - wanted).abs() < 0.04, "{measured} is not {wanted}");
    near(share(&mut stage, "pay/payments", "v4.2.0", "10s"), 0.0);
    // The pipeline: a tenth, then more.
    stage.at("21s").must("data/exports", Is::Moves);
    stage.at("30s").must("shop/checkout", Is::AtWeight(10));
    near(share(&mut stage, "shop/checkout", "v2.9.0", "50s"), 0.1);
    // Users move by themselves over four minutes, and nobody meets pods that crash.
    stage.at("2m 10s").must("web/search", Is::Moves).must("data/exports", Is::Fails).must("shop/checkout", Is::AtWeight(30));
    near(share(&mut stage, "web/search", "v3.4.0", "2m 40s"), 0.54);
    assert_eq!(stage.counts("data/exports", "v1.0.0").all, 0);
    // Nobody calls this one, and it has no pods.
    let pods = stage.sim.store.list("pods", Some("data")).filter(|pod| pod.label("serving.knative.dev/service") == Some("reports")).count();
    assert_eq!(pods, 0);
    // With a mesh every revision is a Deployment of its own.
    let asked = |revision: &str| {
        format!("sum(rate(istio_requests_total{{reporter=\"destination\",destination_workload=\"{revision}-deployment\"}}[1m]))")
    };
    let (new, old) = (stage.query(&asked("checkout-00002")).unwrap(), stage.query(&asked("checkout-00001")).unwrap());
    near(new / (new + old), 0.3);
    // A person moves all of them, whom the new version fails.
    hand(&mut stage).weigh("pay/payments", 100).unwrap();
    stage.at("2m 50s").must("pay/payments", Is::Steady);
    assert!(stage.failing("pay/payments", "v4.2.0", "3m 30s") > 0.04);
    stage.at("5m").must("web/search", Is::Steady);
}

#[test]
fn kserve_divides_the_users_of_a_model_and_keeps_them_from_a_bad_one() {
    let mut stage = stage("kserve");
    stage.must("ml/churn", Is::Waits).must("ml/fraud", Is::Steady).must("ml/ranker", Is::Steady);
    let near = |measured: f64, wanted: f64| assert!((measured - wanted).abs() < 0.04, "{measured} is not {wanted}");
    near(share(&mut stage, "ml/churn", "v3", "20s"), 0.2);
    stage.at("40s").must("ml/fraud", Is::AtWeight(10)).must("ml/ranker", Is::Fails);
    near(share(&mut stage, "ml/fraud", "v5", "1m"), 0.1);
    assert_eq!(stage.counts("ml/ranker", "v8").all, 0, "nobody meets a model that does not load");
    stage.at("1m 30s").must("ml/fraud", Is::AtWeight(30));
    near(share(&mut stage, "ml/fraud", "v5", "2m"), 0.3);
    // Plain pods share as they are.
    assert_eq!(share(&mut stage, "ml/embeddings", "v2", "2m 10s"), 1.0);
    hand(&mut stage).weigh("ml/churn", 0).unwrap();
    stage.at("2m 20s");
    assert_eq!(share(&mut stage, "ml/churn", "v3", "2m 40s"), 0.0);
}

//! The scenarios without Argo Rollouts: what moves, what waits, and whom users meet.

use super::*;

/// Share of the requests of the time until then that one version gets.
pub fn share(stage: &mut Stage, path: &str, tag: &str, until: &str) -> f64 {
    let all = |stage: &Stage| {
        let tracks = stage.sim.workloads.traffic.counters(path);
        tracks.fold(Counts::default(), |sum, (_, counters)| sum.plus(Counts::of(counters)))
    };
    let (of_it, of_all) = (stage.counts(path, tag), all(stage));
    stage.at(until);
    let (of_it, of_all) = (stage.counts(path, tag).since(of_it), all(stage).since(of_all));
    assert!(of_all.all > 0, "nobody came to {path}");
    of_it.all as f64 / of_all.all as f64
}

pub fn hand(stage: &mut Stage) -> acts::Hand<'_> {
    let now = stage.sim.now();
    acts::Hand { store: &mut stage.sim.store, now, by: "test" }
}

fn status(stage: &Stage, path: &str, field: &str) -> u64 {
    stage.rollout(path)["status"][field].as_u64().unwrap_or_default()
}

#[test]
fn deployments_roll_fail_and_wait() {
    let mut stage = stage("deployment");
    stage.must("web/frontend", Is::Waits).must("shop/checkout", Is::Steady).must("pay/payments", Is::Moves);
    // Stopped midway: both versions serve.
    let (updated, all) = (status(&stage, "web/frontend", "updatedReplicas"), status(&stage, "web/frontend", "replicas"));
    assert!(updated > 0 && updated < all, "{updated} of {all}");
    let measured = share(&mut stage, "web/frontend", "v5.13.0", "8s");
    assert!((measured - updated as f64 / all as f64).abs() < 0.1, "{measured}, {updated} of {all}");
    stage.must("shop/checkout", Is::Moves);
    stage.at("40s").must("pay/payments", Is::Fails);
    assert_eq!(stage.counts("pay/payments", "v4.2.0").all, 0, "nobody meets pods that crash");
    let history: Vec<String> = stage
        .sim
        .store
        .list("replicasets.apps", Some("pay"))
        .map(|set| set.value()["metadata"]["annotations"].clone())
        .filter(|annotations| annotations["kubernetes.io/change-cause"].as_str().is_some_and(|cause| cause.starts_with("release v4.")))
        .map(|annotations| annotations["deployment.kubernetes.io/revision"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(history.len(), 2, "{history:?}");
    assert!(history.contains(&"19".to_owned()), "{history:?}");
    stage.act("pay/payments", Verb::Undo);
    stage.act("web/frontend", Verb::Resume);
    stage.at("2m 30s").must("pay/payments", Is::Steady).must("web/frontend", Is::Steady).must("shop/checkout", Is::Steady);
    assert!(stage.image("pay/payments").ends_with(":v4.1.2") && stage.image("shop/checkout").ends_with(":v2.9.1"));
    assert_eq!(share(&mut stage, "web/frontend", "v5.13.0", "2m 40s"), 1.0);
    stage.act("web/frontend", Verb::Restart);
    stage.at("2m 45s").must("web/frontend", Is::Moves);
    assert!(stage.image("ml/ranker").contains(":v7.1."));
}

#[test]
fn a_service_sends_its_users_to_the_colour_it_picks() {
    let mut stage = stage("service");
    let selected = |stage: &Stage, path: &str| {
        let (namespace, name) = path.split_once('/').unwrap();
        let service = stage.sim.store.get(&Key::new("services", namespace, name)).unwrap().value();
        service["spec"]["selector"]["color"].as_str().unwrap().to_owned()
    };
    let before = selected(&stage, "pay/ledger");
    assert_eq!(share(&mut stage, "pay/ledger", "v8.1.0", "10s"), 1.0);
    assert_eq!(stage.counts("pay/ledger", "v8.2.0").all, 0);
    // Green is up and waits; the other colour was left without pods after the flip before.
    let idle = hand(&mut stage).idle("pay/ledger").unwrap();
    stage.must(&idle, Is::Steady);
    assert!(stage.image(&idle).ends_with(":v8.2.0"));
    stage.act("pay/ledger", Verb::Flip);
    assert_ne!(selected(&stage, "pay/ledger"), before);
    stage.at("13s");
    assert_eq!(share(&mut stage, "pay/ledger", "v8.2.0", "20s"), 1.0);
    assert!(stage.failing("pay/ledger", "v8.2.0", "30s") < 0.02);
    // A pipeline flips another one.
    assert_eq!(stage.counts("shop/cart", "v1.19.0").all, 0);
    stage.at("38s");
    assert_eq!(share(&mut stage, "shop/cart", "v1.19.0", "45s"), 1.0);
    let asked = format!(
        "sum(rate(istio_requests_total{{reporter=\"destination\",destination_workload=\"cart-{}\"}}[15s]))",
        selected(&stage, "shop/cart")
    );
    assert!(stage.at("60s").query(&asked).unwrap() > 20.0, "{asked}");
    // One cannot carry the load, and a flip back mends it.
    stage.act("pay/fx", Verb::Flip);
    stage.at("65s");
    assert!(stage.failing("pay/fx", "v1.32.0", "90s") > 0.2);
    stage.act("pay/fx", Verb::Flip);
    stage.at("93s");
    assert!(stage.failing("pay/fx", "v1.31.0", "2m") < 0.02);
    // The last one has nobody to flip to: that is an outage.
    stage.act("data/exports", Verb::Flip);
    stage.at("2m 3s");
    assert_eq!(stage.failing("data/exports", "none", "2m 20s"), 1.0);
}

#[test]
fn weights_decide_whatever_route_has_them() {
    let mut stage = stage("split");
    let near = |measured: f64, wanted: f64| assert!((measured - wanted).abs() < 0.03, "{measured} is not {wanted}");
    near(share(&mut stage, "shop/checkout", "v2.9.0", "4s"), 0.0);
    stage.at("6s");
    near(share(&mut stage, "shop/checkout", "v2.9.0", "34s"), 0.05);
    for (path, tag, wanted) in
        [("pay/payments", "v4.2.0", 0.1), ("web/search", "v3.4.0", 0.05), ("data/exports", "v0.10.0", 0.2), ("ml/ranker", "v7.1.0", 0.2)]
    {
        let counts = |stage: &Stage, tag: &str| stage.counts(path, tag).all as f64;
        let new = counts(&stage, tag);
        assert!(new > 0.0, "{path} {tag}");
        let until = humantime::format_duration((stage.sim.now() - stage.opening).to_std().unwrap() + std::time::Duration::from_secs(30));
        near(share(&mut stage, path, tag, &until.to_string()), wanted);
    }
    stage.at("3m");
    near(share(&mut stage, "shop/checkout", "v2.9.0", "4m"), 0.5);
    let (new, old) = (stage.failing("web/search", "v3.4.0", "6m"), stage.failing("web/search", "v3.3.0", "7m"));
    assert!(new > 0.03 && old < 0.01, "{new} {old}");
    let asked = "sum(rate(nginx_ingress_controller_requests{namespace=\"data\",canary=\"data-exports-canary-80\"}[1m]))";
    near(stage.query(asked).unwrap() / 20.0, 0.2);
    // And whoever moves one is obeyed.
    for path in ["shop/checkout", "pay/payments", "web/search", "data/exports"] {
        hand(&mut stage).weigh(path, 100).unwrap();
    }
    hand(&mut stage).weigh("ml/ranker", 60).unwrap();
    stage.at("7m 20s");
    near(share(&mut stage, "shop/checkout", "v2.9.0", "7m 40s"), 1.0);
    near(share(&mut stage, "pay/payments", "v4.2.0", "8m"), 1.0);
    near(share(&mut stage, "web/search", "v3.4.0", "8m 20s"), 1.0);
    near(share(&mut stage, "data/exports", "v0.10.0", "8m 40s"), 1.0);
    near(share(&mut stage, "ml/ranker", "v7.1.0", "9m 30s"), 0.6);
}

#[test]
fn named_pods_and_daemons_move_wait_and_block() {
    let mut stage = stage("statefulset");
    stage.must("data/kafka", Is::Waits).must("data/search", Is::Moves).must("ops/log-agent", Is::Steady);
    assert_eq!((status(&stage, "data/kafka", "updatedReplicas"), status(&stage, "data/kafka", "replicas")), (1, 5));
    let measured = share(&mut stage, "data/kafka", "v3.8.0", "10s");
    assert!((measured - 0.2).abs() < 0.06, "{measured}");
    stage.must("ops/log-agent", Is::Moves).must("data/redis", Is::Moves);
    assert_eq!((status(&stage, "ops/log-agent", "desiredNumberScheduled"), stage.count("nodes")), (6, 6));
    // The next broker goes when somebody lowers the partition.
    hand(&mut stage).change("data/kafka", |spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = 3.into()).unwrap();
    stage.at("40s").must("data/kafka", Is::Waits);
    assert_eq!(status(&stage, "data/kafka", "updatedReplicas"), 2);
    hand(&mut stage).change("data/kafka", |spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = 0.into()).unwrap();
    // Its template alone does not mend redis; its broken pod has to go as well.
    stage.act("data/redis", Verb::Undo);
    stage.at("70s").must("data/redis", Is::Moves).must("ops/log-agent", Is::Steady);
    assert!(stage.image("data/redis").ends_with(":v7.2.5"));
    hand(&mut stage).delete("pods", "data", "redis-2").unwrap();
    stage.at("2m").must("data/redis", Is::Steady).must("data/kafka", Is::Steady).must("ops/node-proxy", Is::Steady);
    assert!(stage.image("ops/node-proxy").ends_with(":v1.10.1"));
    assert_eq!(share(&mut stage, "data/kafka", "v3.8.0", "2m 10s"), 1.0);
}

#[test]
fn a_newcomer_has_no_tools_and_something_to_do() {
    let scenario = Scenario::load("newcomer").unwrap();
    assert!(!scenario.is_measured);
    let mut stage = stage("newcomer");
    assert_eq!(stage.count("customresourcedefinitions.apiextensions.k8s.io"), 0);
    for kind in ["rollouts.argoproj.io", "virtualservices.networking.istio.io", "httproutes.gateway.networking.k8s.io"] {
        assert!(stage.sim.store.kind(kind).is_none(), "{kind}");
    }
    stage.must("shop/orders", Is::Fails);
    stage.at("10s").must("shop/catalog", Is::Moves);
    stage.act("shop/orders", Verb::Undo);
    stage.at("2m").must("shop/orders", Is::Steady).must("shop/catalog", Is::Steady).must("web/frontend", Is::Steady);
}

#[test]
fn acts_fit_the_kind_and_definitions_exist() {
    let text = with(
        "crds = [\"httproutes.gateway.networking.k8s.io\", \"httproute.gateway.networking.k8s.io\"]\n\
         [[workload]]\nname = \"shop/a\"\nkind = \"deployment\"\nhistory = [\"v1 2d ago\"]\nrouter = \"istio\"\n\
         [[workload]]\nname = \"shop/b\"\nkind = \"canary\"\nhistory = [\"v1 2d ago\"]\nrouter = \"subsets\"\n\
         [[workload]]\nname = \"shop/c\"\nkind = \"daemonset\"\nhistory = [\"v1 2d ago\"]\nreplicas = 3\n\
         [[script]]\nat = \"1s\"\npromote = \"shop/a\"\n\
         [[script]]\nat = \"1s\"\nflip = \"shop/b\"\n\
         [[script]]\nat = \"1s\"\nset-weight = \"shop/a\"\nweight = 5\n\
         [[script]]\nat = \"1s\"\nset-weight = \"shop/a\"\n",
    );
    expect(
        &text,
        &[
            (4, "no definition of 'httproute.gateway.networking.k8s.io'; did you mean 'httproutes.gateway.networking.k8s.io'?"),
            (9, "'router' has no meaning for kind = \"deployment\""),
            (14, "this router is for kind = \"split\" only"),
            (19, "'replicas' has no meaning for kind = \"daemonset\""),
            (22, "'promote' has no meaning for the kind of 'shop/a'"),
            (25, "'flip' has no meaning for the kind of 'shop/b'"),
            (28, "'set-weight' is for kind = \"split\", not for 'shop/a'"),
            (30, "'set-weight' needs 'weight'"),
            (32, "'set-weight' is for kind = \"split\", not for 'shop/a'"),
        ],
    );
}

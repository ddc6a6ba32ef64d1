//! What the pods of both programs have: image, placement, resources, labels. Only [`Workload::parse`] makes one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, LocalObjectReference, PodSpec, ResourceRequirements, SeccompProfile, SecurityContext,
    Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::fault::Judge;
use crate::flags::WorkloadFlags;
use crate::meta::{self, Labels};
use crate::values::pods::{Amount, amount, image, registry, toleration};
use crate::values::{label, label_name, object_name};

/// A judged workload.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    pub(crate) image: String,
    image_pull_secrets: Vec<String>,
    node_selector: Labels,
    tolerations: Vec<Toleration>,
    priority_class: Option<String>,
    resources: ResourceRequirements,
}

/// What a program asks for unless told otherwise.
pub(crate) struct Defaults {
    pub(crate) program: &'static str,
    pub(crate) cpu_request: &'static str,
    pub(crate) memory_request: &'static str,
    pub(crate) memory_limit: &'static str,
}

impl Workload {
    /// Judges; a fault stands in `judge`, and what is made then is thrown away.
    pub(crate) fn parse(flags: &WorkloadFlags, defaults: &Defaults, judge: &mut Judge) -> Self {
        let namespace = judge.text("--namespace", flags.namespace.as_deref(), label_name);
        let labels = pairs("--label", &flags.label, judge);
        for key in labels.keys().filter(|key| meta::is_own(key)) {
            judge.note("--label", format!("{key} is set by the export itself; write another key"));
        }
        Self {
            namespace: namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
            labels,
            image: image_of(flags, defaults.program, judge),
            image_pull_secrets: judge.texts("--image-pull-secret", &flags.image_pull_secret, object_name),
            node_selector: pairs("--node-selector", &flags.node_selector, judge),
            tolerations: judge.texts("--toleration", &flags.toleration, toleration),
            priority_class: judge.text("--priority-class", flags.priority_class.as_deref(), object_name),
            resources: resources(flags, defaults, judge),
        }
    }

    pub(crate) fn resources(&self) -> ResourceRequirements {
        self.resources.clone()
    }

    /// A pod that holds no credentials of the cluster; `tolerations` come before the user's.
    pub(crate) fn pod(&self, account: &str, mut tolerations: Vec<Toleration>) -> PodSpec {
        let mut node_selector = self.node_selector.clone();
        node_selector.entry("kubernetes.io/os".to_owned()).or_insert_with(|| "linux".to_owned());
        tolerations.extend(
            self.tolerations.iter().filter(|own| !tolerations.contains(own)).cloned().collect::<Vec<_>>(),
        );
        let secret = |name: &String| LocalObjectReference { name: name.clone() };
        let secrets: Vec<_> = self.image_pull_secrets.iter().map(secret).collect();
        PodSpec {
            automount_service_account_token: Some(false),
            // Variables of Services would be taken for settings of a program of the same name.
            enable_service_links: Some(false),
            image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
            node_selector: Some(node_selector),
            priority_class_name: self.priority_class.clone(),
            service_account_name: Some(account.to_owned()),
            tolerations: (!tolerations.is_empty()).then_some(tolerations),
            ..PodSpec::default()
        }
    }
}

/// No way to more rights, nothing to write to but volumes.
pub(crate) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// The container runtime's own filter of system calls.
pub(crate) fn runtime_seccomp() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}

/// Labels, each key once.
fn pairs(flag: &str, given: &[String], judge: &mut Judge) -> Labels {
    let mut pairs = Labels::new();
    for (key, value) in judge.texts(flag, given, label) {
        if pairs.get(&key).is_some_and(|before| *before != value) {
            judge.note(flag, format!("{key} has two values; write it once"));
        }
        pairs.insert(key, value);
    }
    pairs
}

fn image_of(flags: &WorkloadFlags, program: &str, judge: &mut Judge) -> String {
    let own = format!("garrison/{program}:{}", meta::VERSION);
    let registry = judge.text("--registry", flags.registry.as_deref(), registry);
    let given = judge.text("--image", flags.image.as_deref(), image);
    match (given, registry) {
        (Some(_), Some(_)) => {
            judge.note("--registry", "--image names the registry already; give one of the two");
            own
        }
        (Some(image), None) => image,
        (None, Some(registry)) => format!("{registry}/{own}"),
        (None, None) => own,
    }
}

fn resources(flags: &WorkloadFlags, defaults: &Defaults, judge: &mut Judge) -> ResourceRequirements {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for (resource, request_flag, request, limit_flag, limit, usual, most) in [
        (
            "cpu",
            "--cpu-request",
            &flags.cpu_request,
            "--cpu-limit",
            &flags.cpu_limit,
            defaults.cpu_request,
            "",
        ),
        (
            "memory",
            "--memory-request",
            &flags.memory_request,
            "--memory-limit",
            &flags.memory_limit,
            defaults.memory_request,
            defaults.memory_limit,
        ),
    ] {
        let given_request = judge.text(request_flag, request.as_deref(), amount);
        let given_limit = judge.text(limit_flag, limit.as_deref(), amount);
        if let (Some(request), Some(limit)) = (&given_request, &given_limit)
            && limit.value < request.value
        {
            let cause = format!(
                "{} is below {request_flag} {}; raise one or lower the other",
                limit.text, request.text
            );
            judge.note(limit_flag, cause);
        }
        // Where only one of the two is given, the default of the other gives way to it.
        let (usual, most) = (amount(usual).ok(), amount(most).ok());
        let request = given_request.clone().or_else(|| lesser(usual, given_limit.as_ref()));
        let limit = given_limit.or_else(|| greater(most, request.as_ref()));
        let keep = |amounts: &mut BTreeMap<String, Quantity>, amount: Option<Amount>| {
            amounts.extend(amount.map(|amount| (resource.to_owned(), Quantity(amount.text))));
        };
        keep(&mut requests, request);
        keep(&mut limits, limit);
    }
    ResourceRequirements {
        claims: None,
        limits: (!limits.is_empty()).then_some(limits),
        requests: Some(requests),
    }
}

fn lesser(usual: Option<Amount>, bound: Option<&Amount>) -> Option<Amount> {
    let bound = bound.cloned();
    match (usual, bound) {
        (Some(usual), Some(bound)) if bound.value < usual.value => Some(bound),
        (usual, _) => usual,
    }
}

fn greater(usual: Option<Amount>, bound: Option<&Amount>) -> Option<Amount> {
    match (usual, bound.cloned()) {
        (Some(usual), Some(bound)) if bound.value > usual.value => Some(bound),
        (usual, _) => usual,
    }
}

/// As in runbooks of the product replaced.
pub(crate) const NAMESPACE: &str = "twistlock";

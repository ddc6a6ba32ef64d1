//! What is lifted out, and what stays. That Helm renders the same objects is tested with Helm itself, in `tests/`.

use super::*;
use crate::flags::{ConsoleFlags, WorkloadFlags};

#[test]
fn what_helm_would_take_for_its_own_stays_text() {
    let workload = WorkloadFlags { namespace: Some("security".to_owned()), ..WorkloadFlags::default() };
    let flags = ConsoleFlags {
        workload,
        service_annotation: vec!["example.com/a={{ .Values.image }}".to_owned()],
        ..ConsoleFlags::default()
    };
    let console = crate::Console::parse(&flags).expect("good");
    let mut values = Map::new();
    let mut documents = Documents::default();
    documents.push(&json!({"kind": "Other", "metadata": {"name": "x"}, "data": "{{ fail }}"})).expect("text");
    let other = CONSOLE.template(documents.objects()[0].clone(), &mut values).expect("text");
    assert!(other.text.contains("{{ \"{{\" }} fail }}") && values.is_empty(), "{}", *other.text);
    let chart = console.chart().expect("a chart");
    let text = String::from_utf8_lossy(&chart).into_owned();
    for expected in [
        "image: {{ toJson .Values.image }}",
        "{{- with .Values.tolerations }}",
        "{{ .Values.image }}\"\n",
        "twistlock-console/templates/deployment-twistlock-console.yaml",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn every_value_has_a_description_and_a_schema() {
    for lift in lifts::CONSOLE.iter().chain(lifts::DEFENDER) {
        let Some(name) = lift.value else { continue };
        let first = name.split('.').next().unwrap_or_default();
        assert!(!lifts::description(first).is_empty(), "{name}");
        let values = Map::from_iter([(first.to_owned(), Value::Null)]);
        assert_ne!(lifts::schema(&values)["properties"][first], json!({}), "{name}");
    }
}

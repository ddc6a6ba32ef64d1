//! What people deploy: Kubernetes, OpenShift, Istio and compose files, built from typed objects.

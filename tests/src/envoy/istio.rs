//! What `console export istio` has written, as Istio reads it: a field that is not known here is a fault, because Istio
//! would do something with it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The parts of an export that decide which way a connection goes.
#[derive(Debug)]
pub struct Export {
    /// What the ingress gateway listens for.
    pub gateway: Gateway,
    /// Where it goes.
    pub ways: VirtualService,
    /// The Console's settings.
    pub settings: BTreeMap<String, String>,
    /// Ports of the Console's Service, each with the name of the container's port.
    service: BTreeMap<u16, String>,
    /// Ports of the Console's container by name.
    container: BTreeMap<String, u16>,
    /// The Service's name from anywhere in the cluster.
    host: String,
}

/// `Gateway`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Labels of the pods that are the gateway.
    pub selector: BTreeMap<String, String>,
    /// One for each port.
    pub servers: Vec<Server>,
}

/// A port of the gateway.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Which hosts are served.
    pub hosts: Vec<String>,
    /// The port.
    pub port: Port,
    /// Who ends TLS.
    pub tls: Tls,
}

/// Number and protocol.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// For people.
    pub name: String,
    /// The port.
    pub number: u16,
    /// `HTTPS` or `TLS`.
    pub protocol: String,
}

/// Who ends TLS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// `SIMPLE`: the gateway, with the credential; `PASSTHROUGH`: nobody on the way.
    pub mode: String,
    /// Name of a Secret.
    pub credential_name: Option<String>,
}

/// `VirtualService`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualService {
    /// Of which gateways.
    pub gateways: Vec<String>,
    /// For which hosts.
    pub hosts: Vec<String>,
    /// Where TLS ends at the gateway.
    #[serde(default)]
    pub http: Vec<Route>,
    /// Where it is handed on.
    #[serde(default)]
    pub tls: Vec<Route>,
}

/// One way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What goes this way.
    #[serde(rename = "match")]
    pub matches: Vec<Match>,
    /// Its end.
    pub route: Vec<Way>,
}

/// What goes a way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Match {
    /// Port of the gateway.
    pub port: u16,
    /// Names that the client asks for.
    #[serde(default)]
    pub sni_hosts: Vec<String>,
}

/// The end of a way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// A Service.
    pub destination: Destination,
}

/// A port of a Service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: Number,
}

/// A port.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// It.
    pub number: u16,
}

impl Export {
    /// Reads the file.
    ///
    /// # Panics
    /// When Istio would not understand it, or its parts do not fit together.
    pub fn read(text: &str) -> Self {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
        let object = |kind: &str| {
            let mut found = objects.iter().filter(|object| object["kind"] == kind);
            let first = found.next().unwrap_or_else(|| panic!("no {kind} in {text}"));
            assert!(found.next().is_none(), "one {kind}");
            first
        };
        let gateway = object("Gateway");
        assert_eq!(gateway["apiVersion"], "networking.istio.io/v1");
        let ways: VirtualService = typed(&object("VirtualService")["spec"]);
        assert_eq!(ways.gateways, [gateway["metadata"]["name"].as_str().expect("a name")]);
        let service = object("Service");
        let meta = |key: &str| service["metadata"][key].as_str().expect("a text").to_owned();
        let container = &object("Deployment")["spec"]["template"]["spec"]["containers"][0];
        Self {
            gateway: typed(&gateway["spec"]),
            ways,
            settings: typed(&object("ConfigMap")["data"]),
            service: list(&service["spec"]["ports"], |port| {
                (number(&port["port"]), port["targetPort"].as_str().expect("a name").to_owned())
            }),
            container: list(&container["ports"], |port| {
                (port["name"].as_str().expect("a name").to_owned(), number(&port["containerPort"]))
            }),
            host: format!("{}.{}.svc.cluster.local", meta("name"), meta("namespace")),
        }
    }

    /// The port of the Console's container that a way leads to.
    ///
    /// # Panics
    /// When it leads nowhere.
    pub fn end(&self, way: &Route) -> u16 {
        let [Way { destination }] = way.route.as_slice() else { panic!("one end: {way:?}") };
        assert_eq!(destination.host, self.host);
        let name = self.service.get(&destination.port.number).expect("a port of the Service");
        self.container[name]
    }
}

fn typed<T: DeserializeOwned>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_else(|error| panic!("{error} in {value}"))
}

fn list<K: Ord, V>(values: &Value, entry: impl Fn(&Value) -> (K, V)) -> BTreeMap<K, V> {
    values.as_array().expect("a list").iter().map(entry).collect()
}

fn number(value: &Value) -> u16 {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a port")
}

//! What people deploy with: the API and the command line give the same files, `deploy/twistcli` takes runbooks of the
//! product replaced, kustomize takes the bases, systemd the units.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::console::PASSWORD;
use system_tests::program::binary;
use system_tests::{SOON, TestConsole, TestDefender, eventually, repository};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_gives_the_same_files_as_the_command_line() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let flags = "--namespace security --public-url https://c.example.com --san 192.0.2.7 --san a.example.com";
    let body = json!({
        "namespace": "security",
        "publicUrl": "https://c.example.com",
        "san": ["192.0.2.7", "a.example.com"],
    });
    let with = |more: Value| {
        let mut body = body.clone();
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    for (platform, more, body) in [
        (
            "kubernetes",
            "--http-port 8081 --node-selector a=b",
            with(json!({"httpPort": 8081, "nodeSelector": ["a=b"]})),
        ),
        ("openshift", "--route-host c.example.com", with(json!({"routeHost": "c.example.com"}))),
        (
            "istio",
            "--host c.example.com --gateway-api",
            with(json!({"host": ["c.example.com"], "gatewayApi": true})),
        ),
    ] {
        for (helm, path) in [("", format!("{platform}.yaml")), ("--helm", format!("{platform}-helm.tar.gz"))]
        {
            let line = format!("export {platform} {flags} {more} {helm} --output -");
            let output = run("console", console.dir(), &words(&line));
            assert_eq!(output.status.code(), Some(0), "{line}: {}", told(&output));
            let file = api.file(&format!("console/{path}"), &body).await;
            assert!(file.len() > 1000 && file == output.stdout, "{line}");
        }
    }
    let output =
        run("console", console.dir(), &words("export compose --onebox --san c.example.com --output -"));
    let body = json!({"onebox": true, "san": ["c.example.com"]});
    assert!(api.file("console/docker-compose.yaml", &body).await == output.stdout);
    // Any user may ask: the files hold nothing of this Console.
    let user = json!({"username": "vera", "password": PASSWORD, "role": "viewer"});
    assert_eq!(api.call(Method::POST, "users", Some(user)).await.status, 201);
    let viewer = system_tests::api::Api::sign_in(console.https, "vera", PASSWORD).await;
    let answer = viewer.call(Method::POST, "console/istio.yaml", Some(json!({}))).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(
        answer.json()["detail"].as_str().is_some_and(|told| told.starts_with("host: it is missing")),
        "{answer:?}"
    );
    let answer = viewer.call(Method::POST, "defenders/daemonset-helm.tar.gz", Some(json!({}))).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_defenders_is_closed_and_a_token_may_ask_for_it() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    std::fs::write(console.dir().join("token"), format!("{}\n", api.token())).expect("written");
    let ca = console.dir().join("data/certificates/ca.pem");
    let line = format!(
        "export kubernetes --helm --address https://localhost:{} --cluster-address console --token-file token --ca {}",
        console.https,
        ca.display()
    );
    let output = run("defender", console.dir(), &words(&line));
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let next = "helm install twistlock-defender-ds ./twistlock-defender-helm.tar.gz --namespace twistlock";
    assert!(told(&output).contains(next), "{}", told(&output));
    let chart = console.dir().join("twistlock-defender-helm.tar.gz");
    assert_eq!(std::fs::metadata(&chart).expect("written").permissions().mode() & 0o777, 0o600);
    let rendered = tool("kubernetes/helm", console.dir(), &["template", "d", &chart.to_string_lossy()]);
    let text = String::from_utf8_lossy(&rendered.stdout).into_owned();
    let address = format!("value: \"wss://console:{}\"", console.defenders);
    for expected in ["kind: DaemonSet", "kind: Secret", &address] {
        assert!(text.contains(expected), "{expected} in {text} {}", told(&rendered));
    }
    let output = run("defender", console.dir(), &words(&format!("{line} --user admin")));
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("a token says who asks"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_says_which_cluster_it_belongs_to() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let bundle = api.bundle().await;
    let setup = || TestDefender::setup(&console.address()).bundle(&bundle);
    let _east = setup().flag("--hostname", "one").variable("DEFENDER_CLUSTER", "east").connect().await;
    let _none = setup().flag("--hostname", "two").connect().await;
    let found = eventually("both are listed", SOON, async || {
        let all = api.get("defenders").await;
        if all.as_array().is_some_and(|all| all.len() == 2) { Ok(all) } else { Err(all) }
    })
    .await;
    assert_eq!((&found[0]["cluster"], found[1].get("cluster")), (&json!("east"), None), "{found}");
    for (query, count) in [("cluster=east", 1), ("cluster=west", 0), ("search=EAST", 1)] {
        let found = api.get(&format!("defenders?{query}")).await;
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{query}: {found}");
    }
    let facets = api.get("defenders/facets").await;
    assert_eq!(facets["clusters"], json!([{"value": "east", "count": 1}]), "{facets}");
    let ended = setup().flag("--cluster", "no name").start_in_vain().await;
    assert_eq!(ended.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn runbooks_of_the_product_replaced_can_be_pasted() {
    let console = TestConsole::start().await;
    let dir = console.dir();
    let twistcli = |line: &str| self::twistcli(dir, &words(line));
    let output = twistcli(
        "console export kubernetes --registry-token x --persistent-volume-labels app-volume=twistlock-console \
         --persistent-volume-storage 20Gi --storage-class=default --service-type LoadBalancer",
    );
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = std::fs::read_to_string(dir.join("twistlock_console.yaml")).expect("written");
    for expected in
        ["app-volume: twistlock-console", "storage: 20Gi", "storageClassName: default", "type: LoadBalancer"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let output = twistcli(
        "console export openshift --image-name r:5000/private:console_1 --service-type ClusterIP --helm",
    );
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(dir.join("twistlock-console-helm.tar.gz").is_file());

    let ca = console.dir().join("data/certificates/ca.pem");
    let asking = format!(
        "defender export kubernetes --namespace twistlock --privileged --cri --monitor-service-accounts=true \
         --monitor-istio --user admin --address https://localhost:{} --cluster-address twistlock-console:8084 \
         --tlscacert {}",
        console.https,
        ca.display()
    );
    let with_password = |password: &str, more: &str| {
        let line = format!("{asking} {more}");
        let password = format!("--password={password}");
        self::twistcli(dir, &[&words(&line)[..], &[&password]].concat())
    };
    let output = with_password(PASSWORD, "");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = std::fs::read_to_string(dir.join("defender.yaml")).expect("written");
    assert!(text.contains("wss://twistlock-console:8084"), "{text}");
    let output = with_password("wrong", &format!("--output {}", dir.join("other.yaml").display()));
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("wrong user name or password") && !dir.join("other.yaml").exists());
    let left = std::fs::read_dir(dir.join("tmp")).expect("ours").count();
    assert_eq!(left, 0, "no file with a password is left behind");
}

#[test]
fn what_the_wrapper_does_not_know_is_wrong_usage() {
    let dir = tempfile::tempdir().expect("a directory");
    for (line, expected) in [
        ("", "Usage"),
        ("images scan x", "'images scan' is not here"),
        ("console export mars", "'mars' is not known"),
        ("defender install kubernetes", "apply it"),
        ("console export kubernetes --volume x", "--volume is not known for 'console export kubernetes'"),
        ("console export kubernetes --namespace", "--namespace needs a value"),
        ("console export kubernetes stray", "'stray' stands alone"),
        ("console export kubernetes --address https://a", "--address is not known"),
        ("console export kubernetes --orchestration openshift", "contradicts kubernetes"),
        ("console export kubernetes --helm=maybe", "write it alone"),
        ("console export kubernetes --namespace=A_b", "--namespace: \"A_b\" is no name"),
        ("defender export kubernetes --address https://a", "--user is missing"),
        ("defender export kubernetes --address https://a --user u", "--password is missing"),
        ("defender export kubernetes --token t --user u", "--token says who asks"),
    ] {
        let output = twistcli(dir.path(), &words(line));
        assert_eq!(output.status.code(), Some(2), "{line}: {}", told(&output));
        assert!(told(&output).contains(expected), "{expected} in {}", told(&output));
    }
    let files: Vec<_> =
        std::fs::read_dir(dir.path()).expect("ours").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(files, ["tmp"], "nothing is written");
}

#[test]
fn a_password_is_never_on_the_command_line_of_the_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("defender");
    std::fs::write(
        &program,
        "#!/bin/sh\necho \"$@\"\nenv\nfor word; do case $word in --password-file=*) \
         stat -c %a \"${word#*=}\"; esac; done\n",
    )
    .expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let mut command = wrapper(dir.path());
    command.args(words("defender export kubernetes --address https://a --cluster-address b -u admin"));
    command.env("GARRISON_DEFENDER", &program).env("TWISTLOCK_PASSWORD", "s3cret-word");
    let output = command.output().expect("dash: `cargo xtask test` installs it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("--user=admin"), "{text} {}", told(&output));
    assert!(!text.contains("s3cret-word") && text.contains("\n600\n"), "{text}");
}

#[test]
fn kustomize_takes_the_bases_and_the_example() {
    let bases = repository().join("deploy/kubernetes");
    for (base, expected) in [("console", "kind: Deployment"), ("defender", "kind: DaemonSet")] {
        let output = tool("kubernetes/kubectl", &bases, &["kustomize", base]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(expected), "{text} {}", told(&output));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let copied = Command::new("cp").arg("-r").arg(&bases).arg(dir.path()).status().expect("cp");
    assert!(copied.success());
    let example = dir.path().join("kubernetes/example");
    for file in ["defender-ca.pem", "defender-client-cert.pem", "defender-client-key.pem"] {
        std::fs::write(example.join(file), "a file").expect("written");
    }
    let output = tool("kubernetes/kubectl", &example, &["kustomize", "."]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", told(&output));
    for expected in
        ["image: registry.example.com/garrison/console:", "type: LoadBalancer", "value: example", "YSBmaWxl"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn a_service_is_written_enabled_and_taken_by_systemd() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("host");
    let install = ["install-service", "--console-address", "wss://console:8084", "--program"];
    let program = "/usr/local/bin/garrison-defender";
    let with = |more: &[&str]| run("defender", dir.path(), &[&install[..], &[program], more].concat());
    let output = with(&["--root", &root.to_string_lossy(), "--cluster", "east"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let unit = root.join("etc/systemd/system/garrison-defender.service");
    let text = std::fs::read_to_string(&unit).expect("written");
    for expected in ["Environment=\"WS_ADDRESS=wss://console:8084\"", "DEFENDER_CLUSTER=east", program] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let wanted = root.join("etc/systemd/system/multi-user.target.wants/garrison-defender.service");
    assert!(std::fs::symlink_metadata(wanted).is_ok_and(|link| link.is_symlink()), "it is enabled");
    assert_eq!(
        with(&["--root", &root.to_string_lossy()]).status.code(),
        Some(0),
        "again, with other settings"
    );

    let output = with(&["--dry-run"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("systemctl restart garrison-defender") && text.contains("[Service]"), "{text}");
    let file = dir.path().join("a.service");
    assert_eq!(with(&["--output", &file.to_string_lossy()]).status.code(), Some(0));
    for (arguments, code, expected) in [
        (vec!["install-service"], 2, "--console-address (WS_ADDRESS): missing"),
        (vec!["install-service", "--console-address", "https://c"], 2, "--console-address"),
        (vec!["install-service", "--dry-run", "--root", "/x"], 2, "--root"),
        (
            vec!["install-service", "--console-address", "wss://c", "--program", "defender"],
            2,
            "absolute path",
        ),
        (vec!["install-service", "--console-address", "wss://c", "--program", "/tmp/d"], 2, "out of sight"),
        (vec!["install-service", "--console-address", ""], 2, "--console-address is empty"),
        (
            vec!["install-service", "--console-address", "wss://c", "--program", program, "--user", "admin"],
            2,
            "--address: it is missing",
        ),
    ] {
        let output = run("defender", dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(expected), "{expected} in {}", told(&output));
    }
    let output = with(&["--output", "none/x.service"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    if !Path::new("/run/systemd/system").is_dir() {
        let output = with(&[]);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let is_told = ["not run by systemd", "only root"].iter().any(|text| told(&output).contains(text));
        assert!(is_told, "{}", told(&output));
    }
}

#[test]
fn the_units_are_good_and_hardened() {
    for name in ["garrison-console.service", "garrison-defender.service"] {
        // systemd looks for the programs too.
        let host = tempfile::tempdir().expect("a directory");
        for folder in ["etc/systemd/system", "usr/local/bin", "usr/lib/systemd"] {
            std::fs::create_dir_all(host.path().join(folder)).expect("ours");
        }
        let unit = host.path().join("etc/systemd/system").join(name);
        let text = std::fs::read_to_string(repository().join("deploy/systemd").join(name)).expect("there");
        let own = binary(
            name.strip_prefix("garrison-").and_then(|rest| rest.strip_suffix(".service")).expect("ours"),
        );
        let program = format!("/usr/local/bin/{}", name.trim_end_matches(".service"));
        assert!(text.contains(&program), "{text}");
        std::fs::write(&unit, text.replace(&program, &own.to_string_lossy())).expect("written");
        let analyze = |arguments: &[&str]| {
            let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output();
            let output = output.expect("systemd-analyze: `cargo xtask test` installs it");
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        };
        let (is_good, told) = analyze(&["verify", "--man=no", "--recursive-errors=no"]);
        assert!(is_good && told.trim().is_empty(), "{told}");
        let (is_hardened, told) = analyze(&["security", "--offline=yes", "--no-pager", "--threshold=20"]);
        assert!(is_hardened, "{told}");
    }
}

/// A program below `target/`, which `cargo xtask test` installs.
fn tool(name: &str, dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(repository().join("target").join(name));
    command.args(arguments).current_dir(dir);
    command.output().unwrap_or_else(|error| panic!("{name}: {error}; `cargo xtask test` installs it"))
}

/// The wrapper by Debian's shell, beside our programs, in a directory of its own.
fn wrapper(dir: &Path) -> Command {
    std::fs::create_dir_all(dir.join("tmp")).expect("ours");
    let mut command = Command::new("dash");
    command.arg(repository().join("deploy/twistcli")).current_dir(dir).env("TMPDIR", dir.join("tmp"));
    command.env("GARRISON_CONSOLE", binary("console")).env("GARRISON_DEFENDER", binary("defender"));
    for name in ["TWISTLOCK_USER", "TWISTLOCK_PASSWORD", "TWISTLOCK_TOKEN"] {
        command.env_remove(name);
    }
    command.stdin(std::process::Stdio::null());
    command
}

fn twistcli(dir: &Path, arguments: &[&str]) -> Output {
    wrapper(dir).args(arguments).output().expect("dash: `cargo xtask test` installs it")
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn run(program: &str, dir: &Path, arguments: &[&str]) -> Output {
    Command::new(binary(program)).args(arguments).current_dir(dir).output().expect("started")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

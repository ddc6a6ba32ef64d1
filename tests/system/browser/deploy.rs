//! The Deploy page by clicks: what it writes, shows and hands over is what the API gives.

use system_tests::console::PASSWORD;

use super::console_and_browser;

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_defenders_is_written_shown_once_and_downloaded_with_the_chart() {
    let (console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    let folder = browser.downloads().await;
    page.open("/deploy").await;
    page.fill("#field-consoleAddr", "console.example.com:9443").await;
    page.press("Enter").await;
    page.until("document.querySelector('#command').textContent.includes('--cluster-address console.example.com:9443')")
        .await;
    page.shows("garrison-defender install-service --console-address wss://console.example.com:9443").await;
    page.click("button", "Write the file").await;
    page.shows("The file was written.").await;
    let shown = page.eval("document.querySelector('#written-file').textContent").await;
    let shown = shown.as_str().expect("a text");
    assert!(shown.contains("kind: DaemonSet") && shown.contains("wss://console.example.com:9443"), "{shown}");
    let registrations = console.api().await.get("registrations").await;
    assert_eq!(registrations.as_array().map(Vec::len), Some(1), "one for the file: {registrations}");
    page.click("#written button", "Download").await;
    assert_eq!(folder.file("defender.yaml").await, shown.as_bytes());
    page.click("#what button", "Helm chart").await;
    page.shows("The chart was written.").await;
    let chart = folder.file("twistlock-defender-helm.tar.gz").await;
    assert_eq!(chart.get(..2), Some([0x1f, 0x8b].as_slice()), "gzip");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_console_is_on_the_page_and_a_fault_says_what_to_write() {
    let (_console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    let folder = browser.downloads().await;
    page.open("/deploy?program=console&serviceType=LoadBalancer").await;
    let shown = page.eval("document.querySelector('#file').textContent").await;
    let shown = shown.as_str().expect("a text");
    assert!(shown.contains("type: LoadBalancer"), "{shown}");
    page.click("button", "Download").await;
    assert_eq!(folder.file("twistlock_console.yaml").await, shown.as_bytes());
    page.open("/deploy?program=console&serviceType=Nonsense").await;
    page.shows("Nonsense").await;
    assert_eq!(page.eval("document.querySelector('#file')").await, serde_json::Value::Null, "nothing half");
}

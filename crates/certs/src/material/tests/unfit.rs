//! Sets that parse but must not replace what runs.

use testpki::{Ca, Leaf};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::Channel;
use crate::stranger::Folder;

/// What is said about a channel's files at `now`.
fn unfit(folder: &Folder, channel: Channel, now: OffsetDateTime) -> Option<String> {
    let error = folder.parse(channel).expect("usable").unfit(now)?;
    assert!(error.remedy().len() > 20);
    Some(folder.relative(&error.to_string()))
}

const FROM: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const UNTIL: OffsetDateTime = datetime!(2026-09-01 12:00 UTC);

fn folder(leaf: &Leaf) -> Folder {
    let folder = Folder::new();
    let ca = Ca::valid("CA", datetime!(2020-01-01 0:00 UTC), datetime!(2040-01-01 0:00 UTC));
    folder.put_pair("console", &ca.issue(leaf));
    folder
}

#[test]
fn a_leaf_is_fit_from_its_first_to_its_last_second() {
    let folder = folder(&Leaf::server(&["x"]).valid(FROM, UNTIL));
    let at = |now| unfit(&folder, Channel::ConsoleHttps, now);
    let early = "DIR/console-cert.pem: x509: certificate is not yet valid: CN=x, not valid before 2026-03-01T12:00:00Z";
    let late =
        "DIR/console-cert.pem: x509: certificate has expired: CN=x, not valid after 2026-09-01T12:00:00Z";
    assert_eq!(at(FROM - Duration::SECOND).as_deref(), Some(early));
    assert_eq!(at(FROM), None);
    assert_eq!(at(UNTIL), None);
    assert_eq!(at(UNTIL + Duration::SECOND).as_deref(), Some(late));
    let material = folder.parse(Channel::ConsoleHttps).expect("usable");
    assert_eq!(material.next_date(FROM - Duration::DAY), Some(FROM));
    assert_eq!(material.next_date(FROM + Duration::DAY), Some(UNTIL));
    assert_eq!(material.next_date(UNTIL + Duration::DAY), None);
}

#[test]
fn an_expired_intermediate_makes_the_set_unfit() {
    let now = OffsetDateTime::now_utc();
    let expired =
        Ca::new("Root").intermediate_valid("Middle", now - Duration::days(9), now - Duration::days(1));
    let folder = Folder::new();
    folder.put_pair("console", &expired.issue(&Leaf::server(&["x"])));
    let error = unfit(&folder, Channel::ConsoleHttps, now).expect("unfit");
    assert!(error.starts_with("DIR/console-cert.pem: x509: certificate has expired: CN=Middle"), "{error}");
}

#[test]
fn a_chain_out_of_order_makes_the_set_unfit() {
    let now = OffsetDateTime::now_utc();
    let root = Ca::new("Root");
    let middle = root.intermediate("Middle");
    let issuing = middle.intermediate("Issuing");
    let pair = issuing.issue(&Leaf::server(&["x"]));
    let folder = Folder::new();
    folder.put_pair("console", &pair);
    folder.put("console-cert.pem", [pair.cert_pem.as_str(), root.pem()].concat());
    assert_eq!(unfit(&folder, Channel::ConsoleHttps, now), None, "a root at the end is fine");
    let leaf = pair.cert_pem.split_inclusive("-----END CERTIFICATE-----\n").next().expect("a leaf");
    folder.put("console-cert.pem", [leaf, middle.pem(), issuing.pem()].concat());
    let error = unfit(&folder, Channel::ConsoleHttps, now).expect("unfit");
    let expected = "DIR/console-cert.pem: x509: certificate chain is out of order: certificate 1 (CN=x) was not issued by the next one (CN=Middle";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_next_certificate_of_the_right_name_but_another_key_is_out_of_order() {
    let folder = Folder::new();
    folder.shell(
        "for ca in a b; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $ca.key -out $ca.pem -days 90 -subj /CN=same 2>&1; done
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout console-key.pem -out csr -subj /CN=x 2>&1
         openssl x509 -req -in csr -CA a.pem -CAkey a.key -CAcreateserial -days 60 -out leaf.pem 2>&1
         cat leaf.pem b.pem > console-cert.pem",
    );
    let now = OffsetDateTime::now_utc();
    assert!(unfit(&folder, Channel::ConsoleHttps, now).expect("unfit").contains("out of order"));
    folder.shell("cat leaf.pem a.pem > console-cert.pem");
    assert_eq!(unfit(&folder, Channel::ConsoleHttps, now), None);
}

#[test]
fn a_ca_file_without_a_valid_ca_makes_the_set_unfit() {
    let (folder, _) = Folder::good();
    let old = Ca::valid("Old CA", datetime!(2019-01-01 0:00 UTC), datetime!(2020-01-01 0:00 UTC));
    folder.put("defender-ca.pem", old.pem());
    let error = unfit(&folder, Channel::Defender, OffsetDateTime::now_utc()).expect("unfit");
    assert!(
        error.starts_with(
            "DIR/defender-ca.pem: x509: every CA certificate has expired or is not yet valid: CN=Old CA"
        ),
        "{error}"
    );
    assert!(error.ends_with("valid from 2019-01-01T00:00:00Z to 2020-01-01T00:00:00Z"), "{error}");
}

#[test]
fn what_a_console_issued_for_a_bundle_is_fit_for_all_of_its_life_also_when_its_ca_has_ended() {
    let old = Ca::valid("Old CA", datetime!(2019-01-01 0:00 UTC), datetime!(2020-01-01 0:00 UTC));
    let folder = Folder::new();
    folder.put("defender-ca.pem", old.pem());
    let put = |san: &str| {
        let leaf = Leaf::client("Garrison Defender").sans(&[san]).valid(FROM, UNTIL);
        folder.put_pair("defender-client", &old.issue(&leaf));
    };
    put("urn:garrison:registration:6f9d3f3e-0000-4000-8000-000000000000");
    assert_eq!(unfit(&folder, Channel::Defender, UNTIL), None);
    assert!(
        unfit(&folder, Channel::Defender, UNTIL + Duration::SECOND).expect("unfit").contains("has expired")
    );
    put("urn:uuid:6f9d3f3e-0000-4000-8000-000000000000");
    assert!(unfit(&folder, Channel::Defender, UNTIL).expect("unfit").contains("every CA certificate"));
}

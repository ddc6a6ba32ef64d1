//! Tests of `crl.rs`, with lists made by `openssl`.

use super::*;
use crate::stranger::Folder;

/// Two CAs of one name, a third, and a certificate of the first.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.shell(
        r#"
        ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.pem \
            -subj "/CN=$2" -days 9 2>/dev/null; }
        ca one Same; ca twin Same; ca other Other
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj /CN=leaf 2>/dev/null
        for ca in one twin; do
            openssl x509 -req -in leaf.csr -CA $ca.pem -CAkey $ca.key -set_serial 0x00ab12 -days 5 -out leaf-$ca.pem 2>/dev/null
        done
        "#,
    );
    folder
}

/// A list of `ca` that names the leaf of `one`, with these extensions.
fn list(folder: &Folder, ca: &str, extensions: &str) -> Vec<u8> {
    folder.shell(&format!(
        r#"
        printf '[ca]\ndefault_ca=own\n[own]\ndatabase=db\ncrlnumber=number\ncertificate={ca}.pem\nprivate_key={ca}.key\ndefault_md=sha256\ndefault_crl_days=3\ncrl_extensions=list\n[list]\n{extensions}\n[point]\nindirectCRL=TRUE\n' > cnf
        : > db; echo 01 > number
        openssl ca -batch -config cnf -revoke leaf-one.pem 2>/dev/null
        openssl ca -batch -config cnf -gencrl -out list.pem 2>/dev/null
        "#
    ));
    std::fs::read(folder.at("list.pem")).expect("made")
}

fn certificate(folder: &Folder, name: &str) -> Certificate {
    let blocks = pem::decode(folder.text(name).as_bytes()).expect("PEM");
    Certificate::parse(&blocks[0].der).expect("a certificate")
}

const PLAIN: &str = "authorityKeyIdentifier=keyid";

#[test]
fn a_list_names_certificates_of_its_own_ca_and_not_those_of_a_ca_with_the_same_name() {
    let folder = folder();
    let [one, twin, other] = ["one.pem", "twin.pem", "other.pem"].map(|name| certificate(&folder, name));
    let signers = [other, twin, one];
    let crls = Crls::parse(&list(&folder, "one", PLAIN), &signers).expect("good");
    assert_eq!((crls.count(), crls.issuers().as_str()), (1, "CN=Same"));
    assert!(crls.next_update().is_some() && crls.strangers().is_empty());
    let [mine, twins] = ["leaf-one.pem", "leaf-twin.pem"].map(|name| certificate(&folder, name));
    assert!(crls.name_one_of([twins.der(), mine.der()]));
    assert!(!crls.name_one_of([twins.der()]) && !crls.name_one_of([]));
}

#[test]
fn each_fault_of_a_list_has_its_own_text_and_a_remedy() {
    let folder = folder();
    let [one, twin, other] = ["one.pem", "twin.pem", "other.pem"].map(|name| certificate(&folder, name));
    let good = list(&folder, "one", PLAIN);
    let text = String::from_utf8(good.clone()).expect("PEM");
    let delta = list(&folder, "one", "2.5.29.27=critical,DER:020101");
    let indirect = list(&folder, "one", "issuingDistributionPoint=critical,@point");
    let unknown = list(&folder, "one", "1.2.3.4=critical,DER:0500");
    let certificate = folder.text("one.pem").replace("CERTIFICATE", "X509 CRL").into_bytes();
    let own = folder.text("one.pem");
    let cases: [(&[u8], &[&Certificate], &str); 9] = [
        (&good, &[&twin], "its signature is not that CA's"),
        (&good, &[&other], "signed by no CA of defender-ca.pem: CN=Same"),
        (&delta, &[&one], "is a delta list"),
        (&indirect, &[&one], "critical extension 2.5.29.28"),
        (&unknown, &[&one], "critical extension 1.2.3.4"),
        (&certificate, &[&one], "malformed revocation list: list 1"),
        (own.as_bytes(), &[&one], "holds no X509 CRL, but CERTIFICATE"),
        (b"", &[&one], "the file is empty"),
        (&text.as_bytes()[..text.len() / 2], &[&one], "cut off"),
    ];
    for (bytes, signers, expected) in cases {
        let signers: Vec<Certificate> = signers.iter().map(|one| (*one).clone()).collect();
        let fault = Crls::parse(bytes, &signers).expect_err(expected);
        assert!(fault.to_string().contains(expected), "{expected}: {fault}");
        assert!(fault.remedy().len() > 20, "{fault}");
    }
    let both = [good, list(&folder, "other", PLAIN)].concat();
    let crls = Crls::parse(&both, &[one]).expect("one of them is good");
    assert_eq!((crls.count(), crls.strangers()), (1, &["CN=Other".to_owned()][..]));
}

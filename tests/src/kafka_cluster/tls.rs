//! Certificates for a test: an authority of its own, and a node's certificate for `127.0.0.1` and `localhost` that it has signed.
//!
//! Java's `keytool` makes them, which comes with the JDK that Kafka needs anyway.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{files::text, programs::run_with_input};

/// Certificates of the listeners with TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority's certificate, which clients are to trust, as PEM.
    pub authority: PathBuf,
    /// The nodes' key and certificate, as PKCS12.
    pub(super) keystore: PathBuf,
}

impl Tls {
    /// The password of the key stores, which lie in a directory that goes with the cluster.
    pub(super) const STORE_PASSWORD: &'static str = "only-for-tests";

    pub(super) fn generate(directory: &Path) -> Self {
        let file = |name: &str| directory.join(name);
        let (authority_store, keystore) = (file("authority.p12"), file("node.p12"));
        let (request, signed) = (file("node.csr"), file("node.pem"));
        let tls = Self { authority: file("authority.pem"), keystore };
        let new_key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "30"];
        let authority = [&new_key[..], &["-alias", "authority", "-dname", "CN=authority", "-ext", "bc:c"]].concat();
        keytool(&authority_store, &authority);
        keytool(&authority_store, &["-exportcert", "-rfc", "-alias", "authority", "-file", text(&tls.authority)]);
        keytool(&tls.keystore, &[&new_key[..], &["-alias", "node", "-dname", "CN=node"]].concat());
        keytool(&tls.keystore, &["-certreq", "-alias", "node", "-file", text(&request)]);
        let sign = ["-gencert", "-rfc", "-alias", "authority", "-ext", "san=ip:127.0.0.1,dns:localhost"];
        let sign = [&sign[..], &["-infile", text(&request), "-outfile", text(&signed), "-validity", "30"]].concat();
        keytool(&authority_store, &sign);
        let trust = ["-importcert", "-noprompt", "-alias"];
        keytool(&tls.keystore, &[&trust[..], &["authority", "-file", text(&tls.authority)]].concat());
        keytool(&tls.keystore, &[&trust[..], &["node", "-file", text(&signed)]].concat());
        tls
    }
}

fn keytool(store: &Path, arguments: &[&str]) {
    let mut command = Command::new("keytool");
    command.args(arguments).args(["-keystore", text(store), "-storetype", "PKCS12", "-storepass", Tls::STORE_PASSWORD]);
    run_with_input(&mut command, "").succeeded();
}

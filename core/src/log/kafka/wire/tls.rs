//! Encryption of our own connections, as the configuration says.

use std::sync::Arc;

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    log::kafka::{BrokerNames, Tls, connection::TlsIdentity},
    tls::{ServerCheck, certificates, client},
};

/// What connections are made with. The error says what is wrong with the certificates.
pub(super) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let check = match tls.names {
        BrokerNames::Checked => ServerCheck::AuthorityAndName,
        BrokerNames::Unchecked => ServerCheck::Authority,
    };
    let builder = client(check, tls.authority.as_deref()).map_err(|error| error.to_string())?;
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (certificates, key) = own(identity)?;
            builder.with_client_auth_cert(certificates, key).map_err(|error| format!("our certificate: {error}"))?
        }
    };
    Ok(Arc::new(config))
}

fn own(identity: &TlsIdentity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    if identity.key_password.is_some() {
        return Err("the key of our certificate is encrypted, which group membership cannot read: \
                    give an unencrypted key in a file that only this user can read"
            .to_owned());
    }
    let certificates =
        certificates(&identity.certificates).map_err(|problem| format!("the file of our certificate: {problem}"))?;
    // What the parser says of a key is not passed on: it might quote it.
    let key = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes())
        .map_err(|_| "the file of our key holds no PEM of an unencrypted private key".to_owned())?;
    Ok((certificates, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let tls = Tls { authority: Some("nothing".into()), ..Tls::default() };
        assert_eq!(client_config(&tls).unwrap_err(), "the file of the authority: it holds no PEM of a certificate");
        assert!(client_config(&Tls::default()).is_ok());
    }
}

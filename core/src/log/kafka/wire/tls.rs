//! Encryption of our own connections, as the configuration says: by rustls with the primitives of ring.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use crate::log::kafka::{BrokerNames, Tls, connection::TlsIdentity};

/// What connections are made with. The error says what is wrong with the certificates.
pub(super) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), Arc::clone(&provider));
    let verifier = verifier.build().map_err(|error| format!("the certificates of the authority: {error}"))?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.dangerous();
    let builder = match tls.names {
        BrokerNames::Checked => builder.with_custom_certificate_verifier(verifier),
        BrokerNames::Unchecked => builder.with_custom_certificate_verifier(Arc::new(AnyName(verifier))),
    };
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (certificates, key) = own(identity)?;
            builder.with_client_auth_cert(certificates, key).map_err(|error| format!("our certificate: {error}"))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match &tls.authority {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in certificates(pem).map_err(|problem| format!("the file of the authority: {problem}"))? {
                roots.add(certificate).map_err(|error| format!("the file of the authority: {error}"))?;
            }
        }
    }
    Ok(roots)
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

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("it holds no PEM of a certificate".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// Takes every certificate of the authority, whatever its name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: who gets this far has a certificate of the authority.
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
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

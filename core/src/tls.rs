//! Encryption of connections to servers: whose certificates a client takes. By rustls, with the primitives of ring.
//!
//! Kafka and Postgres are spoken to with this. Invariant: signatures of the handshake are always checked, so the other end has the key of the
//! certificate that it shows; what that certificate must be is a [`ServerCheck`].

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WantsClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

/// What a server's certificate must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerCheck {
    /// Any: the connection is private, but with whom is not known.
    Nothing,
    /// One of the authority, valid today, for whatever name.
    Authority,
    /// One of the authority, valid today, for the name or address by which the server is reached.
    AuthorityAndName,
}

/// Why there can be no encrypted connections.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificates of the authority cannot be used.
    #[error("the file of the authority: {problem}")]
    Authority {
        /// What is wrong with them.
        problem: String,
    },
    /// The library refuses what it was given.
    #[error("TLS cannot be set up: {problem}")]
    Setup {
        /// In its words.
        problem: String,
    },
}

/// The beginning of a client's configuration; what is left to say is whether it shows a certificate of its own.
///
/// `authority` is PEM of the certificates that the server's must come from; `None` means the public authorities. A server whose certificate is
/// itself one of them is taken too, also if it is marked as an authority's, as `openssl req -x509` makes them.
///
/// # Errors
/// [`TlsError`]: the authority's certificates are not readable, or there are none.
pub fn client(
    check: ServerCheck,
    authority: Option<&str>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let setup = |problem: String| TlsError::Setup { problem };
    let provider = Arc::new(ring::default_provider());
    let trusted = match (check, authority) {
        (ServerCheck::Nothing, _) => None,
        (_, None) => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            Some(Trusted { chain: chain(roots, &provider)?, own: Vec::new(), check })
        }
        (_, Some(pem)) => {
            let own = certificates(pem).map_err(|problem| TlsError::Authority { problem })?;
            let mut roots = RootCertStore::empty();
            for certificate in &own {
                let added = roots.add(certificate.clone());
                added.map_err(|error| TlsError::Authority { problem: error.to_string() })?;
            }
            Some(Trusted { chain: chain(roots, &provider)?, own, check })
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| setup(error.to_string()))?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(Verifier { provider, trusted })))
}

fn chain(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map_err(|error| TlsError::Setup { problem: error.to_string() })
}

/// The certificates of a PEM text; none are a problem.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("it holds no PEM of a certificate".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// Looks at the certificates of servers.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: any certificate will do.
    trusted: Option<Trusted>,
}

/// Whose certificates are taken.
#[derive(Debug)]
struct Trusted {
    chain: Arc<WebPkiServerVerifier>,
    /// The certificates that were named, which a server may have for its own.
    own: Vec<CertificateDer<'static>>,
    check: ServerCheck,
}

impl Trusted {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        match self.chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Ok(_) => Ok(()),
            // The name is looked at last: who gets this far has a certificate of the authority.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == ServerCheck::Authority => Ok(()),
            // Its dates are looked at before its kind, so they are right.
            Err(error) if is_authority_itself(&error) && self.own.iter().any(|own| own == certificate) => {
                match self.check {
                    ServerCheck::AuthorityAndName => {
                        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
                    }
                    _ => Ok(()),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a certificate was refused for nothing but being an authority's. The library has no variant for it.
fn is_authority_itself(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.to_string() == "CaUsedAsEndEntity",
        _ => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trusted) = &self.trusted {
            trusted.verify(certificate, intermediates, name, ocsp, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_without_certificates_is_refused() {
        let problem =
            |authority| client(ServerCheck::Authority, authority).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(problem(Some("nothing")), Err("the file of the authority: it holds no PEM of a certificate".into()));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(problem(Some(broken)).is_err_and(|error| error.starts_with("the file of the authority: ")));
        assert_eq!(problem(None), Ok(()));
    }
}

//! TLS to a collector: whom it is believed from, and who we are to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// What TLS stands on. Everything is read anew for each connection, so that certificates can be renewed under a running shipper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates (PEM) of the authorities that are believed; the system's without it.
    pub authorities: Option<PathBuf>,
    /// Our own certificate with its chain, and its key (both PEM), where the collector asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// TLS 1.2 or 1.3.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|cause| cause.to_string())?
            .with_root_certificates(self.roots()?);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key)
                    .map_err(|cause| format!("no private key in `{}`: {cause}", key.display()))?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, private)
                    .map_err(|cause| format!("`{}` and its key: {cause}", certificate.display()))?
            }
        };
        Ok(Arc::new(config))
    }

    /// The authorities that are believed.
    pub(crate) fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        match &self.authorities {
            Some(path) => certificates(path),
            None => {
                let found = rustls_native_certs::load_native_certs();
                match (found.certs.is_empty(), found.errors.first()) {
                    (false, _) => Ok(found.certs),
                    (true, Some(cause)) => Err(format!("cannot read the system's certificates: {cause}")),
                    (true, None) => Err("this system has no certificates; name some with `ca`".to_owned()),
                }
            }
        }
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(self.authorities()?);
        if added == 0 {
            return Err("none of the certificates can be used".to_owned());
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|cause| format!("cannot read certificates from `{}`: {cause}", path.display()))?;
    if found.is_empty() {
        return Err(format!("no certificate in `{}`", path.display()));
    }
    Ok(found)
}

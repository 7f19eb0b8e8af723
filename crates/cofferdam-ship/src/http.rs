//! Requests to a collector that speaks HTTP.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, http::Response};

use crate::sink::Undelivered;
use crate::tls::Tls;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take in all.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// How much of an answer is shown to people.
const SHOWN_CHARS: usize = 200;

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    tls: Tls,
}

impl Endpoint {
    /// Takes `https://…`, or `http://…` to this machine.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(url: &str, tls: Tls) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|cause| format!("`{url}` is no address: {cause}"))?;
        let host = uri.host().unwrap_or_default();
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        if host.is_empty() || authority.contains('@') {
            return Err(format!(
                "`{url}` must be https://HOST[:PORT][/PATH], without a user in it"
            ));
        }
        if uri.query().is_some() {
            return Err(format!(
                "`{url}` has a query: credentials belong in a file, and nothing else is sent so"
            ));
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if matches!(host, "localhost" | "127.0.0.1" | "[::1]") => {}
            Some("http") => return Err(format!("`{url}` would send the record in the clear: use https")),
            _ => return Err(format!("`{url}` is not https")),
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            tls,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A client of one collector.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    agent: Option<Agent>,
}

impl Client {
    pub(crate) const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, agent: None }
    }

    pub(crate) fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// Posts `body` to the endpoint's address with `path` behind it.
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Undelivered> {
        let sent = self.try_post(path, headers, body);
        sent.map_err(|cause| {
            // Certificates are read again with the next connection.
            self.agent = None;
            Undelivered::Unavailable(format!("`{}`: {cause}", self.endpoint.url))
        })
    }

    fn try_post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        let agent = match &self.agent {
            Some(agent) => agent.clone(),
            None => agent(&self.endpoint)?,
        };
        self.agent = Some(agent.clone());
        let mut request = agent.post(format!("{}{path}", self.endpoint.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response: Response<Body> = request.send(body).map_err(|cause| cause.to_string())?;
        let status = response.status().as_u16();
        let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let body = reader.read_to_vec().map_err(|cause| cause.to_string())?;
        Ok(Answer {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        self.status / 100 == 2
    }

    /// For people: status and the beginning of what was said.
    pub(crate) fn in_words(&self, url: &str) -> String {
        let said: String = self.body.chars().take(SHOWN_CHARS).collect();
        format!("`{url}` answered {}: {}", self.status, said.trim())
    }
}

fn agent(endpoint: &Endpoint) -> Result<Agent, String> {
    let mut tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    if endpoint.url.starts_with("https") {
        let authorities = endpoint.tls.authorities()?;
        let authorities: Vec<Certificate<'static>> = authorities.iter().map(certificate).collect();
        tls = tls.root_certs(RootCerts::new_with_certs(&authorities));
    }
    if let Some((path, key)) = &endpoint.tls.identity {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|cause| format!("cannot read certificates from `{}`: {cause}", path.display()))?;
        let chain: Vec<Certificate<'static>> = chain.iter().map(certificate).collect();
        let pem = std::fs::read(key).map_err(|cause| format!("cannot read `{}`: {cause}", key.display()))?;
        let key = PrivateKey::from_pem(&pem).map_err(|_cause| format!("no private key in `{}`", key.display()))?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(REQUEST_TIMEOUT))
        .http_status_as_error(false)
        // A credential goes where the settings say and nowhere else: no redirects, no proxy of the environment.
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(Agent::new_with_config(config))
}

fn certificate(der: &CertificateDer<'static>) -> Certificate<'static> {
    Certificate::from_der(der).to_owned()
}

#[cfg(test)]
mod tests {
    use super::Endpoint;
    use crate::tls::Tls;

    #[test]
    fn only_tls_leaves_the_machine() {
        for url in [
            "https://a.example",
            "https://a.example:8088/x",
            "http://localhost:1",
            "http://127.0.0.1:1/",
            "http://[::1]:1",
        ] {
            assert!(Endpoint::new(url, Tls::default()).is_ok(), "{url}");
        }
        for url in [
            "http://a.example",
            "http://localhost.a.example",
            "http://localhost@a.example",
            "http://127.0.0.1:1@a.example",
            "https://user:pass@a.example",
            "https://a.example/?token=x",
            "ftp://localhost",
            "localhost:1",
            "https://",
            "",
        ] {
            assert!(Endpoint::new(url, Tls::default()).is_err(), "{url}");
        }
    }
}

//! The HTTP client of a pull.
//!
//! Owns its limits: how long it waits for an answer, for a connection and for the next bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::PullError;

/// Between a request and the head of its answer; a far store may have to wake up.
const HEAD_MAX: Duration = Duration::from_secs(60);
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// A body that sends nothing for so long is given up; the next attempt goes on from there.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How the outside is reached. Proxies are those of the environment.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Certificates (PEM) to trust in place of the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// The Python package index; else that of pip's settings, else pypi.org.
    pub index_url: Option<String>,
    /// A settings file of pip's to read before the usual ones.
    pub pip_config: Option<PathBuf>,
}

impl Network {
    pub(super) fn agent(&self) -> Result<Agent, PullError> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &self.ca_file {
            tls = tls.root_certs(certificates(path)?);
        }
        let config = Agent::config_builder()
            .user_agent(concat!("postern/", env!("CARGO_PKG_VERSION")))
            // Digests and ranges are of the bytes as they are stored.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_recv_response(Some(HEAD_MAX))
            .timeout_per_read(Some(SILENCE_MAX))
            .tls_config(tls.build());
        Ok(config.build().new_agent())
    }
}

fn certificates(path: &Path) -> Result<RootCerts, PullError> {
    let pem = std::fs::read(path).map_err(|error| PullError::disk(path, error))?;
    let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
    let items =
        items.map_err(|error| PullError::disk(path, io::Error::other(error.to_string())))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok(RootCerts::new_with_certs(&certificates))
}

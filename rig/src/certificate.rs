//! The rig's own certificate authority and the servers' certificate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// What a client must trust.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes an authority and a certificate for `names` in `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn make(folder: &Path, names: &[&str]) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Rig authority");
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, *names.first().unwrap_or(&"rig"));
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer)?;

        let files = Self {
            authority: folder.join("authority.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        fs::write(&files.authority, authority.pem())?;
        fs::write(&files.certificate, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}

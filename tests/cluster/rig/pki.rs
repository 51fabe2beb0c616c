//! Certificates of the API server and the key of service account tokens, made anew for each rig.

use std::fs;

use color_eyre::eyre::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::layout::Layout;

/// Writes all files; returns the authority's certificate as DER.
pub fn write(layout: &Layout) -> Result<Vec<u8>> {
    let ca = CertifiedIssuer::self_signed(authority()?, KeyPair::generate()?)?;
    let mut server = CertificateParams::new(["127.0.0.1", "localhost", "10.96.0.1"].map(String::from))?;
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    let server_key = KeyPair::generate()?;
    let server = server.signed_by(&server_key, &ca)?;
    let tokens = KeyPair::generate()?;
    fs::write(layout.file("ca.crt"), ca.pem())?;
    fs::write(layout.file("api.crt"), server.pem())?;
    fs::write(layout.file("api.key"), server_key.serialize_pem())?;
    fs::write(layout.file("sa.key"), tokens.serialize_pem())?;
    fs::write(layout.file("sa.pub"), tokens.public_key_pem())?;
    Ok(ca.der().to_vec())
}

fn authority() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "rig-ca");
    Ok(params)
}

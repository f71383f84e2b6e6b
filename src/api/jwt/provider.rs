//! Signatures of JWTs, checked with ring, which TLS uses as well.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

/// viewfold checks tokens and makes none: there is no signer.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        let algorithm = *algorithm;
        method(algorithm).ok_or(ErrorKind::InvalidAlgorithm)?;
        let key = key.clone();
        Ok(Box::new(Checked { algorithm, key }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring what the library checks signatures with. Repeating it changes nothing.
pub(super) fn install() {
    let _already_there = PROVIDER.install_default();
}

/// How ring names an algorithm.
enum Method {
    Rsa(&'static signature::RsaParameters),
    Point(&'static dyn signature::VerificationAlgorithm),
}

fn method(algorithm: Algorithm) -> Option<Method> {
    Some(match algorithm {
        Algorithm::RS256 => Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Method::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::ES256 => Method::Point(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Method::Point(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Method::Point(&signature::ED25519),
        _ => return None,
    })
}

struct Checked {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Checked {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl ::signature::Verifier<Vec<u8>> for Checked {
    fn verify(
        &self,
        message: &[u8],
        signed: &Vec<u8>,
    ) -> std::result::Result<(), ::signature::Error> {
        let good = match (method(self.algorithm), self.key.kind()) {
            (Some(Method::Rsa(parameters)), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signed)
            }
            (Some(Method::Point(method)), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(method, point).verify(message, signed)
            }
            _ => Err(ring::error::Unspecified),
        };
        good.map_err(|_| ::signature::Error::new())
    }
}

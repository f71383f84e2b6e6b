//! Which JWTs a listener accepts.

use std::path::PathBuf;

use super::super::token::Scope;

/// `[api.jwt]` and `[admin.jwt]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be, or one of what it names.
    pub audience: Vec<String>,
    /// Where the issuer's keys are.
    pub keys: Option<KeySource>,
    /// The only algorithms that are accepted.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The claim that says what the token allows; a dot steps into an object.
    pub scope_claim: String,
    /// What stands there for each scope, the least first.
    pub scopes: [(Scope, String); 3],
}

/// Where the issuer's keys (a JSON Web Key Set) are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `http` or `https`.
    Url(String),
    /// A file, read anew when a key is not known.
    File(PathBuf),
}

/// An asymmetric signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// All of them, as they are written in config and in tokens. `none` and shared secrets (`HS…`) are no members:
    /// whoever can check such a token could also make one.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    pub(super) const fn of_library(self) -> jsonwebtoken::Algorithm {
        use jsonwebtoken::Algorithm;
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Rs384 => Algorithm::RS384,
            Self::Rs512 => Algorithm::RS512,
            Self::Ps256 => Algorithm::PS256,
            Self::Es256 => Algorithm::ES256,
            Self::Es384 => Algorithm::ES384,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: Vec::new(),
            keys: None,
            algorithms: vec![
                JwtAlgorithm::Rs256,
                JwtAlgorithm::Es256,
                JwtAlgorithm::EdDsa,
            ],
            scope_claim: "scope".to_owned(),
            scopes: Scope::NAMES.map(|(name, scope)| (scope, format!("viewfold:{name}"))),
        }
    }
}

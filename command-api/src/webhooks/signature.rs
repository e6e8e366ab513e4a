//! Shopify's signature: HMAC-SHA256 over the raw body, under the app's secret or, after a rotation, the one before.
use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The app's secrets. They do not show themselves.
pub struct Secrets {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

impl Secrets {
    /// The secret in force, and the one before it while deliveries may still be signed with it.
    #[must_use]
    pub fn new(current: &str, previous: Option<&str>) -> Self {
        let key = |secret: &str| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Self { current: key(current), previous: previous.map(key) }
    }

    /// Whether `signature` (base64) is of exactly these bytes. Compares in constant time, both secrets always.
    #[must_use]
    pub fn verify(&self, body: &[u8], signature: &[u8]) -> bool {
        let Ok(tag) = STANDARD.decode(signature) else { return false };
        let current = hmac::verify(&self.current, body, &tag).is_ok();
        let previous = self.previous.as_ref().is_some_and(|key| hmac::verify(key, body, &tag).is_ok());
        current | previous
    }

    /// The signature that the secret in force gives, as Shopify's header has it.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        STANDARD.encode(hmac::sign(&self.current, body))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_and_the_previous_secret_sign_and_nothing_else_does() {
        let body = br#"{"id": 1}"#;
        let (old, new) = (Secrets::new("old", None), Secrets::new("new", Some("old")));
        assert!(new.verify(body, new.sign(body).as_bytes()));
        assert!(new.verify(body, old.sign(body).as_bytes()));
        assert!(!old.verify(body, new.sign(body).as_bytes()));
        assert!(!new.verify(br#"{"id":1}"#, new.sign(body).as_bytes()), "the same value in other bytes");
        for bad in ["", "AAAA", "not base64", &new.sign(body).replace('=', "")] {
            assert!(!new.verify(body, bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn signing_agrees_with_a_published_vector() {
        // RFC 4231, test case 2.
        let secrets = Secrets::new("Jefe", None);
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let signed = STANDARD.decode(secrets.sign(b"what do ya want for nothing?")).unwrap();
        assert_eq!(hex::encode(signed), hex);
    }
}

//! Owns what is taken from a key set (RFC 7517): public keys for signatures, and nothing else.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// More keys than any provider has in force.
const MOST_KEYS: usize = 100;
/// Base64 characters of the shortest modulus that is taken: 2048 bits.
const SHORTEST_MODULUS: usize = 342;

/// A public key and the one algorithm that it is for.
#[derive(Clone)]
pub(super) struct PublicKey {
    pub kid: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// The keys of a set that can be used here. Others are left out: sets hold keys of every kind.
pub(super) fn read(text: &str) -> Result<Vec<PublicKey>, String> {
    let set: KeySet = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
    let keys: Vec<_> = set.keys.into_iter().filter_map(public_key).collect();
    match keys.len() {
        0 => Err("the set has no key for RS256 or ES256".to_owned()),
        1..=MOST_KEYS => Ok(keys),
        many => Err(format!("the set has {many} keys")),
    }
}

fn public_key(value: serde_json::Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= SHORTEST_MODULUS => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        // Above all no symmetric key: a set is public.
        _ => return None,
    };
    let said = match jwk.common.key_algorithm {
        None => algorithm,
        Some(KeyAlgorithm::RS256) => Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => Algorithm::ES256,
        Some(_) => return None,
    };
    let signs =
        !matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature);
    if said != algorithm || !signs {
        return None;
    }
    Some(PublicKey {
        kid: jwk.common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(&jwk).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn read(keys: &Value) -> usize {
        let text = json!({ "keys": keys }).to_string();
        super::read(&text).map_or(0, |keys| keys.len())
    }

    fn rsa(modulus: usize) -> Value {
        json!({ "kty": "RSA", "kid": "r", "n": "A".repeat(modulus), "e": "AQAB" })
    }

    fn ec() -> Value {
        let (x, y) = ("A".repeat(43), "A".repeat(43));
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
    }

    fn with(mut key: Value, member: &str, value: &str) -> Value {
        key[member] = value.into();
        key
    }

    #[test]
    fn only_public_keys_for_signatures_are_taken() {
        assert_eq!(read(&json!([rsa(342), ec()])), 2);
        assert_eq!(
            read(&json!([
                with(rsa(342), "use", "sig"),
                with(ec(), "alg", "ES256")
            ])),
            2
        );
        for odd in [
            rsa(100),
            with(rsa(342), "use", "enc"),
            with(rsa(342), "alg", "PS256"),
            with(rsa(342), "alg", "HS256"),
            with(ec(), "crv", "P-384"),
            with(ec(), "alg", "RS256"),
            json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }),
            json!({ "kty": "who knows" }),
            json!("x"),
        ] {
            assert_eq!(read(&json!([odd])), 0, "{odd}");
            assert_eq!(read(&json!([odd, ec()])), 1, "the others are still good");
        }
        assert!(super::read("{").is_err());
        let many = vec![ec(); 101];
        assert_eq!(read(&json!(many)), 0);
    }
}

//! An identity provider: keys, tokens, and a place where its key set is read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

pub const SHARED_SECRET: &str = "cHJvdmlkZXJwcm92aWRlcnByb3ZpZGVycHJvdmlkZXI";

/// Made for these tests alone (PKCS #1, DER).
const RSA_KEY: &str = concat!(
    "MIIEpQIBAAKCAQEAr28RHe+9OftYwJhomRda5Yd0DiEHCznsAk+seLDWH28bbqgtO3+9w3QCW0kV",
    "1NfdYLs4btqKhNu78/IYeAFTB5BVRsHBeYqr6tYQ7lWzqXwCdwtYGrRjPtPfkkgK2DeP1AahgRsg",
    "LxOOul9QPCidUa4GHDrYGsH+AlQ2ma4UuCLrrDbxPa/+rjDn+p69n2UO5xM4s7PVKFiXKmNKD6MB",
    "KzaQxJ2XP8sBqDHd9k966exO2/vd4hAZeo7i6+G9UljiDIT6woxur8gWf36IB0+kVL0fSbO7BrMM",
    "Vo/m0jjvwlHl0xjKDMK6EAJGhVAYaE6lL3HG41MGKiLSgxy63KcyaQIDAQABAoIBABcptfva5IQc",
    "UJqVRPI5qDG4EbWv3Ks5yZSAiogg6RSbaebRY6+AbUC6N3lwC+bfXYZhEdFpH3LtREKwS1TE7/6G",
    "qwu9l1sB2TMXcoLVY/RTwEuRft9/w77O4K0CwBPOOjpHadmPCE/O6EBpR0G6JxNaw8nEZzYZOP17",
    "uv3Ng0TQd1sPKhPQYaynwprTuiSPPobiHjEwZ6+flLSeGOLGWy58ytShGoggzXDWfRJJnHX9d9X5",
    "rnLwKWn9SCvH4wNEKVN00PJSoPyWkqZlwEKcWDssEUfupfIlD6nCuvzXaxupMrKkGVgwJg59dREv",
    "KEbODbv8tnd5aGZ5Zv/8IVHUtkUCgYEA5ykJKAZmnXZFzR5x9cFG4IFxgbrJHzoV2WH/ThoUKsJq",
    "xdl4n5zlVO8dKq2piZsXlX0sfx7GhxuLMi0ZbUvBjFBFxcQZZtyiw3g6o3IebDlJNiKvVC1VktU/",
    "mrINPjKlUry2R4ZmZ3fA4SSdRWk8czLb7fJOBR9C+T8d3F/n1G8CgYEAwkkO7Lf/djF0uiiVXXEG",
    "sCdObi8Ry9o5Q63byf5lkU2brYctoYlqHET9r5AL5n3YA2ESoli0KBE+gDlK796d03u/ROCFkj9D",
    "SXkn8fHOLEIF3swxZ4GOagH/TP8NjECGXpuziz50R4LSFI/SK7km1GhhWZoDcJT0OAPpDkxJQqcC",
    "gYEAjs0U8PrzTXcRK+QQ9obN6EdO/ZuMP5Q8hyw48eC+cKPmHg94qvHb4ppM5F6gC3gaG6lWYbl7",
    "X1+un/KocJKKIMo+MCwynQ7UJfkSEIKhNK43AhBvS4suACVow4IXGENlSjV2Tb1DacvbBbr+xTB7",
    "vZa/ssErXZKwZxWMtuUwbFUCgYEAg8LEamoGyIOV5EJtuedTX9foavVlHlkrCOk56+2puDdn4vGQ",
    "UsM8wVtQqOYKDBFAlFobJxr9Y0b+mjtAxRi29JwyBWY3cA2TdprCKmWRK5bDIGxe/RFyIhakq/U1",
    "nO6Nsk/qHf8HIRBppSQ8pwZ0fQ0lKH044/tA/VQ5lEbMUHUCgYEA31Lo1/0lqOWC+y3Qb2xOkZA4",
    "UgodoKngT+SQt46yE4Aj8RgvPhBBT7JJntrGP8HciGiF3/DiJ2v6plcK/Xh4FPacRWbCYv0t/KMe",
    "IYn9BfxmwZeWDo8qSqllBt2YAE6xk9T6+T3I0VwZ+edXxyqZjeevZTgRtoic745e7tdr80E=",
);

/// Made for these tests alone (PKCS #8, DER).
const EC_KEY: &str = concat!(
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5eK5kqS8kb0xjCCLmkgttYazkKhc",
    "BbHsStrV+l5y5rWhRANCAARfgbgxNw5meRgi+IL5B8ajMK0jjFSitUnPBePn6ONyEOqFUsfEZEAL",
    "qWe/iqJXTlfze1RWBZOVlW3Nmgt5fyJ0",
);

/// A key that signs, and the name that its tokens say.
pub struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub fn rsa(kid: &'static str) -> Self {
        let der = BASE64_STANDARD.decode(RSA_KEY).unwrap();
        Self {
            kid,
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_der(&der),
        }
    }

    pub fn ec(kid: &'static str) -> Self {
        let der = BASE64_STANDARD.decode(EC_KEY).unwrap();
        Self {
            kid,
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(&der),
        }
    }

    pub fn secret(kid: &'static str, secret: &[u8]) -> Self {
        Self {
            kid,
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(secret),
        }
    }

    /// Its public half, as a key set shows it.
    pub fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = self.kid.into();
        jwk
    }

    /// A token that says `claims`.
    pub fn token(&self, claims: &Value) -> String {
        let alg = format!("{:?}", self.algorithm);
        self.token_with(
            &json!({ "alg": alg, "kid": self.kid, "typ": "JWT" }),
            claims,
        )
    }

    /// A token with a header of one's own.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// A key set as text.
pub fn key_set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.public()).collect();
    json!({ "keys": keys }).to_string()
}

/// Where a key set is read over HTTP.
pub struct Provider {
    pub url: String,
    shelf: Arc<Shelf>,
    server: ServerHandle,
}

#[derive(Default)]
struct Shelf {
    set: Mutex<Option<String>>,
    reads: AtomicUsize,
}

impl Provider {
    pub fn open(set: Option<String>) -> Self {
        let shelf = Arc::new(Shelf::default());
        *shelf.set.lock().unwrap() = set;
        let shown = web::Data::from(shelf.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shown.clone())
                .route("/jwks", web::get().to(show))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let url = format!("http://{}/jwks", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            url,
            shelf,
            server: handle,
        }
    }

    /// Shows another set; `None` is out of order.
    pub fn show(&self, set: Option<String>) {
        *self.shelf.set.lock().unwrap() = set;
    }

    /// How often it was read.
    pub fn reads(&self) -> usize {
        self.shelf.reads.load(Ordering::SeqCst)
    }

    pub async fn close(self) {
        self.server.stop(false).await;
    }
}

async fn show(shelf: web::Data<Shelf>) -> HttpResponse {
    shelf.reads.fetch_add(1, Ordering::SeqCst);
    match shelf.set.lock().unwrap().clone() {
        Some(set) => HttpResponse::Ok()
            .content_type("application/json")
            .body(set),
        None => HttpResponse::ServiceUnavailable().finish(),
    }
}

//! Tokens: only what was minted here with a key that is in force proves a place.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chassis::time::Timestamp;
use gateway::token::{
    Claims, Holder, KeyError, KeyRing, Level, PassKey, TokenError, VisitId, VisitState,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto};
use serde_json::{Value, json};

use crate::fixture::{id, user};

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

fn ring(keys: &[(&str, [u8; 32])]) -> KeyRing {
    let entries: Vec<_> = keys
        .iter()
        .map(|(kid, secret)| format!("{kid}:{}", BASE64.encode(secret)))
        .collect();
    entries.join(",").parse().unwrap()
}

fn claims() -> Claims {
    Claims {
        sub: user(),
        queue: id("main"),
        ticket: (1 << 53) - 1,
        epoch: 1_764_000_000_123_456,
        iat: 1_000,
        exp: 2_000,
        over: false,
        left: false,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(second, 0).unwrap()
}

fn part(json: &Value) -> String {
    BASE64.encode(json.to_string())
}

/// A token as somebody else would sign it.
fn foreign(header: &Header, claims: &impl serde::Serialize, secret: &[u8]) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

#[test]
fn a_token_says_what_it_was_minted_with() {
    let (ring, claims) = (ring(&[("k1", OLD)]), claims());
    let token = ring.mint(&claims);
    assert_eq!(ring.verify(&token, at(1_999)), Ok(claims.clone()));
    assert_eq!(claims.ticket().number, claims.ticket);
}

#[test]
fn any_jwt_library_reads_a_token() {
    let (ring, claims) = (ring(&[("k1", OLD)]), claims());
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(&OLD);
    let read = jsonwebtoken::decode::<Claims>(ring.mint(&claims), &key, &validation).unwrap();
    assert_eq!(read.claims, claims);
    assert_eq!(read.header.kid.as_deref(), Some("k1"));

    let header = Header {
        kid: Some("k1".into()),
        ..Header::new(Algorithm::HS256)
    };
    let token = foreign(&header, &claims, &OLD);
    assert_eq!(ring.verify(&token, at(1_500)), Ok(claims));
}

#[test]
fn a_token_ends_at_its_second_and_only_a_genuine_one_is_called_expired() {
    let ring = ring(&[("k1", OLD)]);
    let token = ring.mint(&claims());
    assert_eq!(ring.verify(&token, at(2_000)), Err(TokenError::Expired));
    let forged = format!("{}x", &token[..token.len() - 1]);
    assert_eq!(ring.verify(&forged, at(2_000)), Err(TokenError::Invalid));
}

#[test]
fn a_key_is_replaced_without_anybody_losing_their_place() {
    let token = ring(&[("old", OLD)]).mint(&claims());
    let both = ring(&[("new", NEW), ("old", OLD)]);
    assert!(both.verify(&token, at(1_500)).is_ok());
    let next = both.mint(&claims());
    assert!(ring(&[("new", NEW)]).verify(&next, at(1_500)).is_ok());
    assert_eq!(
        ring(&[("new", NEW)]).verify(&token, at(1_500)),
        Err(TokenError::Invalid)
    );
}

#[test]
fn what_was_not_minted_here_is_refused() {
    let (ring, claims) = (ring(&[("k1", OLD)]), claims());
    let payload = part(&serde_json::to_value(&claims).unwrap());
    let none = part(&json!({ "alg": "none", "kid": "k1" }));
    let header = |alg, kid: Option<&str>| Header {
        kid: kid.map(Into::into),
        ..Header::new(alg)
    };
    let genuine = ring.mint(&claims);
    let mut parts: Vec<_> = genuine.split('.').map(str::to_owned).collect();
    let mut other = claims.clone();
    other.sub = user();
    parts[1] = part(&serde_json::to_value(&other).unwrap());
    let tampered = parts.join(".");
    let no_claims = foreign(
        &header(Algorithm::HS256, Some("k1")),
        &json!({ "sub": 1 }),
        &OLD,
    );
    // An extension that must be known.
    let critical = Header {
        crit: Some(vec!["x".to_owned()]),
        ..header(Algorithm::HS256, Some("k1"))
    };
    // The right signature under a header that promises another algorithm.
    let mislabelled = {
        let message = format!(
            "{}.{payload}",
            part(&json!({ "alg": "HS384", "kid": "k1" }))
        );
        let key = EncodingKey::from_secret(&OLD);
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    let forged = [
        mislabelled,
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{}", genuine.rsplit_once('.').unwrap().1),
        foreign(&header(Algorithm::HS256, Some("k1")), &claims, &NEW),
        foreign(&header(Algorithm::HS256, Some("k2")), &claims, &OLD),
        foreign(&header(Algorithm::HS256, None), &claims, &OLD),
        foreign(&header(Algorithm::HS384, Some("k1")), &claims, &OLD),
        foreign(&header(Algorithm::HS512, Some("k1")), &claims, &OLD),
        foreign(&critical, &claims, &OLD),
        tampered,
        no_claims,
        format!("{genuine}="),
        format!(" {genuine}"),
        format!("{genuine}."),
        format!(".{genuine}"),
    ];
    for token in &forged {
        assert_eq!(
            ring.verify(token, at(1_500)),
            Err(TokenError::Invalid),
            "{token}"
        );
    }
}

#[test]
fn garbage_of_any_size_is_refused() {
    let ring = ring(&[("k1", OLD)]);
    let huge = "a.".repeat(1_000_000);
    let token = ring.mint(&claims());
    let garbage = [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "\0",
        "ä.ö.ü",
        "null",
        huge.as_str(),
    ];
    let cut = (0..token.len()).map(|end| &token[..end]);
    for text in garbage.into_iter().chain(cut) {
        assert_eq!(ring.verify(text, at(1_500)), Err(TokenError::Invalid));
    }
    let padded = format!("{token}{}", "A".repeat(5_000));
    assert_eq!(ring.verify(&padded, at(1_500)), Err(TokenError::Invalid));
}

#[test]
fn every_single_changed_character_breaks_a_token() {
    let ring = ring(&[("k1", OLD)]);
    let token = ring.mint(&claims());
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(
            ring.verify(&changed, at(1_500)).is_err(),
            "character {index}"
        );
    }
}

#[test]
fn keys_that_could_be_guessed_or_mixed_up_are_refused_without_being_shown() {
    let good = BASE64.encode(OLD);
    let refused = |text: &str| text.parse::<KeyRing>().expect_err(text);
    assert_eq!(refused(""), KeyError::Empty);
    assert_eq!(refused(" , "), KeyError::Empty);
    assert_eq!(refused(&good), KeyError::Kid);
    assert_eq!(refused(&format!(":{good}")), KeyError::Kid);
    assert_eq!(refused(&format!("a b:{good}")), KeyError::Kid);
    assert_eq!(refused(&format!("k:{good},k:{good}")), KeyError::Twice);
    assert_eq!(refused("k:***"), KeyError::Base64);
    assert_eq!(
        refused(&format!("k:{}", BASE64.encode([1; 31]))),
        KeyError::Short
    );
    let ring: KeyRing = format!("k1:{good}=, k2:{good}").parse().unwrap();
    assert_eq!(format!("{ring:?}"), r#"["k1", "k2"]"#);
    assert_eq!(format!("{:?}", good.parse::<PassKey>().unwrap()), "PassKey");
}

#[test]
fn a_pass_says_who_comes_from_where_with_which_right_for_thirty_seconds() {
    let pass: PassKey = BASE64.encode(NEW).parse().unwrap();
    let holder = Holder {
        sub: "somebody".to_owned(),
        queue: "main".to_owned(),
        level: Level::Active,
        state: Some(VisitState::Active),
        rights: None,
        visit: Some(VisitId {
            ticket: 7,
            epoch: 3,
        }),
    };
    let minted = pass.mint(&holder, at(1_000));
    assert_eq!(pass.verify(&minted, at(1_029)), Some(holder));
    assert_eq!(pass.verify(&minted, at(1_030)), None);
    let other: PassKey = BASE64.encode([9; 32]).parse().unwrap();
    assert_eq!(other.verify(&minted, at(1_000)), None);
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(&NEW);
    let read = jsonwebtoken::decode::<Value>(&minted, &key, &validation).unwrap();
    let told = json!({
        "sub": "somebody", "queue": "main", "level": "active", "state": "active",
        "ticket": 7, "epoch": 3, "exp": 1_030,
    });
    assert_eq!(read.claims, told);
}

#[test]
fn no_pass_says_that_nothing_was_asked() {
    let pass: PassKey = BASE64.encode(NEW).parse().unwrap();
    // Signed with the right key, under the very header of passes.
    let signed = |level: &str| {
        let header = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = json!({ "sub": "somebody", "queue": "main", "level": level, "exp": 1_030 });
        let message = format!("{header}.{}", part(&claims));
        let key = EncodingKey::from_secret(&NEW);
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    assert!(pass.verify(&signed("token"), at(1_000)).is_some());
    assert_eq!(pass.verify(&signed("public"), at(1_000)), None);
}

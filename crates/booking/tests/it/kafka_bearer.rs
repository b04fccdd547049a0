//! Apache Kafka that asks for bearer tokens: an authorization server grants them, and they end soon.

use std::sync::Mutex;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use booking::kafka::{Cluster, TopicError};
use chassis::time::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::forward_group::{Running, until};
use crate::forward_inbox::Inbox;
use crate::kafka_rights::{Guarded, password};
use crate::publish_post::{Office, PARTITIONS, TOPIC, assert_in_order, patient};
use crate::test_app::serve;

/// How long a token is good, in seconds: shorter than the test, so that it goes on only with new ones.
const LIFE_S: i64 = 5;

/// The broker ends a connection whose token is over, and no later than this, in milliseconds.
const REAUTHENTICATE: (&str, &str) = (
    "listener.name.client.oauthbearer.connections.max.reauth.ms",
    "60000",
);

/// Grants tokens to who knows the secret, as RFC 6749 has it in section 4.4.
struct TokenServer {
    url: String,
    /// To whom, each time.
    granted: Data<Mutex<Vec<String>>>,
}

impl TokenServer {
    fn open() -> Self {
        let granted = Data::new(Mutex::default());
        let url = format!("{}/token", serve(granted.clone(), grant));
        Self { url, granted }
    }

    fn granted_to(&self, user: &str) -> usize {
        let granted = self.granted.lock().unwrap();
        granted.iter().filter(|it| *it == user).count()
    }

    /// The brokers as this user reaches them with a token, but for these variables.
    fn cluster(&self, guarded: &Guarded, user: &str, other: &[(&str, &str)]) -> Cluster {
        let mut variables = other.to_vec();
        variables.extend([
            ("BOOKING_KAFKA_SASL", "oauthbearer"),
            ("BOOKING_KAFKA_TOKEN_URL", self.url.as_str()),
        ]);
        guarded.cluster(user, &variables)
    }
}

async fn grant(
    granted: Data<Mutex<Vec<String>>>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let asked = b"grant_type=client_credentials";
    let user = client(&request).filter(|_| body.starts_with(asked));
    let Some(user) = user else {
        return HttpResponse::Unauthorized().json(json!({ "error": "invalid_client" }));
    };
    let now_s = Clock::system().now().timestamp();
    let claims = json!({ "sub": user, "iat": now_s, "exp": now_s + LIFE_S });
    let [header, claims] = [json!({ "alg": "none" }), claims].map(|part| encoded(&part));
    granted.lock().unwrap().push(user);
    HttpResponse::Ok().json(json!({
        "access_token": format!("{header}.{claims}."),
        "token_type": "Bearer",
        "expires_in": LIFE_S,
    }))
}

/// Who asks, when the secret is theirs.
fn client(request: &HttpRequest) -> Option<String> {
    let header = request.headers().get("authorization")?.to_str().ok()?;
    let told = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let told = String::from_utf8(told).ok()?;
    let (user, secret) = told.split_once(':')?;
    (secret == password(user)).then(|| user.to_owned())
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

async fn office(guarded: &Guarded, tokens: &TokenServer) -> Office {
    let mut cluster = tokens.cluster(guarded, "booking", &[]);
    cluster.layout.partitions = PARTITIONS;
    Office::at(cluster, guarded.inside_brokers()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_that_end_and_are_renewed_events_go_the_whole_way() {
    let guarded = Guarded::start_with(&[REAUTHENTICATE]);
    guarded.grant_all_but(None);
    let (tokens, inbox) = (TokenServer::open(), Inbox::open());
    let office = office(&guarded, &tokens).await;
    let publisher = office.publisher_with(0, "", patient());
    let missing = publisher.ensure_topics().await;
    assert!(
        matches!(&missing, Err(TopicError::Refused { topic, .. }) if topic == TOPIC),
        "{missing:?}"
    );
    guarded.make_topics().await;
    publisher.ensure_topics().await.unwrap();
    let reading = office.as_told(tokens.cluster(&guarded, "forwarder", &[]));
    let forwarder = Running::start_with(&reading, 0, &inbox.url, 1, "");
    let reservation = Uuid::new_v4();
    for lives in 1..4_i64 {
        let both = ["booking", "forwarder"].map(|user| tokens.granted_to(user));
        let numbers = (lives - 1) * 3..lives * 3;
        office.record(reservation, numbers.clone()).await;
        let sent = office.drain(&publisher).await;
        assert_eq!((sent.delivered, sent.dead), (3, 0), "{sent:?}");
        let all: Vec<_> = (0..numbers.end).collect();
        until("the events", || inbox.numbers() == all);
        until("new tokens of both", || {
            let now = ["booking", "forwarder"].map(|user| tokens.granted_to(user));
            now[0] > both[0] && now[1] > both[1]
        });
    }
    assert_in_order(&office.everything(TOPIC).await, 0..9);
    assert_eq!(publisher.topic_trouble(), None);
    until("a forwarder that is ready", || {
        forwarder.status.check().is_ok()
    });
    forwarder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_granted_is_said_in_words_and_the_event_waits() {
    let guarded = Guarded::start_with(&[]);
    guarded.grant_all_but(None);
    let (tokens, inbox) = (TokenServer::open(), Inbox::open());
    let office = office(&guarded, &tokens).await;
    guarded.make_topics().await;
    let wrong = |user| tokens.cluster(&guarded, user, &[("BOOKING_KAFKA_PASSWORD", "hunter3")]);
    let says = "the token server answered 401";
    let publishing = office.as_told(wrong("booking"));
    let publisher = publishing.publisher_with(0, "message.timeout.ms=3000", patient());
    office.record(Uuid::new_v4(), 0..1).await;
    let step = publisher.step().await.unwrap();
    assert_eq!((step.failed, step.dead), (1, 0), "{step:?}");
    let written = "SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND last_error LIKE";
    let written = office
        .fixture
        .number(&format!("{written} '%{says}%'"))
        .await;
    assert_eq!(written, 1);

    let reading = office.as_told(wrong("forwarder"));
    let forwarder = Running::start_with(&reading, 0, &inbox.url, 1, "");
    until("a word about it", || {
        let told = forwarder.status.check().err().unwrap_or_default();
        told.contains(says)
    });
    forwarder.stop().await;
    assert_eq!(tokens.granted_to("forwarder"), 0);
}

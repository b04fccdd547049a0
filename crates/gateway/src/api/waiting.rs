//! The waiting page: what a browser gets in place of a refusal, at the address that it asked for.
//!
//! A person who comes by a link has no token and no script that could fetch one, so the first request
//! joins. Where there is room they are inside by it and never see the page.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use chassis::asset::{gzip, takes_gzip};
use chassis::problem::Problem;
use flate2::Compression;

use super::join_checks;
use super::navigation::{self, header_text};
use super::place::{self, PlaceState};
use crate::challenge::Challenge;
use crate::identity::Identity;
use crate::pages::accent::Accent;
use crate::pages::progress::Progress;
use crate::pages::state::{Place, State};
use crate::pages::view::{Brand, Scene};
use crate::queue::policy::Policy;
use crate::queue::{Lottery, QueueId, Seed, UserId};
use crate::token::{Claims, TokenError};
use crate::{Gateway, admission, credential, proxy};

/// The cookie that keeps how far a visitor of this queue has come.
const PROGRESS: &str = "progress_";
/// The cookie that keeps the language which a visitor chose.
pub const LANGUAGE: &str = "language";
/// Until a page whose visitor has no place loads itself again.
const AGAIN_S: u64 = 2;

/// A place that was given by a request for a page.
pub struct Joined {
    /// Proves it.
    pub token: String,
    /// Whether the visitor is inside.
    pub is_inside: bool,
    /// Where the visitor stands, as a refusal, for those who are not inside.
    pub refusal: Problem,
    /// For the answer, whatever it is.
    pub cookie: HeaderValue,
}

/// Gives a place to a browser that was refused because it has none; `None` where that is not for us
/// to do.
pub async fn join(
    app: &Gateway,
    request: &HttpRequest,
    refusal: &Problem,
) -> Option<Result<Joined, Problem>> {
    let has_none = ["TOKEN_MISSING", "TOKEN_INVALID", "QUEUE_MISMATCH"];
    let is_ours = has_none.contains(&refusal.code()) && navigation::may_join(request);
    if !(is_ours && is_free(app)) {
        return None;
    }
    let queue = wanted_queue(app, request, refusal);
    // Boxed, as all that is rare, so that the future of the gate stays small.
    Some(Box::pin(take_place(app, request, &queue, None)).await)
}

/// Whether a place costs neither work nor an identity.
pub fn is_free(app: &Gateway) -> bool {
    let is_known_elsewhere = matches!(app.identity, Identity::Jwt(_));
    !is_known_elsewhere && !app.proof_of_work.is_needed() && app.challenge.is_none()
}

/// A place for `user`, or for somebody new.
pub async fn take_place(
    app: &Gateway,
    request: &HttpRequest,
    queue: &QueueId,
    user: Option<UserId>,
) -> Result<Joined, Problem> {
    let now = app.clock.now();
    let queue = app.queue(queue).await?;
    if let Some(source) = proxy::source(request, app.trusted_hops) {
        app.limits.joins.take(source, now)?;
    }
    let joining = join_checks::known_or_new(app, request, &queue, user);
    let joined = app
        .visits
        .join(&queue, joining.user, joining.ticket, None)
        .await?;
    join_checks::prove_place(&joined, &joining, None).await?;
    let place = place::Place::of(&joined.visit, now);
    let token = app.token(queue.id(), &joined.visit.ticket);
    Ok(Joined {
        token: token.text,
        is_inside: place.state == PlaceState::Active,
        refusal: admission::not_admitted(&place),
        cookie: token.cookie,
    })
}

/// The queue that the path belongs to.
fn wanted_queue(app: &Gateway, _request: &HttpRequest, refusal: &Problem) -> QueueId {
    let named = refusal
        .member("queue")
        .and_then(|it| it.as_str()?.parse().ok());
    named.unwrap_or_else(|| app.default_queue.clone())
}

/// The page in place of a refusal; `None` where a page would not help.
pub async fn page(
    app: &Gateway,
    request: &HttpRequest,
    refusal: &Problem,
    cookie: Option<&HeaderValue>,
) -> Option<HttpResponse> {
    page_at(app, request, navigation::address(request), refusal, cookie).await
}

/// As [`page`], for a request that a neighbour holds for this address.
pub async fn page_at(
    app: &Gateway,
    request: &HttpRequest,
    address: &str,
    refusal: &Problem,
    cookie: Option<&HeaderValue>,
) -> Option<HttpResponse> {
    let json = refusal.member("place");
    let place: Option<Place> = json.and_then(|it| serde_json::from_value(it.clone()).ok());
    let state = match &place {
        Some(place) => State::of(place),
        None => state_of(app, refusal)?,
    };
    let named = json.and_then(|it| it["queue"].as_str()?.parse().ok());
    let queue = named.unwrap_or_else(|| wanted_queue(app, request, refusal));
    let state = match state {
        State::Expired if has_left(app, request, &queue) => State::Left,
        state => state,
    };
    let shown = Shown {
        state,
        queue,
        place: place.zip(json.map(ToString::to_string)),
        retry_after_s: refusal.retry_after_s(),
        address: address.to_owned(),
    };
    Some(
        shown
            .answer(app, request, status_of(app, state, refusal), cookie)
            .await,
    )
}

/// What a refusal without a place means to a person.
fn state_of(app: &Gateway, refusal: &Problem) -> Option<State> {
    let is_named = matches!(app.identity, Identity::Jwt(_));
    match refusal.code() {
        "TOKEN_EXPIRED" => Some(State::Expired),
        "TOKEN_MISSING" | "TOKEN_INVALID" | "QUEUE_MISMATCH" => Some(match is_named {
            true => State::Login,
            false if app.challenge.is_some() => State::Challenge,
            false if app.proof_of_work.is_needed() => State::Work,
            false => State::Join,
        }),
        "QUEUE_FULL" => Some(State::Full),
        "QUEUE_CLOSED" => Some(State::Closed),
        "STORE_UNAVAILABLE" => Some(State::Away),
        "RATE_LIMITED" => Some(State::Limited),
        _ => None,
    }
}

/// Waiting is no failure, unless the operator wants it to look like one.
fn status_of(app: &Gateway, state: State, refusal: &Problem) -> StatusCode {
    match state {
        State::Full | State::Closed | State::Away | State::Limited => refusal.status(),
        _ => StatusCode::from_u16(app.queueing_status.0).unwrap_or(StatusCode::OK),
    }
}

/// The page after leaving.
pub async fn left(
    app: &Gateway,
    request: &HttpRequest,
    queue: QueueId,
    to: String,
) -> HttpResponse {
    let shown = Shown {
        state: State::Left,
        queue,
        place: None,
        retry_after_s: None,
        address: to,
    };
    shown.answer(app, request, StatusCode::OK, None).await
}

struct Shown {
    state: State,
    queue: QueueId,
    place: Option<(Place, String)>,
    retry_after_s: Option<u64>,
    address: String,
}

impl Shown {
    async fn answer(
        self,
        app: &Gateway,
        request: &HttpRequest,
        status: StatusCode,
        cookie: Option<&HeaderValue>,
    ) -> HttpResponse {
        // A visitor who was refused because the store is away does not wait for it once more.
        let queue = app.queues.remembered(&self.queue);
        let snapshot = queue.as_ref().map(|it| it.snapshot());
        let policy = snapshot.as_ref().map(|it| &it.policy);
        let lottery = snapshot.as_ref().and_then(|it| it.lottery());
        let resend = navigation::form_page(request);
        let login = app
            .login
            .as_ref()
            .map(|it| it.back_to(&absolute(app, request)));
        let refresh = match self.state {
            State::Join => Some(AGAIN_S),
            State::Full | State::Away | State::Limited => {
                Some(self.retry_after_s.unwrap_or(AGAIN_S).max(AGAIN_S))
            }
            _ => self.retry_after_s.filter(|_| self.place.is_some()),
        };
        let (progress, kept) = self.progress(app, request).unzip();
        let brand = policy.map(|it| brand_of(it, &app.base)).unwrap_or_default();
        let scene = Scene {
            state: self.state,
            queue: self.queue.as_str(),
            opens_at: policy
                .and_then(|it| it.opens_at)
                .filter(|_| matches!(self.state, State::Scheduled | State::Draw)),
            lot: self
                .place
                .as_ref()
                .and_then(|(place, _)| lot_of(&lottery?, place.ticket_number())),
            challenge: app.challenge.as_ref().and_then(Challenge::page),
            progress,
            place: self
                .place
                .as_ref()
                .map(|(place, json)| (place, json.clone())),
            address: &self.address,
            resend: resend.as_deref(),
            refresh,
            login: login.as_deref(),
            identity: app.identity.name(),
            is_known: self.is_kept() && is_known(app, request, &self.queue),
            brand: &brand,
            base: &app.base,
            assets: app.pages.address(),
        };
        let chosen = credential::kept(request, LANGUAGE);
        let accepted = header_text(request, header::ACCEPT_LANGUAGE);
        let language = app.pages.language(chosen.as_deref(), accepted);
        let html = app.pages.waiting(&scene, language);
        let mut answer = HttpResponse::build(status);
        head(&mut answer, app, language.tag(), &brand);
        if let Some(seconds) = refresh {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        for cookie in cookie.into_iter().chain(&kept) {
            answer.append_header((header::SET_COOKIE, cookie.clone()));
        }
        body(&mut answer, request, html)
    }

    /// Whether the place of who has one is looked for, rather than another one got.
    fn is_kept(&self) -> bool {
        !matches!(self.state, State::Work | State::Challenge)
    }

    /// How far the visitor has come, and the cookie that keeps it.
    fn progress(&self, app: &Gateway, request: &HttpRequest) -> Option<(Progress, HeaderValue)> {
        let name = format!("{PROGRESS}{}", self.queue);
        let kept = credential::kept(request, &name);
        let progress = Progress::of(&self.place.as_ref()?.0, kept.as_deref())?;
        let cookie = credential::own_cookie(&name, &progress.to_string(), app.cookie);
        Some((progress, cookie))
    }
}

/// What a ticket drew, if it took part in a draw that is over.
fn lot_of(lottery: &Lottery, ticket: u64) -> Option<u64> {
    let took_part = lottery.entry.as_ref()?.last_ticket >= ticket;
    let key: Seed = lottery.drawn.as_ref()?.key.parse().ok()?;
    took_part.then(|| key.lot(ticket))
}

fn brand_of(policy: &Policy, base: &str) -> Brand {
    Brand {
        title: policy.title.clone(),
        logo: policy.logo_url.clone(),
        accent: policy
            .accent_color
            .as_deref()
            .and_then(|colour| accent_address(colour, base)),
        home: policy.home_url.clone(),
    }
}

fn accent_address(colour: &str, base: &str) -> Option<String> {
    let accent: Accent = colour.parse().ok()?;
    Some(format!("{base}/usher/accent/{accent}.css"))
}

/// Of which site an address is, for the policy of the page; none for this one.
fn origin_of(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let host = rest.split('/').next()?;
    Some(format!("{scheme}://{host}"))
}

/// Whether the visitor shows a token of a place in this queue, which may have ended meanwhile.
fn is_known(app: &Gateway, request: &HttpRequest, queue: &QueueId) -> bool {
    match said(app, request, queue) {
        None | Some(Err(TokenError::Invalid)) => false,
        Some(Err(TokenError::Expired)) => true,
        Some(Ok(claims)) => !claims.over,
    }
}

/// Whether the visitor gave up the last place in this queue.
fn has_left(app: &Gateway, request: &HttpRequest, queue: &QueueId) -> bool {
    matches!(said(app, request, queue), Some(Ok(claims)) if claims.left)
}

/// What the token says that is shown to this queue.
fn said(
    app: &Gateway,
    request: &HttpRequest,
    queue: &QueueId,
) -> Option<Result<Claims, TokenError>> {
    let token = credential::for_queue(request, queue)?;
    Some(app.tokens.verify(&token, app.clock.now()))
}

/// The whole address, for a sign-in elsewhere that leads back.
fn absolute(app: &Gateway, request: &HttpRequest) -> String {
    let scheme = if app.cookie.is_secure {
        "https"
    } else {
        "http"
    };
    let host = header_text(request, header::HOST);
    let address = navigation::form_page(request);
    let address = address
        .as_deref()
        .unwrap_or_else(|| navigation::address(request));
    format!("{scheme}://{host}{address}")
}

/// Headers of a page of ours: for this visitor now, and no script but our own.
fn head(answer: &mut actix_web::HttpResponseBuilder, app: &Gateway, language: &str, brand: &Brand) {
    let origin = |address: &Option<String>| address.as_deref().and_then(origin_of);
    let pictures = origin(&brand.logo).unwrap_or_default();
    // The form of who leaves leads there.
    let home = origin(&brand.home).unwrap_or_default();
    let framed = app.cookie.same_site == credential::SameSite::None;
    let framed = if framed {
        app.cors.origins.join(" ")
    } else {
        String::new()
    };
    let challenge = app.challenge.as_ref().and_then(Challenge::page);
    let others = challenge.map_or_else(String::new, |(page, _)| page.origins.join(" "));
    let own = |kind: &str, more: [&str; 2]| {
        let more = more.into_iter().filter(|it| !it.is_empty());
        let sources: Vec<_> = [kind, "'self'"].into_iter().chain(more).collect();
        sources.join(" ")
    };
    let mut policy = vec![
        own("default-src", ["", ""]),
        own("img-src", [&pictures, &others]),
        "base-uri 'none'; object-src 'none'".to_owned(),
        own("form-action", [&home, ""]),
        own("frame-ancestors", [&framed, ""]),
    ];
    if !others.is_empty() {
        let kinds = ["script-src", "style-src", "frame-src", "connect-src"];
        policy.extend(kinds.map(|kind| own(kind, [&others, ""])));
    }
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_LANGUAGE, language))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy.join("; ")))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header((
            header::VARY,
            "Accept, Accept-Encoding, Accept-Language, Cookie",
        ))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header(("X-Robots-Tag", "noindex"));
}

fn body(
    answer: &mut actix_web::HttpResponseBuilder,
    request: &HttpRequest,
    html: String,
) -> HttpResponse {
    if !takes_gzip(request) {
        return answer.body(html);
    }
    answer.insert_header((header::CONTENT_ENCODING, "gzip"));
    answer.body(gzip(html.as_bytes(), Compression::fast()))
}

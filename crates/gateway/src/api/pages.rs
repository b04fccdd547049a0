//! Files of pages and the client, and the forms of the waiting page, which work without a script.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chassis::asset::{ASK_AGAIN, Asset, FOR_EVER};
use chassis::problem::Problem;
use serde::Deserialize;

use super::waiting::{self, LANGUAGE};
use super::{QueueName, tokens};
use crate::codes;
use crate::pages::accent::Accent;
use crate::pages::address::{encoded, is_local};
use crate::queue::{QueueId, UserId};
use crate::{Gateway, admission, credential};

/// Nobody shows the console in a frame, and it has no form that leads elsewhere.
const CONSOLE_POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// Where to go on.
#[derive(Deserialize)]
pub struct GoOn {
    to: Option<String>,
    lang: Option<String>,
    queue: Option<QueueId>,
}

impl GoOn {
    /// An address of this site, whatever was asked for.
    fn address(&self) -> &str {
        self.to.as_deref().filter(|to| is_local(to)).unwrap_or("/")
    }
}

/// A file of a page. The digest of another release gets what there is now.
pub async fn file(
    app: Data<Gateway>,
    path: Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (digest, name) = path.into_inner();
    let asset = app.pages.assets().get(&name).ok_or_else(no_file)?;
    let kept = if digest == app.pages.assets().digest() {
        FOR_EVER
    } else {
        ASK_AGAIN
    };
    Ok(asset.sent(&request, kept))
}

/// The client, as an ES module.
pub async fn client(app: Data<Gateway>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asset = app.pages.assets().get("usher.js").ok_or_else(no_file)?;
    Ok(asset.sent(&request, ASK_AGAIN))
}

/// Its types.
pub async fn client_types(
    app: Data<Gateway>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asset = app.pages.assets().get("usher.d.ts").ok_or_else(no_file)?;
    Ok(asset.sent(&request, ASK_AGAIN))
}

/// The operator's console. It holds nothing; what it shows is asked for with the operator's key.
pub async fn console(app: Data<Gateway>, request: HttpRequest) -> HttpResponse {
    let mut answer = app.pages.console().sent(&request, "no-cache");
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONSOLE_POLICY),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    answer
}

/// The colour of a brand as a style sheet, for pages that allow no style of their own.
pub async fn accent(path: Path<String>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = path.into_inner();
    let colour = name
        .strip_suffix(".css")
        .and_then(|it| it.parse::<Accent>().ok());
    let sheet = colour.ok_or_else(no_file)?.style_sheet();
    Ok(Asset::of(&name, sheet.into_bytes()).sent(&request, FOR_EVER))
}

/// Keeps the language that was chosen.
pub async fn language(app: Data<Gateway>, wish: Query<GoOn>) -> HttpResponse {
    let mut answer = see_other(wish.address());
    if let Some(tag) = wish.lang.as_deref().filter(|tag| app.pages.speaks(tag)) {
        let cookie = credential::own_cookie(LANGUAGE, tag, app.cookie);
        answer.append_header((header::SET_COOKIE, cookie));
    }
    answer.finish()
}

/// Joins again after a visit, as the same visitor.
pub async fn again(
    app: Data<Gateway>,
    request: HttpRequest,
    wish: Query<GoOn>,
) -> Result<HttpResponse, Problem> {
    let queue = wish.queue.as_ref().unwrap_or(&app.default_queue);
    let joined = if waiting::is_free(&app) {
        let user = known_user(&app, &request, queue);
        waiting::take_place(&app, &request, queue, user).await
    } else {
        // The page says what a place costs.
        Err(admission::no_token())
    };
    match joined {
        Ok(joined) => {
            let mut answer = see_other(wish.address());
            answer.insert_header((header::SET_COOKIE, joined.cookie));
            Ok(answer.finish())
        }
        Err(refusal) => {
            let page = waiting::page(&app, &request, &refusal, None).await;
            page.ok_or(refusal)
        }
    }
}

/// Who shows a token of this queue, be its visit over or not.
fn known_user(app: &Gateway, request: &HttpRequest, queue: &QueueId) -> Option<UserId> {
    let token = credential::for_queue(request, queue)?;
    let claims = app.tokens.verify(&token, app.clock.now()).ok()?;
    Some(claims.sub)
}

/// Leave by a form, and go to the start page or to one that says so.
#[utoipa::path(
    post, path = "/api/v1/queues/{queue}/tokens/me/leave", tag = "visitor", operation_id = "leaveByForm",
    params(QueueName, ("to" = Option<String>, Query, description = "Address of this site where one may join again.")),
    responses(
        (status = 303, description = "The place is given up. `Location` is the start page of the organiser, or a page that says so."),
        (status = 410, description = "The token is too old to be used."),
    ),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["ORIGIN_REFUSED"])))
)]
pub async fn leave(
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
    wish: Query<GoOn>,
) -> Result<HttpResponse, Problem> {
    let (queue, claims) = tokens::give_up(&app, &queue, &request).await?;
    let to = queue.snapshot().policy.home_url.clone();
    let to = to.unwrap_or_else(|| {
        let again = encoded(wish.address());
        format!("{}/usher/left?queue={}&to={again}", app.base, queue.id())
    });
    let mut answer = see_other(&to).finish();
    admission::tell_left(&app, &claims, answer.headers_mut());
    Ok(answer)
}

/// Says that the place was given up.
pub async fn left(app: Data<Gateway>, request: HttpRequest, wish: Query<GoOn>) -> HttpResponse {
    let queue = wish
        .queue
        .clone()
        .unwrap_or_else(|| app.default_queue.clone());
    waiting::left(&app, &request, queue, wish.address().to_owned()).await
}

fn see_other(to: &str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::SeeOther();
    answer
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    answer
}

fn no_file() -> Problem {
    codes::NOT_FOUND.because("There is no such file.")
}

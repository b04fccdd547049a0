//! What the `type` of a problem leads to: a few words about its code.
//!
//! The codes of the service behind are read from its document, so that they stand in one place. An address that was
//! made from a code leads back to it; any other is unknown.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use chassis::problem::Problem;
use chassis::routes;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::BOOKING;
use crate::codes;

/// A code by the last part of its address.
static KNOWN: LazyLock<BTreeMap<String, About>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(BOOKING).unwrap_or_default();
    let responses = document["components"]["responses"].as_object();
    let examples = responses.into_iter().flatten().filter_map(|(_, response)| {
        response["content"]["application/problem+json"]["examples"].as_object()
    });
    let behind = examples.flatten().filter_map(|(code, example)| {
        let meaning = example["value"]["detail"].as_str()?;
        Some((code.as_str(), meaning))
    });
    let own = codes::ALL.iter().map(|code| (code.name, code.meaning));
    let all = behind.chain(own);
    all.map(|(code, meaning)| (slug(code), About::of(code, meaning)))
        .collect()
});

/// What a code means.
#[derive(Clone, Serialize, ToSchema)]
pub struct About {
    /// In capitals, as clients branch on it.
    #[schema(example = "NOT_ADMITTED")]
    code: String,
    /// When it is answered.
    #[schema(example = "It is not your turn yet; the place says where you stand.")]
    meaning: String,
}

impl About {
    fn of(code: &str, meaning: &str) -> Self {
        Self {
            code: code.to_owned(),
            meaning: meaning.to_owned(),
        }
    }
}

fn slug(code: &str) -> String {
    code.to_ascii_lowercase().replace('_', "-")
}

/// Says what the `type` of a problem means.
#[utoipa::path(get, path = "/problems/{slug}", operation_id = "explainProblem", tag = "status",
    params(("slug" = String, Path, description = "The last part of a problem's `type`.", example = "not-admitted")),
    responses((status = 200, description = "The code and its meaning.", body = About),
        (status = 404, description = "No problem has this type.")),
    extensions(("x-codes" = json!(["NOT_FOUND"]))))]
pub async fn explain(slug: Path<String>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    match KNOWN.get(slug.as_str()) {
        Some(about) => Ok(HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
            .json(about)),
        None => Err(routes::missing(&request)),
    }
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, codes, slug};

    #[test]
    fn codes_of_both_services_are_known() {
        for of in ["seat-taken", "hold-expired", "not-admitted", "queue-full"] {
            assert!(KNOWN.contains_key(of), "{of}");
        }
        let is_known = |code: &chassis::code::Code| KNOWN.contains_key(&slug(code.name));
        assert!(codes::ALL.iter().all(is_known));
    }
}

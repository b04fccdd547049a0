//! Owns what an OpenAPI document says of refusals: each set of codes is described once, with an example of each. And how it
//! says by what callers prove who they are.
//!
//! A handler's annotation names its access level (`x-access`) and the codes of its own (`x-codes`). What follows from the
//! form of a request is added here, what follows from its path and its access level by the service. A response that the
//! annotation has for the status of a code says something of this operation alone, and stands before its codes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, HeaderBuilder, Object, OpenApi, Paths, Ref, RefOr, Response,
    ResponseBuilder, Type,
};

use crate::code::Code;

/// How a service describes what it refuses.
#[derive(Clone, Copy)]
pub struct Refusals {
    /// Every code that it answers.
    pub codes: &'static [Code],
    /// The name of the schema of its problems.
    pub schema: &'static str,
    /// Stands before the name of each response, so that the documents of two services can be put together.
    pub prefix: &'static str,
    /// The codes that follow from a path, an access level and what else the operation says.
    pub implied: fn(&str, &str, &Operation) -> Vec<&'static str>,
    /// Members of the example of a code.
    pub members: fn(&Code) -> Vec<(&'static str, Value)>,
}

/// Every operation of a document, with its path.
pub fn operations(paths: &mut Paths) -> impl Iterator<Item = (&str, &mut Operation)> {
    paths.paths.iter_mut().flat_map(|(path, item)| {
        let all = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        let all = all.into_iter().flatten();
        all.map(move |operation| (path.as_str(), operation))
    })
}

/// The access level that the annotation names, or nothing.
pub fn access(operation: &Operation) -> &str {
    let marks = operation.extensions.as_ref();
    let access = marks.and_then(|marks| marks.get("x-access")?.as_str());
    access.unwrap_or_default()
}

/// `Authorization: Bearer`, in these words.
pub fn bearer(words: &str) -> SecurityScheme {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    SecurityScheme::Http(bearer.description(Some(words)).build())
}

/// A cookie of this name, in these words.
pub fn cookie(name: &str, words: &str) -> SecurityScheme {
    SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(name, words)))
}

/// A header of this name, in these words.
pub fn header(name: &str, words: &str) -> SecurityScheme {
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, words)))
}

impl Refusals {
    /// Describes what every operation refuses, and takes the marks out.
    pub fn describe(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        for (path, operation) in operations(&mut document.paths) {
            self.describe_one(path, operation, components);
            operation.extensions = None;
        }
    }

    fn describe_one(&self, path: &str, operation: &mut Operation, components: &mut Components) {
        let mut by_status: BTreeMap<u16, Vec<&Code>> = BTreeMap::new();
        let names = self.names(path, operation);
        for code in self.codes.iter().filter(|it| names.contains(it.name)) {
            by_status.entry(code.status).or_default().push(code);
        }
        for (status, codes) in by_status {
            let answers = &mut operation.responses.responses;
            let mut refusal = self.refusal(&codes);
            let answer = match answers.remove(&status.to_string()) {
                Some(RefOr::T(own)) => {
                    refusal.description = format!("{}\n\n{}", own.description, refusal.description);
                    RefOr::T(refusal)
                }
                // Many operations answer the same codes.
                Some(RefOr::Ref(_)) | None => {
                    let names: Vec<_> = codes.iter().map(|code| code.name).collect();
                    let name = format!("{}{}", self.prefix, names.join("."));
                    let shared = Ref::from_response_name(&name).into();
                    components.responses.insert(name, refusal.into());
                    shared
                }
            };
            answers.insert(status.to_string(), answer);
        }
    }

    /// The names of all codes that the operation answers.
    fn names(&self, path: &str, operation: &Operation) -> BTreeSet<String> {
        let marks = operation.extensions.as_ref();
        let own = marks.and_then(|marks| marks.get("x-codes")?.as_array());
        let own = own.into_iter().flatten().filter_map(Value::as_str);
        let implied = (self.implied)(path, access(operation), operation);
        let all = own.chain(of_form(operation)).chain(implied);
        all.map(str::to_owned).collect()
    }

    /// The answer of all codes of one status, with an example of each.
    fn refusal(&self, codes: &[&Code]) -> Response {
        let lines = codes
            .iter()
            .map(|code| format!("- `{}`: {}", code.name, code.meaning));
        let examples = codes.iter().map(|code| {
            let example = ExampleBuilder::new().value(Some(self.example(code)));
            (code.name, RefOr::T(example.build()))
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(self.schema)))
            .examples_from_iter(examples)
            .build();
        let response = ResponseBuilder::new()
            .description(lines.collect::<Vec<_>>().join("\n"))
            .content("application/problem+json", content);
        let says_when = |code: &&Code| code.because(code.meaning).retry_after_s().is_some();
        if !codes.iter().any(says_when) {
            return response.build();
        }
        let seconds = HeaderBuilder::new()
            .schema(Some(Object::with_type(Type::Integer)))
            .description(Some(
                "Seconds after which to try again, where that may help.",
            ));
        response.header("Retry-After", seconds.build()).build()
    }

    /// What is really answered, with a path and a request id filled in.
    fn example(&self, code: &Code) -> Value {
        let request_id = "0198c0de5f0a7c3e9d2b4a6f8e1c3d5b";
        let problem = code.because(code.meaning);
        let body = problem.body(Some("/api/v1/…"), Some(request_id));
        let mut example: Value = serde_json::from_str(&body).unwrap_or_default();
        for (name, value) in (self.members)(code) {
            example[name] = value;
        }
        example
    }
}

/// The codes that follow from the form of a request.
fn of_form(operation: &Operation) -> Vec<&'static str> {
    const OF_BODY: [&str; 5] = [
        "BODY_INVALID",
        "BODY_MALFORMED",
        "BODY_TOO_LARGE",
        "BODY_TOO_SLOW",
        "CONTENT_TYPE_UNSUPPORTED",
    ];
    let mut names = Vec::new();
    if operation.request_body.is_some() {
        names.extend(OF_BODY);
    }
    let mut parameters = operation.parameters.iter().flatten();
    let is_query = |it: &Parameter| it.parameter_in == ParameterIn::Query;
    if parameters.any(|it| matches!(it, RefOr::T(it) if is_query(it))) {
        names.push("QUERY_INVALID");
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::openapi::extensions::Extensions;
    use utoipa::openapi::path::{OperationBuilder, ParameterBuilder};
    use utoipa::openapi::{HttpMethod, OpenApiBuilder, PathItem, PathsBuilder};

    use super::*;

    crate::codes! {
        GOODS_GONE = 409, "There are none left.";
        GOODS_MOVING = 409, "They are being moved.", again after 1;
        KEY_MISSING = 401, "Send the key.";
        QUERY_INVALID = 400, "The query does not parse.";
    }

    const REFUSALS: Refusals = Refusals {
        codes: ALL,
        schema: "Problem",
        prefix: "shop.",
        implied: |_, access, _| match access {
            "key" => vec!["KEY_MISSING"],
            _ => vec![],
        },
        members: |code| match *code {
            GOODS_GONE => vec![("left", json!(0))],
            _ => vec![],
        },
    };

    /// The document of these operations, each with its marks and with what it says of 409 by itself.
    fn described(operations: [(&str, Value, Option<&str>); 2]) -> Value {
        let mut paths = PathsBuilder::new();
        for (path, marks, own) in operations {
            let marks = marks.as_object().cloned().unwrap_or_default();
            let query = ParameterBuilder::new().parameter_in(ParameterIn::Query);
            let mut operation = OperationBuilder::new()
                .parameter(query.name("limit"))
                .extensions(Some(Extensions::from_iter(marks)));
            if let Some(own) = own {
                operation = operation.response("409", Response::new(own));
            }
            paths = paths.path(path, PathItem::new(HttpMethod::Get, operation));
        }
        let mut document = OpenApiBuilder::new().paths(paths).build();
        REFUSALS.describe(&mut document);
        serde_json::to_value(&document).unwrap_or_default()
    }

    #[test]
    fn an_operation_answers_its_own_codes_and_those_that_follow() {
        let marks = json!({ "x-access": "key", "x-codes": ["GOODS_MOVING", "GOODS_GONE"] });
        let document = described([("/a", marks.clone(), None), ("/b", marks, None)]);
        let shared = |name: &str| json!({ "$ref": format!("#/components/responses/shop.{name}") });
        let wanted = json!({
            "400": shared("QUERY_INVALID"),
            "401": shared("KEY_MISSING"),
            "409": shared("GOODS_GONE.GOODS_MOVING"),
        });
        for path in ["/a", "/b"] {
            let operation = &document["paths"][path]["get"];
            assert_eq!(operation["responses"], wanted, "{path}");
            assert!(operation["x-codes"].is_null(), "{operation}");
        }
        let all = &document["components"]["responses"];
        let gone = &all["shop.GOODS_GONE.GOODS_MOVING"];
        let lines = "- `GOODS_GONE`: There are none left.\n- `GOODS_MOVING`: They are being moved.";
        assert_eq!(gone["description"], lines);
        assert!(gone["headers"]["Retry-After"].is_object(), "{gone}");
        assert!(all["shop.KEY_MISSING"]["headers"].is_null(), "{all}");
        let examples = &gone["content"]["application/problem+json"]["examples"];
        let example = &examples["GOODS_GONE"]["value"];
        assert_eq!(
            (&example["code"], &example["left"]),
            (&json!("GOODS_GONE"), &json!(0))
        );
        assert_eq!(examples["GOODS_MOVING"]["value"]["retryable"], true);
    }

    #[test]
    fn what_an_operation_says_of_a_status_by_itself_stands_before_its_codes() {
        let marks = || json!({ "x-codes": ["GOODS_GONE"] });
        let document = described([
            ("/a", marks(), Some("Also at night.")),
            ("/b", marks(), None),
        ]);
        let said = |path: &str| document["paths"][path]["get"]["responses"]["409"].clone();
        let own = "Also at night.\n\n- `GOODS_GONE`: There are none left.";
        assert_eq!(said("/a")["description"], own);
        assert_eq!(said("/b")["$ref"], "#/components/responses/shop.GOODS_GONE");
    }

    #[test]
    fn what_callers_prove_who_they_are_by_says_what_it_is() {
        let schemes = [
            bearer("The key."),
            cookie("shop_key", "The same."),
            header("X-Stamp", "Of the door."),
        ];
        let wanted = json!([
            { "type": "http", "scheme": "bearer", "description": "The key." },
            { "type": "apiKey", "in": "cookie", "name": "shop_key", "description": "The same." },
            { "type": "apiKey", "in": "header", "name": "X-Stamp", "description": "Of the door." },
        ]);
        let said = serde_json::to_value(schemes).expect("JSON");
        assert_eq!(said, wanted);
    }
}

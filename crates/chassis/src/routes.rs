//! Owns how a route table is written: one line a path, with the methods it answers.
//!
//! A path that exists answers 405 with `Allow` to any other method, one that does not 404. `HEAD`
//! is answered wherever `GET` is.

use actix_web::dev::HttpServiceFactory;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, guard, web};

use crate::problem::Problem;

/// A path and its methods.
pub struct Route {
    resource: Resource,
    methods: Vec<Method>,
}

/// Begins the line of a path.
pub fn at(path: &str) -> Route {
    Route {
        resource: web::resource(path),
        methods: Vec::new(),
    }
}

impl Route {
    /// Answers `GET` and `HEAD`.
    pub fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let read = guard::Any(guard::Get()).or(guard::Head());
        self.methods.extend([Method::GET, Method::HEAD]);
        self.resource = self.resource.route(web::route().guard(read).to(handler));
        self
    }

    /// Answers `POST`.
    pub fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::POST, handler)
    }

    /// Answers `PUT`.
    pub fn put<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::PUT, handler)
    }

    /// Answers `PATCH`.
    pub fn patch<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::PATCH, handler)
    }

    /// Answers `DELETE`.
    pub fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::DELETE, handler)
    }

    /// Ends the line.
    pub fn done(self) -> impl HttpServiceFactory + 'static {
        let allow = self
            .methods
            .iter()
            .map(Method::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        self.resource.default_service(web::to(move || {
            let allow = allow.clone();
            async move { method_not_allowed(&allow) }
        }))
    }

    fn method<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(method.clone());
        self.resource = self.resource.route(web::method(method).to(handler));
        self
    }
}

fn method_not_allowed(allow: &str) -> HttpResponse {
    let mut answer = HttpResponse::from_error(Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!("This path answers {allow}."),
    ));
    if let Ok(allow) = header::HeaderValue::from_str(allow) {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

/// The handler of every path that does not exist.
pub async fn not_found(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(missing(&request))
}

/// There is nothing at the path of this request.
pub fn missing(request: &HttpRequest) -> Problem {
    let detail = format!("There is nothing at {}.", request.path());
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use actix_web::middleware::from_fn;
    use actix_web::{App, test, web};

    async fn call(method: Method, path: &str) -> (u16, Option<String>) {
        let app = test::init_service(
            App::new()
                .wrap(from_fn(crate::problem::edge))
                .service(
                    super::at("/things")
                        .get(async || "all")
                        .post(async || "made")
                        .done(),
                )
                .default_service(web::to(super::not_found)),
        )
        .await;
        let request = test::TestRequest::with_uri(path)
            .method(method)
            .to_request();
        let answer = test::call_service(&app, request).await;
        let allow = answer.headers().get("allow");
        let allow = allow.map(|allow| allow.to_str().expect("ASCII").to_owned());
        (answer.status().as_u16(), allow)
    }

    #[actix_web::test]
    async fn a_path_answers_its_methods_and_405_to_others() {
        assert_eq!(call(Method::GET, "/things").await.0, 200);
        assert_eq!(call(Method::HEAD, "/things").await.0, 200);
        assert_eq!(call(Method::POST, "/things").await.0, 200);
        let allow = Some("GET, HEAD, POST".to_owned());
        assert_eq!(call(Method::PUT, "/things").await, (405, allow));
        assert_eq!(call(Method::GET, "/nothing").await.0, 404);
    }
}

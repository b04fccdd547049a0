//! Owns when a client that waits for `100 Continue` gets it (RFC 9110, section 10.1.1): when the body is
//! first asked for, and never when the answer comes before that.
//!
//! A connection asks one hook whether the client may go on, and the application only afterwards. So the
//! hook runs the application itself. When that answers without a look at the body, the answer is the
//! hook's refusal; otherwise the connection goes on with the application where the hook left it.

use std::cell::{Cell, RefCell};
use std::future::{Future, Ready, poll_fn, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{HttpMessage as _, Payload, Request, Response};
use actix_service::{Service, ServiceFactory};
use bytes::Bytes;
use futures_util::Stream;
use pin_project_lite::pin_project;

use super::connection::{Answering, Handle};

type Local<T> = Pin<Box<dyn Future<Output = T>>>;
/// What an application makes of a request.
type Run<B, E> = Local<Result<Response<Marked<B>>, E>>;
/// The application of one worker, once it was made.
type Shared<S> = Rc<RefCell<Option<Rc<S>>>>;

/// Makes the application of a worker, and shows it to the other hook.
pub struct Application<F: ServiceFactory<Request>, B> {
    factory: F,
    shared: Shared<F::Service>,
    body: PhantomData<B>,
}

/// Runs the application.
pub struct Running<S, B> {
    app: Rc<S>,
    body: PhantomData<B>,
}

/// The hook for clients that wait.
pub struct Expecting<S, B> {
    shared: Shared<S>,
    body: PhantomData<B>,
}

/// An application that was begun before its client may go on; it stands in for the request.
struct Begun<B, E>(Run<B, E>);

pin_project! {
    /// The body of an answer, of which the connection knows as long as it is not over.
    pub struct Marked<B> {
        #[pin]
        body: B,
        answering: Option<Answering>,
    }
}

/// Whether a body was asked for.
#[derive(Default)]
struct Wanted {
    is_so: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

/// A body that notes when it is first asked for.
struct Announced {
    payload: Payload,
    wanted: Rc<Wanted>,
}

impl<F: ServiceFactory<Request>, B> Application<F, B> {
    pub fn new(factory: F, shared: Shared<F::Service>) -> Self {
        let body = PhantomData;
        Self {
            factory,
            shared,
            body,
        }
    }
}

impl<F, B> ServiceFactory<Request> for Application<F, B>
where
    F: ServiceFactory<Request, Config = ()>,
    F::Future: 'static,
    F::Error: 'static,
    F::Response: Into<Response<B>> + 'static,
    F::Service: 'static,
    <F::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = Response<Marked<B>>;
    type Error = F::Error;
    type Config = ();
    type Service = Running<F::Service, B>;
    type InitError = F::InitError;
    type Future = Local<Result<Self::Service, Self::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (making, shared) = (self.factory.new_service(()), Rc::clone(&self.shared));
        Box::pin(async move {
            let app = Rc::new(making.await?);
            *shared.borrow_mut() = Some(Rc::clone(&app));
            let body = PhantomData;
            Ok(Running { app, body })
        })
    }
}

impl<S, B> Service<Request> for Running<S, B>
where
    S: Service<Request>,
    S::Future: 'static,
    S::Error: 'static,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    type Response = Response<Marked<B>>;
    type Error = S::Error;
    type Future = Run<B, S::Error>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&self, request: Request) -> Self::Future {
        let begun = request.extensions_mut().remove::<Begun<B, S::Error>>();
        match begun {
            Some(Begun(run)) => run,
            None => run(&*self.app, request),
        }
    }
}

fn run<S, B>(app: &S, request: Request) -> Run<B, S::Error>
where
    S: Service<Request>,
    S::Future: 'static,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let handle = request.conn_data::<Handle>().cloned();
    let answer = app.call(request);
    Box::pin(async move {
        let answer: Response<B> = answer.await?.into();
        let answering = handle.map(|it| it.answering());
        Ok(answer.map_body(|_, body| Marked { body, answering }))
    })
}

impl<S, B> Expecting<S, B> {
    pub fn of(shared: &Shared<S>) -> Self {
        let (shared, body) = (Rc::clone(shared), PhantomData);
        Self { shared, body }
    }
}

impl<S, B> ServiceFactory<Request> for Expecting<S, B>
where
    S: Service<Request> + 'static,
    S::Future: 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    type Response = Request;
    type Error = Response<BoxBody>;
    type Config = ();
    type Service = Self;
    type InitError = ();
    type Future = Ready<Result<Self, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        ready(Ok(Self::of(&self.shared)))
    }
}

impl<S, B> Service<Request> for Expecting<S, B>
where
    S: Service<Request> + 'static,
    S::Future: 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    type Response = Request;
    type Error = Response<BoxBody>;
    type Future = Local<Result<Request, Response<BoxBody>>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// The request, when its body was asked for; the answer, when that came before.
    fn call(&self, mut request: Request) -> Self::Future {
        let Some(app) = self.shared.borrow().clone() else {
            return Box::pin(ready(Ok(request)));
        };
        let wanted = Rc::new(Wanted::default());
        let payload = std::mem::replace(request.payload(), Payload::None);
        let announced = Announced {
            payload,
            wanted: Rc::clone(&wanted),
        };
        *request.payload() = Payload::Stream {
            payload: Box::pin(announced),
        };
        let mut running = run::<S, B>(&app, request);
        Box::pin(async move {
            let early = poll_fn(|cx| {
                if let Poll::Ready(answer) = running.as_mut().poll(cx) {
                    return Poll::Ready(Some(answer));
                }
                wanted.poll(cx).map(|()| None)
            });
            match early.await {
                Some(Ok(answer)) => Err(answer.map_into_boxed_body()),
                Some(Err(error)) => Err(error.into()),
                None => {
                    let stands_in = Request::new();
                    stands_in.extensions_mut().insert(Begun(running));
                    Ok(stands_in)
                }
            }
        })
    }
}

impl Wanted {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_so.get() {
            return Poll::Ready(());
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn note(&self) {
        self.is_so.set(true);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl Stream for Announced {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.wanted.is_so.get() {
            self.wanted.note();
        }
        Pin::new(&mut self.payload).poll_next(cx)
    }
}

impl<B: MessageBody> MessageBody for Marked<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let this = self.project();
        let piece = this.body.poll_next(cx);
        if let (Poll::Ready(Some(Ok(piece))), Some(answering)) = (&piece, this.answering) {
            answering.passed(piece);
        }
        piece
    }
}

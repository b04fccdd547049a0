//! Owns what one request tells of how well the service behind is.
//!
//! What counts is the time from the end of the request to the first byte of the answer, and whether it
//! is a failure of the service. A request that its own visitor broke off tells nothing.

use std::time::Duration;

use http::Response;

use super::client::{Download, SendError};
use crate::Gateway;
use crate::admission::Grant;
use crate::queue::Queue;

/// How long the service took, as a mark on its answer.
#[derive(Clone, Copy)]
pub struct FirstByte(pub Duration);

/// A request that is under way to the service.
pub struct Measurement<'a> {
    app: &'a Gateway,
    queue: Option<&'a Queue>,
}

impl<'a> Measurement<'a> {
    pub fn begin(app: &'a Gateway, grant: &'a Grant) -> Self {
        let queue = grant.visit.as_ref().map(|(queue, _)| queue);
        if let Some(queue) = queue {
            queue.request_begun();
        }
        Self { app, queue }
    }

    pub fn end(self, sent: &Result<Response<Download>, SendError>) {
        let (took, is_failure) = match sent {
            Ok(answer) => {
                let took = answer.extensions().get::<FirstByte>().map(|it| it.0);
                (took, answer.status().is_server_error())
            }
            Err(SendError::Upload(_)) => (None, false),
            Err(_) => (None, true),
        };
        if let Some(took) = took {
            let seconds = took.as_secs_f64();
            self.app.upstream_metrics.first_byte.observe(seconds);
        }
        if let Some(queue) = self.queue {
            queue.request_answered(took, is_failure);
        }
    }
}

//! Owns how often one visit may ask.

use chassis::env::Env;

/// How often one visit may ask.
#[derive(Clone, Copy)]
pub struct VisitLimits {
    /// `GATEWAY_VISIT_POLLS_PER_S`: polls of one token; 0 is no limit.
    pub polls_per_s: u32,
    /// `GATEWAY_VISIT_REQUESTS_PER_S`: proxied requests of who is inside; 0 is no limit.
    pub requests_per_s: u32,
}

impl VisitLimits {
    pub(super) fn read(env: &mut Env<'_>) -> Self {
        Self {
            polls_per_s: env.or(
                "GATEWAY_VISIT_POLLS_PER_S",
                "200",
                "Polls a second of one token at one gateway, and twice as many at once, else 429.\n\
                 0 is no limit.",
            ),
            requests_per_s: env.or(
                "GATEWAY_VISIT_REQUESTS_PER_S",
                "0",
                "Requests a second that one visitor inside may send to the service behind at one\n\
                 gateway, and twice as many at once, else 429. 0 is no limit.",
            ),
        }
    }
}

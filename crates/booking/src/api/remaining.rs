//! Owns how many seats are left behind a queue, which the gateway tells those who wait (`X-Usher-Remaining`).
//!
//! It is told from the lists of dates, which count a date only when it has changed, and kept for some seconds: a word for
//! people, which decides nothing.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use chassis::problem::Problem;
use chassis::time::Clock;
use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};

use super::lists::Lists;
use crate::concert;
use crate::db::Db;
use crate::single_flight::SingleFlightCache;

/// The header that the gateway takes out of an answer.
const HEADER: HeaderName = HeaderName::from_static("x-usher-remaining");
/// How old the number may be.
const AGE: TimeDelta = TimeDelta::seconds(5);

/// What is left, by queue.
pub struct Remaining {
    /// By a hash of the queue's name.
    left: SingleFlightCache<[u8; 16], i64, Problem>,
    clock: Clock,
}

impl Remaining {
    /// Nothing is counted yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            left: SingleFlightCache::new(AGE, clock.clone()),
            clock,
        }
    }

    /// The answer with what is left behind the queue; without it when that cannot be told now. One statement and those of
    /// the lists, for all who ask within some seconds.
    pub(super) async fn told(
        &self,
        (db, lists): (&Db, &Lists),
        queue: &str,
        mut answer: HttpResponse,
    ) -> HttpResponse {
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(queue)[..16]);
        let count = async |_| {
            let queue = queue.to_owned();
            let concerts = db.read(move |conn| concert::behind(conn, &queue));
            let concerts = concerts.await?;
            let mut left = 0;
            for concert_id in concerts {
                left += lists.dates(db, concert_id).await?.left(self.clock.now());
            }
            Ok(left)
        };
        if let Ok(left) = self.left.get(key, count).await {
            answer
                .headers_mut()
                .insert(HEADER, HeaderValue::from(*left));
        }
        answer
    }
}

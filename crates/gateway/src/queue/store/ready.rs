//! Owns the question whether Redis takes what is written.

use chassis::redis::{Connection, words};

use super::keys;

/// For so long the key of a check is kept, in seconds.
const KEPT_S: u64 = 60;

/// Whether Redis takes what is written; an error in its own words where it does not.
///
/// On a cluster it is enough that one master does: without this gateway its queues would be away too.
pub async fn writable(mut redis: Connection) -> Result<(), String> {
    let mut outcome = Ok(());
    for key in keys::ready() {
        let mut write = redis::cmd("SET");
        write.arg(key).arg("").arg("EX").arg(KEPT_S);
        match write.query_async::<()>(&mut redis).await {
            Ok(()) => return Ok(()),
            Err(cause) => outcome = outcome.and(Err(words(&cause))),
        }
    }
    outcome
}

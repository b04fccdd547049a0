//! Owns the codes of every problem that the gateway answers: one line each, with its status.

chassis::codes! {
    BODY_INVALID = 422, "The body is JSON and not what the route takes.";
    BODY_MALFORMED = 400, "The body is not JSON.";
    BODY_TOO_LARGE = 413, "The body is longer than the route takes.";
    BODY_TOO_SLOW = 408, "The body came too slowly.";
    CHALLENGE_INVALID = 401, "The answer to the challenge was not accepted.";
    CHALLENGE_REQUIRED = 401, "Solve the challenge of the page and send its answer.";
    CHALLENGE_UNAVAILABLE = 503, "Whoever checks challenges does not answer.";
    CONTENT_TYPE_UNSUPPORTED = 415, "The route takes another content type.";
    HEAD_TOO_LARGE = 431, "The head of the request is too long.";
    HEAD_TOO_SLOW = 408, "The head of the request did not arrive in time.";
    IDENTITY_INVALID = 401, "The token of the identity provider is not good.";
    IDENTITY_MISMATCH = 403, "The token of the identity provider is another user's.";
    IDENTITY_MISSING = 401, "Send the token of the identity provider.";
    IDENTITY_UNAVAILABLE = 503, "The keys of the identity provider cannot be had now.";
    LOOP_DETECTED = 508, "The service behind leads back to this waiting room.";
    LOTTERY_DRAWN = 409, "The lots of the draw are given out.";
    LOTTERY_NOT_FIXED = 409, "It is not fixed yet who takes part in the draw.";
    LOTTERY_PROOF_UNKNOWN = 404, "The ticket does not take part in a draw of this queue.";
    METHOD_NOT_ALLOWED = 405, "The path takes other methods; they stand in Allow.";
    NOT_ADMITTED = 403, "It is not your turn yet; the place says where you stand.";
    NOT_FOUND = 404, "There is nothing at this path.";
    NOT_READY = 503, "A store does not answer, or the process is stopping.";
    OPERATOR_KEY_INVALID = 401, "This is no operator's key.";
    ORIGIN_REFUSED = 403, "A page of this origin may not do this with a cookie.";
    PASS_INVALID = 401, "The pass is forged or has ended.";
    PATH_INVALID = 400, "The path can be read in more than one way.";
    PLACE_TAKEN = 409, "Somebody else has a place under this user's name.";
    POLICY_CHANGED = 412, "The rules were changed since they were read; read them again.";
    POLICY_CONTENDED = 409, "Others change the rules at this very moment; try again.";
    PROOF_INVALID = 401, "The proof of work is wrong, used or too old.";
    PROOF_REQUIRED = 401, "Find a proof of work for the challenge and send it.";
    QUERY_INVALID = 400, "A query parameter does not parse.";
    QUEUE_CLOSED = 403, "The queue takes nobody.";
    QUEUE_FULL = 503, "The line is as long as it may be; try again later.";
    QUEUE_MISMATCH = 403, "The token is of another queue than the path asks for.";
    QUEUE_UNKNOWN = 404, "There is no such queue.";
    RATE_LIMITED = 429, "Too many requests; Retry-After says when to go on.";
    REQUEST_INVALID = 400, "The request cannot be read.";
    REQUEST_UNTOLD = 400, "The proxy does not say which request it asks about.";
    RIGHT_MISSING = 403, "The operator's key lacks the right that is named.";
    STORE_UNAVAILABLE = 503, "The line cannot be reached now; your place is kept.";
    STREAMS_FULL = 503, "As many listen here as can; poll instead.";
    TOKEN_EXPIRED = 410, "The visit is over; join again.";
    TOKEN_INVALID = 401, "The token is forged, malformed or of another queue.";
    TOKEN_MISSING = 401, "Send the token of a place.";
    UPSTREAM_BUSY = 503, "The service behind has as many requests as it may have.";
    UPSTREAM_INVALID = 502, "The service behind gave an answer that cannot be passed on.";
    UPSTREAM_TIMEOUT = 504, "The service behind did not answer in time.";
    UPSTREAM_UNREACHABLE = 502, "The service behind cannot be reached.";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_code_has_one_line_in_its_place_a_status_of_a_refusal_and_a_sentence() {
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
        for code in ALL {
            assert!((400..600).contains(&code.status), "{}", code.name);
            assert!(code.meaning.ends_with('.'), "{}", code.name);
        }
    }
}

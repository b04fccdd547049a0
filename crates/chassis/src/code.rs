//! Owns how a service declares the codes of its problems: one line each, with the status that it always has and when
//! it is answered. What a client reads of a code, in an answer and in a document, comes from this line.

use std::borrow::Cow;

use actix_web::http::StatusCode;

use crate::problem::Problem;

/// A code with the status it always has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// In capitals, as clients branch on it.
    pub name: &'static str,
    /// The status.
    pub status: u16,
    /// When it is answered, for the reader of the document.
    pub meaning: &'static str,
    /// For a refusal that goes away by itself though its status does not say so: after how many seconds.
    pub again_after_s: Option<u64>,
}

impl Code {
    /// The problem, with a sentence about this very request.
    pub fn because(self, detail: impl Into<Cow<'static, str>>) -> Problem {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Problem::new(status, self.name, detail);
        match self.again_after_s {
            Some(after_s) => problem.retryable().retry_after(after_s),
            None => problem,
        }
    }
}

/// Declares codes: a constant each, and `ALL` of them in the order in which they stand.
///
/// `NAME = status, "Meaning.";`, or `NAME = status, "Meaning.", again after seconds;`
#[macro_export]
macro_rules! codes {
    ($($name:ident = $status:literal, $meaning:literal $(, again after $after_s:literal)?;)+) => {
        $(
            #[doc = $meaning]
            pub const $name: $crate::code::Code = $crate::code::Code {
                name: stringify!($name),
                status: $status,
                meaning: $meaning,
                again_after_s: $crate::codes!(@after $($after_s)?),
            };
        )+
        /// Every code.
        pub const ALL: &[$crate::code::Code] = &[$($name,)+];
    };
    (@after) => { None };
    (@after $after_s:literal) => { Some($after_s) };
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;

    codes! {
        GOODS_GONE = 409, "There are none left.";
        GOODS_MOVING = 409, "They are being moved.", again after 1;
    }

    #[test]
    fn a_code_has_one_status_and_says_whether_to_come_again() {
        let names: Vec<_> = ALL.iter().map(|code| code.name).collect();
        assert_eq!(names, ["GOODS_GONE", "GOODS_MOVING"]);
        let gone = GOODS_GONE
            .because("The last one went at noon.")
            .error_response();
        let moving = GOODS_MOVING
            .because("They are on the stairs.")
            .error_response();
        assert_eq!(
            (gone.status().as_u16(), moving.status().as_u16()),
            (409, 409)
        );
        assert!(!gone.headers().contains_key("retry-after"));
        let after = moving.headers().get("retry-after").map(|it| it.as_bytes());
        assert_eq!(after, Some(&b"1"[..]));
    }
}

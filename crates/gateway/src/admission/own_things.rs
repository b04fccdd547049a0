//! Owns level `token`: who asks for their own things, in every state of their visit.

use actix_web::HttpRequest;
use chassis::problem::Problem;
use chrono::DateTime;
use tokio::time::Instant;

use super::{Proven, TokenLife, no_token, worse};
use crate::Gateway;
use crate::credential::{self, Shown};
use crate::queue::{Queue, QueueError, Standing, Ticket, UserId};
use crate::token::{self, Holder, Level, VisitId, VisitState};

/// Level `token`: visitors who prove who they are, in every state of their visit.
///
/// Visitors who are not inside have few requests, so that a crowd cannot lean on what is behind.
pub(super) async fn own_things(app: &Gateway, request: &HttpRequest) -> Result<Proven, Problem> {
    let (mut refusal, begun) = (None, Instant::now());
    for shown in credential::all(request) {
        let proven = match owner(app, &shown, begun).await {
            Err(problem) if shown.is_bearer => match provider_user(app, &shown).await {
                Some(user) => known_elsewhere(app, user),
                None => Err(problem),
            },
            proven => proven,
        };
        match proven {
            Ok(proven) => return Ok(proven),
            Err(problem) => refusal = Some(worse(refusal, problem)),
        }
    }
    Err(refusal.unwrap_or_else(no_token))
}

async fn owner(app: &Gateway, shown: &Shown, begun: Instant) -> Result<Proven, Problem> {
    let claims = app.tokens.verify(&shown.token, app.clock.now())?;
    let ticket = claims.ticket();
    let (state, visit) = state_of(app, &claims, begun).await?;
    if state != VisitState::Active {
        app.own_limit
            .take((ticket.user, ticket.number), app.clock.now())?;
    }
    Ok(Proven {
        pass: Some(app.pass(Holder {
            sub: ticket.user.to_string(),
            queue: claims.queue.to_string(),
            level: Level::Token,
            state: Some(state),
            rights: None,
            visit: visit.is_some().then(|| id_of(&ticket)),
        })),
        life: life_of(app, &claims, state),
        by_bearer: shown.is_bearer,
        visit,
    })
}

/// A token of a visit that is over is replaced; any other is told for how long it is good.
fn life_of(app: &Gateway, claims: &token::Claims, state: VisitState) -> Option<TokenLife> {
    match state {
        VisitState::Over => Some(TokenLife::Renewed(app.renewed(claims))),
        VisitState::Active | VisitState::Waiting => {
            DateTime::from_timestamp(claims.exp, 0).map(TokenLife::Until)
        }
    }
}

/// How far a visit is, and the visit itself where an answer may end it: only one who is inside has
/// something to give back.
async fn state_of(
    app: &Gateway,
    claims: &token::Claims,
    begun: Instant,
) -> Result<(VisitState, Option<(Queue, Ticket)>), QueueError> {
    if claims.over {
        return Ok((VisitState::Over, None));
    }
    let ticket = claims.ticket();
    let queue = match app.queues.open_for(&claims.queue, begun).await {
        Ok(queue) => queue,
        Err(QueueError::Unknown) => return Ok((VisitState::Over, None)),
        Err(other) => return Err(other),
    };
    match app.visits.pass(&queue, ticket, false).await {
        Ok(visit) => Ok(match visit.standing {
            Standing::Active { .. } => (VisitState::Active, Some((visit.queue, ticket))),
            Standing::Waiting { .. } | Standing::Scheduled { .. } => (VisitState::Waiting, None),
        }),
        Err(QueueError::Over | QueueError::Idle | QueueError::Unknown) => {
            Ok((VisitState::Over, None))
        }
        Err(other) => Err(other),
    }
}

/// The user for whom the identity provider vouches, where there is one.
async fn provider_user(app: &Gateway, shown: &Shown) -> Option<UserId> {
    let named = app.identity.user(None, Some(&shown.token), app.clock.now());
    named.await.ok().flatten()
}

fn known_elsewhere(app: &Gateway, user: UserId) -> Result<Proven, Problem> {
    app.own_limit.take((user, 0), app.clock.now())?;
    Ok(Proven {
        pass: Some(app.pass(Holder {
            sub: user.to_string(),
            queue: String::new(),
            level: Level::Token,
            state: Some(VisitState::Over),
            rights: None,
            visit: None,
        })),
        life: None,
        by_bearer: true,
        visit: None,
    })
}

pub(super) fn id_of(ticket: &Ticket) -> VisitId {
    VisitId {
        ticket: ticket.number,
        epoch: ticket.epoch,
    }
}

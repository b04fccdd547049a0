//! All are inside, and all want the same seat at the same instant: one gets it, the others hear that it is taken.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::check::{self, Check};
use crate::operator::Trouble;
use crate::recorder::Step;
use crate::run::Outcome;
use crate::visitor::{Ending, Stage, Visitor};
use crate::visitors::connections;

const SEAT: u16 = 7;
/// All come in within this.
const ENTRY: Duration = Duration::from_secs(60);

/// Runs it.
pub(crate) async fn run(stage: Rc<Stage>) -> Result<Outcome, Trouble> {
    let settings = &stage.settings;
    let visitors = enter_all(&stage).await?;
    let inside = visitors.len();
    stage.progress.say(&format!(
        "{inside} visitors are inside; now all want seat {SEAT}"
    ));

    let date = Rc::new(stage.shop.dates[0].clone());
    let mut wishes = JoinSet::new();
    // All wishes are due at one instant, so the last has waited while those before it were sent.
    let due = Instant::now();
    for mut visitor in visitors {
        let date = Rc::clone(&date);
        wishes.spawn_local(async move {
            let held = visitor.reserve(&date, &[SEAT], 0, due).await;
            (visitor, held)
        });
    }
    let mut paid = 0;
    for (mut visitor, held) in wishes.join_all().await {
        if let Ok(held) = held
            && let Ending::Bought(seats) = visitor.pay(&held).await
        {
            paid += seats;
        }
    }
    let record = stage.recorder.finish();

    let books = stage.shop.books().await?;
    let reserve = record.step(Step::Reserve);
    let (won, lost) = (reserve.with(Ok(201)), reserve.with(Ok(409)));
    let mut checks = vec![
        Check::same("201 to the wish for the seat", 1, won),
        Check::same("409 to the wish for the seat", settings.users - 1, lost),
    ];
    checks.extend(check::books(&books, paid));
    checks.push(Check::same("seats paid for", 1, paid));
    let wish = ("the wish for the seat", Some(Step::Reserve));
    Ok(Outcome::judged(settings, record, checks, wish, Vec::new()))
}

/// Lets all come in, a few at a time: the entry is not what is measured.
async fn enter_all(stage: &Rc<Stage>) -> Result<Vec<Visitor>, Trouble> {
    let until = Instant::now() + ENTRY;
    let (users, step) = (stage.settings.users as usize, stage.settings.connections);
    let inside = connections(&stage.settings, |first| {
        let stage = Rc::clone(stage);
        async move {
            let mut inside = Vec::new();
            for number in (first..users).step_by(step) {
                let mut visitor = Visitor::new(&stage, number);
                if visitor.enter(Instant::now(), until).await {
                    inside.push(visitor);
                }
            }
            inside
        }
    });
    let inside: Vec<_> = inside.await.into_iter().flatten().collect();
    stage.recorder.visitors.set(inside.len() as u64);
    match inside.len() {
        came if came < users => Err(format!("only {came} of {users} came in")),
        _ => Ok(inside),
    }
}

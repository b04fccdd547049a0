//! Leaving: only one's own visit, once.

use gateway::queue::{Standing, Ticket};

use crate::fixture::{Fixture, crowd, is_active, is_over, places};

#[tokio::test]
async fn leaving_twice_is_the_same_as_leaving_once() {
    let fixture = Fixture::new();
    let queue = fixture.queue("leave-twice", places(1)).await;
    let tickets = crowd(&queue, 3).await;
    assert!(queue.leave(&tickets[0]).await.unwrap().freed);
    assert!(!queue.leave(&tickets[0]).await.unwrap().freed);
    assert!(is_over(&queue.rank(&tickets[0]).await));
    assert!(is_active(&queue.rank(&tickets[1]).await));
    let behind = queue.rank(&tickets[2]).await.unwrap();
    assert_eq!(
        behind,
        Standing::Waiting { ahead: 0 },
        "only one place was freed"
    );
}

#[tokio::test]
async fn who_leaves_the_line_moves_up_those_behind_and_frees_no_place() {
    let fixture = Fixture::new();
    let queue = fixture.queue("leave-line", places(1)).await;
    let tickets = crowd(&queue, 4).await;
    assert!(!queue.leave(&tickets[2]).await.unwrap().freed);
    assert!(is_over(&queue.rank(&tickets[2]).await));
    let behind = queue.rank(&tickets[3]).await.unwrap();
    assert_eq!(behind, Standing::Waiting { ahead: 1 });
}

#[tokio::test]
async fn an_old_ticket_cannot_end_the_new_visit_of_the_same_user() {
    let fixture = Fixture::new();
    let queue = fixture.queue("leave-old", places(1)).await;
    let old = crowd(&queue, 1).await[0];
    queue.leave(&old).await.unwrap();
    let inside = queue.join(old.user).await.unwrap();
    assert!(inside.created);
    assert!(!queue.leave(&old).await.unwrap().freed);
    assert!(is_active(&queue.rank(&inside.ticket).await));
    assert!(is_over(&queue.rank(&old).await));

    let waiting = crowd(&queue, 1).await[0];
    let older = Ticket {
        number: waiting.number - 1,
        ..waiting
    };
    queue.leave(&older).await.unwrap();
    assert!(is_over(&queue.rank(&older).await));
    let place = queue.rank(&waiting).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn freed_places_are_filled_in_ticket_order() {
    let fixture = Fixture::new();
    let queue = fixture.queue("leave-order", places(2)).await;
    let tickets = crowd(&queue, 8).await;
    for gone in 0..6 {
        assert!(queue.leave(&tickets[gone]).await.unwrap().freed);
        for (index, ticket) in tickets.iter().enumerate().skip(gone + 1) {
            let inside = is_active(&queue.rank(ticket).await);
            assert_eq!(inside, index <= gone + 2, "{index} after {gone} left");
        }
    }
}

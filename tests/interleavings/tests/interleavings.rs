//! Each model in every order. A test of its own for each: a failure prints its name.

use klamm_interleavings::models;

macro_rules! models {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            models::$name();
        }
    )*};
}

models! {
    records_of_an_open_transaction_never_look_stable
    a_high_watermark_never_passes_the_end
    a_cut_shows_no_end_before_a_start_and_nothing_unstable
    a_start_that_moves_pushes_the_other_ends_along
    a_log_that_begins_again_shows_no_end_before_a_start
    reservations_are_published_in_order_and_before_they_are_answered
    a_thread_that_waits_is_always_woken
    a_thread_that_waits_at_a_bell_is_always_woken
    nobody_is_left_waiting_at_a_bell
    a_task_that_awaits_is_always_woken
    a_ticket_that_nobody_answers_says_so
}

use super::*;

/// What Kafka's class said of the same events: `number size_ms bound`, then lines of time, amount, rate and throttle time.
const KAFKAS: &str = include_str!("kafkas_rates.txt");

#[test]
fn a_rate_and_what_follows_from_it_are_kafkas() {
    let mut rate = Rate::default();
    let (mut windows, mut bound) = (Windows::new(1, 1), 0.0);
    let mut compared = 0;
    for line in KAFKAS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<f64>().expect("a number");
        if words.len() == 3 {
            windows = Windows { number: number(0) as usize, size_ms: number(1) as i64 };
            (rate, bound) = (Rate::default(), number(2));
            continue;
        }
        let now = number(0) as i64;
        rate.record(windows, number(1), now);
        let told = rate.per_second(windows, now);
        assert!((told - number(2)).abs() <= number(2).abs() * 1e-12, "{line}: {told}");
        assert_eq!(rate.throttle_ms(windows, bound, now).unwrap_or(0), number(3) as i64, "{line}");
        compared += 1;
    }
    assert!(compared > 1000);
}

#[test]
fn a_client_that_waits_as_it_is_told_keeps_to_the_bound() {
    let windows = Windows::new(11, 1);
    let (mut rate, mut now, mut sent) = (Rate::default(), 0, 0.0);
    while now < 60_000 {
        rate.record(windows, 100_000.0, now);
        sent += 100_000.0;
        now += 5 + rate.throttle_ms(windows, 1_000_000.0, now).unwrap_or(0);
    }
    // Ten seconds' worth may go out at once before the bound is felt.
    let per_second = (sent - 10_000_000.0) / 60.0;
    assert!((900_000.0..1_100_000.0).contains(&per_second), "{per_second}");
}

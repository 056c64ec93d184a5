use super::*;
use crate::metadata::record::{MetadataRecord, QuotaEntity};

const PAYER: Payer<'_> = Payer { user: "u", client_id: "c" };

fn quotas(values: &[(&str, f64)]) -> Arc<ClientQuotas> {
    let quotas = Arc::new(ClientQuotas::new(Windows::new(11, 1), Windows::new(11, 1)));
    let entity: QuotaEntity = [("user".into(), Some("u".into()))].into();
    let mut image = Image::empty("c");
    for (key, value) in values {
        let record =
            MetadataRecord::ClientQuota { entity: entity.clone(), key: (*key).into(), value: Some(*value) };
        image.fold(&record, &mut Default::default()).expect("it follows");
    }
    quotas.apply(&image);
    quotas
}

#[test]
fn who_has_no_quota_waits_for_nothing_and_nothing_is_kept() {
    let quotas = quotas(&[]);
    assert_eq!(quotas.present.load(Ordering::Relaxed), 0);
    assert!(quotas.produced(PAYER, usize::MAX >> 1).is_zero() && quotas.fetched(PAYER, 1 << 40).is_zero());
    assert!(!quotas.limits_requests(PAYER) && quotas.fetch_bytes_max(PAYER).is_none());
    assert!(quotas.produce.kept().by_account.is_empty());
}

#[test]
fn each_kind_has_its_own_quota() {
    let quotas = quotas(&[("producer_byte_rate", 1000.0)]);
    assert!(quotas.fetched(PAYER, 1 << 40).is_zero());
    assert!(!quotas.limits_requests(PAYER));
    // 20 000 bytes in windows of eleven seconds, of which one has only begun: twice the bound over ten seconds.
    let wait = quotas.produced(PAYER, 20_000);
    assert!((9_900..=10_100).contains(&wait.as_millis()), "{wait:?}");
    assert!(quotas.produced(Payer { user: "v", ..PAYER }, 1 << 40).is_zero());
}

#[test]
fn an_answer_that_is_withheld_is_not_charged() {
    let quotas = quotas(&[("consumer_byte_rate", 1000.0)]);
    assert_eq!(quotas.fetch_bytes_max(PAYER), Some(10_000));
    for _ in 0..3 {
        assert!(!quotas.fetched(PAYER, 30_000).is_zero());
    }
    assert!(quotas.fetched(PAYER, 9_000).is_zero(), "nothing was sent before");
}

#[test]
fn time_of_threads_is_waited_for_one_window_at_most() {
    let quotas = quotas(&[("request_percentage", 1.0)]);
    assert!(quotas.spent(PAYER, Duration::from_millis(1)).is_zero());
    assert_eq!(quotas.spent(PAYER, Duration::from_secs(60)), Duration::from_secs(1));
}

#[test]
fn the_request_that_uses_up_the_changes_is_carried_out_and_the_next_one_only_if_it_knows_no_better() {
    let quotas = quotas(&[("controller_mutation_rate", 1.0)]);
    let take = |strictness, partitions| {
        let mut mutations = quotas.mutations(PAYER, strictness);
        let allowed = mutations.allowance()(partitions);
        (allowed.is_ok(), mutations.throttle().as_secs_f64().round())
    };
    assert_eq!(take(Strictness::Strict, 31), (true, 0.0));
    assert_eq!(take(Strictness::Strict, 1), (false, 20.0));
    assert_eq!(take(Strictness::Permissive, 10), (true, 30.0));
    assert_eq!(take(Strictness::Strict, 1), (false, 30.0));
}

#[test]
fn what_is_faded_makes_room_for_others() {
    let mut image = Image::empty("c");
    let record = MetadataRecord::ClientQuota {
        entity: [("client-id".into(), None)].into(),
        key: "producer_byte_rate".into(),
        value: Some(1.0),
    };
    image.fold(&record, &mut Default::default()).expect("it follows");
    let limits = Limits::of(&image, Limited::Produce);
    let accounts: Accounts<Rate> = Accounts::default();
    let use_at = |client: usize, now| {
        let payer = Payer { user: "u", client_id: &client.to_string() };
        let limit = limits.get(payer).expect("a default");
        accounts.with(&limit.account, now, 1000, Rate::default, |rate| {
            rate.record(Windows::new(1, 1), 1.0, now);
        });
    };
    for client in 0..SWEEP_FROM {
        use_at(client, 0);
    }
    use_at(SWEEP_FROM, 2000);
    assert_eq!(accounts.kept().by_account.len(), 1);
}

//! Which quota is whose, in Kafka's order of precedence (`ClientQuotaManager.DefaultQuotaCallback`).

use std::{
    collections::HashMap,
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
};

use crate::metadata::{
    Image,
    ops::{entity_type, quota_key},
    record::QuotaEntity,
};

/// What is limited for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    Produce,
    Fetch,
    Request,
    Mutation,
}

impl Limited {
    pub(crate) const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Request, Self::Mutation];

    fn key(self) -> &'static str {
        match self {
            Self::Produce => quota_key::PRODUCER_BYTE_RATE,
            Self::Fetch => quota_key::CONSUMER_BYTE_RATE,
            Self::Request => quota_key::REQUEST_PERCENTAGE,
            Self::Mutation => quota_key::CONTROLLER_MUTATION_RATE,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payer<'a> {
    pub(crate) user: &'a str,
    pub(crate) client_id: &'a str,
}

/// With whom a quota is shared: with all connections of the user, of the client id, or of both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    user: Option<Arc<str>>,
    client_id: Option<Arc<str>>,
}

/// A quota, and who shares it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) bound: f64,
    pub(crate) account: Account,
}

/// The quotas of one kind.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    users: HashMap<Arc<str>, OfUser>,
    any_user: OfUser,
    clients: Named,
}

/// Values by name, and the one for the rest.
#[derive(Debug, Default)]
struct Named {
    named: HashMap<Arc<str>, f64>,
    default: Option<f64>,
}

#[derive(Debug, Default)]
struct OfUser {
    own: Option<f64>,
    clients: Named,
}

impl Named {
    fn get(&self, name: &str) -> Option<f64> {
        self.named.get(name).copied().or(self.default)
    }

    fn set(&mut self, name: Option<&Arc<str>>, value: f64) {
        match name {
            Some(name) => {
                self.named.insert(Arc::clone(name), value);
            }
            None => self.default = Some(value),
        }
    }
}

impl OfUser {
    fn limit(&self, payer: Payer<'_>) -> Option<Limit> {
        let user = || Some(payer.user.into());
        let with_client = self.clients.get(payer.client_id).map(|bound| Limit {
            bound,
            account: Account { user: user(), client_id: Some(payer.client_id.into()) },
        });
        with_client.or_else(|| {
            self.own.map(|bound| Limit { bound, account: Account { user: user(), client_id: None } })
        })
    }
}

impl Limits {
    /// What the metadata say.
    pub(crate) fn of(image: &Image, limited: Limited) -> Self {
        let mut limits = Self::default();
        for (entity, values) in image.client_quotas() {
            if let Some(value) = values.get(limited.key()) {
                limits.set(entity, *value);
            }
        }
        limits
    }

    fn set(&mut self, entity: &QuotaEntity, value: f64) {
        let (user, client) = (entity.get(entity_type::USER), entity.get(entity_type::CLIENT_ID));
        let of_user = match user {
            Some(Some(name)) => Some(self.users.entry(Arc::clone(name)).or_default()),
            Some(None) => Some(&mut self.any_user),
            None => None,
        };
        match (of_user, client) {
            (Some(user), Some(client)) => user.clients.set(client.as_ref(), value),
            (Some(user), None) => user.own = Some(value),
            (None, Some(client)) => self.clients.set(client.as_ref(), value),
            (None, None) => {}
        }
    }

    /// Whether anybody has one.
    pub(crate) fn is_empty(&self) -> bool {
        let none = |named: &Named| named.named.is_empty() && named.default.is_none();
        self.users.is_empty()
            && self.any_user.own.is_none()
            && none(&self.any_user.clients)
            && none(&self.clients)
    }

    /// The one that counts for who asks.
    pub(crate) fn get(&self, payer: Payer<'_>) -> Option<Limit> {
        let of_client = || {
            let bound = self.clients.get(payer.client_id)?;
            let account = Account { user: None, client_id: Some(payer.client_id.into()) };
            Some(Limit { bound, account })
        };
        let of_user = self.users.get(payer.user).and_then(|user| user.limit(payer));
        of_user.or_else(|| self.any_user.limit(payer)).or_else(of_client)
    }
}

/// New connections per second from addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ConnectionRates {
    by_address: HashMap<IpAddr, f64>,
    default: Option<f64>,
}

impl ConnectionRates {
    /// What the metadata say. May ask the resolver for addresses.
    pub(crate) fn of(image: &Image) -> Self {
        let mut rates = Self::default();
        for (entity, values) in image.client_quotas() {
            let Some(value) = values.get(quota_key::CONNECTION_CREATION_RATE) else { continue };
            match entity.get(entity_type::IP) {
                Some(Some(host)) => rates.by_address.extend(address_of(host).map(|ip| (ip, *value))),
                Some(None) => rates.default = Some(*value),
                None => {}
            }
        }
        rates
    }

    /// The one of an address.
    pub(crate) fn get(&self, ip: IpAddr) -> Option<f64> {
        self.by_address.get(&ip).copied().or(self.default)
    }
}

/// The first address of a host, as Java's `InetAddress.getByName` has it.
fn address_of(host: &str) -> Option<IpAddr> {
    host.parse()
        .ok()
        .or_else(|| (host, 0).to_socket_addrs().ok()?.next().map(|found| found.ip()))
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of an entity, if there is one; the default has no name.
    type Part = Option<Option<&'static str>>;

    /// Kafka's order: what stands above is taken before what stands below.
    #[rustfmt::skip]
    const BY_PRECEDENCE: [(Part, Part); 8] = [
        (Some(Some("u")), Some(Some("c"))),
        (Some(Some("u")), Some(None)),
        (Some(Some("u")), None),
        (Some(None), Some(Some("c"))),
        (Some(None), Some(None)),
        (Some(None), None),
        (None, Some(Some("c"))),
        (None, Some(None)),
    ];

    fn entity(user: Part, client: Part) -> QuotaEntity {
        let part = |kind: &str, name: Part| Some((kind.into(), name?.map(Into::into)));
        [part("user", user), part("client-id", client)].into_iter().flatten().collect()
    }

    const PAYER: Payer<'_> = Payer { user: "u", client_id: "c" };

    #[test]
    fn quotas_come_in_kafkas_order_of_precedence() {
        for (first, (of_user, of_client)) in BY_PRECEDENCE.iter().enumerate() {
            let mut limits = Limits::default();
            for (number, (user, client)) in BY_PRECEDENCE.iter().enumerate().skip(first) {
                limits.set(&entity(*user, *client), number as f64 + 1.0);
            }
            let limit = limits.get(PAYER).expect("one of them is for this one");
            assert_eq!(limit.bound, first as f64 + 1.0);
            assert_eq!(limit.account.user.is_some(), of_user.is_some());
            assert_eq!(limit.account.client_id.is_some(), of_client.is_some());
        }
        assert!(Limits::default().is_empty() && Limits::default().get(PAYER).is_none());
    }

    #[test]
    fn a_default_is_for_each_by_itself() {
        let mut limits = Limits::default();
        limits.set(&entity(Some(None), None), 1.0);
        let of = |user| limits.get(Payer { user, client_id: "c" }).expect("a default").account;
        assert_ne!(of("u"), of("v"));
        assert_eq!(of("u"), limits.get(Payer { user: "u", client_id: "d" }).expect("a default").account);
    }

    #[test]
    fn a_quota_of_another_is_none() {
        let mut limits = Limits::default();
        limits.set(&entity(Some(Some("v")), Some(Some("c"))), 1.0);
        limits.set(&entity(Some(Some("u")), Some(Some("d"))), 2.0);
        limits.set(&entity(None, Some(Some("d"))), 3.0);
        assert!(limits.get(PAYER).is_none() && !limits.is_empty());
    }

    #[test]
    fn addresses_have_their_own_rate_or_the_default() {
        let mut image = Image::empty("c");
        for (name, value) in [(Some("10.0.0.1"), 5.0), (Some("::ffff:10.0.0.2"), 6.0), (None, 7.0)] {
            let record = crate::metadata::record::MetadataRecord::ClientQuota {
                entity: [("ip".into(), name.map(Into::into))].into(),
                key: "connection_creation_rate".into(),
                value: Some(value),
            };
            image.fold(&record, &mut Default::default()).expect("it follows");
        }
        let rates = ConnectionRates::of(&image);
        let get = |ip: &str| rates.get(ip.parse().expect("an address"));
        assert_eq!((get("10.0.0.1"), get("10.0.0.2"), get("10.0.0.3")), (Some(5.0), Some(6.0), Some(7.0)));
    }
}

//! How many connections each address has open, and how often one is told about.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Connections by address; clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// A place that an open connection has; given back on drop.
#[derive(Debug)]
pub(crate) struct Seat {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// Nobody yet; each address may have `max` connections.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            open: Arc::default(),
            max,
        }
    }

    /// A place for one more connection of `address`; none where it has as many as it may.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Seat> {
        let address = group(address);
        let mut open = self.open.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Seat {
            peers: self.clone(),
            address,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.peers.open.lock().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What counts as one peer: of IPv6 the /64 network, since one host has all of its addresses.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Says something at most once in ten seconds, and how often it happened meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Sparingly(Mutex<(Option<Instant>, u64)>);

impl Sparingly {
    /// It happened; gives how often since it was last said, where it is time to say it.
    pub(crate) fn due(&self) -> Option<u64> {
        let mut state = self.0.lock();
        let (said, count) = &mut *state;
        *count += 1;
        if said.is_some_and(|at| at.elapsed() < Duration::from_secs(10)) {
            return None;
        }
        *said = Some(Instant::now());
        Some(std::mem::take(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_gets_them_back() {
        let peers = Peers::new(2);
        let one: IpAddr = [10, 0, 0, 1].into();
        let other: IpAddr = [10, 0, 0, 2].into();
        let first = peers.enter(one).unwrap();
        let second = peers.enter(one).unwrap();
        assert!(peers.enter(one).is_none());
        assert!(peers.enter(other).is_some());
        drop(first);
        assert!(peers.enter(one).is_some());
        drop(second);
        assert!(peers.open.lock().is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_mapped_addresses_are_ipv4() {
        let parse = |text: &str| group(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2::5"), parse("2001:db8:1:2:9::1"));
        assert_ne!(parse("2001:db8:1:2::5"), parse("2001:db8:1:3::5"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_often_is_said_rarely_with_its_count() {
        let sparingly = Sparingly::default();
        assert_eq!(sparingly.due(), Some(1));
        assert_eq!(sparingly.due(), None);
        assert_eq!(sparingly.due(), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(sparingly.due(), Some(3));
    }
}

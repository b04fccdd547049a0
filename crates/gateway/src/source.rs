//! Owns the answer to where a request comes from: the peer, or what our own proxies say of it.
//!
//! What a client writes into `X-Forwarded-For` is never believed; only the entries are that
//! proxies of ours have added on its right.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The addresses that `hops` proxies of ours have added to `X-Forwarded-For`, in their order.
///
/// An entry that is no address ends what is believed: nobody knows what is to its left.
pub fn believed<'a>(values: impl Iterator<Item = &'a str>, hops: usize) -> Vec<IpAddr> {
    let entries: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    let added = entries.iter().rev().take(hops);
    let mut chain: Vec<IpAddr> = added.map_while(|entry| address(entry.trim())).collect();
    chain.reverse();
    chain
}

/// Whom a limit counts: one address, or of IPv6 the network of 64 bits, which one customer has.
pub fn counted(believed: &[IpAddr], peer: Option<IpAddr>) -> Option<IpAddr> {
    let source = believed.first().copied().or(peer)?.to_canonical();
    Some(match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    })
}

/// Some proxies write the port too, and brackets around IPv6.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    let with_port = || entry.parse().map(|it: SocketAddr| it.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{believed, counted};

    fn texts(values: &[&str], hops: usize) -> Vec<String> {
        let chain = believed(values.iter().copied(), hops);
        chain.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn only_so_many_entries_are_believed_as_there_are_proxies() {
        let said = ["6.6.6.6, 10.0.0.1", "10.0.0.2"];
        assert!(texts(&said, 0).is_empty());
        assert_eq!(texts(&said, 1), ["10.0.0.2"]);
        assert_eq!(texts(&said, 2), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(texts(&said, 9).len(), 3);
    }

    #[test]
    fn an_entry_that_is_no_address_hides_what_a_client_wrote_before_it() {
        assert!(texts(&["6.6.6.6, unknown"], 1).is_empty());
        assert_eq!(texts(&["6.6.6.6, unknown, 10.0.0.2"], 2), ["10.0.0.2"]);
        assert_eq!(texts(&["10.0.0.1:4711, [2001:db8::1]:80"], 2).len(), 2);
        assert_eq!(texts(&["[2001:db8::1]"], 1), ["2001:db8::1"]);
    }

    #[test]
    fn a_customer_is_one_source_however_many_addresses_they_have() {
        let source = |text: &str| {
            let peer = text.parse().expect("an address");
            counted(&[], Some(peer)).map(|it| it.to_string())
        };
        assert_eq!(source("10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(source("::ffff:10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(source("2001:db8::1:2:3:4").as_deref(), Some("2001:db8::"));
        assert_eq!(source("2001:db8::9"), source("2001:db8::7"));
        assert_eq!(counted(&[], None), None);
    }
}

//! The network of a compartment whose plan has ports: every address leads to the doors, and nothing else answers.

use std::net::TcpListener;

use cofferdam_sandbox::{Feature, Plan};

use crate::bench::{Bench, everybody};

#[test]
fn every_address_leads_to_the_doors_and_no_other_port_answers() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let host_port = host.local_addr().unwrap().port();
    let with_port = |plan: &mut Plan| plan.ports = vec![443];
    for caller in everybody() {
        let bench = Bench::new(caller);
        for address in [
            "93.184.216.34",
            "127.0.0.1",
            "169.254.169.254",
            "10.0.0.1",
            "[2001:db8::1]",
            "[::1]",
        ] {
            // Nobody accepts in this test: the door's own queue takes the connection, whatever the address.
            let said = |port: u16| bench.says_with(&["connect", &format!("{address}:{port}")], with_port);
            assert_eq!(said(443), "connected", "{address}");
            assert_eq!(said(53), "connected", "{address}");
            assert_eq!(said(80), "errno 111", "{address}");
            assert_eq!(said(host_port), "errno 111", "{address}");
        }
        assert_eq!(bench.says(&["connect", "93.184.216.34:443"]), "errno 13");
        assert_eq!(
            bench.says_with(&["loopback"], with_port),
            "errno 13",
            "nothing of the program's own listens"
        );
    }
}

#[test]
fn the_doors_are_measured_and_the_walls_stay() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let mut plan = bench.probe(&["descriptors"]);
        plan.ports = vec![8443, 443];
        let driven = bench.drive(&plan);
        let enforced = driven.enforced.unwrap();
        assert_eq!(enforced.listening, [53, 443, 8443]);
        assert_eq!(enforced.missing(Feature::DEFAULT_REQUIRED), []);
        assert!(enforced.routes.is_empty(), "{:?}", enforced.routes);
        let sealed = bench.drive(&bench.probe(&["echo"]));
        assert!(sealed.enforced.unwrap().listening.is_empty());
    }
}

#[test]
fn names_are_asked_for_at_the_doors() {
    for caller in everybody() {
        let bench = Bench::new(caller);
        let resolver = |ports: Vec<u16>| bench.says_with(&["read", "/etc/resolv.conf"], |plan| plan.ports = ports);
        assert_eq!(resolver(vec![443]), "nameserver 127.0.0.1");
        assert_eq!(resolver(vec![]), "");
    }
}

//! Networks and sockets without a grant, and with one: run as root and as an ordinary user.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::bench::{Bench, everybody};
use cofferdam_sandbox::Plan;

#[test]
fn there_is_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    TcpStream::connect(address).unwrap();
    for caller in everybody() {
        let bench = Bench::new(caller);
        let said = bench.says(&["connect", &address.to_string()]);
        assert!(said == "errno 13" || said == "errno 101", "{said}");
        let said = bench.says(&["connect", "169.254.169.254:80"]);
        assert!(said == "errno 13" || said == "errno 101", "{said}");
    }
}

#[test]
fn the_own_loopback_connects_inside_and_to_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for caller in everybody() {
        let bench = Bench::new(caller);
        // Refused by nobody listening there, not by a rule: the loopback is another one.
        assert_eq!(
            bench.says_with(&["connect", &address], |plan| plan.loopback = true),
            "errno 111"
        );
        assert_eq!(
            bench.says_with(&["connect", "10.0.0.1:80"], |plan| plan.loopback = true),
            "errno 101"
        );
        assert_eq!(bench.says_with(&["loopback"], |plan| plan.loopback = true), "connected");
        assert_eq!(bench.says(&["loopback"]), "errno 13");
    }
}

#[test]
fn a_socket_is_connected_to_when_it_is_named_and_no_other_is() {
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;
    for caller in everybody() {
        let bench = Bench::new(caller);
        let folder = bench.folder("sockets");
        let (named, other) = (folder.join("named"), folder.join("other"));
        for path in [&named, &other] {
            let listener = UnixListener::bind(path).unwrap();
            // Open to everybody, so that only the compartment stands between.
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    stream.and_then(|mut stream| stream.write_all(b"hello")).unwrap();
                }
            });
        }
        let connect = |path: &std::path::Path, grant: &dyn Fn(&mut Plan)| {
            bench.says_with(&["unix", path.to_str().unwrap()], |plan| grant(plan))
        };
        assert_eq!(bench.says_outside(&["unix", other.to_str().unwrap()]), "hello");
        let nothing = |plan: &mut Plan| plan.read.push(folder.clone());
        assert_eq!(connect(&named, &nothing), "errno 1");
        let one = |plan: &mut Plan| {
            plan.read.push(folder.clone());
            plan.sockets.push(named.clone());
        };
        assert_eq!(connect(&named, &one), "hello", "{caller:?}");
        assert_eq!(
            connect(&other, &one),
            "errno 13",
            "{caller:?}: in the same granted folder"
        );
        let alone = |plan: &mut Plan| plan.sockets.push(named.clone());
        assert_eq!(connect(&named, &alone), "hello", "{caller:?}");
        assert_eq!(connect(&other, &alone), "errno 2");
        // What commands the machine is refused by name, and by where a link leads.
        let engine = folder.join("docker.sock");
        let _listener = UnixListener::bind(&engine).unwrap();
        let link = bench.path("innocent");
        symlink(&engine, &link).unwrap();
        for path in [engine, link] {
            let mut plan = bench.probe(&["echo"]);
            plan.sockets.push(path);
            let driven = bench.drive(&plan);
            assert_eq!(driven.code, 125);
            assert!(driven.stderr.contains("control of the host"), "{}", driven.stderr);
        }
    }
}

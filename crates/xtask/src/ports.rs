//! Who holds a TCP port: from the kernel's socket tables to the process that has the socket open.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

/// `None` when `port` is free on all addresses, else a sentence about what holds it.
pub(crate) fn holder(port: u16) -> Option<String> {
    let bound = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|error| match error.kind() {
        ErrorKind::AddrInUse | ErrorKind::PermissionDenied => Err(error),
        _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
    });
    let error = bound.err()?;
    if error.kind() != ErrorKind::AddrInUse {
        return Some(format!("port {port} cannot be opened: {error}"));
    }
    let inodes = listening_inodes(port);
    Some(match processes_with(&inodes).as_slice() {
        [] => format!(
            "port {port} is taken, by a process that this user may not look at (`sudo ss -ltnp` names it)"
        ),
        holders => format!("port {port} is taken by {}", holders.join(" and ")),
    })
}

/// Inodes of the sockets that listen on `port`.
fn listening_inodes(port: u16) -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| inode_listening_on(port, line)).collect::<Vec<_>>())
        .collect()
}

/// The inode in one line of `/proc/net/tcp`, when that socket listens on `port`.
fn inode_listening_on(port: u16, line: &str) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (_, hex_port) = fields.nth(1)?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let listens = state == LISTEN && u16::from_str_radix(hex_port, 16) == Ok(port);
    listens.then(|| inode.to_owned())
}

/// `name (pid N)` of each process that has one of the sockets open.
fn processes_with(inodes: &[String]) -> Vec<String> {
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|process| {
            let pid: u32 = process.file_name().to_str()?.parse().ok()?;
            let open = fs::read_dir(process.path().join("fd")).ok()?;
            let mut targets = open.flatten().filter_map(|file| fs::read_link(file.path()).ok());
            targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str())).then(|| {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                format!("{} (pid {pid})", name.trim_end())
            })
        })
        .collect()
}

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_this_process_holds_is_told_with_its_name_and_pid() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        let told = holder(port).expect("taken");
        assert!(told.starts_with(&format!("port {port} is taken by xtask")), "{told}");
        assert!(told.contains(&format!("(pid {})", std::process::id())), "{told}");
        drop(socket);
        assert_eq!(holder(port), None);
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let line = "   0: 00000000:1F93 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1";
        assert_eq!(inode_listening_on(8083, line), Some("4242".to_owned()));
        assert_eq!(inode_listening_on(8084, line), None);
        assert_eq!(inode_listening_on(8083, &line.replace(" 0A ", " 01 ")), None);
        assert_eq!(inode_listening_on(8083, "  sl  local_address rem_address   st"), None);
    }
}

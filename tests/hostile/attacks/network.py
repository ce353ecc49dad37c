"""The network: there is none but a loopback of the run's own."""

import fcntl
import os
import socket
import struct

from .harness import Facts, attack

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914


def _connect(family: int, address: object) -> object:
    with socket.socket(family) as client:
        client.settimeout(3)
        client.connect(address)
        return True


@attack()
def service_on_the_hosts_loopback(facts: Facts) -> object:
    return _connect(socket.AF_INET, ("127.0.0.1", facts["port"]))


@attack()
def service_on_the_hosts_loopback_by_its_name(facts: Facts) -> object:
    return bool(socket.create_connection(("localhost", facts["port"]), timeout=3))


@attack()
def service_at_address_0(facts: Facts) -> object:
    return _connect(socket.AF_INET, ("0.0.0.0", facts["port"]))


@attack()
def abstract_socket_of_the_host(facts: Facts) -> object:
    return _connect(socket.AF_UNIX, f"\0{facts['abstract']}")


@attack()
def socket_in_a_folder_of_the_host(facts: Facts) -> object:
    return _connect(socket.AF_UNIX, facts["unix_socket"])


@attack(may_lack=True)
def socket_of_docker(_: Facts) -> object:
    return _connect(socket.AF_UNIX, "/var/run/docker.sock")


@attack(may_lack=True)
def socket_of_containerd(_: Facts) -> object:
    return _connect(socket.AF_UNIX, "/run/docker/containerd/containerd.sock")


@attack(outside=False)
def address_in_the_internet(_: Facts) -> object:
    return _connect(socket.AF_INET, ("192.0.2.1", 80))


@attack(outside=False)
def address_in_the_internet_by_ipv6(_: Facts) -> object:
    return _connect(socket.AF_INET6, ("2001:db8::1", 80))


@attack(outside=False)
def metadata_of_the_cloud(_: Facts) -> object:
    return _connect(socket.AF_INET, ("169.254.169.254", 80))


@attack(outside=False)
def bridge_of_docker(_: Facts) -> object:
    return _connect(socket.AF_INET, ("172.17.0.1", 22))


@attack(outside=False)
def names_of_the_internet(_: Facts) -> object:
    return socket.gethostbyname("practicum.example")


@attack(outside=False)
def datagram_to_a_resolver(_: Facts) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"x", ("192.0.2.53", 53))


@attack(outside=False)
def datagram_to_everybody(_: Facts) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return sender.sendto(b"x", ("255.255.255.255", 9))


@attack(may_lack=True)
def interface_of_the_host(_: Facts) -> object:
    return [name for _, name in socket.if_nameindex() if name != "lo"]


@attack(may_lack=True)
def route_of_the_host(_: Facts) -> object:
    with open("/proc/net/route") as file:
        return file.readlines()[1:]


@attack()
def listeners_of_the_host(facts: Facts) -> object:
    with open("/proc/net/tcp") as file:
        return f":{facts['port']:04X} " in file.read()


@attack()
def names_of_the_hosts_sockets(facts: Facts) -> object:
    with open("/proc/net/unix") as file:
        return facts["abstract"] in file.read()


@attack()
def change_an_interface(_: Facts) -> object:
    """Sets the flags that it has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sH14x", b"lo", 0)
        has = fcntl.ioctl(control, SIOCGIFFLAGS, asked)
        fcntl.ioctl(control, SIOCSIFFLAGS, has)
        return True


@attack()
def mark_packets(_: Facts) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, 36, 1)
        return True


@attack()
def speak_for_other_addresses(_: Facts) -> object:
    with socket.socket(socket.AF_INET) as sender:
        sender.setsockopt(socket.SOL_IP, 19, 1)
        return True


@attack()
def widen_a_buffer_past_the_limit(_: Facts) -> object:
    with socket.socket(socket.AF_INET) as sender:
        sender.setsockopt(socket.SOL_SOCKET, 33, 1 << 20)  # SO_RCVBUFFORCE
        return True


@attack()
def same_network_as_the_host(facts: Facts) -> object:
    return os.readlink("/proc/self/ns/net") == facts["ns"]["net"]

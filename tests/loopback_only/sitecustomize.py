"""Python imports this as it starts, where this folder is on its path: from then on no socket leaves the machine.

Whatever would speak to, listen for or look up another machine raises `LeftTheMachine`, in this process and in every
Python that it starts. Sockets that other languages open by themselves (the kernels' ZeroMQ) are not seen from here.
"""

import ipaddress
import os
import socket
import sys

NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
ADDRESSED = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
LOOKED_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


class LeftTheMachine(PermissionError):
    """Something wanted to speak to another machine, or to be spoken to by one."""


def stay(event: str, arguments: tuple) -> None:
    """An audit hook (PEP 578)."""
    if event in ADDRESSED:
        address = arguments[1]
        host = (
            address[0] if isinstance(address, tuple) else None
        )  # else it is a file's name, or none
    elif event in LOOKED_UP:
        host = arguments[0]
    else:
        return
    if host is not None and not is_here(host, looked_up=event in LOOKED_UP):
        raise LeftTheMachine(
            f"{event} to {host!r}: nothing in this project may leave the machine unasked"
        )


def is_here(host: str | bytes, looked_up: bool) -> bool:
    """A loopback address or a name of one; this machine's own name may be looked up, and no more."""
    host = host.decode() if isinstance(host, bytes) else host
    if host in NAMES or (looked_up and host == socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if os.environ.get("SEAPKG_TESTS_ONLINE") != "1":
    sys.addaudithook(stay)

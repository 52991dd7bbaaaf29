"""Sockets of kinds that nobody needs, and the administration of a network. What packets can do: the network's own tests."""
import fcntl
import os
import socket
import struct

from attack import done, theme

cannot = theme('Sockets and the network')
ROOTS_ONLY = 'filter capabilities'
NO_FAMILY = 'not every kernel has it; the walk over all of them has a control'


def opens(family, kind, protocol=0):
    return lambda: socket.socket(family, kind, protocol).close()


def every_family():
    """Beginning with one that each kernel has: in the control, no other is asked for, which might load modules."""
    for family in sorted(set(range(64)) - {0, 1, 2, 10, 16}, key=lambda one: one != 17):
        for kind in (1, 2, 3, 4, 5):
            try:
                socket.socket(family, kind, 0).close()
                return [family]
            except OSError:
                continue
    return []


cannot('open a socket of any family but unix, IPv4, IPv6 and netlink', 'F27', 'nothing', every_family, without=ROOTS_ONLY)
for name, family, kind in (('AF_ALG (CVE-2026-31431)', 38, 5), ('AF_RXRPC (CVE-2026-43500)', 33, 2), ('AF_KEY', 15, 3),
                           ('AF_VSOCK', 40, 1), ('AF_TIPC', 30, 1), ('AF_XDP', 44, 3), ('AF_BLUETOOTH', 31, 3), ('AF_CAN', 29, 3)):
    cannot(f'open a socket of {name}', 'F27', 'EAFNOSUPPORT', opens(family, kind), because=NO_FAMILY)
cannot('see every packet by AF_PACKET', 'F27 N05', 'EAFNOSUPPORT', opens(17, 3), without=ROOTS_ONLY)
cannot('open a socket of AF_PACKET with bits above the family', 'F27 N05', 'EAFNOSUPPORT',
       done('socket', 0x100000011, 3, 0), without=ROOTS_ONLY)
for name, protocol, is_everywhere in (('the sockets of all', 4, True), ('IPsec (CVE-2026-43284)', 6, False),
                                      ('netfilter', 12, False), ('audit', 9, False), ('events of devices', 15, True),
                                      ('any generic family', 16, True)):
    how = {'without': ROOTS_ONLY} if is_everywhere else {'because': NO_FAMILY}
    cannot(f'ask the kernel by netlink about {name}', 'F27', 'EPROTONOSUPPORT', opens(16, 3, protocol), **how)
for name, kind, protocol in (('SCTP', 1, 132), ('DCCP', 6, 33), ('L2TP', 2, 115)):
    cannot(f'have a socket of {name}', 'F27', 'EPROTONOSUPPORT', opens(2, kind, protocol), because=NO_FAMILY)
cannot('have a socket of UDP-Lite', 'F27', 'EPROTONOSUPPORT', opens(2, 2, 136), without='filter', control='succeeded|EPROTONOSUPPORT')
cannot('send packets of its own making over IPv4', 'N05', 'EPERM', opens(2, 3, 1), without='capabilities')
cannot('send packets of its own making over IPv6', 'N05', 'EPERM', opens(10, 3, 58), without='capabilities')

# ── administration, by netlink ──

NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 1, 4, 0x400
RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWRULE = 16, 20, 24, 32


def attribute(kind, value):
    return struct.pack('HH', 4 + len(value), kind) + value + b'\0' * (-len(value) % 4)


def asks(kind, body):
    def asks_kernel():
        with socket.socket(16, 3, 0) as one:
            text = struct.pack('IHHII', 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0) + body
            one.send(text)
            error = -struct.unpack('i', one.recv(4096)[16:20])[0]
            if error:
                raise OSError(error, os.strerror(error))
    return asks_kernel


LO = 1
FOREIGN = socket.inet_aton('192.0.2.9')
ADDRESS = struct.pack('4BI', 2, 32, 0, 0, LO) + attribute(1, FOREIGN) + attribute(2, FOREIGN)
ROUTE = struct.pack('8BI', 2, 32, 0, 0, 254, 3, 253, 1, 0) + attribute(1, FOREIGN) + attribute(4, struct.pack('I', LO))
RULE = struct.pack('8BI', 2, 0, 0, 0, 254, 0, 0, 1, 0)
cannot('take an address', 'N07', 'EPERM', asks(RTM_NEWADDR, ADDRESS), without='capabilities')
cannot('make a route', 'N07', 'EPERM', asks(RTM_NEWROUTE, ROUTE), without='capabilities')
cannot('make a rule of routing', 'N07', 'EPERM', asks(RTM_NEWRULE, RULE), without='capabilities')
cannot('rename a device or switch it', 'N07', 'EPERM', asks(RTM_NEWLINK, struct.pack('BBHiII', 0, 0, 0, LO, 0, 0)),
       without='capabilities')


def interface(request, flags=0):
    return lambda: fcntl.ioctl(socket.socket(2, 2, 0), request, struct.pack('16sh14x', b'lo', flags))


cannot('have a device receive what is for others (promiscuous)', 'N05', 'EPERM', interface(0x8914, 0x149), without='capabilities')
cannot('give a device another hardware address', 'N06', 'EPERM', interface(0x8924), without='capabilities',
       control='EOPNOTSUPP|EINVAL|EADDRNOTAVAIL')


def option(level, name, value=1, family=socket.AF_INET, kind=socket.SOCK_DGRAM):
    return lambda: socket.socket(family, kind).setsockopt(level, name, value)


for what, level, name in (('send from any address (IP_TRANSPARENT)', 0, 19),
                          ('mark its packets for rules of the host (SO_MARK)', 1, 36),
                          ('have more waiting for it than others (SO_RCVBUFFORCE)', 1, 33),
                          ('have more on its way than others (SO_SNDBUFFORCE)', 1, 32), ('go before others (SO_PRIORITY)', 1, 12)):
    cannot(what, 'N06' if level == 0 else 'R04', 'EPERM', option(level, name, 7 if name == 12 else 1), without='capabilities')
cannot('repair a TCP connection to what it likes (TCP_REPAIR)', 'N06', 'EPERM', option(6, 19, 1, kind=socket.SOCK_STREAM),
       without='capabilities')
cannot('replace tables of the firewall (CVE-2021-22555)', 'N15', 'EPERM', option(0, 64, b'\0' * 96),
       because='it would load the tables of iptables into this machine')
cannot('set policies of IPsec by a socket', 'F27', 'EPERM|ENOPROTOOPT|EOPNOTSUPP', option(0, 17, b'\0' * 168), because=NO_FAMILY)

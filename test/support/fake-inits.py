"""Stands for many inits in one process: N network namespaces with a tun each, and N sockets that answer FETCH.

argv: directory, count, frame (hex), prefix ("10.77"). Makes DIRECTORY/0 … and answers whatever comes there with the
frame and the tun of that number, whose address is prefix.0.2 onwards, with a /16. Prints the descriptors of the
namespaces as a line of JSON, for nsenter --net=/proc/PID/fd/FD, and serves until its stdin ends or it is killed.
No system call filters: a thousand of these are as safe as one.
"""
import ctypes, fcntl, json, os, selectors, socket, struct, sys

directory, count, frame, prefix = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3]), sys.argv[4]
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x1, 0x1000, 0x4000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFTXQLEN = 0x8916, 0x891C, 0x8913, 0x8914, 0x8943
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def ask(control, request, name, value):
    return fcntl.ioctl(control, request, struct.pack("16s24s", name, value))


def up(control, name):
    ask(control, SIOCSIFFLAGS, name, struct.pack("h", 0x41))


def set_address(control, request, text):
    ask(control, request, b"uwsgi0", struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(text)))


def make(number):
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"uwsgi0", flags))
    fcntl.ioctl(tun, TUNSETVNETHDRSZ, struct.pack("i", 12))
    fcntl.ioctl(tun, TUNSETOFFLOAD, 0x0F)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        ask(control, SIOCSIFTXQLEN, b"uwsgi0", struct.pack("i", 500))
        set_address(control, SIOCSIFADDR, f"{prefix}.{(number + 2) >> 8}.{(number + 2) & 255}")
        set_address(control, SIOCSIFNETMASK, "255.255.0.0")
        up(control, b"lo")
        up(control, b"uwsgi0")
    return tun, os.open("/proc/self/ns/net", os.O_RDONLY)


os.chdir(directory)
selector = selectors.DefaultSelector()
namespaces = []
for number in range(count):
    tun, namespace = make(number)
    namespaces.append(namespace)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(number))
    listener.listen(64)
    selector.register(listener, selectors.EVENT_READ, tun)
selector.register(sys.stdin, selectors.EVENT_READ)
print(json.dumps(namespaces), flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is sys.stdin:
            sys.exit()
        elif key.data >= 0:
            connection, _ = key.fileobj.accept()
            selector.register(connection, selectors.EVENT_READ, ~key.data)
        else:
            connection = key.fileobj
            if connection.recv(4096):
                socket.send_fds(connection, [frame], [~key.data])
            selector.unregister(connection)
            connection.close()

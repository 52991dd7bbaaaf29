"""Somebody with something of each kind that nobody else may have. Says in a file that it is ready, and in another who came.

victim.py NAME READY CONTACTS PORT [host]     NAME is in its words, for who looks for it; on a host it makes no files
"""
import ctypes
import os
import select
import signal
import socket
import sys

name, ready, contacts, port = sys.argv[1:5]
is_host = sys.argv[5:] == ['host']
libc = ctypes.CDLL(None)
KEY, IPC_CREAT = 0x5EED, 0o1000


def note(what):
    with open(contacts, 'a') as file:
        file.write(what + '\n')


for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda which, _: note(f'signal {which}'))
open(contacts, 'w').close()
sockets = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET), socket.socket(socket.AF_INET6),
           socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
sockets[0].bind('\0canary-of-emperor-tests')
sockets[2].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
for one, address in zip(sockets[1:], ('127.0.0.1', '::1', '127.0.0.1')):
    one.bind((address, int(port)))
if not is_host:
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[-1].bind('/run/canary')
    sockets.append(socket.socket(socket.AF_UNIX))
    home_socket = os.path.join(os.environ['HOME'], 'socket')
    if os.path.exists(home_socket):
        os.unlink(home_socket)
    sockets[-1].bind(home_socket)
    os.chmod(home_socket, 0o777)
    for path in ('/dev/shm/canary', '/tmp/canary'):
        open(path, 'w').close()
    assert libc.shmget(KEY, 4096, IPC_CREAT | 0o600) >= 0 and libc.semget(KEY, 1, IPC_CREAT | 0o600) >= 0
    assert libc.msgget(KEY, IPC_CREAT | 0o600) >= 0
    assert libc.syscall(240, b'canary', os.O_CREAT | os.O_RDWR, 0o600, None) >= 0
for one in sockets:
    if one.type == socket.SOCK_STREAM:
        one.listen(16)
with open(ready + '.new', 'w') as file:
    file.write(str(os.getpid()))
os.rename(ready + '.new', ready)
while True:
    for one in select.select(sockets, [], [])[0]:
        if one.type == socket.SOCK_DGRAM:
            _, sender = one.recvfrom(1)
            one.sendto(b'!', sender)
        else:
            one.accept()[0].close()
        note(f'contact by {one.getsockname()!r}')

"""Answers TCP and UDP at port 7 of all addresses with what came."""
import selectors, socket

selector = selectors.DefaultSelector()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 7))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", 7))
listener.listen(16)
for one in (datagrams, listener):
    selector.register(one, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is datagrams:
            payload, sender = datagrams.recvfrom(65536)
            datagrams.sendto(payload, sender)
        elif key.fileobj is listener:
            selector.register(listener.accept()[0], selectors.EVENT_READ)
        else:
            payload = key.fileobj.recv(65536)
            if payload:
                key.fileobj.sendall(payload)
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()

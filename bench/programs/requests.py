"""Asks the web server at 127.0.0.1:8000 for its page, as a browser does, each 10 ms for so many seconds: `requests.py
SECONDS`. Prints the milliseconds within which 99 of 100 whole answers came, connection included."""
import http.client
import sys
import time

PAUSE_S = 0.01


def request():
    since = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", 8000)
    connection.request("GET", "/")
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(answer.status)
    answer.read()
    connection.close()
    return (time.monotonic() - since) * 1000


took = []
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    took.append(request())
    time.sleep(PAUSE_S)
print(sorted(took)[int(len(took) * 0.99)])

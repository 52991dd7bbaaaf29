"""Makes the attempts of this directory, each in a process of its own.

  attacker.py list                 tells all of them as JSON
  attacker.py table                tells them as the table of docs/security.md
  attacker.py run SETTING RESULTS  makes those that SETTING names, and writes how each ended, a line of JSON each

SETTING is a file of JSON: `attempts` (what they are called), `world` (WORLD of attack.py), `timeout` (seconds), and in
controls `uid` (whom to become after what prepares an attempt, or null). RESULTS appears when all is done.
With `step` behind it each name is said on stdout when it is done, and the next begins when a line is read.
"""
import os
import sys

def open_now():
    """Numbers of the open descriptors; what lists them is closed by then."""
    return {int(fd) for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')}


#: What came with the process: nothing has been opened yet.
INHERITED = open_now()
BEGAN_AT = os.open('.', os.O_PATH | os.O_CLOEXEC)

import errno
import json
import select
import signal
import tempfile
import time
import traceback

from attack import ATTEMPTS, WORLD, libc
import mounts, files, identity, init, processes, neighbours, network, calls, limits  # each notes its attempts
from table import table

PR_SET_DUMPABLE = 4


def become(uid):
    """Somebody without rights who may get them again, unlike a tenant."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def outcome_of(attempt, setting):
    if setting.get('control'):
        if attempt.prepare:
            attempt.prepare()
        if setting.get('uid'):
            become(setting['uid'])
    try:
        result = attempt.attack()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno)), str(error)
    is_nothing = result is False or (hasattr(result, '__len__') and len(result) == 0)
    return ('nothing' if is_nothing else 'succeeded'), repr(result)


def in_child(attempt, setting, writer):
    try:
        WORLD['opened'] = open_now() - INHERITED
        os.chdir(tempfile.mkdtemp(dir='/tmp'))
        outcome, detail = outcome_of(attempt, setting)
    except BaseException:
        outcome, detail = 'broken', traceback.format_exc()
    os.write(writer, json.dumps([outcome, detail[-2000:]]).encode() + b'\n')
    os._exit(0)


def read_line(reader, timeout):
    text, deadline = b'', time.monotonic() + timeout
    while not text.endswith(b'\n'):
        if not select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
            return None
        part = os.read(reader, 4096)
        if not part:
            break
        text += part
    return text


def tried(attempt, setting):
    """How an attempt ends: what, and more about it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        in_child(attempt, setting, writer)
    os.close(writer)
    text = read_line(reader, setting['timeout'])
    os.close(reader)
    if text is None:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if text is None:
        return 'hangs', ''
    if text:
        return json.loads(text)
    return (signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else 'broken'), f'status {status}'


def run(setting_file, results, *options):
    with open(setting_file) as file:
        setting = json.load(file)
    WORLD.update(setting['world'], began_at=BEGAN_AT)
    chosen = {attempt.what: attempt for attempt in ATTEMPTS}
    with open(results + '.part', 'w') as out:
        for what in setting['attempts']:
            outcome, detail = tried(chosen[what], setting)
            out.write(json.dumps({'what': what, 'outcome': outcome, 'detail': detail}) + '\n')
            out.flush()
            if 'step' in options:
                print(what, flush=True)
                sys.stdin.readline()
    os.rename(results + '.part', results)


def tell():
    keys = ('theme', 'what', 'ids', 'answer', 'without', 'control', 'because')
    print(json.dumps([{key: getattr(attempt, key) for key in keys} for attempt in ATTEMPTS]))


if __name__ == '__main__':
    {'list': tell, 'table': lambda: print(table(ATTEMPTS), end=''), 'run': run}[sys.argv[1]](*sys.argv[2:])

/** What processes say of themselves to init: sd_notify's datagrams and a line end, from friends and from others. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { SlotNotice, StartRequest } from '../../src/jail/init-client.ts';
import { logLines, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

let w: World;
const { vassal } = useJails('n', (given) => {
  w = given;
});

interface Heard {
  readonly jail: TestJail;
  readonly notices: readonly SlotNotice[];
  /** Starts `notifies WORDS` and resolves when it has said all; returns the slot. */
  say(words: readonly string[], changes: Partial<StartRequest>): Promise<bigint>;
}

async function listening(): Promise<Heard> {
  const jail = await vassal();
  const notices: SlotNotice[] = [];
  jail.init.onEvent((event) => event.kind === 'notice' && notices.push(event.notice));
  const say: Heard['say'] = async (words, changes) => {
    const before = said(jail).length;
    const { slot } = await jail.start(['/bin/notifies', ...words], changes);
    await until('it has said all', () => said(jail).length > before);
    await jail.init.hello({ subscribe: true });
    return slot;
  };
  return { jail, notices, say };
}

const textsOf = (jail: TestJail) => logLines(w.logOf(jail.plan.name)).map(({ text }) => text);
const said = (jail: TestJail) => textsOf(jail).filter((text) => text === 'said');
const readySlots = async (jail: TestJail) =>
  (await jail.init.list()).filter(({ isReady }) => isReady).map(({ slot }) => slot);

describe('READY=1', () => {
  test('is told once for the slot that said it, and listed', async () => {
    const { jail, notices, say } = await listening();
    const slot = await say(['STATUS=x\nREADY=1\nX=1', 'READY=1'], { notify: 'notify' });
    await say([''], { notify: 'notify' });
    expect(notices).toEqual([{ slot, what: 'ready' }]);
    expect(await readySlots(jail)).toEqual([slot]);
  });

  test.each([
    ['in other words', ['READY=0', 'READY=11', ' READY=1', 'ready=1', 'XREADY=1', '\n\n', '']],
    ['behind what is read of one message', ['long']],
    ['on a descriptor without a line end', ['fd:READY=1']],
  ])('is not heard %s', async (_, words) => {
    const { jail, notices, say } = await listening();
    await say(words, { notify: words[0]?.startsWith('fd') ? 'fd' : 'notify' });
    expect(notices).toEqual([]);
    expect(await readySlots(jail)).toEqual([]);
  });

  test('may bring descriptors, which init does not keep', async () => {
    const { jail, notices, say } = await listening();
    const descriptors = () => readdirSync(`/proc/${jail.pid}/fd`).length;
    await say([], { notify: 'notify' });
    const before = descriptors();
    const slot = await say(['pass', 'pass', 'pass'], { notify: 'notify' });
    expect(notices).toEqual([{ slot, what: 'ready' }]);
    // A socket and two pipes for output.
    expect(descriptors() - before).toBe(3);
  });

  test('is not believed of another user who reaches the socket', async () => {
    const { jail, notices, say } = await listening();
    const slot = await say([], { notify: 'notify' });
    const name = textsOf(jail)
      .map((text) => /^socket @(\S+)$/.exec(text)?.[1])
      .find(Boolean);
    const send = (uid: number) =>
      execFileSync('nsenter', [
        `--net=/proc/${jail.pid}/ns/net`,
        ...['setpriv', `--reuid=${uid}`, '--clear-groups', '/usr/bin/python3', '-c'],
        `import socket; socket.socket(1, 2).sendto(b'READY=1', '\\0' + '${name}')`,
      ]);
    const uid = (await jail.init.hello({ subscribe: true })).uid;
    send(0);
    send(uid + 1);
    await jail.init.hello({ subscribe: true });
    expect(notices).toEqual([]);
    send(uid);
    await until('it is heard', () => notices.length === 1);
    expect(notices).toEqual([{ slot, what: 'ready' }]);
  });
});

test('a line end on descriptor 3 is READY=1; nothing else of init is open there', async () => {
  const { jail, notices, say } = await listening();
  const slot = await say(['fd:half', 'fd: a line\n', 'fd:\n', 'fd:more'], { notify: 'fd' });
  await until('it is told', () => notices.length > 0);
  expect(notices).toEqual([{ slot, what: 'ready' }]);
  expect(textsOf(jail)[0]).toBe('socket none');
  await say(['fd:x\n'], {});
  expect(textsOf(jail).filter((text) => /Bad file descriptor/.test(text))).toHaveLength(1);
  expect(notices).toHaveLength(1);
});

test('the socket goes with its process', async () => {
  const { jail, say } = await listening();
  const count = () => readdirSync(`/proc/${jail.pid}/fd`).length;
  const before = count();
  const slot = await say([], { notify: 'notify', watchdogMs: 60_000 });
  await jail.init.signal(slot, 9);
  await until('it has ended', () => count() === before);
});

describe('the watchdog', () => {
  test('tells of silence again and again, from the start on', async () => {
    const { notices, say } = await listening();
    const slot = await say([], { watchdogMs: 150 });
    await until('twice', () => notices.length === 2);
    expect(notices[1]).toEqual({ slot, what: 'silent' });
  });

  test('does not count before READY=1 where that is waited for, and heartbeats begin it no sooner', async () => {
    const { notices, say } = await listening();
    await say(['WATCHDOG=1'], { watchdogMs: 100, notify: 'notify' });
    const slot = await say(['READY=1'], { watchdogMs: 100, notify: 'notify' });
    await until('silence', () => notices.length >= 3);
    expect(notices.every((notice) => notice.slot === slot)).toBe(true);
  });

  test('a flood of heartbeats is one heartbeat, and keeps init from nothing', async () => {
    const { jail, notices, say } = await listening();
    const { slot } = await jail.start(['/bin/notifies', 'flood:200000'], { watchdogMs: 60_000 });
    const asked = performance.now();
    for (let i = 0; i < 50; i += 1) await jail.init.hello({ subscribe: true });
    expect(performance.now() - asked).toBeLessThan(patienceMs(5000));
    await until('the flood is over', () => said(jail).length === 1);
    expect(notices).toEqual([]);
    expect(await readySlots(jail)).toEqual([]);
    await jail.init.signal(slot, 9);
    await say(['READY=1'], { notify: 'notify' });
    expect(notices).toHaveLength(1);
  });
});

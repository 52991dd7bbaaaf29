/** Descriptors over connections of their own: from an init and a launcher that are honest, and from peers that are not. */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { Scope } from '../../src/base/scope.ts';
import type { Patience } from '../../src/jail/ask-for-descriptor.ts';
import { fetchTun } from '../../src/jail/fetch-descriptor.ts';
import { encodeFrame } from '../../src/jail/frames.ts';
import { dropDescriptor, getDescriptor, putDescriptor } from '../../src/jail/kept-descriptors.ts';
import { TAG, VERB } from '../../src/jail/wire.ts';
import { Poller } from '../../src/linux/poller.ts';
import { descriptorPeer } from '../support/descriptor-peer.ts';
import { type World, world } from '../support/world.ts';

let poller: Poller;
const scope = new Scope();
beforeAll(() => {
  poller = scope.add(Poller.start(), (one) => one.close());
});
afterAll(() => scope.close());

const patience = (deadlineMs = 5000): Patience => ({ poller, clock: systemClock, deadlineMs });
const openDescriptors = () => readdirSync('/proc/self/fd').length;
const frame = (verb: number, id = 1) => encodeFrame({ verb, id, fields: [[TAG.NAME, 'uwsgi0']] });

describe('fetchTun() from a hostile init', () => {
  let directory: string;
  let inner: Scope;
  beforeEach(() => {
    inner = new Scope();
    directory = mkdtempSync(join(tmpdir(), 'emperor-fetch-'));
  });
  afterEach(async () => {
    await inner.close();
    rmSync(directory, { recursive: true });
  });

  const OK = frame(VERB.OK);
  const refusal = encodeFrame({
    verb: VERB.ERROR,
    id: 1,
    fields: [
      [TAG.ERRNO, 2],
      [TAG.DETAIL, 'no\u001b[31m tun'],
    ],
  });

  test.each([
    ['a descriptor that is no tun', OK, 1, 'system-call', 'no tun, ENOTTY'],
    ['none', OK, 0, 'system-call', 'it sent 0 descriptors, not 1'],
    ['two', OK, 2, 'system-call', 'it sent 2 descriptors, not 1'],
    ['more than are taken', OK, 200, 'system-call', 'too many descriptors'],
    ['the answer to another request', frame(VERB.OK, 7), 1, 'system-call', 'answers request 7'],
    ['another verb', frame(VERB.WELCOME), 1, 'system-call', 'answers with verb 66'],
    ['a refusal with a descriptor', refusal, 1, 'system-call', 'ENOENT (no\\x1b[31m tun)'],
    ['no frame', Buffer.alloc(64, 0xff), 1, 'system-call', 'is too long'],
    ['half a frame', OK.subarray(0, 9), 1, 'timeout', 'no answer came in time'],
    ['silence', Buffer.alloc(0), 0, 'timeout', 'no answer came in time'],
  ])('closes what came: %s', async (_, answer, descriptors, code, text) => {
    const path = join(directory, 'init.sock');
    inner.add(await descriptorPeer(path, { answer, descriptors }), (peer) => peer.close());
    const before = openDescriptors();
    await expect(fetchTun(path, patience(500))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(text),
    });
    expect(openDescriptors()).toBe(before);
    expect(poller.size).toBe(0);
  });

  test('that hangs up does not keep anybody waiting', async () => {
    const path = join(directory, 'init.sock');
    const behaviour = { answer: Buffer.alloc(0), descriptors: 0, hangsUp: true };
    inner.add(await descriptorPeer(path, behaviour), (peer) => peer.close());
    await expect(fetchTun(path, patience())).rejects.toMatchObject({
      code: 'system-call',
      message: expect.stringContaining('it hung up'),
    });
  });

  test('that is not there is told at once', async () => {
    const before = openDescriptors();
    await expect(fetchTun(join(directory, 'none'), patience())).rejects.toMatchObject({
      code: 'not-reachable',
      message: expect.stringContaining('ENOENT'),
    });
    expect(openDescriptors()).toBe(before);
  });

  test('of which there are 60 delays none of the others', async () => {
    const silent = join(directory, 'silent');
    const other = join(directory, 'other');
    const answers = { [silent]: Buffer.alloc(0), [other]: OK };
    for (const [path, answer] of Object.entries(answers)) {
      inner.add(await descriptorPeer(path, { answer, descriptors: 1 }), (peer) => peer.close());
    }
    const told: string[] = [];
    const attempt = (path: string, deadlineMs: number) =>
      fetchTun(path, patience(deadlineMs)).catch(({ code }) => told.push(code));
    const slow = Array.from({ length: 60 }, () => attempt(silent, 1500));
    await Promise.all(Array.from({ length: 60 }, () => attempt(other, 1500)));
    expect(new Set(told)).toEqual(new Set(['system-call']));
    await Promise.all(slow);
    expect(told.filter((code) => code === 'timeout')).toHaveLength(60);
  });
});

describe('the descriptors that the launcher keeps', () => {
  let w: World;
  let socket: string;
  beforeAll(async () => {
    w = scope.add(await world(), (one) => one.close());
    await w.launcher();
    socket = join(w.paths.run, 'launcher.sock');
  });

  /** Opens a directory of its own, so that it can be told from others. */
  const openFresh = (name: string) => {
    const path = join(w.directory, name);
    mkdirSync(path);
    return { path, fd: openSync(path, 'r') };
  };
  const isOpenAt = (fd: number | null, path: string) =>
    fd !== null && fstatSync(fd).ino === statSync(path).ino;

  test('are put, got as often as wanted, replaced and dropped', async () => {
    const before = openDescriptors();
    const one = openFresh('one');
    const other = openFresh('other');
    expect(await getDescriptor(socket, 'emperor0', patience())).toBeNull();
    await putDescriptor(socket, { name: 'emperor0', fd: one.fd }, patience());
    for (const [opened, wanted] of [
      [await getDescriptor(socket, 'emperor0', patience()), one.path],
      [await getDescriptor(socket, 'emperor0', patience()), one.path],
    ] as const) {
      expect(isOpenAt(opened, wanted)).toBe(true);
      if (opened !== null) closeSync(opened);
    }
    await putDescriptor(socket, { name: 'emperor0', fd: other.fd }, patience());
    const replaced = await getDescriptor(socket, 'emperor0', patience());
    expect(isOpenAt(replaced, other.path)).toBe(true);
    if (replaced !== null) closeSync(replaced);
    await dropDescriptor(socket, 'emperor0', patience());
    await dropDescriptor(socket, 'emperor0', patience());
    expect(await getDescriptor(socket, 'emperor0', patience())).toBeNull();
    for (const { fd } of [one, other]) closeSync(fd);
    expect(openDescriptors()).toBe(before);
  });

  test('have a name', async () => {
    const { fd } = openFresh('unnamed');
    await expect(putDescriptor(socket, { name: '', fd }, patience())).rejects.toMatchObject({
      code: 'system-call',
      message: expect.stringContaining('EINVAL (a descriptor without a name)'),
    });
    closeSync(fd);
  });
});

/** What whoever may open the socket can say there: each gets an answer or is hung up on, and nobody else notices. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../../../src/api/client.ts';
import { PATHS } from '../../../src/api/paths.ts';
import { ROUTES } from '../../../src/api/routes.ts';
import { type ApiServer, type Bounds, startServer } from '../../../src/api/server.ts';
import { isVassalName } from '../../../src/config/names.ts';
import { type TestGovernor, testGovernor } from '../../support/governor.ts';
import { until } from '../../support/wait.ts';

let directory: string;
let path: string;
let governor: TestGovernor;
let server: ApiServer;
let bugs: unknown[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-hostile-'));
  path = join(directory, 'emperor.sock');
  bugs = [];
});
afterEach(async () => {
  // It serves on, has done nothing that it was not told to, and what it was sent is no bug of its own.
  expect(await new ApiClient(path).list()).toHaveLength(3);
  expect(governor.orders).toEqual([]);
  expect(bugs).toEqual([]);
  await server.close();
  rmSync(directory, { recursive: true });
});

async function serve(options: { of?: TestGovernor; bounds?: Bounds } = {}): Promise<void> {
  governor = options.of ?? testGovernor({});
  server = await startServer({
    ...{ governor, socketPath: path, group: null, mode: 0o600 },
    onBug: (error) => bugs.push(error),
    ...(options.bounds && { bounds: options.bounds }),
  });
}

/** Sends bytes and returns all that comes back until the other side hangs up. */
async function say(...parts: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect();
  for (const part of parts) socket.write(part);
  return heard(socket);
}

function connect(): Socket {
  const socket = createConnection(path);
  // It is hung up on while it speaks.
  socket.on('error', () => {});
  return socket;
}

const heard = (socket: Socket) => text(socket).catch(() => 'hung up');

const request = (method: string, target: string, ...headers: readonly string[]) =>
  `${[`${method} ${target} HTTP/1.1`, 'host: x', 'connection: close', ...headers].join('\r\n')}\r\n\r\n`;

const NAMES = [
  ...[
    '..%2f..%2fetc',
    '%2e%2e',
    '..',
    '.',
    '%2e',
    'blog%00',
    '%00',
    'blog%0a',
    'blog%2f',
    '%2fetc',
  ],
  ...[
    'BLOG',
    '-blog',
    '.blog',
    '_blog',
    'blo%C3%B6g',
    '%EF%BC%8E%EF%BC%8E',
    'blog%20',
    'blog;x',
    'blog%5c..',
  ],
  ...['emperor.log', '__proto__', 'a'.repeat(64), 'a'.repeat(1000), 'a'.repeat(5000)],
  ...['%ff', '%zz', '%', '%25%32%65', '*', ':name'],
];

test('no route passes on what is no name of a vassal', async () => {
  const asked: unknown[] = [];
  const of = new Proxy(testGovernor({}), {
    get: (target, key, receiver) => {
      const value: unknown = Reflect.get(target, key, receiver);
      if (typeof value !== 'function') return value;
      return (...args: readonly unknown[]) => {
        asked.push(args[0]);
        return Reflect.apply(value, target, args);
      };
    },
  });
  await serve({ of });
  const routes = ROUTES.filter((route) => route.path.includes(':name'));
  expect(routes.length).toBeGreaterThan(10);
  for (const { method, path: template } of routes) {
    for (const name of NAMES) {
      const answer = await say(request(method, template.replace(':name', name)));
      expect([method, template, name, answer]).toEqual([
        ...[method, template, name],
        expect.stringMatching(/^HTTP\/1\.1 (400|404|414) .*"code":"(no-such-|bad-usage)/s),
      ]);
    }
  }
  expect(asked.filter((name) => typeof name === 'string' && !isVassalName(name))).toEqual([]);
  await say(request('GET', PATHS.vassal.replace(':name', 'blog')));
  expect(asked).toContain('blog');
});

const LIST = PATHS.vassals;
const SHUTDOWN = PATHS.shutdown;
const CHUNKED = 'transfer-encoding: chunked';
const JSON_BODY = 'content-type: application/json';

describe('is refused:', () => {
  test.each<readonly [string, readonly (string | Buffer)[]]>([
    ['a header without end', [`GET ${LIST} HTTP/1.1\r\nx: `, 'x'.repeat(100_000)]],
    [
      'too many headers',
      [request('GET', LIST, ...Array.from({ length: 3000 }, (_, n) => `x${n}: 1`))],
    ],
    ['a path without end', [`GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`]],
    [
      'a body that is too large',
      [request('POST', SHUTDOWN, JSON_BODY, 'content-length: 20000'), 'x'.repeat(20_000)],
    ],
    [
      'a body that says it is too large',
      [request('POST', SHUTDOWN, JSON_BODY, 'content-length: 99999999999')],
    ],
    [
      'a body of another kind',
      [request('POST', SHUTDOWN, 'content-type: text/xml', 'content-length: 1'), 'x'],
    ],
    ['a length that is none', [request('POST', SHUTDOWN, 'content-length: -1')]],
    ['two lengths', [request('POST', SHUTDOWN, 'content-length: 0', 'content-length: 5'), '     ']],
    ['a length and chunks', [request('POST', SHUTDOWN, 'content-length: 3', CHUNKED), '0\r\n\r\n']],
    [
      'chunks that are none',
      [request('POST', SHUTDOWN, JSON_BODY, CHUNKED), 'zz\r\nx\r\n0\r\n\r\n'],
    ],
    [
      'a chunk that is larger than it says',
      [request('POST', SHUTDOWN, JSON_BODY, CHUNKED), '1\r\nxxxx\r\n0\r\n\r\n'],
    ],
    [
      'chunks without end',
      [
        request('POST', SHUTDOWN, JSON_BODY, CHUNKED),
        '1000\r\n'.padEnd(4102, 'x'),
        ...Array.from({ length: 100 }, () => `\r\n1000\r\n${'x'.repeat(4096)}`),
      ],
    ],
    [
      'a line that another one hides in',
      [`GET ${LIST} HTTP/1.1\r\nhost: x\r\nx: 1\nPOST ${SHUTDOWN} HTTP/1.1\r\n\r\n`],
    ],
    ['NUL in a header', [request('GET', LIST, 'x: a\0b')]],
    ['a target with NUL', [`GET ${LIST}\0 HTTP/1.1\r\nhost: x\r\n\r\n`]],
    ['another version of HTTP', ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']],
    ['the greeting of TLS', [Buffer.from('16030100a5010000a10303', 'hex')]],
    ['bytes of any kind', [Buffer.alloc(5000, 0xff)]],
    ['a tunnel', [request('CONNECT', 'localhost:80')]],
    ['a method that is none', [request('HACK', LIST)]],
    ['a path that leads elsewhere', [request('GET', '/v1/vassals/../stats')]],
    ['a path beside the root', [request('GET', `//v1/vassals`)]],
    [
      'JSON that nests without end',
      [
        request('POST', PATHS.firewallCheck, JSON_BODY, 'content-length: 1000000'),
        '['.repeat(1_000_000),
      ],
    ],
    [
      'JSON that would change what objects are',
      [
        request('POST', PATHS.firewallCheck, JSON_BODY, 'content-length: 30'),
        '{"__proto__":{"questions":[]}}',
      ],
    ],
  ])('%s', async (_, parts) => {
    await serve();
    const answer = await say(...parts);
    expect(answer).toMatch(/^(HTTP\/1\.1 4\d\d |hung up$|$)/);
    expect(answer.match(/HTTP\/1\.1 /g)?.length ?? 0).toBeLessThan(2);
  });
});

describe('is answered as if it had not been there:', () => {
  test.each([
    [
      'the wish for a websocket',
      ['connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'],
    ],
    ['the wish for HTTP/2', ['upgrade: h2c', 'http2-settings: AAMAAABk']],
    ['another host', ['host: evil.example']],
    ['where it comes from', ['origin: http://evil.example', 'x-forwarded-for: 127.0.0.1']],
    ['another method', ['x-http-method-override: DELETE']],
  ])('%s', async (_, headers) => {
    await serve();
    const socket = connect();
    socket.write(`${[`GET ${LIST} HTTP/1.1`, 'host: x', ...headers].join('\r\n')}\r\n\r\n`);
    let seen = '';
    socket.on('data', (chunk) => {
      seen += chunk;
    });
    await until(
      'it is answered',
      () => /"name":"shop".*\]/s.test(seen) || /HTTP\/1\.1 4/.test(seen),
    );
    expect(seen).toMatch(/^HTTP\/1\.1 (200|400) /);
    expect(seen).not.toMatch(/access-control|101 Switching/i);
    socket.destroy();
  });
});

describe('who', () => {
  const bounds: Bounds = { connections: 20, arrivalMs: 1000 };

  test.each<readonly [string, string]>([
    ['says nothing', ''],
    ['sends half of a head', `GET ${LIST} HTTP/1.1\r\nhost:`],
    ['sends half of a body', request('POST', SHUTDOWN, JSON_BODY, 'content-length: 9')],
    ['sends half of a chunk', `${request('POST', SHUTDOWN, JSON_BODY, CHUNKED)}5\r\nab`],
  ])('%s is hung up on, while others are served', async (_, half) => {
    await serve({ bounds });
    const slow = connect();
    slow.write(half);
    const answer = heard(slow);
    expect(await new ApiClient(path).list()).toHaveLength(3);
    expect(await answer).toMatch(/^(HTTP\/1\.1 4|hung up$|$)/);
  });

  test('drips a byte at a time is hung up on as soon', async () => {
    await serve({ bounds });
    const slow = connect();
    const drip = setInterval(() => slow.write('x: y\r\n'), 20);
    slow.write(`GET ${LIST} HTTP/1.1\r\nhost: x\r\n`);
    try {
      expect(await heard(slow)).toMatch(/^(HTTP\/1\.1 4|hung up$|$)/);
    } finally {
      clearInterval(drip);
    }
  });

  test('comes when all connections are taken is hung up on, and served when one is free', async () => {
    await serve({ bounds: { ...bounds, arrivalMs: 60_000 } });
    const many = Array.from({ length: 20 }, connect);
    await until('all are connected', () => many.every(({ connecting }) => !connecting));
    await until('no more are taken', async () => {
      const late = connect();
      late.write(request('GET', LIST));
      return !(await heard(late)).startsWith('HTTP');
    });
    for (const socket of many) socket.destroy();
    await until('somebody is served', async () =>
      (await say(request('GET', LIST))).startsWith('HTTP/1.1 200'),
    );
  });

  test('sends a request behind another gets both answers, in order', async () => {
    await serve();
    const socket = connect();
    socket.write(`GET ${LIST} HTTP/1.1\r\nhost: x\r\n\r\n${request('GET', PATHS.stats)}`);
    expect(await heard(socket)).toMatch(
      /^HTTP\/1\.1 200 .*"name":"shop".*HTTP\/1\.1 200 .*"version"/s,
    );
  });
});

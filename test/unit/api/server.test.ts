/** The API over a real unix socket: server and client, with a Governor that runs nothing. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../../../src/api/client.ts';
import { type ApiServer, startServer } from '../../../src/api/server.ts';
import { EmperorError } from '../../../src/base/errors.ts';
import type { Governor } from '../../../src/emperor/governor.ts';
import { type TestGovernor, testGovernor } from '../../support/governor.ts';
import { until } from '../../support/wait.ts';

let directory: string;
let server: ApiServer | null = null;
let bugs: unknown[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-api-'));
  bugs = [];
});
afterEach(async () => {
  await server?.close();
  server = null;
  rmSync(directory, { recursive: true });
});

async function serve(
  changes: Partial<Governor> = {},
  path = join(directory, 'emperor.sock'),
): Promise<{ client: ApiClient; governor: TestGovernor; path: string }> {
  const governor = testGovernor(changes);
  server = await startServer({
    governor,
    socketPath: path,
    group: null,
    mode: 0o600,
    onBug: (error) => bugs.push(error),
  });
  return { client: new ApiClient(path), governor, path };
}

interface Raw {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly text: string;
}

function ask(socketPath: string, method: string, path: string, body = ''): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const headers = body === '' ? {} : { 'content-type': 'application/json' };
    const sent = request({ socketPath, method, path, headers, agent: false }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, type: response.headers['content-type'], text });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const codeOf = (error: unknown) => (error instanceof EmperorError ? error.code : error);

describe('the API', () => {
  test('answers what the Governor answers', async () => {
    const { client, governor } = await serve();
    expect((await client.list()).map(({ name }) => name)).toEqual(['bad', 'blog', 'shop']);
    expect(await client.status('blog')).toEqual(await governor.status('blog'));
    expect(await client.file('blog')).toEqual({ file: '/vassals/blog.ini', text: '[vassal]\n' });
    expect(await client.stats()).toEqual(await governor.stats());
    expect(await client.resolved('blog')).toHaveLength(1);
    expect(await client.wait('blog', { conditions: ['running'], timeoutMs: 1 })).toEqual({
      outcome: 'met',
      condition: 'running',
    });
  });

  test('passes every order on, by its own route', async () => {
    const { client, governor } = await serve();
    for (const action of ['start', 'stop', 'restart', 'reload', 'freeze', 'thaw'] as const) {
      await client.act('blog', action);
    }
    await client.purge('gone');
    await client.rescan();
    await client.shutdown({ stopVassals: true });
    expect(governor.orders).toEqual([
      'start blog',
      'stop blog',
      'restart blog',
      'reload blog',
      'freeze blog',
      'thaw blog',
      'purge gone',
      'rescan',
      'shutdown true',
    ]);
  });

  test('shows the bytes of a jail plan as base64', async () => {
    const { client } = await serve();
    const { steps } = await client.jailPlan('blog');
    expect(steps).toEqual([{ op: 'seccomp', filter: 'AQID' }]);
  });

  test('gives the metrics to Prometheus', async () => {
    const { path } = await serve();
    const answer = await ask(path, 'GET', '/metrics');
    expect(answer).toMatchObject({ status: 200, type: expect.stringMatching(/^text\/plain/) });
    expect(answer.text).toMatch(/^emperor_vassal_up\{vassal="blog"\} 1$/m);
  });

  test('tells of the network, and without one that there is none', async () => {
    const { client, path } = await serve();
    await expect(client.network()).rejects.toMatchObject({ code: 'not-supported' });
    expect(await ask(path, 'GET', '/v1/network')).toMatchObject({ status: 501 });
    expect(await client.vassalNetwork('blog')).toMatchObject({ name: 'blog', device: null });
    await expect(client.vassalNetwork('nobody')).rejects.toMatchObject({ code: 'no-such-vassal' });
  });

  test('asks the firewall many questions at once, and refuses what are none', async () => {
    const { client, path } = await serve();
    const questions = Array.from({ length: 5000 }, (_, i) => `${i}`.padEnd(200, 'é'));
    expect(await client.checkFirewall(questions)).toHaveLength(5000);
    const bodies = [undefined, '', '[]', '{"questions":"a"}', '{"questions":[7]}', '{'];
    for (const body of [...bodies, JSON.stringify({ questions: ['x'.repeat(201)] })]) {
      const answer = await ask(path, 'POST', '/v1/firewall/check', body);
      expect(answer.status, body).toBe(400);
    }
    const tooMany = client.checkFirewall([...questions, 'a b']);
    await expect(tooMany).rejects.toMatchObject({ code: 'bad-usage' });
  });

  test('loads no compiler of schemas, which no route has', async () => {
    await serve();
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    expect(loaded.filter((file) => file.includes('/node_modules/fastify/'))).not.toEqual([]);
    expect(loaded.filter((file) => /\/(ajv|fast-json-stringify-compiler)\//.test(file))).toEqual(
      [],
    );
  });

  test('takes a long socket path', async () => {
    const deep = join(directory, 'd'.repeat(100), 'e'.repeat(100));
    mkdirSync(deep, { recursive: true });
    const { client } = await serve({}, join(deep, 'emperor.sock'));
    expect(await client.list()).toHaveLength(3);
  });

  test('replaces a stale socket, and has the mode that was asked for', async () => {
    const path = join(directory, 'emperor.sock');
    writeFileSync(path, '');
    await serve({}, path);
    const stat = statSync(path);
    expect(stat.isSocket()).toBe(true);
    expect(stat.mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(['emperor.sock']);
  });

  test.runIf(process.getuid?.() === 0)(
    'is for a group where one is given, which may pass through run-dir and not read it',
    async () => {
      const path = join(directory, 'emperor.sock');
      chmodSync(directory, 0o700);
      server = await startServer({
        ...{ governor: testGovernor({}), socketPath: path, group: 54_321, mode: 0o660 },
        onBug: (error) => bugs.push(error),
      });
      const rightsOf = (place: string) => {
        const { mode, uid, gid } = statSync(place);
        return [(mode & 0o777).toString(8), uid, gid];
      };
      expect(rightsOf(path)).toEqual(['660', 0, 54_321]);
      expect(rightsOf(directory)).toEqual(['710', 0, 54_321]);
    },
  );

  test('leaves the socket of its successor alone when it closes', async () => {
    const { path } = await serve();
    const first = server;
    const { client } = await serve({}, path);
    await first?.close();
    expect(await client.list()).toHaveLength(3);
  });
});

describe('errors', () => {
  test('keep code, message and diagnostics on their way to the client', async () => {
    const diagnostic = {
      file: 'f',
      line: 1,
      column: 2,
      severity: 'error',
      code: 'c',
      message: 'm',
    } as const;
    const { client } = await serve({
      act: async () => {
        throw new EmperorError('conflict', 'Cannot stop blog: it is iced', {
          diagnostics: [diagnostic],
        });
      },
    });
    const error = await client.act('blog', 'stop').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'conflict',
      message: 'Cannot stop blog: it is iced',
      diagnostics: [diagnostic],
    });
  });

  test.each([
    ['GET', '/v1/vassals/nobody', 404, 'no-such-vassal'],
    ['GET', '/v1/vassals/..%2f..%2fetc', 404, 'no-such-vassal'],
    ['GET', `/v1/vassals/${'a'.repeat(300)}`, 404, 'no-such-vassal'],
    ['GET', '/v1/vassals/%zz', 400, 'bad-usage'],
    ['GET', '/v1/nothing', 404, 'no-such-route'],
    ['DELETE', '/v1/vassals/blog', 404, 'no-such-route'],
    ['GET', '/v1/vassals/blog/wait?for=never', 400, 'bad-usage'],
    ['GET', '/v1/vassals/blog/wait', 400, 'bad-usage'],
    ['GET', '/v1/events?since=yesterday', 400, 'bad-usage'],
    ['POST', '/v1/shutdown?stopVassals=perhaps', 400, 'bad-usage'],
  ])('%s %s is %i %s, in JSON', async (method, target, status, code) => {
    const { path } = await serve();
    const answer = await ask(path, method, target);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code } });
    expect(bugs).toEqual([]);
  });

  test('a body is bounded', async () => {
    const { path } = await serve();
    const answer = await ask(path, 'POST', '/v1/rescan', JSON.stringify('x'.repeat(100_000)));
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'bad-usage' } });
  });

  test('what is no HTTP is answered in JSON too, and hurts nobody', async () => {
    const { path, client } = await serve();
    const socket = createConnection(path);
    socket.end('GARBAGE\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(text).toMatch(/^HTTP\/1\.1 400 .*"code":"bad-usage"/s);
    expect(await client.list()).toHaveLength(3);
  });

  test('a bug is told to the emperor and is 500 for the client', async () => {
    const bug = new TypeError('x is not a function');
    const { path } = await serve({
      stats: () => {
        throw bug;
      },
    });
    expect((await ask(path, 'GET', '/v1/stats')).status).toBe(500);
    expect(bugs).toEqual([bug]);
  });
});

describe('the client', () => {
  test('says that nobody listens: no file, or a stale one', async () => {
    const path = join(directory, 'emperor.sock');
    const client = new ApiClient(path);
    expect(codeOf(await client.list().catch((error: unknown) => error))).toBe('not-reachable');
    const stale = createServer().listen(path);
    await until('it listens', () => stale.listening);
    // Closed without its file being removed, as by SIGKILL.
    const { _handle } = stale as unknown as { _handle: { close(): void } };
    writeFileSync(`${path}.kept`, '');
    _handle.close();
    expect(codeOf(await client.list().catch((error: unknown) => error))).toBe('not-reachable');
  });

  test('says that the emperor ended while it was asked', async () => {
    const path = join(directory, 'emperor.sock');
    const dying = createServer((socket) => socket.destroy()).listen(path);
    await until('it listens', () => dying.listening);
    const error = await new ApiClient(path).list().catch((thrown: unknown) => thrown);
    expect(codeOf(error)).toBe('not-reachable');
    dying.close();
  });
});

describe('events', () => {
  const event = (id: number, at: string) => ({ id, at, event: 'state', vassal: 'blog' });

  test('past ones are there at once', async () => {
    const { client, governor } = await serve();
    governor.emit(event(1, '2026-01-01T00:00:00.000Z'));
    governor.emit(event(2, '2026-01-02T00:00:00.000Z'));
    const ids = async (since: string | null) => {
      const found: number[] = [];
      for await (const { id } of client.events({ since, follow: false })) found.push(id);
      return found;
    };
    expect(await ids(null)).toEqual([1, 2]);
    expect(await ids('2026-01-01T12:00:00.000Z')).toEqual([2]);
  });

  test('new ones come as they happen, until the server closes', async () => {
    const { client, governor } = await serve();
    governor.emit(event(1, '2026-01-01T00:00:00.000Z'));
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { id } of client.events({ since: null, follow: true })) seen.push(id);
    })();
    let id = 1;
    await until('an event arrives', () => {
      id += 1;
      governor.emit(event(id, '2026-01-03T00:00:00.000Z'));
      return seen.length > 0;
    });
    expect(seen).not.toContain(1);
    await server?.close();
    server = null;
    await reading;
  });

  test('closing the server ends waits at once', async () => {
    let asked = false;
    const { client } = await serve({
      wait: () => {
        asked = true;
        return new Promise(() => {});
      },
    });
    const waiting = client
      .wait('blog', { conditions: ['gone'], timeoutMs: 60_000 })
      .catch((thrown: unknown) => thrown);
    await until('the wait has begun', () => asked);
    const started = performance.now();
    await server?.close();
    server = null;
    expect(codeOf(await waiting)).toBe('not-reachable');
    expect(performance.now() - started).toBeLessThan(900);
  });

  test('a reader that does not read is cut off, and nobody else', async () => {
    const { path, governor, client } = await serve();
    const socket = createConnection(path);
    socket.pause();
    socket.write('GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n');
    await until('it listens', () => governor.listeners() === 1);
    const text = 'x'.repeat(100_000);
    for (let sent = 0; governor.listeners() > 0 && sent < 100_000_000; sent += text.length) {
      governor.emit({ ...event(1, ''), text });
      expect(await client.list()).toHaveLength(3);
    }
    expect(governor.listeners()).toBe(0);
    socket.destroy();
  });
});

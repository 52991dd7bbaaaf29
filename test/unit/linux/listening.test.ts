import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { hasListener, isListening } from '../../../src/linux/listening.ts';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const line = (local: string, state: string, uid: number) =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000 ${uid}        0 4711 1\n`;

test('hasListener() wants the port, the state and the owner of one line', () => {
  const text = HEAD + line('0100007F:1F90', '0A', 5) + line('0100007F:0051', '01', 5);
  expect(hasListener(text, { port: 8080, uid: 5 })).toBe(true);
  expect(hasListener(text, { port: 8080, uid: 6 })).toBe(false);
  expect(hasListener(text, { port: 81, uid: 5 })).toBe(false);
  expect(hasListener(text, { port: 80, uid: 5 })).toBe(false);
  const six = HEAD + line('00000000000000000000000001000000:0050', '0A', 0);
  expect(hasListener(six, { port: 80, uid: 0 })).toBe(true);
});

test.each(['127.0.0.1', '::1'])(
  'isListening() finds a real listener on %s, while there is one',
  async (host) => {
    const uid = process.getuid?.() ?? -1;
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(0, host, resolve));
    const { port } = server.address() as { port: number };
    expect(await isListening(process.pid, { port, uid })).toBe(true);
    expect(await isListening(process.pid, { port, uid: uid + 1 })).toBe(false);
    await new Promise((resolve) => void server.close(resolve));
    expect(await isListening(process.pid, { port, uid })).toBe(false);
    expect(await isListening(2 ** 30, { port, uid })).toBe(false);
  },
);

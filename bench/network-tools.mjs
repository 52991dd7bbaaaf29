// What is measured between two namespaces of a NetworkWorld: bulk TCP and small UDP by iperf3, round trips by ping,
// requests and responses by programs/rr.c. Each returns one figure of one short run; null where nothing came through.
import { join } from 'node:path';
import { sleep, until } from './world.mjs';

/** @typedef {{from: string, to: string, address: string, seconds: number}} Run */

/** Bits a second that arrive over one TCP connection, and segments that were sent again. */
export async function bulk(world, run) {
  const end = await iperf(world, run, []);
  if (!end?.sum_received) return null;
  return { rate: end.sum_received.bits_per_second, retransmits: end.sum_sent.retransmits };
}

/** UDP datagrams of 64 bytes that arrive in a second of as many as can be sent. */
export async function smallPackets(world, run) {
  const end = await iperf(world, run, ['--udp', '--bitrate', '0', '--length', '64']);
  if (!end?.sum) return null;
  return (end.sum.packets - end.sum.lost_packets) / end.sum.seconds;
}

/** Milliseconds there and back, mean of 200 pings. */
export async function roundTrip(world, { from, address }) {
  const ping = ['ping', '-n', '-q', '-c', '200', '-i', '0.002', '-W', '1', address];
  const mean = /= [\d.]+\/([\d.]+)\//.exec(await world.printedBy(from, ping))?.[1];
  return mean === undefined ? null : Number(mean);
}

/** Requests of one byte that are answered in a second, one after another. */
export async function exchanges(world, { from, to, address, seconds }) {
  const program = join(world.opt, 'rr');
  const server = world.begin(to, [program, address]);
  try {
    await sleep(150);
    const text = await world.printedBy(from, [
      'timeout',
      `${seconds + 5}`,
      program,
      address,
      `${seconds}`,
    ]);
    return Number.isFinite(Number.parseFloat(text)) ? Number.parseFloat(text) : null;
  } finally {
    await world.end(server);
  }
}

async function iperf(world, { from, to, address, seconds }, options) {
  const server = world.begin(to, [
    'iperf3',
    '--server',
    '--one-off',
    '--bind',
    address,
    '--forceflush',
  ]);
  try {
    const isListening = () => server.text.includes('listening') || server.exitCode !== null;
    await until(isListening, 'iperf3 listens', 20_000, 10);
    if (server.exitCode !== null) throw new Error(`iperf3 in ${to}: ${server.text}`);
    const limit = ['timeout', `${seconds + 8}`];
    const client = ['iperf3', '--client', address, '--time', `${seconds}`, '--json', ...options];
    const { output } = await world.ending(from, [...limit, ...client]);
    return parsed(output)?.end;
  } finally {
    await world.end(server);
  }
}

/** Undefined where iperf3 was cut off. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

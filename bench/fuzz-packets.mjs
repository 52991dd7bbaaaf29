#!/usr/bin/env node
// npm run fuzz:packets: random packets, whole ones that were changed a little, and streams of uWSGI's frames, through
// what reads them: forwarding.ts, uwsgi-wire.ts, uwsgi-forwarding.ts. Fails where one throws, where what stands after
// a packet changes its verdict, where one is forwarded that is not from its sender's own address, or where one is
// neither forwarded nor counted, once, as dropped.
//
// node bench/fuzz-packets.mjs [--count=10000000] [--seed=N]    a failure names the seed that shows it again
import { strict as assert } from 'node:assert';
import { parseAddress } from '../dist/firewall/address.js';
import { networkOf, parseCidr } from '../dist/firewall/prefix.js';
import { parseRule } from '../dist/firewall/rule.js';
import { COLUMN, COLUMNS, DROP_REASONS } from '../dist/router/counters.js';
import { DROPPED, Forwarding, HOST } from '../dist/router/forwarding.js';
import { countChains, gateOf } from '../dist/router/gates.js';
import { sharedCounters } from '../dist/router/uwsgi-counters.js';
import * as uwsgi from '../dist/router/uwsgi-forwarding.js';
import { FrameReader, MAX_FRAME_BYTES, Remainder } from '../dist/router/uwsgi-wire.js';

const option = (name, otherwise) =>
  Number(process.argv.find((word) => word.startsWith(`--${name}=`))?.split('=')[1] ?? otherwise);
const COUNT = option('count', 10_000_000);
const SEED = option('seed', Date.now() % 2 ** 31);

/** Marsaglia's xorshift: what is tried is to cost more than the dice. */
let state = SEED | 1;
function below(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

const VASSALS = 8;
const PREFIX4 = '10.99.0.0/24';
const rules = [
  'deny 10.99.0.2 10.99.0.3',
  'deny fd00:99::2 fd00:99::3',
  'allow 0.0.0.0 10.99.0.0/25',
];
const chain = { rules: rules.map((text) => parseRule(text).rule), policy: 'allow' };
const address4 = (slot) => parseAddress(`10.99.0.${slot + 1}`);
const address6 = (slot) => parseAddress(`fd00:99::${slot + 1}`);
const bytesOf = ({ words }) =>
  words.flatMap((word) => [24, 16, 8, 0].map((bit) => (word >>> bit) & 255));
const slots = Array.from({ length: VASSALS + 1 }, (_, slot) => slot);
const OWN4 = slots.map((slot) => bytesOf(address4(slot)));
const OWN6 = slots.map((slot) => bytesOf(address6(slot)));

// Addresses that packets go to and come from: those of vassals and host, nobody's, multicast, the world's.
const PLACES4 = [
  ...OWN4,
  ...['10.99.0.77', '224.0.0.1', '255.255.255.255', '0.0.0.0', '203.0.113.9'].map((text) =>
    bytesOf(parseAddress(text)),
  ),
];
const PLACES6 = [
  ...OWN6,
  ...['fd00:99::77', 'ff02::1', 'fe80::1', '::', '2001:db8::1'].map((text) =>
    bytesOf(parseAddress(text)),
  ),
];

/** What is tried stands at START, with room for a packet and for what could be read after it. */
const START = 12;
const MOST_BYTES = 1500;
const AFTER_BYTES = 64;
const bytes = new Uint8Array(START + MOST_BYTES + AFTER_BYTES);

/** Writes a packet that may be nearly right, mostly from `slot`; returns its length. */
function packet(slot) {
  if (below(16) === 0) return noise(below(MOST_BYTES));
  const isV4 = below(2) === 0;
  const headerBytes = isV4 ? 20 : 40;
  const length = headerBytes + below(64);
  bytes.fill(0, START, START + length);
  const from = isV4 ? PLACES4 : PLACES6;
  const source = below(8) === 0 ? from[below(from.length)] : from[slot];
  const destination = from[below(from.length)];
  if (isV4) {
    bytes[START] = 0x45;
    bytes[START + 3] = length;
    bytes[START + 8] = 64;
  } else {
    bytes[START] = 0x60;
    bytes[START + 5] = length - headerBytes;
    bytes[START + 7] = 64;
  }
  bytes.set(source, START + (isV4 ? 12 : 8));
  bytes.set(destination, START + (isV4 ? 16 : 24));
  return changed(length);
}

function noise(length) {
  for (let i = 0; i < length; i += 1) bytes[START + i] = below(256);
  return length;
}

function changed(length) {
  for (let count = below(2) * below(4); count > 0; count -= 1) {
    bytes[START + below(Math.min(length, 48))] = below(256);
  }
  return below(8) === 0 ? below(length + 24) : length;
}

/** What `decide` says of the packet, whatever stands after it. */
function verdictOf(length, decide) {
  bytes.fill(0, START + length, START + length + AFTER_BYTES);
  const verdict = decide();
  bytes.fill(0xff, START + length, START + length + AFTER_BYTES);
  assert.equal(decide(), verdict, 'what stands after a packet changes its verdict');
  return verdict;
}

function isFrom(slot) {
  const [at, own] = bytes[START] >> 4 === 4 ? [12, OWN4[slot]] : [8, OWN6[slot]];
  return own.every((byte, i) => bytes[START + at + i] === byte);
}

function makeForwarding() {
  const counters = new Float64Array((VASSALS + 1) * COLUMNS);
  const forwarding = new Forwarding(counters);
  const counted = countChains({ in: chain, out: chain });
  forwarding.attach(HOST, { address4: null, address6: null, row: 0, gate: null });
  for (const slot of slots.slice(1)) {
    const own = { address4: address4(slot), address6: address6(slot) };
    forwarding.attach(slot, { ...own, row: slot, gate: gateOf(own, [counted]) });
  }
  const network = (text) => {
    const cidr = parseCidr({ text, offset: 0 });
    return { prefix: networkOf(cidr), host: cidr.address };
  };
  forwarding.setNetworks({ network4: network('10.99.0.1/24'), network6: network('fd00:99::1/64') });
  const drops = () => {
    let sum = 0;
    for (let row = 0; row <= VASSALS; row += 1) {
      for (let i = 0; i < DROP_REASONS.length; i += 1)
        sum += counters[row * COLUMNS + COLUMN.drops + i];
    }
    return sum;
  };
  return { forwarding, drops };
}

function fuzzForwarding(count) {
  const { forwarding, drops } = makeForwarding();
  let dropped = 0;
  for (let i = 0; i < count; i += 1) {
    const from = below(VASSALS + 1);
    const length = packet(from);
    const to = verdictOf(length, () => forwarding.forward(bytes, START, length, from));
    if (to === DROPPED) dropped += 2;
    else assert(to >= HOST && to <= VASSALS && to !== from, `${to} is no slot to forward to`);
    if (to !== DROPPED && from !== HOST)
      assert(isFrom(from), 'a packet of another address is forwarded');
  }
  assert.equal(drops(), dropped, 'packets were dropped and not counted, or counted twice');
  return { packets: count, forwarded: count - dropped / 2 };
}

function makeUwsgi() {
  const counters = sharedCounters();
  const network = parseCidr({ text: PREFIX4.replace('.0/', '.1/'), offset: 0 });
  const forwarding = new uwsgi.UwsgiForwarding({
    network,
    owners: [],
    counters,
    onOwner: () => {},
  });
  const denials = () => new Float64Array(chain.rules.length + 1);
  forwarding.setChains({ in: chain, out: chain }, { in: denials(), out: denials() });
  for (const slot of slots) forwarding.open(slot, { uid: slot, pid: slot });
  return forwarding;
}

function fuzzUwsgiPackets(count) {
  const forwarding = makeUwsgi();
  let forwarded = 0;
  for (let i = 0; i < count; i += 1) {
    const from = 1 + below(VASSALS);
    const length = packet(from);
    const isFromDevice = below(8) === 0;
    const to = verdictOf(length, () =>
      isFromDevice
        ? forwarding.fromDevice(bytes, START, length)
        : forwarding.fromClient(bytes, START, length, from),
    );
    assert(to >= uwsgi.DROPPED && to <= VASSALS, `${to} is no slot to forward to`);
    if (to !== uwsgi.DROPPED) forwarded += 1;
  }
  return { packets: count, forwarded };
}

/** Writes a frame into `stream` at `at`, whose size may be wrong; returns where it ends. */
function writeFrame(stream, at) {
  const isRules = below(16) === 0;
  const length = isRules ? 24 * below(8) + below(2) * below(4) : packet(1 + below(VASSALS));
  const size = below(512) === 0 ? below(65_536) : length;
  stream.set([below(256), size & 255, size >> 8, isRules ? 1 : below(256)], at);
  if (isRules) for (let i = 0; i < length; i += 1) stream[at + 4 + i] = below(3);
  else stream.set(bytes.subarray(START, START + length), at + 4);
  return at + 4 + length;
}

const READ_BYTES = 16_384;

/** Frames of one connection, in portions that end anywhere. */
function fuzzFrames(count) {
  const forwarding = makeUwsgi();
  const reader = new FrameReader(new Uint8Array(MAX_FRAME_BYTES + READ_BYTES));
  const stream = new Uint8Array(2 * READ_BYTES);
  const found = { packet: 0, rules: 0, prelude: 0, 'empty-frame': 0, 'oversized-frame': 0 };
  const remainder = new Remainder();
  const frames = () => Object.values(found).reduce((sum, one) => sum + one, 0);
  while (frames() < count) {
    let end = 0;
    if (below(8) === 0) end += write(stream, 'uwsgi-tuntap');
    while (end < READ_BYTES) end = writeFrame(stream, end);
    for (let at = 0, isOpen = true; at < end && isOpen; ) {
      const portion = Math.min(end - at, 1 + below(4000));
      reader.bytes.set(stream.subarray(at, at + portion), reader.begin(remainder));
      reader.arrived(portion);
      at += portion;
      isOpen = takeFrames({ reader, forwarding, found, remainder });
    }
  }
  return found;
}

/** False: the stream is at fault, and its connection was closed. */
function takeFrames({ reader, forwarding, found, remainder }) {
  for (;;) {
    const kind = reader.next();
    if (kind === 'partial') {
      reader.hold(remainder);
      return true;
    }
    found[kind] += 1;
    const { start, length } = reader;
    if (kind === 'packet') {
      assert(start + length <= reader.bytes.length, 'a frame beyond the buffer');
      forwarding.fromClient(reader.bytes, start, length, 1);
    } else if (kind === 'rules') {
      forwarding.takeRules(1, reader.bytes, { start, length });
    } else if (kind !== 'prelude') {
      forwarding.close(1, kind);
      forwarding.open(1, { uid: 1, pid: 1 });
      remainder.reset();
      return false;
    }
  }
}

function write(stream, text) {
  return new TextEncoder().encodeInto(text, stream).written;
}

try {
  console.log(`seed ${SEED}`);
  console.log('forwarding.ts', fuzzForwarding(Math.round(COUNT * 0.5)));
  console.log('uwsgi-forwarding.ts', fuzzUwsgiPackets(Math.round(COUNT * 0.25)));
  console.log('uwsgi-wire.ts', fuzzFrames(Math.round(COUNT * 0.25)));
} catch (error) {
  console.error(`seed ${SEED} shows this again:`);
  throw error;
}

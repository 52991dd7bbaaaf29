// The network's figures: the router as the product runs it, kernel veth, uWSGI's own router and one that does nothing
// but copy, between the same namespaces in one run. Each figure is the median of some short runs, the ways taking
// turns, so that whatever else the machine does hits all of them alike.
import { ruleRows } from './network-rules.mjs';
import { bulk, exchanges, roundTrip, smallPackets } from './network-tools.mjs';
import { NetworkWorld, WAYS, WAYS6 } from './network-world.mjs';
import { row } from './table.mjs';
import { median } from './world.mjs';

const ROUNDS = 3;
/** Pings are short, and what the machine does meanwhile is much to them. */
const PING_ROUNDS = 9;
const GIGA = 1e9;
/** What uWSGI's router is to be outdone by, and what small packets are to come through where veth allows it. */
const TIMES_UWSGI = 20;
const SMALL_PACKETS = 110_000;

const PATHS = [
  { what: 'host to vassal', from: 'host', to: 'a', ofVeth: 0.5 },
  { what: 'vassal to host', from: 'a', to: 'host', ofVeth: 0.5 },
  { what: 'vassal to vassal', from: 'a', to: 'b', ofVeth: 0.6 },
  { what: 'vassal to the world by masquerade', from: 'a', to: 'world', ofVeth: 0.6 },
];

/** Measures everything; `scale` is of the seconds that a run takes. */
export async function network(scale) {
  const seconds = Math.max(1, Math.round(2 * scale));
  const world = new NetworkWorld();
  try {
    await world.open();
    for (const path of PATHS) await bulkRows(world, path, seconds);
    await bulk6Rows(world, seconds);
    await roundTripRows(world);
    await exchangeRows(world, seconds);
    await smallPacketRows(world, seconds);
    await ruleRows(world);
  } finally {
    await world.close();
  }
}

/** How often a client of uWSGI's had to be started again, because its router had dropped it. */
let mended = 0;

/** Has all ways that there are take turns; returns what each made, without the runs in which nothing came through. */
async function turns(world, ways, measure, rounds = ROUNDS) {
  const names = Object.keys(ways).filter((name) => name !== 'uwsgi' || world.uwsgi.host);
  const found = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) {
      if (name === 'uwsgi') mended += await world.mendUwsgi();
      const result = await measure(ways[name]);
      if (result !== null) found[name].push(result);
    }
  }
  return found;
}

const rateOf = (runs = []) =>
  runs.length === 0 ? undefined : median(runs.map(({ rate }) => rate));

async function bulkRows(world, { what, from, to, ofVeth }, seconds) {
  const found = await turns(world, WAYS, (way) =>
    bulk(world, { from, to, address: way(from, to), seconds }),
  );
  const [ours, veth, uwsgi, bare] = Object.keys(WAYS).map((name) => rateOf(found[name]));
  row(`bulk TCP, ${what}`, ours / GIGA, { unit: 'Gbit/s', digits: 2, peer: veth / GIGA });
  row('  of kernel veth', ours / veth, { unit: '×', digits: 2, bound: ['>=', ofVeth] });
  row('  of a router that does nothing but copy', ours / bare, { unit: '×', digits: 2 });
  if (uwsgi) {
    const bound = ['>=', TIMES_UWSGI];
    row("  of uWSGI's router", ours / uwsgi, { unit: '×', digits: 1, bound, peer: bare / uwsgi });
  }
  if (found.uwsgi && !uwsgi) console.log("  uWSGI's router has dropped its peer in every run");
  row('  segments sent again', median(found.ours.map(({ retransmits }) => retransmits)), {
    unit: '',
    peer: median(found.veth.map(({ retransmits }) => retransmits)),
  });
}

async function bulk6Rows(world, seconds) {
  const found = await turns(world, WAYS6, (way) =>
    bulk(world, { from: 'a', to: 'b', address: way(), seconds }),
  );
  const [ours, veth] = [rateOf(found.ours), rateOf(found.veth)];
  row('bulk TCP over IPv6, vassal to vassal', ours / GIGA, {
    unit: 'Gbit/s',
    digits: 2,
    peer: veth / GIGA,
  });
  row('  of kernel veth', ours / veth, { unit: '×', digits: 2 });
}

async function roundTripRows(world) {
  const ping = (way) => roundTrip(world, { from: 'a', address: way('a', 'host') });
  const found = await turns(world, WAYS, ping, PING_ROUNDS);
  const ours = median(found.ours);
  row('ping of the host, mean', ours, { unit: 'ms', digits: 3, peer: median(found.veth) });
  if (!found.uwsgi) return;
  row("  of uWSGI's", ours / median(found.uwsgi), { unit: '×', digits: 2, bound: ['<=', 0.7] });
}

async function exchangeRows(world, seconds) {
  const found = await turns(world, WAYS, (way) =>
    exchanges(world, { from: 'a', to: 'b', address: way('a', 'b'), seconds }),
  );
  const [ours, veth, uwsgi] = ['ours', 'veth', 'uwsgi'].map((name) => median(found[name] ?? []));
  row('TCP requests answered, vassal to vassal', ours, { unit: '/s', peer: veth });
  if (uwsgi) row("  of uWSGI's router", ours / uwsgi, { unit: '×', digits: 2 });
}

async function smallPacketRows(world, seconds) {
  const found = await turns(world, WAYS, (way) =>
    smallPackets(world, { from: 'a', to: 'b', address: way('a', 'b'), seconds }),
  );
  const [ours, veth] = [median(found.ours), median(found.veth)];
  row('UDP of 64 bytes delivered, vassal to vassal', ours, {
    unit: '/s',
    bound: ['>=', Math.round(Math.min(SMALL_PACKETS, veth / 2))],
    peer: veth,
  });
  if (!found.uwsgi) return;
  row("  by uWSGI's router", median(found.uwsgi) ?? 0, { unit: '/s' });
  row("  clients that uWSGI's router has dropped so far", mended, { unit: '' });
}

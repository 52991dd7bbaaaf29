// The table of figures: a line printed as each comes, and all of them as JSON. A bound that is missed is a MISS,
// or the machine's CEILING where the peer of the same run misses it, too.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './world.mjs';

const HOLDS = {
  '>=': (figure, limit) => figure >= limit,
  '<=': (figure, limit) => figure <= limit,
  '<': (figure, limit) => figure < limit,
};

const rows = [];

/** Adds a figure with its unit; `bound` such as `['<=', 150]`; `peer` is what that one made of the same. */
export function row(what, figure, { unit, digits = 0, bound, peer }) {
  const text = (number) => (number === undefined ? '' : number.toFixed(digits));
  const added = {
    what,
    measured: text(figure),
    unit,
    bound: bound ? bound.join(' ') : '',
    peer: text(peer),
    verdict: bound ? verdictOf((number) => HOLDS[bound[0]](number, bound[1]), figure, peer) : '',
  };
  rows.push(added);
  const cells = [added.measured.padStart(10), unit.padEnd(10), added.bound.padEnd(8)];
  console.log([what.padEnd(58), ...cells, added.peer.padStart(10), added.verdict].join(' '));
}

function verdictOf(holds, figure, peer) {
  if (holds(figure)) return 'ok';
  return peer === undefined || holds(peer) ? 'MISS' : 'CEILING';
}

/** Writes bench/results/latest.json, and returns how many bounds are missed though the machine allows them. */
export function finish(scale) {
  mkdirSync(join(ROOT, 'bench/results'), { recursive: true });
  const result = { at: new Date().toISOString(), scale, rows };
  writeFileSync(join(ROOT, 'bench/results/latest.json'), `${JSON.stringify(result, null, 2)}\n`);
  const count = (verdict) => rows.filter((one) => one.verdict === verdict).length;
  console.log(`${count('MISS')} missed; ${count('CEILING')} out of reach of the peer, too`);
  return count('MISS');
}

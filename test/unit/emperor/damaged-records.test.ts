/** What the disk does to files of state-dir, byte by byte: what is read back was written, and what is whole is read. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { VassalConfig } from '../../../src/config/vassal-config.ts';
import { CpuJournal } from '../../../src/emperor/cpu-journal.ts';
import { CronJournal } from '../../../src/emperor/cron-journal.ts';
import { IdentityStore } from '../../../src/emperor/identity-store.ts';
import { type AppliedRecord, Records, readRecords } from '../../../src/emperor/records.ts';
import { AddressBook } from '../../../src/network/address-book.ts';
import { DenialsFile } from '../../../src/router/denials-file.ts';
import { readOwners, writeOwners } from '../../../src/router/uwsgi-owners.ts';
import { addresses, cidr } from '../../support/addresses.ts';

let directory: string;

beforeEach(() => {
  // In memory: some thousand times something is written, and waited for.
  directory = mkdtempSync('/dev/shm/emperor-damaged-');
  mkdirSync(join(directory, 'homes'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A file of state-dir. */
interface Kept {
  readonly file: string;
  /** Each line is of use without the others. */
  readonly isJournal: boolean;
  readonly write: () => void;
  /** What its reader knows then, a text for each thing. */
  readonly read: () => readonly string[];
}

/** Of a configuration the reader asks that there is one. */
const recordOf = (name: string, isHeld: boolean): AppliedRecord => ({
  file: `/vassals/${name}.ini`,
  text: '[vassal]\nuid = 5000\n',
  owner: { uid: 0, gid: 0, mode: 0o644 },
  applied: { config: { name, uid: 5000 } as VassalConfig, hash: 'h', sha256: 's', generation: 3 },
  isHeld,
  heldSha256: null,
  finishedInBoot: '8d6ff1f2-5d5f-4c0e-a6bd-0d3f7d2a4d3b',
});

const READING = { atMs: 90, usedMs: 7, counterMs: 8, startedAtMs: 9, isSpent: false };
const RUN = { minute: 7, startedAtMs: 8, endedAtMs: 9, code: 0, signal: null, error: null };

const identities = () =>
  new IdentityStore({
    stateDirectory: directory,
    homesDirectory: join(directory, 'homes'),
    uidRange: { first: 200_000, last: 299_999 },
    clock: systemClock,
  });
const addressBook = () =>
  new AddressBook({
    stateDirectory: directory,
    cidr4: cidr('10.0.0.1/24'),
    cidr6: cidr('fd00::1/64'),
    isRunning: () => false,
    wishOf: () => undefined,
  });
const cronJournal = () => new CronJournal(directory, (write) => write());
const cpuJournal = () => new CpuJournal(directory, (write) => write());
const denialsFile = () =>
  new DenialsFile({
    path: join(directory, 'denials.json'),
    clock: systemClock,
    say: (line) => expect.fail(line),
  });
const ownersPath = () => join(directory, 'uwsgi-owners.json');
/** Of a journal that its owner has written anew. */
const linesIn = (file: string) =>
  readFileSync(join(directory, file), 'utf8').split('\n').filter(Boolean);

const KEPT: readonly Kept[] = [
  {
    file: 'vassals.jsonl',
    isJournal: true,
    write() {
      const records = new Records(directory);
      records.write('blog', recordOf('blog', true));
      records.write('shop', recordOf('shop', false));
      records.close();
    },
    read: () => [...readRecords(directory)].map((entry) => JSON.stringify(entry)),
  },
  {
    file: 'addresses.jsonl',
    isJournal: true,
    write() {
      const book = addressBook();
      book.claim('blog', addresses('10.0.0.5', 'fd00::5'));
      book.claim('shop', addresses('10.0.0.7'));
      book.close();
    },
    read() {
      addressBook().close();
      return linesIn('addresses.jsonl');
    },
  },
  {
    file: 'cron.jsonl',
    isJournal: true,
    write() {
      const journal = cronJournal();
      journal.write('blog', 3, { since: 5, runs: 2, failures: 1, last: RUN });
      journal.begin(12);
      journal.write('shop', 4, { since: 6, runs: 0, failures: 0, last: null });
      journal.live(20, 22);
      journal.close();
    },
    read() {
      const journal = cronJournal();
      const { begun, lived } = journal;
      const jobs = journal
        .vassals()
        .flatMap((vassal) =>
          journal
            .keys(vassal)
            .map((key) => JSON.stringify([vassal, key, journal.read(vassal, key)])),
        );
      const minutes = lived.spans.flatMap(([first, last]) =>
        Array.from({ length: Math.min(100, last - first + 1) }, (_, at) => `lived ${first + at}`),
      );
      journal.close();
      return [...jobs, ...begun.map((minute) => `begun ${minute}`), ...minutes];
    },
  },
  {
    file: 'daily-cpu.jsonl',
    isJournal: true,
    write() {
      const journal = cpuJournal();
      journal.write('blog', { ...READING, isSpent: true });
      journal.write('shop', READING);
      journal.close();
    },
    read() {
      cpuJournal().close();
      return linesIn('daily-cpu.jsonl');
    },
  },
  {
    file: 'identities.json',
    isJournal: false,
    write() {
      const store = identities();
      for (const name of ['blog', 'shop', 'wiki']) store.of(name, { uid: null, gid: null });
      store.save();
    },
    read() {
      const store = identities();
      store.save();
      const { uids } = JSON.parse(readFileSync(join(directory, 'identities.json'), 'utf8'));
      return Object.entries(uids).map(([name, uid]) => `${name} ${uid}`);
    },
  },
  {
    file: 'denials.json',
    isJournal: false,
    write: () =>
      denialsFile().end([
        { chain: 'out', rule: 'deny 10.0.0.5 0.0.0.0', vassal: 'blog', count: 31 },
        { chain: 'in', rule: 'deny', vassal: null, count: 4 },
      ]),
    read: () =>
      denialsFile()
        .read()
        .map((each) => JSON.stringify(each)),
  },
  {
    file: 'uwsgi-owners.json',
    isJournal: false,
    write: () => writeOwners(ownersPath(), new Map([['uwsgi0', [{ address: 77, uid: 1000 }]]])),
    read: () => [...readOwners(ownersPath())].map((entry) => JSON.stringify(entry)),
  },
];

/** Where each line that can be read by itself begins and ends in `whole`, and what is known by it. */
function partsOf(kept: Kept, whole: Buffer) {
  const path = join(directory, kept.file);
  const lines = kept.isJournal ? whole.toString().split('\n') : [whole.toString()];
  let start = 0;
  return lines.map((line) => {
    const part = { start, end: start + Buffer.byteLength(line) };
    start = part.end + 1;
    writeFileSync(path, line);
    return { ...part, facts: kept.read() };
  });
}

describe.each(KEPT)('$file', (kept) => {
  let whole: Buffer;
  let truth: ReadonlySet<string>;
  let parts: ReturnType<typeof partsOf>;

  beforeEach(() => {
    kept.write();
    whole = readFileSync(join(directory, kept.file));
    truth = new Set(kept.read());
    parts = partsOf(kept, whole);
    expect(truth.size).toBeGreaterThan(0);
    expect(new Set(parts.flatMap(({ facts }) => facts))).toEqual(truth);
  });

  /** Nothing that was not written, and all of the parts that are `isWhole`. */
  function check(isWhole: (part: { readonly start: number; readonly end: number }) => boolean) {
    const known = kept.read();
    const wrong = known.filter((fact) => !truth.has(fact));
    const left = new Set(known);
    const lost = parts
      .filter(isWhole)
      .flatMap(({ facts }) => facts.filter((one) => !left.has(one)));
    return { wrong, lost };
  }

  test('that ends at any byte loses what stood behind, and is nothing else than it was', () => {
    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(join(directory, kept.file), whole.subarray(0, length));
      const found = check(({ end }) => end <= length);
      expect({ length, ...found }).toEqual({ length, wrong: [], lost: [] });
    }
  });

  test('of which any one bit or byte is another loses what stood there, and is nothing else than it was', () => {
    for (let at = 0; at < whole.length; at += 1) {
      const before = whole[at] ?? 0;
      const others = [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => before ^ (1 << bit));
      // What JSON and lines are made of.
      for (const byte of [...others, 0x00, 0x0a, 0x22, 0x30]) {
        whole[at] = byte;
        writeFileSync(join(directory, kept.file), whole);
        const found = check(({ start, end }) => at < start - 1 || at > end);
        expect({ at, byte, ...found }).toEqual({ at, byte, wrong: [], lost: [] });
      }
      whole[at] = before;
    }
  });
});

/** The emperor over inits of the test's own: what it takes over, and what it tells the vassals. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { silentLog } from '../../../src/base/log.ts';
import { Scope } from '../../../src/base/scope.ts';
import { Semaphore } from '../../../src/base/semaphore.ts';
import { Administration, type AdministrationHost } from '../../../src/emperor/administration.ts';
import { Emperor } from '../../../src/emperor/emperor.ts';
import { ENDINGS, Realm, type RealmHost } from '../../../src/emperor/realm.ts';
import { resolveText } from '../../../src/emperor/roster.ts';
import type { IncludeResult, Settings } from '../../../src/emperor/settings.ts';
import type { Sighting } from '../../../src/emperor/sighting.ts';
import { STATE, TAG, VERB } from '../../../src/jail/wire.ts';
import { readStartTime } from '../../../src/linux/proc.ts';
import { emperorOf } from '../../support/configuration.ts';
import { type Answer, frameServer } from '../../support/frame-server.ts';
import { settled } from '../../support/manual-clock.ts';
import { NO_CONTROLLERS } from '../../support/vassal-host.ts';
import { until } from '../../support/wait.ts';

const NO_CRONTAB: Answer = {
  verb: VERB.ERROR,
  fields: [
    [TAG.ERRNO, 2],
    [TAG.DETAIL, 'crontab'],
  ],
};
const OK: Answer = { verb: VERB.OK, fields: [] };
/** A command in slot 1. */
const RUNNING: Answer = {
  verb: VERB.LISTED,
  fields: [
    [
      TAG.ENTRY,
      [
        [TAG.SLOT, 1],
        [TAG.KIND, 'command'],
        [TAG.LABEL, 'command'],
        [TAG.PID, 2],
        [TAG.STATE, STATE.RUNNING],
        [TAG.TIME_MS, 1000],
      ],
    ],
  ],
};
const SLEEP = '[vassal]\ncommand = sleep 1\ndistro = bookworm\n';

let scope: Scope;
let directory: string;
let realm: Realm;
let emperor: Emperor;
/** Path → what stands there. */
let includes: Map<string, string>;
/** Inits that were told to stop, in their order. */
let stopped: string[];
/** What the launcher lists. */
let inits: { name: string; pid: number; state: 'running' }[];

beforeEach(() => {
  scope = new Scope();
  directory = scope.add(mkdtempSync(join(tmpdir(), 'emperor-')), (path) =>
    rmSync(path, { recursive: true }),
  );
  includes = new Map();
  inits = [];
  stopped = [];
  const place = (name: string) => {
    mkdirSync(join(directory, name));
    return join(directory, name);
  };
  const settings: Settings = {
    config: {
      ...emperorOf(''),
      runDirectory: place('run'),
      stateDirectory: place('state'),
      homesDirectory: place('homes'),
    },
    diagnostics: [],
  };
  realm = new Realm(settings, {
    clock: clockUntilClosed(),
    log: silentLog,
    poller: { watch: () => () => {} } as unknown as RealmHost['poller'],
    membership: { names: () => [], isFrozen: () => false } as unknown as RealmHost['membership'],
    controllers: NO_CONTROLLERS,
    launcher: () => ({ list: async () => inits }) as unknown as ReturnType<RealmHost['launcher']>,
    startLimit: new Semaphore(1),
    random: Math.random,
    processors: 2,
    ksmFailure: () => null,
    seccompFilter: new Uint8Array(),
    program: () => 'emperor-init',
  });
  emperor = scope.add(
    new Emperor(realm, {
      reload: () => settings,
      readInclude: include,
      setDirectories: async () => {},
    }),
    (one) => one.release(),
  );
});
afterEach(() => scope.close());

/** The inits are of this process: what would end one that is late must not outlive its test. */
function clockUntilClosed(): Clock {
  const timers = scope.add([] as (() => void)[], (all) => {
    for (const cancel of all) cancel();
  });
  const after: Clock['after'] = (delayMs, callback) => {
    const cancel = systemClock.after(delayMs, callback);
    timers.push(cancel);
    return cancel;
  };
  return { ...systemClock, after };
}

function include(path: string): IncludeResult {
  const text = includes.get(path);
  return text === undefined ? { error: 'there is no such file' } : { text };
}

/** An init that runs `hash`; `listing` is what it waits for before it says what runs in it. */
async function init(name: string, hash: string, listing: () => Promise<void>): Promise<void> {
  mkdirSync(join(directory, 'run/vassals', name));
  // They live in this process.
  inits.push({ name, pid: process.pid, state: 'running' });
  const server = await frameServer(
    join(directory, 'run/vassals', name, 'init.sock'),
    async ({ verb }) => {
      if (verb === VERB.HELLO) return welcome(name, hash);
      if (verb === VERB.CRONTAB) return NO_CRONTAB;
      if (verb === VERB.STOP) stopped.push(name);
      if (verb !== VERB.LIST) return OK;
      await listing();
      return RUNNING;
    },
  );
  scope.add(server, (one) => one.close());
}

function welcome(name: string, hash: string): Answer {
  return {
    verb: VERB.WELCOME,
    fields: [
      [TAG.VERSION, 1],
      [TAG.NAME, name],
      [TAG.GENERATION, 3],
      [TAG.HASH, hash],
      [TAG.BOOT_ID, 'b'],
      [TAG.START_TIME, readStartTime(process.pid) ?? 0],
      [TAG.TIME_MS, 1_700_000_000_000],
      [TAG.STATE, STATE.RUNNING],
      [TAG.UID, 200_000],
    ],
  };
}

function seen(name: string, text: string): Sighting {
  const file = `/vassals/${name}.ini`;
  const owner = { uid: 0, gid: 0, mode: 0o644 };
  return { kind: 'present', name, file, text, sha256: text, owner, touched: false };
}

const gone = (name: string): Sighting => ({ kind: 'gone', name, file: `/vassals/${name}.ini` });

function hashOf(name: string, text: string): string {
  const file = { file: `/vassals/${name}.ini`, text, sha256: text };
  const { wanted } = resolveText(
    name,
    { ...file, owner: { uid: 0, gid: 0, mode: 0o644 } },
    {
      emperor: realm.config,
      readInclude: include,
      env: () => undefined,
      uidOf: () => undefined,
      ownerOf: () => undefined,
    },
  );
  if (!wanted) throw new Error(`${text} is not valid`);
  return wanted.hash;
}

test('adopt() takes over many inits at once: none waits for what another says', async () => {
  const names = Array.from({ length: 64 }, (_, number) => `v${number}`);
  let asked = 0;
  let tell: () => void = () => {};
  const allAsked = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const listing = () => {
    asked += 1;
    if (asked === names.length) tell();
    return allAsked;
  };
  await Promise.all(names.map((name) => init(name, 'h', listing)));
  expect((await emperor.adopt()).toSorted()).toEqual(names.toSorted());
});

test('a refused file that becomes valid by an include is applied, though nothing else is different', async () => {
  await init('blog', hashOf('blog', SLEEP), async () => {});
  await emperor.adopt();
  emperor.see([seen('blog', SLEEP)]);
  await emperor.upToDate;
  const vassal = realm.vassalOf('blog');
  expect(vassal.isApplied).toBe(true);

  const next = `${SLEEP}include = /etc/more.ini\n`;
  emperor.see([seen('blog', next)]);
  await emperor.upToDate;
  expect(realm.entries.get('blog')?.desired.kind).toBe('invalid');
  includes.set('/etc/more.ini', '[vassal]\n');
  await emperor.reloadSettings();
  await vassal.idle();
  expect(vassal.applied?.sha256).toBe(next);
  expect(vassal.isApplied).toBe(true);
});

/** The emperor's answers; a look at a file finds that it is gone. */
function administration(): Administration {
  return new Administration(realm, emperor, {
    look: async (name: string) => emperor.see([gone(name)]),
  } as unknown as AdministrationHost);
}

const WAITS: readonly (readonly [string, (governor: Administration, name: string) => unknown])[] = [
  ['stops', (governor, name) => governor.act(name, 'stop')],
  ['restarts', (governor, name) => governor.act(name, 'restart')],
  [
    'removed and waits for',
    (governor, name) => governor.wait(name, { conditions: ['gone'], timeoutMs: 60_000 }),
  ],
];

test.each(WAITS)('what an operator %s ends before what nobody waits for', async (_, begin) => {
  const names = ['first', 'second', 'asked'];
  await Promise.all(names.map((name) => init(name, 'h', async () => {})));
  await emperor.adopt();
  const { endLimit } = realm.vassalHost;
  // As many as may end at once are ending, and one of them ends.
  let goOn = () => {};
  const ending = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  void endLimit.run(() => ending);
  for (let others = 1; others < ENDINGS; others++) void endLimit.run(() => new Promise(() => {}));
  emperor.see([gone('first'), gone('second')]);
  await emperor.upToDate;
  void begin(administration(), 'asked');
  await settled();
  expect(stopped).toEqual([]);
  goOn();
  await until('all are told to stop', () => stopped.length === names.length);
  expect(stopped).toEqual(['asked', 'first', 'second']);
});

/**
 * `emperor run`: the daemon in the foreground. SIGTERM ends it and leaves vassals running; Ctrl-C stops
 * everything, twice leaves at once; SIGHUP reads all files again and opens the log again;
 * SIGUSR1 and SIGURG: docs/operating.md.
 */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { type ApiServer, startServer } from '../../api/server.ts';
import { createLog, type FileLog } from '../../base/create-log.ts';
import { readEnvironment } from '../../base/environment.ts';
import { messageOf } from '../../base/errors.ts';
import type { EmperorConfig } from '../../config/emperor-config.ts';
import type { EmperorStats, Governor } from '../../emperor/governor.ts';
import { type RunningEmperor, startEmperor } from '../../emperor/run.ts';
import { preferOwnSession } from '../../linux/autogroup.ts';
import { sdNotify } from '../../linux/sd-notify.ts';
import { renderBanner } from '../banner.ts';
import { type Call, type Globals, usageError } from '../call.ts';
import { EXIT, leave } from '../exit.ts';
import { allowsColour, isTalkTerminal, say } from '../output.ts';
import { socketIn } from '../reach.ts';
import { reportError, sayDiagnostics } from '../report.ts';
import { iniFileOf } from '../settings.ts';

/**
 * Bytes of bytecode that a function runs through before V8 compiles it for speed. A daemon does a little of everything:
 * with V8's own 132 KB the compiling took a fifth of the cpu that a thousand starts take.
 * Set here, where a V8 that has no such flag goes on without; Node's own command line would be refused.
 */
const COMPILE_AFTER = '--interrupt-budget=600000';

/** Two seconds in all. */
const LOOK_MS = 50;
const MAX_LOOKS = 40;

export async function run(call: Call): Promise<number> {
  try {
    await govern(call);
    return leave(EXIT.done);
  } catch (error) {
    // Whatever is left to run, such as a worker of a library, must not hold us in either case.
    return leave(await reportError(error));
  }
}

async function govern({ options, globals }: Call): Promise<void> {
  const iniFile = iniFileOf(globals.ini);
  if (iniFile === undefined) {
    throw usageError('Cannot run: there is no ./emperor.ini here; name one with --ini FILE');
  }
  setFlagsFromString(COMPILE_AFTER);
  outliveReaders();
  preferOwnSession();
  let log: FileLog | undefined;
  const emperor = await startEmperor({
    iniFile,
    overrides: options.many('set'),
    createLog: (config) => {
      log = makeLog(config, globals);
      return log;
    },
  });
  const server = await openApi(emperor);
  listenToSignals(emperor, () => log?.reopen());
  await announce(emperor, { options, globals });
  await emperor.done;
  await server.close();
}

/** A terminal or pipe that has gone is no reason to stop governing. */
function outliveReaders(): void {
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
}

function makeLog(config: EmperorConfig, globals: Globals): FileLog {
  const log = createLog({
    level: config.logLevel,
    pretty: isTalkTerminal(),
    colour: allowsColour(globals),
    file: join(config.logDirectory, 'emperor.log'),
  });
  process.on('uncaughtExceptionMonitor', (error) => {
    log.error({ error: messageOf(error), stack: error.stack }, 'a bug; the emperor ends');
  });
  return log;
}

async function openApi({ governor, config, log }: RunningEmperor): Promise<ApiServer> {
  try {
    return await startServer({
      governor,
      socketPath: socketIn(config.runDirectory),
      group: config.socketGroup,
      mode: config.socketMode,
      onBug: (error) => {
        const stack = error instanceof Error ? error.stack : undefined;
        log.error({ error: messageOf(error), stack }, 'a request failed by a bug');
      },
    });
  } catch (error) {
    await governor.shutdown({ stopVassals: false });
    throw error;
  }
}

function listenToSignals({ governor, log }: RunningEmperor, reopenLog: () => void): void {
  const shutDown = (stopVassals: boolean) => {
    notify('STOPPING=1');
    governor.shutdown({ stopVassals }).catch((error) => {
      log.error({ error: messageOf(error) }, 'the shutdown failed');
      leave(EXIT.no);
    });
  };
  process.on('SIGTERM', () => {
    log.info({}, 'leaving; vassals keep running');
    shutDown(false);
  });
  // One listener for both: without any, for however short, the second would end us unheard.
  let isStopping = false;
  process.on('SIGINT', () => {
    if (isStopping) leave(EXIT.interrupted);
    isStopping = true;
    say('emperor: stopping all vassals; press Ctrl-C again to leave at once');
    shutDown(true);
  });
  process.on('SIGHUP', () => {
    reopenLog();
    governor.rescan().catch((error) => log.error({ error: messageOf(error) }, 'rescan failed'));
  });
  // Node would open its debugger at this one.
  process.on('SIGUSR1', () => {
    const tell = ({ vassals, conditions, memoryRssBytes, launcher, router }: EmperorStats) =>
      log.info(
        { vassals, conditions, memoryRssBytes, launcher: launcher.pid, router: router?.pid },
        'status',
      );
    governor.stats().then(tell, (error) => log.error({ error: messageOf(error) }, 'no status'));
  });
  process.on('SIGURG', () => {
    log.info({}, 'tries again whatever has failed');
    governor.forgive();
  });
}

/** The line `ready` stands alone: scripts wait for it. */
async function announce(
  { governor, config }: RunningEmperor,
  { options, globals }: Pick<Call, 'options' | 'globals'>,
): Promise<void> {
  await sayDiagnostics((await governor.stats()).diagnostics);
  say('ready');
  notify('READY=1');
  if (!isTalkTerminal() && readEnvironment('npm_lifecycle_event') !== 'start') return;
  await firstStarts(governor);
  say(
    renderBanner({
      program: process.argv[1] ?? 'emperor',
      globals,
      runDirectory: config.runDirectory,
      isRunDirectorySet: options.many('set').some((line) => /^run-dir\s*=/.test(line)),
      file: config.file,
      vassals: await governor.list(),
    }),
  );
}

/** Only then it shows who runs and who fails, and the banner names one that runs. Not waited for long. */
async function firstStarts(governor: Governor): Promise<void> {
  for (let look = 0; look < MAX_LOOKS; look++) {
    if ((await governor.stats()).vassals.starting === 0) return;
    await setTimeout(LOOK_MS);
  }
}

function notify(state: string): void {
  const socket = readEnvironment('NOTIFY_SOCKET');
  if (socket === undefined || socket === '') return;
  try {
    sdNotify(socket, state);
  } catch (error) {
    say(`emperor: Cannot tell systemd ${state}: ${messageOf(error)}`);
  }
}

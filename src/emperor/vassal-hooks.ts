/**
 * The operator's lines that run on the host as root around the life of a vassal: `vassals-start-hook` of emperor.ini
 * and `exec-pre-jail` of its file before its jail is made, `vassals-stop-hook` when nothing of it is left.
 */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { runHooks } from '../network/run-hooks.ts';

export interface VassalHooksHost {
  readonly emperor: () => EmperorConfig;
  readonly clock: Clock;
  readonly log: Log;
  /** Beside its name: `NAME=value` of what a hook may want to know. */
  readonly environmentOf: (config: VassalConfig) => Readonly<Record<string, string>>;
}

/** A mass ending must not start a shell for each vassal at the same time. */
const AT_ONCE = 32;

export class VassalHooks {
  readonly #host: VassalHooksHost;
  readonly #endings = new Semaphore(AT_ONCE);

  constructor(host: VassalHooksHost) {
    this.#host = host;
  }

  /** Whether anything runs on the host before a jail is made. */
  hasBefore({ execPreJail = [] }: Partial<VassalConfig>): boolean {
    return execPreJail.length + this.#host.emperor().vassalsStartHook.length > 0;
  }

  /** Throws `exec-failed` for the first line that fails; `signal` kills what runs. */
  async before(config: VassalConfig, signal: AbortSignal): Promise<void> {
    const { vassalsStartHook } = this.#host.emperor();
    await this.#run('vassals-start-hook', vassalsStartHook, { config, signal });
    // An older emperor's record may lack it.
    await this.#run('exec-pre-jail', config.execPreJail ?? [], { config, signal });
  }

  /** Throws `exec-failed`. */
  async after(config: VassalConfig): Promise<void> {
    const { vassalsStopHook } = this.#host.emperor();
    if (vassalsStopHook.length === 0) return;
    await this.#endings.run(() => this.#run('vassals-stop-hook', vassalsStopHook, { config }));
  }

  async #run(
    option: string,
    lines: readonly string[],
    { config, signal }: { readonly config: VassalConfig; readonly signal?: AbortSignal },
  ): Promise<void> {
    if (lines.length === 0) return;
    const { emperor, clock, log, environmentOf } = this.#host;
    await runHooks(lines.map(withName), {
      option,
      clock,
      timeoutMs: emperor().hookTimeoutMs,
      log,
      about: { vassal: config.name },
      argument: config.name,
      environment: { EMPEROR_VASSAL: config.name, ...environmentOf(config) },
      ...(signal ? { signal } : {}),
    });
  }
}

/** A bare program gets the name as its argument, as by uWSGI; a line has it as `$1`. */
function withName(line: string): string {
  return /\s/.test(line) ? line : `${line} "$1"`;
}

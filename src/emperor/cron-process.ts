/** What is started for a job: one of the vassal's file by `sh` in its surroundings, one of a crontab as cron(8) does it. Pure. */
import type { Job } from './cron-jobs.ts';

export interface Place {
  /** `NAME=value` */
  readonly env: readonly string[];
  readonly cwd: string;
}

export interface JobProcess extends Place {
  readonly argv: readonly string[];
  /** From its standard input; missing: nothing. */
  readonly input?: string;
}

export function processOf({ command, customer }: Job, place: Place): JobProcess {
  if (!customer) return { argv: ['/bin/sh', '-c', command], ...place };
  const { shell, environment, input } = customer;
  const env = new Map([...place.env.map(pairOf), ...environment, ['SHELL', shell] as const]);
  return {
    argv: [shell, '-c', command],
    env: [...env].map(([name, value]) => `${name}=${value}`),
    // Whose home is another begins there.
    cwd: env.get('HOME') ?? place.cwd,
    ...(input === '' ? {} : { input }),
  };
}

function pairOf(assignment: string): readonly [string, string] {
  const at = assignment.indexOf('=');
  return [assignment.slice(0, at), assignment.slice(at + 1)];
}

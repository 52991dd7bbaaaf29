/** Where the emperor listens: --socket, EMPEROR_SOCKET, the run-dir of --ini, the default run-dir. */
import { join } from 'node:path';
import { ApiClient } from '../api/client.ts';
import { readEnvironment } from '../base/environment.ts';
import { EmperorError } from '../base/errors.ts';
import { RUN_DIRECTORY } from '../config/options/run-directory.ts';
import type { Globals } from './call.ts';

const SOCKET = 'emperor.sock';

export async function reach(globals: Globals): Promise<ApiClient> {
  return new ApiClient(await socketPathOf(globals));
}

async function socketPathOf({ socket, ini }: Globals): Promise<string> {
  const named = socket ?? readEnvironment('EMPEROR_SOCKET');
  if (named !== undefined && named !== '') return named;
  if (ini === undefined) return socketIn(RUN_DIRECTORY.default);
  const { runDirectoryOf } = await import('./run-directory.ts');
  return socketIn(await runDirectoryOf(ini));
}

/** Where the emperor of a configuration listens. */
export function socketIn(runDirectory: string): string {
  return join(runDirectory, SOCKET);
}

/** What the daemon answers; undefined where none answers us, so that it has to be found elsewhere. */
export async function ifReachable<T>(
  globals: Globals,
  ask: (client: ApiClient) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await ask(await reach(globals));
  } catch (error) {
    if (isUnreachable(error)) return undefined;
    throw error;
  }
}

function isUnreachable(error: unknown): boolean {
  if (!(error instanceof EmperorError)) return false;
  return error.code === 'not-reachable' || error.code === 'not-permitted';
}

/** Where the emperor listens: --socket, EMPEROR_SOCKET, the run-dir of --ini, the default run-dir. */
import { join } from 'node:path';
import { ApiClient } from '../api/client.ts';
import { readEnvironment } from '../base/environment.ts';
import { EmperorError } from '../base/errors.ts';
import type { Globals } from './call.ts';

const SOCKET = 'emperor.sock';
const DEFAULT_RUN_DIRECTORY = '/run/emperor';

export async function reach(globals: Globals): Promise<ApiClient> {
  return new ApiClient(await socketPathOf(globals));
}

async function socketPathOf({ socket, ini }: Globals): Promise<string> {
  const named = socket ?? readEnvironment('EMPEROR_SOCKET');
  if (named !== undefined && named !== '') return named;
  if (ini === undefined) return join(DEFAULT_RUN_DIRECTORY, SOCKET);
  const { runDirectoryOf } = await import('./run-directory.ts');
  return join(await runDirectoryOf(ini), SOCKET);
}

/** Where the emperor of a configuration listens. */
export function socketIn(runDirectory: string): string {
  return join(runDirectory, SOCKET);
}

/** No emperor answers us, so what it knows has to be found elsewhere. */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof EmperorError)) return false;
  return error.code === 'not-reachable' || error.code === 'not-permitted';
}

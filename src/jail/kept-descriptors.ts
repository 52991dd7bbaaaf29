/** The descriptors that the launcher keeps by name, so that they outlive emperor and router. */
import { constants } from 'node:os';
import {
  askForDescriptor,
  type DescriptorAnswer,
  type DescriptorRequest,
  type Patience,
  refusedRequest,
} from './ask-for-descriptor.ts';
import { Refusal } from './connection.ts';
import { TAG, VERB } from './wire.ts';

const { ENOENT } = constants.errno;

/** Has the launcher keep `fd`, in place of what it kept under that name; it stays open here. */
export async function putDescriptor(
  launcherSocket: string,
  kept: { readonly name: string; readonly fd: number },
  patience: Patience,
): Promise<void> {
  const request = requestOf(launcherSocket, { name: kept.name, verb: VERB.PUT, expected: 0 });
  await ask({ ...request, send: [kept.fd] }, patience);
}

/** Returns another descriptor of what is kept under `name`, which belongs to the caller; null if nothing is. */
export async function getDescriptor(
  launcherSocket: string,
  name: string,
  patience: Patience,
): Promise<number | null> {
  const request = requestOf(launcherSocket, { name, verb: VERB.GET, expected: 1 });
  return (await ask(request, patience))?.fds[0] ?? null;
}

/** Has the launcher close what it keeps under `name`, if it keeps anything. */
export async function dropDescriptor(
  launcherSocket: string,
  name: string,
  patience: Patience,
): Promise<void> {
  await ask(requestOf(launcherSocket, { name, verb: VERB.DROP, expected: 0 }), patience);
}

const VERB_WORDS: Readonly<Record<number, string>> = {
  [VERB.PUT]: 'have the launcher keep',
  [VERB.GET]: 'get from the launcher',
  [VERB.DROP]: 'have the launcher drop',
};

function requestOf(
  path: string,
  {
    name,
    verb,
    expected,
  }: { readonly name: string } & Pick<DescriptorRequest, 'verb' | 'expected'>,
): DescriptorRequest {
  const what = `${VERB_WORDS[verb]} the descriptor ${name}`;
  return { path, what, verb, fields: [[TAG.NAME, name]], send: [], expected };
}

/** The answer; null where the launcher keeps nothing of that name. */
async function ask(
  request: DescriptorRequest,
  patience: Patience,
): Promise<DescriptorAnswer | null> {
  try {
    return await askForDescriptor(request, patience);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.errno === ENOENT) return null;
    throw refusedRequest(request.what, error);
  }
}

/** The machine's own apt configuration: its sources, and how it reaches them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { isErrno } from '../base/errors.ts';
import { type AptSource, parseListFile, parseSourcesFile } from './apt-sources.ts';

/** Reads /etc/apt/sources.list and sources.list.d; unreadable files count as absent. */
export function readAptSources(directory = '/etc/apt'): readonly AptSource[] {
  const parts = join(directory, 'sources.list.d');
  return [
    join(directory, 'sources.list'),
    ...namesIn(parts).map((name) => join(parts, name)),
  ].flatMap((file) => {
    if (/\.list$/.test(file)) return parseListFile(textOf(file));
    return /\.sources$/.test(file) ? parseSourcesFile(textOf(file)) : [];
  });
}

/** Returns `Acquire::http::Proxy "…";` and its like: what decides whether an archive can be reached. */
export async function readAcquireOptions(): Promise<readonly string[]> {
  const { stdout, failed } = await execa('apt-config', ['dump'], { reject: false });
  return failed
    ? []
    : stdout.split('\n').filter((line) => /^Acquire::(https?|Check-|Retries)/.test(line));
}

/** Returns the variables by which programs without apt find the proxy. */
export function proxyEnvironment(options: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    options.flatMap((option) => {
      const match = /^Acquire::(https?)::Proxy "([^"]+)";/i.exec(option);
      return match ? [[`${match[1]?.toLowerCase()}_proxy`, match[2] ?? '']] : [];
    }),
  );
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES', 'EISDIR')) return '';
    throw error;
  }
}
